"""What is unusual about a run, beside the runs before it: pure, in values.

Of healthy runs of a template one in a hundred may be flagged, whatever the number of its blocks: ``BUDGET`` is shared
among all that is looked at in one run (Bonferroni), half of it for the path, which needs the more as it must be seen to
be rare. A surprise alone is not worth anybody's look: durations and sizes must differ by a factor, and by an amount.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from workflow_service.anomalies.facts import THE_RUN, RunFacts
from workflow_service.anomalies.history import Histories, History, Window
from workflow_service.anomalies.rates import (
    RECENT,
    path_probability,
    rate_surprise,
    usual_failures,
)

BUDGET = 0.01
PATH_SHARE = 0.5
WORTH_A_FACTOR = 1.5
WORTH_MS = 500
WORTH_BYTES = 256


class Kind(StrEnum):
    """What may be unusual about a run."""

    DURATION = "duration"
    ERROR_RATE = "error_rate"
    OUTPUT_SIZE = "output_size"
    PATH = "path"


UNITS: Mapping[Kind, str] = {
    Kind.DURATION: "ms",
    Kind.ERROR_RATE: "percent",
    Kind.OUTPUT_SIZE: "bytes",
    Kind.PATH: "runs",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is unusual. ``block_id`` is empty where it is about the run as a whole.

    ``low`` and ``high`` are what was expected, in the unit of the kind. ``probability`` is how often the like of it is
    to be expected; of ``runs`` runs it was judged by.
    """

    kind: Kind
    block_id: str
    value: float
    low: float
    high: float
    probability: float
    runs: int

    @property
    def score(self) -> float:
        """How surprising it is, in tens: 3 is one in a thousand."""
        return round(-math.log10(self.probability), 2)


def judge(run: RunFacts, histories: Histories) -> list[Finding]:
    """Return what is unusual about a run, the most surprising first; remembers which rates it has told of."""
    tried = [*_looks(run, histories)]
    allowed = allowance(len(tried))
    found = [finding for look in tried for finding in look.findings(allowed)]
    found += _rare_path(run, histories)
    return sorted(found, key=lambda finding: (finding.probability, finding.kind, finding.block_id))


def allowance(looks: int) -> float:
    """Return how probable one of so many things in a run may at most be to be told of."""
    return BUDGET * (1 - PATH_SHARE) / max(1, looks)


@dataclass(frozen=True, slots=True)
class _Look:
    """One thing to be judged: a value beside a window, or the outcomes of a history where there is none."""

    kind: Kind
    block_id: str
    history: History
    window: Window | None = None
    value: int = 0

    def findings(self, allowed: float) -> Iterator[Finding]:
        return self._too_often(allowed) if self.window is None else self._too_far(self.window, allowed)

    def _too_far(self, window: Window, allowed: float) -> Iterator[Finding]:
        spread = window.spread()
        if spread is None:
            return
        probability = spread.probability(window.scaled(self.value))
        if probability > allowed:
            return
        usual = window.expected(0.5)
        expected = window.expected(allowed)
        worth = WORTH_MS if self.kind is Kind.DURATION else WORTH_BYTES
        if usual is None or expected is None or not is_worth_telling(self.value, *usual, worth):
            return
        yield Finding(self.kind, self.block_id, self.value, *expected, probability, spread.count)

    def _too_often(self, allowed: float) -> Iterator[Finding]:
        history = self.history
        # As it will be with this run, which failed.
        outcomes = history.outcomes_with(True)
        probability = rate_surprise(outcomes)
        if history.alarmed or probability is None or probability > allowed:
            return
        history.alarmed = True
        rate = 100 * outcomes[-RECENT:].count("1") / RECENT
        high = 100 * usual_failures(outcomes, allowed) / RECENT
        yield Finding(self.kind, self.block_id, rate, 0, high, probability, len(outcomes) - RECENT)


def is_worth_telling(value: float, usual_low: float, usual_high: float, worth: float) -> bool:
    """Tell whether a value differs from what is usual by a factor and an amount that anybody would care for."""
    over = value - usual_high >= worth and value >= WORTH_A_FACTOR * usual_high
    under = usual_low - value >= worth and usual_low >= WORTH_A_FACTOR * value
    return over or under


def _looks(run: RunFacts, histories: Histories) -> Iterator[_Look]:
    whole = histories.get(THE_RUN)
    if whole is not None:
        if run.duration_ms is not None and whole.durations.spread() is not None:
            yield _Look(Kind.DURATION, THE_RUN, whole, whole.durations, run.duration_ms)
        if run.failed:
            yield _Look(Kind.ERROR_RATE, THE_RUN, whole)
    for block_id, block in run.ran.items():
        history = histories.get(block_id)
        if history is None:
            continue
        if block.duration_ms is not None and history.durations.spread() is not None:
            yield _Look(Kind.DURATION, block_id, history, history.durations, block.duration_ms)
        if block.output_bytes is not None and history.sizes.spread() is not None:
            yield _Look(Kind.OUTPUT_SIZE, block_id, history, history.sizes, block.output_bytes)
        if block.failed:
            yield _Look(Kind.ERROR_RATE, block_id, history)


def _rare_path(run: RunFacts, histories: Histories) -> Iterator[Finding]:
    whole = histories.get(THE_RUN)
    if run.path is None or whole is None:
        return
    taken = Counter(whole.paths)
    probability = path_probability(run.path, taken)
    if probability <= BUDGET * PATH_SHARE:
        runs = len(whole.paths)
        # Taken by so many of them it would not have been told of.
        usual = max(1, math.ceil(BUDGET * PATH_SHARE * runs))
        yield Finding(Kind.PATH, THE_RUN, taken[run.path], usual, runs, probability, runs)
