"""The gate in front of a block that asks people (document A sections 3.4 and 7.3).

The runner calls it before the block's work. An approval stands while the block's resolved input is the same,
so a block that comes back, after its approval or a restart, asks nobody again for what was approved.
"""

import json
from functools import partial

from approvals_app.selectors import find_standing_approval
from approvals_app.services.approvals import answer_of
from approvals_app.services.questions import Question, record_question
from executions_app.handlers import Ask, BlockWork, Proceed
from executions_app.models import Execution
from executions_app.transaction import pipelined_transaction
from executions_app.values import RunValues
from templates_app.plans import compiled_version
from workflow_service.agents.errors import ToolError
from workflow_service.engine.definition import Block, HumanInLoop
from workflow_service.engine.errors import ExpressionError
from workflow_service.engine.interpolation import compile_template
from workflow_service.engine.json_values import storable_text
from workflow_service.engine.states import ErrorType

MAX_MESSAGE_CHARACTERS = 10_000


def ask_people(work: BlockWork) -> Proceed | Ask:
    """Say whether a block may go on, or what must be recorded while it waits.

    Raises ``ToolError`` (CONFIGURATION_ERROR) where the question's ``${...}`` cannot be resolved.
    """
    standing = find_standing_approval(work.execution_id, work.block.block_id, work.input_sha256)
    if standing is not None:
        return Proceed(answer_of(standing))
    execution = Execution.objects.only("public_id", "workspace_id", "version_id").get(pk=work.execution_id)
    defaults = compiled_version(execution.version_id).definition.global_settings.human_in_loop_defaults
    step = human_step_of(work.block, defaults)
    question = Question(
        execution=execution,
        block_execution_id=work.block_execution_id,
        block=work.block,
        step=step,
        message=_message_of(work, step),
        input=work.input,
        input_sha256=work.input_sha256,
    )
    return Ask(partial(record_question, question))


def human_step_of(block: Block, defaults: HumanInLoop | None) -> HumanInLoop:
    """Return how a block asks: what it says itself, over the workflow's defaults."""
    step = block.human_in_loop
    if defaults is None:
        return step
    return defaults.model_copy(update={name: getattr(step, name) for name in step.model_fields_set})


def _message_of(work: BlockWork, step: HumanInLoop) -> str:
    if not step.message:
        return ""
    try:
        template = compile_template(step.message)
        with pipelined_transaction() as tx:
            values = RunValues(tx, work.execution_id, work.execution_public_id)
            values.prefetch([template.references])
            text = template.render(values.scope())
    except ExpressionError as error:
        raise ToolError(ErrorType.CONFIGURATION_ERROR, f"humanInLoop.message: {error.message}") from error
    shown = text if isinstance(text, str) else json.dumps(text, ensure_ascii=False)
    return storable_text(shown, MAX_MESSAGE_CHARACTERS)
