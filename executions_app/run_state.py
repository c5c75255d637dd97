"""The execution row while it is locked: its counters, as this transaction changes them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from executions_app.transaction import EngineTransaction
from workflow_service.engine.states import ExecutionStatus

COLUMNS = """
    id, public_id, workspace_id, template_id, version_id, status, priority, generation, event_seq, context_seq, active,
    slots, ready, waiting_for_people, completed_blocks, failed_blocks, skipped_blocks, failing, unhandled_failures,
    reached_end, started_at, completed_at, error::text AS error, clock_timestamp() AS now
"""
TRY_LOCK = f"""
    SELECT {COLUMNS} FROM executions_app_execution WHERE id = %s FOR NO KEY UPDATE SKIP LOCKED
"""  # noqa: S608
LOCK = f"SELECT {COLUMNS} FROM executions_app_execution WHERE id = %s FOR NO KEY UPDATE"  # noqa: S608

SAVE = """
    UPDATE executions_app_execution SET status = %s, event_seq = %s, context_seq = %s, active = %s, slots = %s,
        ready = %s, waiting_for_people = %s, completed_blocks = %s, failed_blocks = %s, skipped_blocks = %s,
        failing = %s, unhandled_failures = %s, reached_end = %s, completed_at = %s, error = %s
    WHERE id = %s
"""


QUEUE_OF_PRIORITY: Mapping[str, str] = {"high": "high", "normal": "default", "low": "low"}


@dataclass(slots=True)
class RunState:
    """One locked execution. ``now`` is the database's clock when the lock was given."""

    id: int
    public_id: str
    workspace_id: int
    template_id: int
    version_id: int
    status: ExecutionStatus
    priority: str
    generation: int
    event_seq: int
    context_seq: int
    active: int
    slots: int
    ready: int
    waiting_for_people: int
    completed_blocks: int
    failed_blocks: int
    skipped_blocks: int
    failing: bool
    unhandled_failures: int
    reached_end: bool
    started_at: datetime
    completed_at: datetime | None
    error: str | None
    now: datetime

    def __post_init__(self) -> None:
        self.status = ExecutionStatus(self.status)

    @property
    def queue(self) -> str:
        """The Celery queue of this run's blocks."""
        return QUEUE_OF_PRIORITY[self.priority]

    def save(self, tx: EngineTransaction) -> None:
        """Write the counters back."""
        tx.run(
            SAVE,
            (
                self.status, self.event_seq, self.context_seq, self.active, self.slots, self.ready,
                self.waiting_for_people, self.completed_blocks, self.failed_blocks, self.skipped_blocks,
                self.failing, self.unhandled_failures, self.reached_end, self.completed_at, self.error, self.id,
            ),
        )  # fmt: skip


def lock_run(tx: EngineTransaction, execution_id: int) -> RunState | None:
    """Lock an execution, waiting for it; None if there is none."""
    row = tx.run(LOCK, (execution_id,)).fetchone()
    return None if row is None else RunState(*row)
