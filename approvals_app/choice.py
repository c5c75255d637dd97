"""The question which way a run is to go, where no model may, can or is sure enough to say it.

It is an approval of type CHOICE. Approving it names one of the branches that its form offers, or several where the
workflow takes several; declining it lets the decision fail. A form offers declared branches and nothing else.
"""

from approvals_app.services.questions import Question, record_question
from executions_app.deciders import CHOSEN, ChoiceQuestion
from executions_app.models import Execution
from workflow_service.engine.decision import ELSE
from workflow_service.engine.definition import Asked, Block, HumanInLoop, JsonObject
from workflow_service.engine.json_values import storable_text
from workflow_service.engine.states import HumanStepType

MAX_MESSAGE_CHARACTERS = 10_000


def ask_for_choice(question: ChoiceQuestion) -> JsonObject:
    """Write the question, in the caller's transaction; return what the run's event says of it."""
    asked = question.people or Asked()
    step = HumanInLoop(
        required=True,
        type=HumanStepType.CHOICE,
        input_schema=response_schema(question),
        approval_level=asked.approval_level,
        assignees=asked.assignees,
        due_in=asked.due_in,
        four_eyes=asked.four_eyes,
        remind_every=asked.remind_every,
        escalation_chain=asked.escalation_chain,
    )
    message = f"{asked.message}\n\n{question.message}" if asked.message else question.message
    return record_question(
        Question(
            execution=Execution.objects.only("public_id", "workspace_id").get(pk=question.execution_id),
            block_execution_id=question.block_execution_id,
            block=question.block or _join(question.block_id),
            step=step,
            message=storable_text(message, MAX_MESSAGE_CHARACTERS),
            input=question.shown,
            input_sha256=question.shown_sha256,
        )
    )


def response_schema(question: ChoiceQuestion) -> JsonObject:
    """Return the JSON schema of an answer: the keys of the ways that are open, with what each means."""
    one: JsonObject = {"type": "string", "enum": [key for key, _ in question.options]}
    if question.many:
        # None of the others is chosen alone.
        alone: JsonObject = {"not": {"minItems": 2, "contains": {"const": ELSE}}}
        choice: JsonObject = {"type": "array", "items": one, "uniqueItems": True, "minItems": 1, **alone}
    else:
        choice = one
    alone_said = f", {ELSE} alone" if question.many else ""
    choice = {**choice, "title": question.asked, "description": f"As they are called above{alone_said}."}
    return {
        "type": "object",
        "properties": {CHOSEN: choice},
        "required": [CHOSEN],
        "additionalProperties": False,
    }


def _join(block_id: str) -> Block:
    """Return a block that stands for a join in a question: it has a name, and nothing else is read of it."""
    return Block.model_construct(block_id=block_id[:100], name=f"Join {block_id}"[:255])
