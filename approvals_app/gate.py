"""The gate in front of a block that asks people (document A sections 3.4 and 7.3).

The runner calls it before the block's work. An approval stands while the block's resolved input is the same, and after
a restart the question with its figures, so a block that comes back asks nobody again for what was approved.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from pydantic import JsonValue

from approvals_app.selectors import find_standing_approval
from approvals_app.services.approvals import answer_of
from approvals_app.services.questions import Question, record_question
from executions_app.handlers import Ask, BlockWork, Proceed
from executions_app.models import Execution
from executions_app.transaction import pipelined_transaction
from executions_app.values import RunValues
from templates_app.plans import compiled_version
from workflow_service.agents.errors import ToolError
from workflow_service.engine.approval import human_step_of
from workflow_service.engine.definition import HumanInLoop
from workflow_service.engine.errors import ExpressionError
from workflow_service.engine.interpolation import Template, compile_template
from workflow_service.engine.json_values import storable_text
from workflow_service.engine.states import ErrorType

MAX_MESSAGE_CHARACTERS = 10_000


def ask_people(work: BlockWork) -> Proceed | Ask:
    """Say whether a block may go on, or what must be recorded while it waits.

    Raises ``ToolError`` (CONFIGURATION_ERROR) where the question's ``${...}`` cannot be resolved.
    """
    execution, step = human_step_of_run(work)
    standing = find_standing_approval(work, lambda: message_of(work, step))
    if standing is not None:
        return Proceed(answer_of(standing))
    question = Question(
        execution=execution,
        block_execution_id=work.block_execution_id,
        block=work.block,
        step=step,
        message=message_of(work, step),
        input=work.input,
        input_sha256=work.input_sha256,
    )
    return Ask(partial(record_question, question))


def human_step_of_run(work: BlockWork) -> tuple[Execution, HumanInLoop]:
    """Return a block's run, and how the block asks in it."""
    execution = Execution.objects.only("public_id", "workspace_id", "version_id").get(pk=work.execution_id)
    defaults = compiled_version(execution.version_id).definition.global_settings.human_in_loop_defaults
    return execution, human_step_of(work.block, defaults)


def message_of(
    work: BlockWork,
    step: HumanInLoop,
    values: RunValues | None = None,
    own: Mapping[str, JsonValue] | None = None,
) -> str:
    """Return what a step asks, with its figures; ``own`` are names that are looked up first.

    ``values`` are those of the transaction that it is called in. Raises ``ToolError`` (CONFIGURATION_ERROR).
    """
    if not step.message:
        return ""
    try:
        template = compile_template(step.message)
        if values is not None:
            text = _rendered(template, values, own or {})
        else:
            with pipelined_transaction() as tx:
                values = RunValues(tx, work.execution_id, work.execution_public_id)
                text = _rendered(template, values, own or {})
    except ExpressionError as error:
        raise ToolError(ErrorType.CONFIGURATION_ERROR, f"humanInLoop.message: {error.message}") from error
    shown = text if isinstance(text, str) else json.dumps(text, ensure_ascii=False)
    return storable_text(shown, MAX_MESSAGE_CHARACTERS)


def _rendered(template: Template, values: RunValues, own: Mapping[str, JsonValue]) -> JsonValue:
    references = template.references
    values.prefetch([replace(references, context=references.context - own.keys())])
    return template.render(values.scope(own))
