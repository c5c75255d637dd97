"""Callbacks: an agent that answered 202 says later how its work ended.

Each try of the work is called back about once. A callback that comes while the block is not waiting yet (its worker is
just writing that down, or the request is being tried again) is kept, and consumed when the block parks. Both sides act
under the execution row's lock.
"""

from dataclasses import dataclass
from typing import Any, cast

from django.db.models import F, Q
from pydantic import JsonValue

from executions_app.aftermath import follow_up
from executions_app.callback_tokens import Try, claimed_try
from executions_app.errors import CallbackExpired, CallbackNotFound, CallbackRejected, CallbackUsed
from executions_app.finishing import any_unsettled, conclude_locked
from executions_app.handlers import Park
from executions_app.models import BlockExecution, Callback
from executions_app.recovering import recover_wait
from executions_app.results import Error
from executions_app.reviews import give_output
from executions_app.run_state import RunState, lock_run
from executions_app.secrets_in_use import redact_for
from executions_app.settlement import Settler
from executions_app.stand_ins import work_of_row
from executions_app.transaction import command_transaction
from templates_app.plans import compiled_version
from workflow_service.agents.api_answers import called_back_output
from workflow_service.agents.assignment import configuration_of, tool_of
from workflow_service.agents.catalog import find_agent
from workflow_service.agents.configuration import ApiConfiguration, read_configuration
from workflow_service.agents.errors import ToolError
from workflow_service.engine.definition import Block
from workflow_service.engine.errors import Problem
from workflow_service.engine.json_values import JsonUnfit, check_json
from workflow_service.engine.plan import Node
from workflow_service.engine.states import ENDED_EXECUTION_STATUSES, FINISHED_BLOCK_STATUSES, BlockStatus
from workflow_service.settings.config import get_config

WAITS_FOR = BlockExecution.WaitsFor.CALLBACK
DEADLINE_S = 86_400.0

ROW = """
    SELECT id, node, kind, block_id, agent_id, fence, status, superseded, waits_for
    FROM executions_app_blockexecution WHERE id = %s FOR UPDATE
"""


@dataclass(frozen=True, slots=True)
class CallbackAnswer:
    """How an agent's work ended: with ``output``, or with ``error`` where it failed."""

    output: JsonValue = None
    error: Error | None = None


def await_callback(block: Block) -> Park:
    """Say that a block waits until its agent calls back, a day at most unless its timeout says."""
    due_in_s = block.timeout / 1_000 if block.timeout else DEADLINE_S
    return Park(WAITS_FOR, due_in_s=due_in_s, then=_take_kept)


def take_callback(token: str, answer: CallbackAnswer) -> bool:
    """Take an agent's answer; returns False where it is kept, because the block does not wait yet.

    Raises ``CallbackNotFound``, ``CallbackRejected``, ``CallbackUsed``, ``CallbackExpired``.
    """
    execution_id, attempted = _find(token)
    _check(answer)
    with command_transaction() as tx:
        run = lock_run(tx, execution_id)
        assert run is not None  # noqa: S101 - the row was found with its run
        row = tx.one(ROW, (attempted.block_execution_id,))
        _require_open(run, row, attempted)
        compiled = compiled_version(run.version_id)
        answer = _without_secrets(answer, run, compiled.plan.nodes[row.node], row.agent_id)
        Callback.objects.create(
            block_execution_id=row.id,
            attempt=attempted.attempt,
            output=answer.output,
            error=answer.error,
            received_at=run.now,
        )
        settler = Settler(tx, run, compiled)
        waits = row.status == BlockStatus.WAITING and row.waits_for == WAITS_FOR
        data = {"status": "failed" if answer.error else "completed", "attempt": attempted.attempt}
        settler.journal.event("callback_received", row.block_id, data, row_id=row.id)
        delivered = waits and _consume(settler, row)
        aftermath = conclude_locked(settler)
    aftermath.unsettled = any_unsettled(execution_id)
    follow_up(aftermath, execution_id)
    return delivered


def _find(token: str) -> tuple[int, Try]:
    attempted = claimed_try(token)
    if attempted is not None:
        rows = BlockExecution.objects.filter(pk=attempted.block_execution_id)
        found = rows.values_list("execution_id", "execution__public_id").first()
        if found is not None and attempted.is_proved_by(token, found[1]):
            return found[0], attempted
    raise CallbackNotFound("this is no address that an agent was given")


def _check(answer: CallbackAnswer) -> None:
    for name, value in (("output", answer.output), ("error", answer.error)):
        try:
            check_json(value, max_bytes=get_config().max_output_bytes)
        except JsonUnfit as error:
            problem = Problem(error.kind, error.reason, pointer=f"/{name}{error.pointer}")
            raise CallbackRejected(f"the {name} cannot be kept: {error.message}", [problem]) from None


def _without_secrets(answer: CallbackAnswer, run: RunState, node: Node, agent_id: str) -> CallbackAnswer:
    """Return an answer without the secrets that the agent had been sent."""
    given: list[JsonValue] = [answer.output, cast(JsonValue, answer.error)]
    redacted = redact_for(run.workspace_id, node, agent_id, given)
    if redacted is given:
        return answer
    output, error = cast(list[JsonValue], redacted)
    return CallbackAnswer(output, cast(Error | None, error))


def _require_open(run: RunState, row: Any, attempted: Try) -> None:
    if Callback.objects.filter(block_execution_id=row.id, attempt=attempted.attempt).exists():
        raise CallbackUsed(
            f"this work of block '{row.block_id}' of {run.public_id} was called back about before"
        )
    over = row.superseded or row.status in FINISHED_BLOCK_STATUSES
    if over or run.status in ENDED_EXECUTION_STATUSES:
        became = "restarted" if row.superseded else row.status
        raise CallbackExpired(f"block '{row.block_id}' of {run.public_id} waits no more: it is {became}")


def _take_kept(settler: Settler, row: Any) -> tuple[()]:
    _consume(settler, row)
    return ()


def _consume(settler: Settler, row: Any) -> bool:
    """Finish a waiting row with what its agent called back, if it did.

    The result of an earlier try counts while it is the same work; its failure does not: that is why it is tried again.
    """
    callback = (
        Callback.objects.filter(block_execution_id=row.id, consumed_at=None)
        .filter(
            Q(attempt=F("block_execution__recoveries"))
            | Q(error__isnull=True, block_execution__stand_in="", block_execution__variant=0)
        )
        .order_by("id")
        .first()
    )
    if callback is None:
        return False
    Callback.objects.filter(pk=callback.pk).update(consumed_at=settler.run.now)
    if callback.error is not None:
        recover_wait(settler, row.id, callback.error)
        return True
    try:
        output = _output(settler, row.id, callback.output)
    except ToolError as error:
        described: Error = {"type": error.error_type, "message": error.message, "details": error.details}
        recover_wait(settler, row.id, {**described, "retryable": False})
    else:
        give_output(settler, row, output)
    return True


def _output(settler: Settler, row_id: int, said: JsonValue) -> JsonValue:
    """Return a block's output for what was called back: of a remote agent that is all; raises ``ToolError``."""
    row = BlockExecution.objects.only("input", "agent_id", "node", "kind", "stand_in").get(pk=row_id)
    block = settler.plan.nodes[row.node].block
    agent = find_agent(settler.run.workspace_id, row.agent_id) if row.agent_id else None
    # Whoever needed no tool of ours has no mapping of ours either.
    if block is None or (agent.remote if agent is not None else block.tool_type is None):
        return said
    configuration = row.input if isinstance(row.input, dict) else {}
    if agent is not None:
        work = work_of_row(block, row)
        configuration = configuration_of(work, agent, tool_of(work, agent), configuration)
    return called_back_output(read_configuration(ApiConfiguration, configuration), said)
