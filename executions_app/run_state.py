"""The execution row while it is locked: its counters, as this transaction changes them.

Its clock follows its status wherever that is changed: ``save`` winds or stops it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from operator import attrgetter
from typing import Any, LiteralString

from executions_app.run_clock import RunClock, clock
from executions_app.step_statement import SAVED_COLUMNS
from executions_app.transaction import EngineTransaction
from workflow_service.engine.states import ENDED_EXECUTION_STATUSES, ExecutionStatus

COLUMNS = """
    e.id, e.public_id, e.workspace_id, e.template_id, e.version_id, e.status, e.priority, e.generation, e.event_seq,
    e.context_seq, e.active, e.slots, e.ready, e.waiting_for_people, e.completed_blocks, e.failed_blocks,
    e.skipped_blocks, e.failing, e.unhandled_failures, e.reached_end, e.timeout_ms, e.active_ms, e.active_since,
    e.deadline_at, e.held_back, e.recovery_point_at, e.started_at, e.completed_at, e.error::text AS error,
    e.compensating,
    e.parent_block_execution_id,
    (SELECT json_object_agg(l.kind || ':' || l.key, l.max_concurrency)::text
     FROM executions_app_concurrencylimit l WHERE l.workspace_id = e.workspace_id) AS limits,
    clock_timestamp() AS now
"""
TRY_LOCK = f"""
    SELECT {COLUMNS} FROM executions_app_execution e WHERE e.id = %s FOR NO KEY UPDATE SKIP LOCKED
"""  # noqa: S608
LOCK = f"SELECT {COLUMNS} FROM executions_app_execution e WHERE e.id = %s FOR NO KEY UPDATE"  # noqa: S608

_saved_values = attrgetter(*SAVED_COLUMNS)
QUEUE_OF_PRIORITY: Mapping[str, str] = {"high": "high", "normal": "default", "low": "low"}


@dataclass(slots=True)
class RunState:
    """One locked execution. ``now`` is the database's clock when the lock was given.

    ``limits`` are the concurrency limits of its workspace as JSON (``agent:KEY`` and ``template:KEY`` to the most
    at once), None where there are none: they come with the lock, and cost no statement.
    """

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
    timeout_ms: int | None
    active_ms: int
    active_since: datetime | None
    deadline_at: datetime | None
    held_back: bool
    recovery_point_at: datetime | None
    started_at: datetime
    completed_at: datetime | None
    error: str | None
    compensating: bool
    parent_block_execution_id: int | None
    limits: str | None
    now: datetime
    _status_before: ExecutionStatus = field(init=False)

    def __post_init__(self) -> None:
        self.status = self._status_before = ExecutionStatus(self.status)

    @property
    def queue(self) -> str:
        """The Celery queue of this run's blocks."""
        return QUEUE_OF_PRIORITY[self.priority]

    @property
    def template_limits(self) -> bool:
        """Whether any template in this workspace has a limit."""
        return any(name.startswith("template:") for name in self._limits())

    @property
    def clock(self) -> RunClock:
        """The run's clock as it was last wound."""
        return RunClock(self.timeout_ms, self.active_ms, self.active_since, self.deadline_at)

    def has_turned(self) -> bool:
        """Tell whether, since the run was read or written, it has come to wait for people, or waits no more."""
        waiting = ExecutionStatus.WAITING_FOR_APPROVAL
        return (self._status_before is waiting) != (self.status is waiting)

    def agent_limit(self, agent_id: str) -> int | None:
        """Return how many blocks may work on an agent at once in this workspace; None: any number."""
        return self._limits().get(f"agent:{agent_id}")

    def limits_agents(self) -> bool:
        """Tell whether any agent of this workspace has a limit."""
        return any(key.startswith("agent:") for key in self._limits())

    def _limits(self) -> dict[str, int]:
        limits: dict[str, int] = json.loads(self.limits) if self.limits else {}
        return limits

    def _wind_clock(self) -> None:
        if self.status in ENDED_EXECUTION_STATUSES:
            self.held_back = False
        wound = clock(self.clock, self._status_before, self.status, self.now, held_back=self.held_back)
        self.active_ms, self.active_since = wound.active_ms, wound.active_since
        self.deadline_at = wound.deadline_at
        self._status_before = self.status

    def saved(self) -> tuple[Any, ...]:
        """Return what is written back: the values of ``SAVED_COLUMNS``."""
        self._wind_clock()
        return _saved_values(self)


COLUMN_COUNT = sum(field.init for field in fields(RunState))


def lock_run(tx: EngineTransaction, execution_id: int) -> RunState | None:
    """Lock an execution, waiting for it; None if there is none."""
    return _locked(tx, LOCK, execution_id)


def try_lock_run(tx: EngineTransaction, execution_id: int) -> RunState | None:
    """Lock an execution if nobody else has; None if somebody has, or there is none."""
    return _locked(tx, TRY_LOCK, execution_id)


def locked_in(row: Sequence[Any]) -> RunState | None:
    """Return the run whose ``COLUMNS`` a row ends with; None where the lock was not given."""
    columns = row[-COLUMN_COUNT:]
    return None if columns[0] is None else RunState(*columns)


def _locked(tx: EngineTransaction, statement: LiteralString, execution_id: int) -> RunState | None:
    row = tx.run(statement, (execution_id,)).fetchone()
    if row is None:
        return None
    run = RunState(*row)
    tx.locked[run.id] = run.public_id
    return run
