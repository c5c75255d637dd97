"""Blocks that stop without finishing: waiting for someone, waiting for another try, or taken back from a dead worker.

These are rare beside finishes, so they wait for the execution row's lock instead of trying it, and may mix engine
statements with Django's ORM. They settle nothing: a row that cannot be settled must not keep another block from being
put aside. Where ``unsettled`` says so, ``aftermath.follow_up`` does it after the commit.
"""

from collections.abc import Callable, Iterable, Mapping

from psycopg.types.json import Jsonb
from pydantic import JsonValue

from executions_app.finishing import WRITE_LOGS as WRITE_BLOCK_LOGS
from executions_app.finishing import Aftermath, Logs, any_unsettled, conclude_locked, log_rows
from executions_app.maps import expand_map
from executions_app.progress import Claim
from executions_app.run_state import RunState, lock_run
from executions_app.settlement import Error, Settler
from executions_app.transaction import EngineTransaction, command_transaction
from templates_app.plans import compiled_version
from workflow_service.engine.definition import Block
from workflow_service.engine.states import ENDED_EXECUTION_STATUSES, ErrorType

MAX_LOSSES = 5

RECORD_START = """
    UPDATE executions_app_blockexecution SET unrecorded_start = false
    WHERE id = %s AND fence = %s AND status = 'RUNNING' AND unrecorded_start
    RETURNING id, block_id, agent_id, started_at
"""
WAIT = """
    UPDATE executions_app_blockexecution SET status = 'WAITING', holds_slot = false
    WHERE id = %s AND fence = %s AND status = 'RUNNING' RETURNING id, block_id, agent_id
"""
WAIT_FOR_ITEMS = """
    UPDATE executions_app_blockexecution SET status = 'WAITING', waits_for = 'items', holds_slot = false
    WHERE id = %s AND fence = %s AND status = 'RUNNING' RETURNING id, block_id, agent_id
"""
RETRY = """
    UPDATE executions_app_blockexecution SET status = 'RETRYING', holds_slot = false, retries = retries + 1,
        error = %s, due_at = clock_timestamp() + make_interval(secs => %s)
    WHERE id = %s AND fence = %s AND status = 'RUNNING' RETURNING id, block_id, agent_id, retries
"""
TAKE_BACK = """
    UPDATE executions_app_blockexecution SET status = %s, error = %s, holds_slot = false, fence = fence + 1,
        losses = losses + 1, worker_id = NULL, finished_at = %s
    WHERE id = %s AND fence = %s AND status = 'RUNNING' RETURNING id, block_id, agent_id
"""
LOST_ROW = "SELECT node, losses FROM executions_app_blockexecution WHERE id = %s"
WAKE_RETRIES = """
    UPDATE executions_app_blockexecution SET status = 'READY', due_at = NULL
    WHERE execution_id = %s AND status = 'RETRYING' AND due_at <= clock_timestamp() RETURNING id
"""


def wait_for_person(claim: Claim, record: Callable[[], Mapping[str, JsonValue] | None]) -> Aftermath:
    """Stop a block until a person answers; ``record`` writes the question in the same transaction.

    What ``record`` returns becomes the data of the run's ``approval_requested`` event.
    """
    with command_transaction() as tx:
        run, settler = _lock(tx, claim.execution_id)
        _record_start(tx, settler, claim.block_execution_id, claim.fence)
        row = tx.run(WAIT, (claim.block_execution_id, claim.fence)).fetchone()
        if row is None:
            return _zombie(settler)
        run.slots -= 1
        run.waiting_for_people += 1
        if not run.failing:
            data = record() or {}
            settler.journal.event("approval_requested", row.block_id, data, row_id=row.id)
            settler.journal.log(
                "WARNING",
                f"Human approval required for block {row.block_id} (Execution: {run.public_id})",
                row,
            )
        aftermath = conclude_locked(settler)
    return _looked_again(aftermath, claim.execution_id)


def begin_map(claim: Claim, block: Block, items: list[JsonValue]) -> Aftermath:
    """Give every item of a map its row, and let its block wait for them."""
    with command_transaction() as tx:
        run, settler = _lock(tx, claim.execution_id)
        _record_start(tx, settler, claim.block_execution_id, claim.fence)
        row = tx.run(WAIT_FOR_ITEMS, (claim.block_execution_id, claim.fence)).fetchone()
        if row is None:
            return _zombie(settler)
        run.slots -= 1
        if not run.failing:
            settler.progress.add_ready(expand_map(tx, run, block, row.id, items))
            settler.journal.event("map_expanded", row.block_id, {"items": len(items)}, row_id=row.id)
        aftermath = conclude_locked(settler)
    return _looked_again(aftermath, claim.execution_id)


def retry_later(claim: Claim, error: Error, logs: Logs, delay_s: float) -> Aftermath:
    """Put a failed block aside for ``delay_s`` seconds; the sweeper wakes it."""
    with command_transaction() as tx:
        run, settler = _lock(tx, claim.execution_id)
        _record_start(tx, settler, claim.block_execution_id, claim.fence)
        row = tx.run(RETRY, (Jsonb(error), delay_s, claim.block_execution_id, claim.fence)).fetchone()
        if row is None:
            return _zombie(settler)
        if logs:
            tx.run(WRITE_BLOCK_LOGS, (log_rows(logs), row.id))
        run.slots -= 1
        shown = {key: value for key, value in error.items() if key != "stackTrace"}
        settler.journal.event(
            "block_retrying",
            row.block_id,
            {"error": shown, "retryCount": row.retries, "delayMs": round(delay_s * 1_000)},
            row_id=row.id,
        )
        aftermath = conclude_locked(settler)
    return _looked_again(aftermath, claim.execution_id)


def wake_retries(execution_id: int) -> Aftermath:
    """Make the blocks ready whose delay is over."""
    with command_transaction() as tx:
        run, settler = _lock(tx, execution_id)
        if run.status in ENDED_EXECUTION_STATUSES or run.status == "PAUSED":
            return Aftermath()
        settler.progress.add_ready(len(tx.run(WAKE_RETRIES, (execution_id,)).fetchall()))
        aftermath = conclude_locked(settler)
    return _looked_again(aftermath, execution_id)


def take_back(execution_id: int, lost: Iterable[tuple[int, int]]) -> Aftermath:
    """Give blocks of dead workers to others: ``lost`` are (row id, fence) of RUNNING rows.

    The fence rises, so a late result of the old worker is thrown away. A block that was lost ``MAX_LOSSES`` times, or
    whose ``onWorkerLost`` is not ``rerun``, fails with WORKER_LOST.
    """
    with command_transaction() as tx:
        run, settler = _lock(tx, execution_id)
        for row_id, fence in sorted(lost):
            _take_back_one(tx, run, settler, row_id, fence)
        aftermath = conclude_locked(settler)
    return _looked_again(aftermath, execution_id)


def _take_back_one(tx: EngineTransaction, run: RunState, settler: Settler, row_id: int, fence: int) -> None:
    _record_start(tx, settler, row_id, fence)
    found = tx.one(LOST_ROW, (row_id,))
    block = settler.plan.nodes[found.node].block
    losses = found.losses + 1
    rerun = losses < MAX_LOSSES and (block is None or block.on_worker_lost == "rerun")
    error: Error = {
        "type": ErrorType.WORKER_LOST,
        "message": f"the worker died while it ran this block ({losses} times so far)",
        "retryable": False,
    }
    ended = run.status in ENDED_EXECUTION_STATUSES
    status = "READY" if rerun and not run.failing and not ended else "CANCELLED" if rerun else "FAILED"
    finished_at = None if status == "READY" else run.now
    row = tx.run(TAKE_BACK, (status, None if rerun else Jsonb(error), finished_at, row_id, fence)).fetchone()
    if row is None:
        return
    run.slots -= 1
    settler.journal.event(
        "block_lost", row.block_id, {"losses": losses, "rerun": status == "READY"}, row_id=row.id
    )
    settler.journal.log("WARNING", f"The worker of block {row.block_id} died", row)
    if status == "READY":
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
