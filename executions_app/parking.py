"""Blocks that stop without finishing: waiting for someone, waiting for another try, or taken back from a dead worker.

These are rare beside finishes, so they wait for the execution row's lock instead of trying it, and may mix engine
statements with Django's ORM. They settle nothing: a row that cannot be settled must not keep another block from being
put aside. Where ``unsettled`` says so, ``aftermath.follow_up`` does it after the commit.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.db import transaction
from psycopg.types.json import Jsonb
from pydantic import JsonValue

from executions_app import log_lines
from executions_app.finishing import WRITE_LOGS as WRITE_BLOCK_LOGS
from executions_app.finishing import Aftermath, Logs, any_unsettled, conclude_locked, fail_run, log_rows
from executions_app.handlers import AfterParking, Proposed
from executions_app.journal import place_data
from executions_app.maps import expand_map
from executions_app.models import BlockExecution
from executions_app.overruns import overrun_error
from executions_app.progress import Claim
from executions_app.recovering import (
    Effect,
    ask_about_routing,
    change_block,
    read_block,
    recover_block,
    take_step,
)
from executions_app.recovery_policy import policy_for
from executions_app.results import REVIEW
from executions_app.run_state import RunState, lock_run
from executions_app.settlement import Error, Settler
from executions_app.stand_ins import work_of_row
from executions_app.transaction import DATABASE_GONE, EngineTransaction, command_transaction
from executions_app.trees import restore, settler_of
from templates_app.plans import compiled_version
from workflow_service.engine.definition import Block
from workflow_service.engine.recovery import RecoveryStep
from workflow_service.engine.recovery_advice import ModelAdvice
from workflow_service.engine.rounds import Place
from workflow_service.engine.states import (
    ENDED_EXECUTION_STATUSES,
    BlockStatus,
    ErrorType,
    RecoveryStrategy,
)
from workflow_service.plurals import counted

logger = logging.getLogger(__name__)

MAX_LOSSES = 5

RECORD_START = """
    UPDATE executions_app_blockexecution SET unrecorded_start = false
    WHERE id = %s AND fence = %s AND status = 'RUNNING' AND unrecorded_start
    RETURNING id, block_id, agent_id, started_at
"""
WAIT = """
    UPDATE executions_app_blockexecution SET status = 'WAITING', holds_slot = false, waits_for = %s, wait_key = %s,
        output_extra = %s, due_at = coalesce(%s, clock_timestamp() + make_interval(secs => %s))
    WHERE id = %s AND fence = %s AND status = 'RUNNING'
    RETURNING id, node, kind, block_id, scope_id, item_index, agent_id, fence, due_at
"""
COUNT_LOSS = "UPDATE executions_app_blockexecution SET losses = losses + 1 WHERE id = %s"
WAIT_FOR_ITEMS = """
    UPDATE executions_app_blockexecution SET status = 'WAITING', waits_for = 'items', holds_slot = false, due_at = NULL
    WHERE id = %s AND fence = %s AND status = 'RUNNING' RETURNING id, block_id, agent_id
"""
# What was lost with a worker has waited for its turn already: it goes before others.
TAKE_BACK = """
    UPDATE executions_app_blockexecution SET status = %s, holds_slot = false, fence = fence + 1,
        losses = %s, worker_id = NULL, finished_at = %s,
        queue = CASE WHEN %s THEN 'high' ELSE queue END
    WHERE id = %s
"""
WAKE_RETRIES = """
    UPDATE executions_app_blockexecution SET status = 'READY', due_at = NULL
    WHERE execution_id = %s AND status = 'RETRYING' AND due_at <= clock_timestamp() RETURNING id, block_id
"""


def park(
    claim: Claim,
    *,
    waits_for: str,
    wait_key: str = "",
    due_in_s: float | None = None,
    due_at: datetime | None = None,
    record: Callable[[], Mapping[str, JsonValue] | None] | None = None,
    event_data: Mapping[str, JsonValue] | None = None,
    then: AfterParking | None = None,
    output_extra: Mapping[str, JsonValue] | None = None,
    proposed: Proposed | None = None,
) -> Aftermath:
    """Stop a block, and free its slot, until what it waits for comes; at most until it is due, if that is given.

    ``waits_for`` is one of ``BlockExecution.WaitsFor``. The event ``block_waiting`` says so, with ``event_data``.
    Where it is a person, ``record`` writes the question in the same transaction, and what it returns becomes the
    data of the event ``approval_requested``; ``proposed`` is what a review is about. ``then`` is called with the
    block's row, once it waits, in that transaction too: it begins what is waited for, or finds that it is there
    already. In a failing run neither is called: the block is cancelled, unless it undoes.
    """
    asks = waits_for == BlockExecution.WaitsFor.PERSON
    with command_transaction() as tx:
        run, settler = _lock(tx, claim.execution_id)
        _record_start(tx, settler, claim.block_execution_id, claim.fence)
        extra = Jsonb(output_extra) if output_extra else None
        if proposed is not None:
            wait_key, extra = REVIEW, Jsonb(proposed.output)
        wait = (waits_for, wait_key, extra, due_at, due_in_s, claim.block_execution_id, claim.fence)
        row = tx.run(WAIT, wait).fetchone()
        if row is None:
            return _zombie(settler)
        run.slots -= 1
        run.waiting_for_people += asks
        others: Iterable[tuple[int, Aftermath]] = ()
        if not run.failing or run.compensating:
            data = {"waitsFor": waits_for, **_due(row.due_at), **(event_data or {})}
            data |= place_data(row.kind, Place(row.scope_id, row.item_index))
            settler.journal.event("block_waiting", row.block_id, data, row_id=row.id)
            if record is not None:
                _ask(settler, row, record() or {})
            if then is not None:
                others = then(settler, row)
        aftermath = conclude_locked(settler)
        aftermath.others += others
    return _looked_again(aftermath, claim.execution_id)


def _due(due_at: datetime | None) -> dict[str, JsonValue]:
    return {} if due_at is None else {"dueAt": due_at.isoformat()}


def _ask(settler: Settler, row: Any, data: Mapping[str, JsonValue]) -> None:
    settler.journal.event("approval_requested", row.block_id, data, row_id=row.id)
    log_lines.approval_required(settler.journal, settler.run, row)


def begin_map(claim: Claim, block: Block, items: list[JsonValue]) -> Aftermath:
    """Give every item of a map its row, and let its block wait for them."""
    with command_transaction() as tx:
        run, settler = _lock(tx, claim.execution_id)
        _record_start(tx, settler, claim.block_execution_id, claim.fence)
        row = tx.run(WAIT_FOR_ITEMS, (claim.block_execution_id, claim.fence)).fetchone()
        if row is None:
            return _zombie(settler)
        run.slots -= 1
        if run.failing:
            # It waits for items that will not come, and is cancelled as what is not active.
            run.active -= 1
        else:
            settler.progress.add_ready(expand_map(tx, run, block, row.id, items))
            settler.journal.event("map_expanded", row.block_id, {"items": len(items)}, row_id=row.id)
        aftermath = conclude_locked(settler)
    return _looked_again(aftermath, claim.execution_id)


def recover(claim: Claim, error: Error, logs: Logs, advice: ModelAdvice | None = None) -> Aftermath:
    """Do about a failed block what its policy says: the next step of the ladder, or that it failed for good.

    ``advice`` is what a model said about it, while nothing was locked.
    """
    with command_transaction() as tx:
        _, settler = _lock(tx, claim.execution_id)
        _record_start(tx, settler, claim.block_execution_id, claim.fence)
        row = read_block(tx, claim.execution_id, claim.block_execution_id)
        if row is None or (row.fence, row.status) != (claim.fence, BlockStatus.RUNNING):
            return _zombie(settler)
        if logs:
            tx.run(WRITE_BLOCK_LOGS, (log_rows(logs), row.id))
        recover_block(settler, row, error, advice)
        aftermath = conclude_locked(settler)
    return _looked_again(aftermath, claim.execution_id)


def postpone(claim: Claim, due_in_s: float, data: Mapping[str, JsonValue]) -> Aftermath:
    """Let a claimed block, on which nobody was at work yet, begin anew when its time has come. No try is spent."""
    with command_transaction() as tx:
        _, settler = _lock(tx, claim.execution_id)
        _record_start(tx, settler, claim.block_execution_id, claim.fence)
        row = read_block(tx, claim.execution_id, claim.block_execution_id)
        if row is None or (row.fence, row.status) != (claim.fence, BlockStatus.RUNNING):
            return _zombie(settler)
        told = {**data, "retryCount": row.retries, "delayMs": round(due_in_s * 1_000)}
        settler.journal.event("block_retrying", row.block_id, told, row_id=row.id)
        change_block(settler, row, Effect(BlockStatus.RETRYING, due_in_s=due_in_s), {})
        aftermath = conclude_locked(settler)
    return _looked_again(aftermath, claim.execution_id)


def wake_retries(execution_id: int) -> Aftermath:
    """Make the blocks ready whose delay is over."""
    with command_transaction() as tx:
        run, settler = _lock(tx, execution_id)
        if run.status in ENDED_EXECUTION_STATUSES or run.status == "PAUSED":
            return Aftermath()
        woken = tx.run(WAKE_RETRIES, (execution_id,)).fetchall()
        for row in woken:
            settler.journal.event("block_woken", row.block_id, row_id=row.id)
        settler.progress.add_ready(len(woken))
        aftermath = conclude_locked(settler)
    return _looked_again(aftermath, execution_id)


def ask_unasked(execution_id: int) -> Aftermath:
    """Ask people about the blocks of a run whose way on failed and about which nobody was asked yet."""
    with command_transaction() as tx:
        _, settler = _lock(tx, execution_id)
        ask_about_routing(settler)
        aftermath = conclude_locked(settler)
    return _looked_again(aftermath, execution_id)


def take_back(execution_id: int, lost: Iterable[tuple[int, int]], *, never_ran: bool = False) -> Aftermath:
    """Give blocks of dead workers to others: ``lost`` are (row id, fence) of RUNNING rows.

    The fence rises, so a late result of the old worker is thrown away. A block that had overrun its timeout has failed
    with TIMEOUT_ERROR, and one that was lost ``MAX_LOSSES`` times with WORKER_LOST: they go up the recovery ladder.
    One whose ``onWorkerLost`` is ``fail`` fails at once, and where it is ``ask`` a person decides. Work that is not
    idempotent may have been done: it goes up the ladder too, where nothing does it again. With
    ``never_ran`` no worker ever learned of the claims: nothing was lost, and the blocks are queued again.
    Where this goes wrong the run fails with SETTLEMENT_ERROR: else the blocks were RUNNING for ever, at no worker.
    """
    blocks = sorted(lost)
    with command_transaction() as tx:
        run, settler = _lock(tx, execution_id)
        before = replace(run)
        try:
            with transaction.atomic():
                for row_id, fence in blocks:
                    _take_back_one(tx, run, settler, row_id, fence, never_ran)
                aftermath = conclude_locked(settler)
        except DATABASE_GONE:
            raise
        except Exception as error:
            logger.exception("lost blocks of execution %s cannot be taken back; it fails", run.public_id)
            restore(run, before)
            aftermath = _give_up(tx, run, blocks, error, never_ran)
    return _looked_again(aftermath, execution_id)


def _give_up(
    tx: EngineTransaction, run: RunState, lost: Iterable[tuple[int, int]], error: Exception, never_ran: bool
) -> Aftermath:
    """Cancel lost blocks, whatever their policy says, and fail the run."""
    settler = settler_of(tx, run)
    run.failing, run.compensating = True, False
    for row_id, fence in lost:
        _record_start(tx, settler, row_id, fence)
        row = read_block(tx, run.id, row_id)
        if row is not None and (row.fence, row.status) == (fence, BlockStatus.RUNNING):
            _rerun(settler, row, row.losses + (not never_ran))
    return fail_run(settler, error)


def _take_back_one(
    tx: EngineTransaction, run: RunState, settler: Settler, row_id: int, fence: int, never_ran: bool
) -> None:
    _record_start(tx, settler, row_id, fence)
    row = read_block(tx, run.id, row_id)
    if row is None or (row.fence, row.status) != (fence, BlockStatus.RUNNING):
        return
    if never_ran:
        settler.journal.log("WARNING", f"The answer to the claim of block {row.block_id} was lost", row)
        _rerun(settler, row, row.losses)
        return
    block = settler.plan.nodes[row.node].block
    if row.overran and block is not None:
        settler.journal.log("WARNING", f"Block {row.block_id} overran its timeout and was killed", row)
        recover_block(settler, row, overrun_error(work_of_row(block, row)))
        return
    losses = row.losses + 1
    declared = block if row.kind != BlockExecution.Kind.UNDO else None
    on_lost = declared.on_worker_lost if declared else "rerun"
    once = declared is not None and declared.recovery is not None and not declared.recovery.idempotent
    log_lines.block_lost(settler.journal, run, row, losses)
    if losses < MAX_LOSSES and on_lost == "rerun" and not once:
        _rerun(settler, row, losses)
        return
    settler.journal.event(
        "block_lost", row.block_id, {"losses": losses, "rerun": False, "status": "RUNNING"}, row_id=row.id
    )
    error: Error = {
        "type": ErrorType.WORKER_LOST,
        "message": f"the worker died while it ran this block ({counted(losses, 'time')} so far)",
        "retryable": False,
    }
    tx.run(COUNT_LOSS, (row.id,))
    if block is None or on_lost == "fail":
        change_block(settler, row, Effect(BlockStatus.FAILED), error)
    elif on_lost == "ask":
        step = RecoveryStep(RecoveryStrategy.ESCALATE, "its worker died, and onWorkerLost says to ask")
        take_step(settler, row, step, error, escalation=policy_for(settler, row, block).escalation)
    else:
        recover_block(settler, row, error)


def _rerun(settler: Settler, row: Any, losses: int) -> None:
    """Make a claimed block ready again, or cancel it where nothing goes on; so many workers of it have died."""
    run = settler.run
    stopped = run.status in ENDED_EXECUTION_STATUSES or (run.failing and not run.compensating)
    status = BlockStatus.CANCELLED if stopped else BlockStatus.READY
    data: dict[str, JsonValue] = {"losses": losses, "rerun": not stopped, "status": status}
    settler.journal.event("block_lost", row.block_id, data, row_id=row.id)
    ended_at = run.now if stopped else None
    settler.tx.run(TAKE_BACK, (status, losses, ended_at, losses > row.losses, row.id))
    run.slots -= 1
    if not stopped:
        settler.progress.add_ready(1)


def _lock(tx: EngineTransaction, execution_id: int) -> tuple[RunState, Settler]:
    run = lock_run(tx, execution_id)
    if run is None:
        raise LookupError(f"no execution {execution_id}")
    return run, Settler(tx, run, compiled_version(run.version_id))


def _record_start(tx: EngineTransaction, settler: Settler, row_id: int, fence: int) -> None:
    """Append the start of a block that was claimed without the lock, before what became of it."""
    row = tx.run(RECORD_START, (row_id, fence)).fetchone()
    if row is not None:
        settler.journal.block_event("block_started", row, row.started_at, {"agentId": row.agent_id})


def _looked_again(aftermath: Aftermath, execution_id: int) -> Aftermath:
    """Say, after the commit, whether somebody finished a block meanwhile who could not lock the run."""
    aftermath.unsettled = any_unsettled(execution_id)
    return aftermath


def _zombie(settler: Settler) -> Aftermath:
    aftermath = conclude_locked(settler)
    aftermath.accepted = False
    return aftermath
