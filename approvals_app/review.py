"""The gate behind a block's work: people look at what it made (document A section 3.4).

A review stands for one question, input and output, as they were when somebody said yes. A block that makes just that
again is given the answer it had, with the edit if there was one; anything else is asked about anew.
"""

import json
from functools import partial
from hashlib import sha256

from pydantic import JsonValue

from approvals_app.gate import human_step_of_run, message_of
from approvals_app.models import Approval
from approvals_app.selectors import find_standing_approval
from approvals_app.services.questions import Question, record_question
from executions_app.handlers import Ask, BlockWork, Proposed, Reviewed
from executions_app.values import RunValues
from workflow_service.engine.approval import reviewed_output
from workflow_service.engine.definition import JsonObject

# A schema within another has a name of its own, so that what it refers to is looked for in itself.
SCHEMA_ID = "urn:workflow-service:reviewed-output"


def ask_for_review(work: BlockWork, output: JsonValue, values: RunValues | None = None) -> Reviewed | Ask:
    """Say what a block gives whose output somebody has approved before, or what must be recorded while it waits.

    Raises ``ToolError`` (CONFIGURATION_ERROR) where the question's ``${...}`` cannot be resolved.
    """
    sha = sha256(json.dumps(output, sort_keys=True).encode()).hexdigest()
    execution, step = human_step_of_run(work)
    asked = partial(message_of, work, step, values, {"output": output})
    standing = find_standing_approval(work, asked, proposed_sha256=sha)
    if standing is not None:
        return Reviewed(output_of(standing, output))
    question = Question(
        execution=execution,
        block_execution_id=work.block_execution_id,
        block=work.block,
        step=step.model_copy(update={"input_schema": reviewed_schema(step.input_schema)}),
        message=asked(),
        input=work.input,
        input_sha256=work.input_sha256,
        proposed=output,
        proposed_sha256=sha,
    )
    return Ask(partial(record_question, question), Proposed(output))


def output_of(approval: Approval, proposed: JsonValue) -> JsonValue:
    """Return what a block gives that made ``proposed``, by the review that approved it."""
    responder = approval.responded_by.get_username() if approval.responded_by else ""
    return reviewed_output(proposed, approval.response or {}, comments=approval.comments, approver=responder)


def reviewed_schema(input_schema: JsonObject | None) -> JsonObject:
    """Return the JSON schema of a review's answer: nothing, or an ``output`` in place of what the block made."""
    output: JsonObject = {} if input_schema is None else {"$id": SCHEMA_ID, **input_schema}
    return {"type": "object", "properties": {"output": output}, "additionalProperties": False}
