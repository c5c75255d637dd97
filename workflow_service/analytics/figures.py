"""Figures about runs and blocks: values that ``queries.py`` makes from rollups.

Durations are milliseconds by the clock, of what completed; rates are 0 to 100. Both are None where nothing was.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Durations:
    """How long what completed took. Percentiles are within 1 % (``histogram.RELATIVE_ERROR``), the average is exact."""

    avg_ms: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Outcomes:
    """How runs, or the executions of a block, ended. Rates are of those that completed or failed."""

    completed: int = 0
    failed: int = 0
    rejected: int = 0
    skipped: int = 0
    cancelled: int = 0

    @property
    def success_rate(self) -> float | None:
        return percentage(self.completed, self.completed + self.failed)

    @property
    def error_rate(self) -> float | None:
        return percentage(self.failed, self.completed + self.failed)


@dataclass(frozen=True, slots=True)
class Statistics:
    """Runs started in a time range.

    ``running`` have not ended, of which ``reopened`` had before they were restarted and still count by that;
    ``uncounted`` have ended and are not in the figures yet.
    """

    outcomes: Outcomes
    durations: Durations
    running: int = 0
    reopened: int = 0
    uncounted: int = 0

    @property
    def total(self) -> int:
        """All runs but those that have ended and are yet to be counted."""
        ended = self.outcomes
        return ended.completed + ended.failed + ended.cancelled + self.running - self.reopened


@dataclass(frozen=True, slots=True)
class ErrorCount:
    """How often work failed with one type of error, by block, most often first."""

    error_type: str
    by_state: Mapping[str, int]

    @property
    def count(self) -> int:
        return sum(self.by_state.values())

    @property
    def states(self) -> tuple[str, ...]:
        return tuple(self.by_state)


@dataclass(frozen=True, slots=True)
class ErrorAnalysis:
    """What failed, and how much of it went on without a person.

    ``troubled`` counts block executions in which work failed, however often, and ``recovered`` those of them that
    completed without a person, skipped ones among them where the workflow allows that.
    """

    most_common_errors: tuple[ErrorCount, ...] = ()
    troubled: int = 0
    recovered: int = 0
    retries: int = 0

    @property
    def auto_recovery_rate(self) -> float | None:
        return percentage(self.recovered, self.troubled)


@dataclass(frozen=True, slots=True)
class StatePerformance:
    """One block over all runs; ``time_share`` is its part, 0 to 100, of the time that all blocks took."""

    state: str
    outcomes: Outcomes
    durations: Durations
    retries: int = 0
    troubled: int = 0
    recovered: int = 0
    time_share: float | None = None

    @property
    def error_rate(self) -> float | None:
        return self.outcomes.error_rate


@dataclass(frozen=True, slots=True)
class Point:
    """One hour, day, week or month of a series; a part of one at the ends of the time range."""

    start: datetime
    outcomes: Outcomes
    durations: Durations


def percentage(part: int, whole: int) -> float | None:
    """Return ``part`` of ``whole`` in percent; None of nothing."""
    return round(100 * part / whole, 2) if whole else None
