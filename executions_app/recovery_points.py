"""Recovery points: moments that a run can be restarted from, whatever happened after them.

A point is the number of an event: no state is copied. A restart from it takes back whatever was settled later, and what
the context held then follows from the order in which its values were written.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic import JsonValue

from executions_app import log_lines
from executions_app.errors import ExecutionEnded, RecoveryPointNotFound, TooManyRecoveryPoints
from executions_app.models import ContextValue, Execution, ExecutionEvent, RecoveryPoint
from executions_app.run_state import RunState
from executions_app.settlement import Settler
from workflow_service.engine.states import ENDED_EXECUTION_STATUSES, ExecutionStatus
from workflow_service.settings.config import get_config

Reason = RecoveryPoint.Reason
SHOWN_WITH_RUN = 20
MAX_MANUAL = 100


def note_recovery_point(settler: Settler, status_before: ExecutionStatus) -> None:
    """Note a point in a transaction that settled rows: where the interval is over, or where people are asked now."""
    run = settler.run
    if run.status in ENDED_EXECUTION_STATUSES:
        return
    asks_people = run.status is ExecutionStatus.WAITING_FOR_APPROVAL and status_before is not run.status
    # A run that is resumed waits again, and nothing of it has changed.
    if asks_people and settler.journal.last_block:
        _note(settler, _Boundary(settler.journal.last_block), Reason.BLOCK)
    elif settler.boundary is not None and _interval_is_over(run):
        row = settler.boundary
        _note(settler, _Boundary(row.block_id, row.agent_id, row.id), Reason.INTERVAL)


def note_manual_point(settler: Settler, actor: str, comment: str) -> None:
    """Note a point because ``actor`` wants one; raises ``ExecutionEnded``, ``TooManyRecoveryPoints``."""
    run = settler.run
    if run.status in ENDED_EXECUTION_STATUSES:
        raise ExecutionEnded(run.public_id, run.status, "given a recovery point")
    if RecoveryPoint.objects.filter(execution_id=run.id, reason=Reason.MANUAL).count() >= MAX_MANUAL:
        raise TooManyRecoveryPoints(run.public_id, MAX_MANUAL)
    completed = ExecutionEvent.objects.filter(execution_id=run.id, type="block_completed").order_by("-seq")
    block_id = completed.values_list("block_id", flat=True).first() or "start"
    _note(settler, _Boundary(block_id), Reason.MANUAL, actor=actor, comment=comment)


def get_recovery_point(execution: Execution, point_id: str) -> RecoveryPoint:
    """Return a run's point by its public id; raises ``RecoveryPointNotFound``."""
    number = point_id.removeprefix(RecoveryPoint.PREFIX)
    points = RecoveryPoint.objects.filter(execution=execution)
    found = points.filter(pk=int(number)).first() if number.isdecimal() and len(number) < 19 else None
    if found is None:
        raise RecoveryPointNotFound(f"the execution has no recovery point '{point_id[:64]}'")
    return found


def newest_points(execution: Execution) -> list[RecoveryPoint]:
    """Return the points that are shown with a run, in the order of their making."""
    newest = RecoveryPoint.objects.filter(execution=execution).order_by("-pk")[:SHOWN_WITH_RUN]
    return list(newest)[::-1]


def point_entry(point: RecoveryPoint) -> dict[str, Any]:
    """Return a point without what the run was then: that is found in its events, and takes as long as they are many."""
    return {
        "recovery_point_id": point.public_id,
        "timestamp": point.created_at,
        "seq": point.seq,
        "block_id": point.block_id or None,
        "reason": point.reason,
    }


def point_documents(execution: Execution, points: Sequence[RecoveryPoint]) -> list[dict[str, Any]]:
    """Return points, in the order of their making, as document A (section 4.2) has them.

    Two queries for any number of points; they read every block that completed before the last of them.
    """
    if not points:
        return []
    folded = _Fold(execution, points[-1].seq)
    return [
        point_entry(point)
        | {
            "state": {"globalContext": folded.context_at(point)},
            "completed_blocks": folded.completed_at(point.seq),
        }
        for point in points
    ]


@dataclass(frozen=True, slots=True)
class _Boundary:
    """The block that a point lies behind, and its row where that is known."""

    block_id: str
    agent_id: str = ""
    id: int | None = None


def _note(settler: Settler, boundary: _Boundary, reason: str, **data: JsonValue) -> None:
    settler.journal.recovery_point(boundary.block_id, reason, boundary.id, **data)
    log_lines.recovery_point_created(settler.journal, settler.run, boundary)


def _interval_is_over(run: RunState) -> bool:
    interval = timedelta(milliseconds=get_config().workflow_recovery_point_interval_ms)
    return run.now - (run.recovery_point_at or run.started_at) >= interval


class _Fold:
    """What a run had done and knew at moments asked for in order."""

    def __init__(self, execution: Execution, until: int) -> None:
        events = ExecutionEvent.objects.filter(
            execution_id=execution.pk,
            type__in=("block_completed", "execution_restarted"),
            seq__lte=until,
        )
        self._events = list(events.order_by("seq").values_list("seq", "type", "block_id", "data"))
        values = ContextValue.objects.filter(execution_id=execution.pk).order_by("seq")
        self._values = list(values.values_list("seq", "key", "value", "superseded"))

    def completed_at(self, seq: int) -> list[str]:
        """Return the blocks that had completed, and were not taken back since."""
        completed: dict[str, None] = {}
        for event_seq, type, block_id, data in self._events:
            if event_seq > seq:
                break
            if type == "execution_restarted":
                for taken_back in data["affected"]:
                    completed.pop(taken_back, None)
            elif "item" not in data:
                completed[block_id] = None
        return list(completed)

    def context_at(self, point: RecoveryPoint) -> dict[str, JsonValue]:
        """Return the context; of values that a restart dropped it is known whether one had by then."""
        dropped = any(self._drops_before(point.seq))
        return {
            key: value
            for seq, key, value, superseded in self._values
            if seq <= point.context_seq and not (superseded and dropped)
        }

    def _drops_before(self, seq: int) -> Iterator[bool]:
        for event_seq, type, _, data in self._events:
            if event_seq <= seq and type == "execution_restarted":
                yield not data["preserveContext"]
