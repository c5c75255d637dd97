"""Commands on a run under way: pause, resume, cancel.

Each is one transaction over the run and its sub-workflows, under their locks, so what it answers holds: after a pause
nothing starts, after a cancel no result counts. Each is idempotent: asked for what already is, it changes nothing and
gives the standing answer. Who asked and why is kept in the event.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString, Self

from executions_app import log_lines
from executions_app.aftermath import follow_up
from executions_app.errors import ExecutionEnded
from executions_app.finishing import Aftermath, any_unsettled, conclude_locked
from executions_app.handlers import run_cancel_steps
from executions_app.models import BlockExecution, ExecutionEvent, RecoveryPoint
from executions_app.recovery_journal import supersede_actions
from executions_app.recovery_points import note_manual_point
from executions_app.run_state import RunState, lock_run
from executions_app.settlement import Settler
from executions_app.transaction import EngineTransaction, command_transaction
from executions_app.trees import lock_tree, settle_finished, settler_of
from workflow_service.accounts.models import User
from workflow_service.audit.trail import statement
from workflow_service.engine.rounds import Place
from workflow_service.engine.states import ENDED_EXECUTION_STATUSES, ExecutionStatus

TAKE_BACK_QUEUED = """
    UPDATE executions_app_blockexecution SET status = 'READY', holds_slot = false, queued_at = NULL,
        next_send_at = NULL, sends = 0
    WHERE execution_id = %s AND status = 'QUEUED' AND NOT superseded RETURNING id
"""
RUNNING = """
    SELECT block_id FROM executions_app_blockexecution
    WHERE execution_id = ANY(%s) AND status = 'RUNNING' AND NOT superseded ORDER BY id
"""
# Waits for those who are just writing a result; what they wrote is then read as finished.
LOCK_OPEN = """
    SELECT id, block_id, kind, scope_id, item_index FROM executions_app_blockexecution
    WHERE execution_id = %s AND NOT superseded
        AND status IN ('PENDING', 'READY', 'QUEUED', 'RUNNING', 'RETRYING', 'WAITING') ORDER BY id FOR UPDATE
"""
CANCEL_OPEN = """
    UPDATE executions_app_blockexecution SET status = 'CANCELLED', settled = true, holds_slot = false,
        fence = fence + 1, finished_at = %s, due_at = NULL, next_send_at = NULL,
        worker_id = CASE WHEN status = 'RUNNING' THEN worker_id END
    WHERE execution_id = %s AND NOT superseded
        AND status IN ('PENDING', 'READY', 'QUEUED', 'RUNNING', 'RETRYING', 'WAITING')
    RETURNING id, block_id, kind, scope_id, item_index, recoveries
"""
WAKE_RETRIES = """
    UPDATE executions_app_blockexecution SET status = 'READY', due_at = NULL
    WHERE execution_id = %s AND status = 'RETRYING' AND due_at <= clock_timestamp() RETURNING id, block_id
"""
STOPPING = """
    WITH RECURSIVE tree AS (
        SELECT id FROM executions_app_execution WHERE id = %s
        UNION ALL SELECT e.id FROM executions_app_execution e JOIN tree ON e.parent_id = tree.id)
    SELECT b.block_id FROM executions_app_blockexecution b JOIN tree ON tree.id = b.execution_id
    WHERE b.status = 'CANCELLED' AND b.worker_id IS NOT NULL ORDER BY b.id
"""
LAST_STATE = """
    SELECT block_id FROM executions_app_blockexecution
    WHERE execution_id = %s AND kind = 'block' AND started_at IS NOT NULL ORDER BY started_at DESC, id DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a run stands after a command, whether this one brought it about or an earlier one.

    ``at`` is when that was. ``at_work`` are the blocks still running: of a paused run those whose results will be
    recorded, of a cancelled one those that were told to stop. ``last_state`` is the block that was begun last.
    """

    execution_id: str
    status: ExecutionStatus
    at: datetime | None
    changed: bool
    at_work: tuple[str, ...] = ()
    last_state: str = "start"


# Called with the answer before the commit: what must be true if and only if the command is.
Confirm = Callable[[Standing], object]


@dataclass(frozen=True, slots=True)
class Asked:
    """Who gives a command, and why: kept in the run's history."""

    actor: str
    reason: str = ""
    actor_id: int | None = None

    @classmethod
    def by(cls, user: User, reason: str = "") -> Self:
        return cls(user.get_username(), reason, user.pk)

    def recorded(self, action: str, run: RunState, /, **detail: Any) -> tuple[LiteralString, Sequence[Any]]:
        """Return the statement that puts what was asked of ``run`` into the audit trail."""
        told = {"reason": self.reason, **detail}
        return statement(
            action,
            workspace_id=run.workspace_id,
            actor_id=self.actor_id,
            actor=self.actor,
            target_type="execution",
            target_id=run.public_id,
            detail={name: value for name, value in told.items() if value not in (None, "")},
        )

    def data(self) -> dict[str, str]:
        return {"actor": self.actor} | ({"reason": self.reason} if self.reason else {})

    def __str__(self) -> str:
        return f"by {self.actor}" + (f": {self.reason}" if self.reason else "")


def unconfirmed(standing: Standing) -> None:
    """Confirm nothing."""


def pause_execution(execution_id: int, asked: Asked, *, confirm: Confirm = unconfirmed) -> Standing:
    """Let nothing of a run start any more; what runs goes on and its results are recorded.

    Raises ``ExecutionEnded``.
    """
    with command_transaction() as tx:
        runs = _lock_open(tx, execution_id, "paused")
        to_pause = [run for run in runs if run.status is not ExecutionStatus.PAUSED]
        aftermaths = [(run.id, _pause(tx, run, asked)) for run in to_pause]
        running = tx.run(RUNNING, ([run.id for run in runs],)).fetchall()
        standing = _standing(
            runs[0],
            "execution_paused",
            changed=runs[0] in to_pause,
            at_work=tuple(row.block_id for row in running),
        )
        if standing.changed:
            tx.run(*asked.recorded("execution.pause", runs[0]))
        confirm(standing)
    follow_up_all(aftermaths)
    return standing


def resume_execution(execution_id: int, asked: Asked, *, confirm: Confirm = unconfirmed) -> Standing:
    """Let a paused run go on: what is ready starts, and retries that fell due meanwhile are made.

    Raises ``ExecutionEnded``.
    """
    with command_transaction() as tx:
        runs = _lock_open(tx, execution_id, "resumed")
        paused = [run for run in runs if run.status is ExecutionStatus.PAUSED]
        aftermaths = [(run.id, _resume(tx, run, asked)) for run in paused]
        standing = _standing(runs[0], "execution_resumed", changed=runs[0] in paused)
        if standing.changed:
            tx.run(*asked.recorded("execution.resume", runs[0]))
        confirm(standing)
    follow_up_all(aftermaths)
    return standing


def cancel_execution(execution_id: int, asked: Asked, *, confirm: Confirm = unconfirmed) -> Standing:
    """End a run at once. What runs is told to stop and its result is dropped; what is open is cancelled.

    Raises ``ExecutionEnded`` where the run ended otherwise.
    """
    with command_transaction() as tx:
        runs = lock_tree(tx, execution_id)
        root = runs[0]
        if root.status in ENDED_EXECUTION_STATUSES:
            if root.status is not ExecutionStatus.CANCELLED:
                raise ExecutionEnded(root.public_id, root.status, "cancelled")
            runs = runs[1:]
        aftermaths = cancel_locked(tx, runs, asked)
        last = tx.run(LAST_STATE, (execution_id,)).fetchone()
        standing = _standing(
            root,
            "execution_cancelled",
            changed=root in runs,
            at_work=tuple(row.block_id for row in tx.run(STOPPING, (execution_id,))),
            last_state=last.block_id if last else "start",
        )
        if standing.changed:
            tx.run(*asked.recorded("execution.cancel", root))
        confirm(standing)
    follow_up_all(aftermaths)
    return standing


def _lock_open(tx: EngineTransaction, execution_id: int, wanted: str) -> list[RunState]:
    runs = lock_tree(tx, execution_id)
    if runs[0].status in ENDED_EXECUTION_STATUSES:
        raise ExecutionEnded(runs[0].public_id, runs[0].status, wanted)
    return runs


def _pause(tx: EngineTransaction, run: RunState, asked: Asked) -> Aftermath:
    returned = len(tx.run(TAKE_BACK_QUEUED, (run.id,)).fetchall())
    run.slots -= returned
    settler = settler_of(tx, run)
    settler.progress.add_ready(returned)
    settler.progress.become(ExecutionStatus.PAUSED)
    settler.journal.event("execution_paused", data=asked.data())
    settler.journal.log("INFO", f"Workflow {run.public_id} paused {asked}")
    return conclude_locked(settler)


def _resume(tx: EngineTransaction, run: RunState, asked: Asked) -> Aftermath:
    settler = settler_of(tx, run)
    # Who has not begun begins when its template's limit allows.
    status = ExecutionStatus.STARTING if run.held_back else ExecutionStatus.RUNNING
    settler.progress.become(status)
    settler.journal.event("execution_resumed", data={**asked.data(), "status": status})
    settler.journal.log("INFO", f"Workflow {run.public_id} resumed {asked}")
    woken = tx.run(WAKE_RETRIES, (run.id,)).fetchall()
    for row in woken:
        settler.journal.event("block_woken", row.block_id, row_id=row.id)
    settler.progress.add_ready(len(woken))
    return conclude_locked(settler)


def _cancel(tx: EngineTransaction, run: RunState, asked: Asked) -> Aftermath:
    tx.run(LOCK_OPEN, (run.id,))
    # What has finished keeps its result, and starts nothing.
    failing, run.failing = run.failing, True
    settle_finished(tx, run)
    run.failing = failing
    cancelled = tx.run(CANCEL_OPEN, (run.now, run.id)).fetchall()
    supersede_actions(tx, run, cancelled)
    run.active = run.slots = run.ready = run.waiting_for_people = 0
    run.compensating = False
    settler = settler_of(tx, run)
    settler.progress.become(ExecutionStatus.CANCELLED)
    run.completed_at = run.now
    duration_ms = round((run.now - run.started_at).total_seconds() * 1_000)
    log_lines.execution_cancelled(settler.journal, run, settler.progress.workflow_id, duration_ms)
    _tell_cancelled(settler, cancelled)
    settler.journal.event("execution_cancelled", data=asked.data())
    return conclude_locked(settler)


def _tell_cancelled(settler: Settler, rows: Iterable[Any]) -> None:
    """Append what was cancelled: an event for each round of a loop, and one for the items of each map."""
    blocks: dict[tuple[int, int], list[str]] = defaultdict(list)
    items: dict[tuple[int, str], list[int]] = defaultdict(list)
    for row in rows:
        if row.kind == BlockExecution.Kind.ITEM:
            items[row.scope_id, row.block_id].append(row.item_index)
        else:
            blocks[row.scope_id, row.item_index].append(row.block_id)
    for (scope, index), names in sorted(blocks.items()):
        settler.journal.list_event("blocks_cancelled", sorted(names), Place(scope, index))
    for (scope, name), indexes in sorted(items.items()):
        settler.journal.list_event("blocks_cancelled", [name], Place(scope), items=sorted(indexes))


def _standing(
    run: RunState,
    event_type: str,
    *,
    changed: bool,
    at_work: tuple[str, ...] = (),
    last_state: str = "start",
) -> Standing:
    at = run.now if changed else _last_event_at(run.id, event_type)
    return Standing(run.public_id, run.status, at, changed, at_work, last_state)


def _last_event_at(execution_id: int, event_type: str) -> datetime | None:
    events = ExecutionEvent.objects.filter(execution_id=execution_id, type=event_type)
    return events.order_by("-seq").values_list("created_at", flat=True).first()


def cancel_locked(
    tx: EngineTransaction, runs: Sequence[RunState], asked: Asked
) -> list[tuple[int, Aftermath]]:
    """Cancel these locked runs; returns what is left to do after the commit, by run."""
    aftermaths = [(run.id, _cancel(tx, run, asked)) for run in runs]
    run_cancel_steps([run.id for run in runs])
    return aftermaths


def follow_up_all(aftermaths: Iterable[tuple[int, Aftermath]]) -> None:
    """Do, after the commit, what commands left to be done, and settle what was finished meanwhile."""
    for execution_id, aftermath in aftermaths:
        aftermath.unsettled = aftermath.unsettled or any_unsettled(execution_id)
        follow_up(aftermath, execution_id)


def create_recovery_point(
    execution_id: int, asked: Asked, *, confirm: Callable[[RecoveryPoint], object] = lambda point: None
) -> RecoveryPoint:
    """Note that a run can be taken up again where it stands now; raises ``ExecutionEnded``."""
    with command_transaction() as tx:
        run = lock_run(tx, execution_id)
        assert run is not None  # noqa: S101 - a run is never deleted while it is used
        settler = settler_of(tx, run)
        note_manual_point(settler, asked.actor, asked.reason)
        settler.flush()
        aftermath = Aftermath(event_seq=run.event_seq, execution_public_id=run.public_id)
        point = RecoveryPoint.objects.filter(execution_id=execution_id).latest("pk")
        tx.run(*asked.recorded("execution.note_recovery_point", run, seq=point.seq))
        confirm(point)
    follow_up_all([(execution_id, aftermath)])
    return point
