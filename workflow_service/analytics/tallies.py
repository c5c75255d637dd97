"""Sums of rollups, and the figures that they give."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from workflow_service.analytics.figures import Durations, Outcomes
from workflow_service.analytics.histogram import merge, percentiles
from workflow_service.analytics.insights import Spell
from workflow_service.analytics.rollups import RunRow

FRACTIONS = (0.5, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Tally:
    """The sum of some rollups; ``duration_us`` and ``histogram`` are of what completed."""

    completed: int = 0
    failed: int = 0
    rejected: int = 0
    skipped: int = 0
    cancelled: int = 0
    retries: int = 0
    troubled: int = 0
    recovered: int = 0
    duration_us: int = 0
    histogram: Counter[int] = field(default_factory=Counter)

    @classmethod
    def of(cls, runs: Iterable[RunRow]) -> "Tally":
        """Return the sum of rows."""
        rows = list(runs)
        sums = [int(sum(column)) for column in zip(*(row.sums for row in rows), strict=True)]
        return cls(*sums, histogram=merge(row.histogram for row in rows))

    @property
    def outcomes(self) -> Outcomes:
        return Outcomes(self.completed, self.failed, self.rejected, self.skipped, self.cancelled)

    @property
    def durations(self) -> Durations:
        found = percentiles(self.histogram, FRACTIONS)
        return Durations(self.avg_ms, *(None if each is None else each / 1_000 for each in found))

    @property
    def avg_ms(self) -> float | None:
        return self.duration_us / self.completed / 1_000 if self.completed else None

    @property
    def spell(self) -> Spell:
        return Spell(self.completed, self.failed, self.avg_ms)
