"""Sums of rollups, and the figures that they give."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from workflow_service.analytics.figures import Durations, Outcomes
from workflow_service.analytics.histogram import merge, percentiles
from workflow_service.analytics.insights import Spell

FRACTIONS = (0.5, 0.95, 0.99)
SUMMED = (
    "completed", "failed", "rejected", "skipped", "cancelled", "retries", "troubled", "recovered", "duration_us",
)  # fmt: skip


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
    histogram: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, tallies: Iterable["Tally"]) -> "Tally":
        """Return the sum of tallies."""
        parts = list(tallies)
        sums = [sum(column) for column in zip(*(part.sums for part in parts), strict=True)]
        return cls.from_sums(sums, merge(part.histogram for part in parts))

    @classmethod
    def from_sums(cls, sums: Iterable[Any], histogram: Mapping[int, int]) -> "Tally":
        """Return a tally of sums in the order of the fields; none are zeros."""
        return cls(**dict(zip(SUMMED, map(int, sums), strict=False)), histogram=histogram)

    @property
    def sums(self) -> tuple[int, ...]:
        """What is summed, in the order of the fields."""
        return tuple(getattr(self, name) for name in SUMMED)

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
