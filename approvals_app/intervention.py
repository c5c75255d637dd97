"""The question about a failed block that nothing else could save (document A sections 7.5 and 10.3).

It is an approval of type INTERVENTION. Approving it says what is to be done, in a response that fits
``response_schema``; rejecting it lets the block fail.
"""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256

from approvals_app.services.questions import Question, record_question
from executions_app.handlers import Intervention
from executions_app.models import Execution
from workflow_service.engine.definition import HumanInLoop, JsonObject
from workflow_service.engine.json_values import storable_text
from workflow_service.engine.states import HumanStepType

MAX_MESSAGE_CHARACTERS = 10_000

_MEANING: Mapping[str, str] = {
    "retry": "do the work again, mended by what is given below; of a block whose work is done and whose way on is not "
    "clear, look for the way again",
    "skip": "go on without it",
    "abort": "let it fail",
}
# In the order of the form, with the action that each is for.
_FIELDS: Mapping[str, tuple[str, JsonObject]] = {
    "input": (
        "retry",
        {
            "type": "object",
            "title": "Input",
            "description": "For Retry: what the block is to work with instead. Only what is changed here is changed.",
        },
    ),
    "configuration": (
        "retry",
        {
            "type": "object",
            "title": "Configuration",
            "description": "For Retry: the block's other settings. Only what is changed here is changed.",
        },
    ),
    "output": (
        "skip",
        {
            "type": "object",
            "title": "Output",
            "description": "For Skip: what the block is to give. Left empty, it gives its defaultOutput.",
        },
    ),
}
# ``false`` would do, but its problem does not say where it is.
_NOT_HERE: JsonObject = {"not": {}}
_CONTEXT_INPUT: JsonObject = {
    "type": "object",
    "title": "Values",
    "description": "For Retry: values to put into the run's context before the way on is looked for again.",
}


def response_schema(actions: Sequence[str], *, mendable: bool = True) -> JsonObject:
    """Return the JSON schema of an answer that may choose among ``actions``.

    Each action takes its own fields alone. The work of what is not ``mendable`` is tried again as it is. Where nothing
    can be skipped the work is done, and ``input`` goes into the run's context.
    """
    fields = {
        name: about
        for name, (action, about) in _FIELDS.items()
        if action in actions and (mendable or action != "retry")
    }
    if "skip" not in actions:
        fields = {"input": _CONTEXT_INPUT}
    action: JsonObject = {
        "type": "string",
        "title": "What to do",
        "enum": list(actions),
        "description": "; ".join(f"{name}: {_MEANING[name]}" for name in actions) + ".",
    }
    ordered = {"action": action, **fields}
    return {
        "type": "object",
        "properties": {
            name: {**about, "propertyOrder": order} for order, (name, about) in enumerate(ordered.items())
        },
        "required": ["action"],
        "additionalProperties": False,
        "allOf": [
            {
                "if": {"properties": {"action": {"const": chosen}}, "required": ["action"]},
                "then": {"properties": {name: _NOT_HERE for name in fields if _FIELDS[name][0] != chosen}},
            }
            for chosen in actions
        ],
    }


def ask_for_intervention(intervention: Intervention) -> JsonObject:
    """Write the question, in the caller's transaction; return what the run's event says of it."""
    block, escalation, error = intervention.block, intervention.escalation, intervention.error
    step = HumanInLoop(
        required=True,
        type=HumanStepType.INTERVENTION,
        approval_level=escalation.approval_level,
        assignees=escalation.assignees,
        input_schema=response_schema(intervention.actions, mendable=intervention.mendable),
        due_in=escalation.due_in,
        four_eyes=escalation.four_eyes,
        remind_every=escalation.remind_every,
        escalation_chain=escalation.escalation_chain,
    )
    failed = f"'{block.name or block.block_id}' failed: {error.get('type')}: {error.get('message')}"
    message = f"{escalation.message}\n\n{failed}" if escalation.message else failed
    question = Question(
        execution=Execution.objects.only("public_id", "workspace_id").get(pk=intervention.execution_id),
        block_execution_id=intervention.block_execution_id,
        block=block,
        step=step,
        message=storable_text(message, MAX_MESSAGE_CHARACTERS),
        input=intervention.input,
        input_sha256=sha256(json.dumps(intervention.input, sort_keys=True).encode()).hexdigest(),
    )
    return record_question(question)
