"""The clock of a run: how long it has been active, and when its timeout would be reached.

It runs while the run does, and stops while the run waits for people, is paused, is held back by a limit, or has ended.
A restarted run begins with a clock at zero: its timeout bounds one go.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from workflow_service.engine.states import ENDED_EXECUTION_STATUSES, ExecutionStatus

TICKING = frozenset({ExecutionStatus.STARTING, ExecutionStatus.RUNNING, ExecutionStatus.RECOVERING})


@dataclass(frozen=True, slots=True)
class RunClock:
    """``active_ms`` is the time counted before ``active_since``; a clock that stands has no ``active_since``.

    ``deadline_at`` is where a running clock reaches ``timeout_ms``; None where there is no timeout.
    """

    timeout_ms: int | None
    active_ms: int = 0
    active_since: datetime | None = None
    deadline_at: datetime | None = None

    def active_ms_at(self, now: datetime) -> int:
        """Return the milliseconds of active time counted until ``now``."""
        since = timedelta() if self.active_since is None else max(now - self.active_since, timedelta())
        return self.active_ms + round(since.total_seconds() * 1_000)


def clock(
    reading: RunClock, old: ExecutionStatus, new: ExecutionStatus, now: datetime, *, held_back: bool = False
) -> RunClock:
    """Return the clock after a run went from ``old`` to ``new``; ``held_back`` runs have not begun."""
    timeout_ms = reading.timeout_ms
    if new not in TICKING or held_back:
        return RunClock(timeout_ms, reading.active_ms_at(now))
    if reading.active_since is not None:
        return reading
    active_ms = 0 if old in ENDED_EXECUTION_STATUSES else reading.active_ms
    left_ms = None if timeout_ms is None else max(0, timeout_ms - active_ms)
    deadline_at = None if left_ms is None else now + timedelta(milliseconds=left_ms)
    return RunClock(timeout_ms, active_ms, now, deadline_at)
