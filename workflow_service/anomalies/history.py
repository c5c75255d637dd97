"""What is remembered of one block of one template version, or of its runs as a whole: a window over the last runs.

Everything goes in, what was found unusual too: the statistics bear it, and a lasting change becomes usual by itself.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from workflow_service.anomalies.facts import THE_RUN, BlockFacts, RunFacts
from workflow_service.anomalies.rates import CALM, RECENT, REFERENCE, rate_surprise
from workflow_service.anomalies.robust import Spread, spread_of

WINDOW = 200
PATHS = 600
# Added before the logarithm is taken: what lies far below it is noise of clocks and of empty answers.
LEAST_MS = 20
LEAST_BYTES = 20
# What varies less than by 5 % is taken to vary by that.
LEAST_SCALE = 0.05
MAX_KEPT = 2**31 - 1


@dataclass(slots=True)
class Window:
    """The last values of a quantity. What is usual of them is worked out again when a twentieth of them is new."""

    values: list[int] = field(default_factory=list)
    offset: int = LEAST_MS
    _spread: Spread | None = None
    _since: int = 0

    def add(self, value: int) -> None:
        """Take in the newest value."""
        self.values.append(min(value, MAX_KEPT))
        del self.values[:-WINDOW]
        self._since += 1
        if self._since * 20 >= len(self.values):
            self._spread = None

    def spread(self) -> Spread | None:
        """Return what is usual of the logarithms; None while too little is known."""
        if self._spread is None:
            self._spread = spread_of([self.scaled(value) for value in self.values], LEAST_SCALE)
            self._since = 0
        return self._spread

    def scaled(self, value: int) -> float:
        """Return a value as it is judged."""
        return math.log(max(0, value) + self.offset)

    def expected(self, probability: float) -> tuple[int, int] | None:
        """Return between which values all but that share is expected."""
        spread = self.spread()
        if spread is None:
            return None
        low, high = spread.expected(probability)
        return max(0, self._unscaled(low)), self._unscaled(high)

    def _unscaled(self, scaled: float) -> int:
        return round(min(MAX_KEPT, math.exp(min(scaled, 25)) - self.offset))


def durations(values: Sequence[int] = ()) -> Window:
    """Return a window of milliseconds."""
    return Window(list(values), LEAST_MS)


def sizes(values: Sequence[int] = ()) -> Window:
    """Return a window of bytes."""
    return Window(list(values), LEAST_BYTES)


@dataclass(slots=True)
class History:
    """One block's last runs. ``outcomes`` has a character each, ``1`` where it failed, the newest last.

    ``runs`` is how many were ever learned from. ``alarmed``: failures were found to be too many, and still are.
    ``paths`` are those that the last runs took; there are none of a block.
    """

    durations: Window = field(default_factory=durations)
    sizes: Window = field(default_factory=sizes)
    outcomes: str = ""
    alarmed: bool = False
    runs: int = 0
    paths: list[str] = field(default_factory=list)

    def add_outcome(self, failed: bool) -> None:
        """Take in how the newest run ended."""
        self.outcomes = self.outcomes_with(failed)
        self.runs += 1
        if self.alarmed:
            surprise = rate_surprise(self.outcomes)
            self.alarmed = surprise is not None and surprise <= CALM

    def outcomes_with(self, failed: bool) -> str:
        """Return the outcomes as they are with one more."""
        return (self.outcomes + str(int(failed)))[-(RECENT + REFERENCE) :]

    def failure_rate(self, last: int | None = None) -> float:
        """Return the share of runs that failed, of the ``last`` ones; Jeffreys' prior keeps it off 0 and 1."""
        counted = self.outcomes if last is None else self.outcomes[-last:]
        return (counted.count("1") + 0.5) / (len(counted) + 1)


Histories = dict[str, History]


def learn(histories: Histories, run: RunFacts) -> None:
    """Take a run into the histories of its template version, by block id; blocks not known before get one."""
    if run.failed is not None:
        whole = histories.setdefault(THE_RUN, History())
        whole.add_outcome(run.failed)
        if run.duration_ms is not None:
            whole.durations.add(run.duration_ms)
        if run.path is not None:
            whole.paths.append(run.path)
            del whole.paths[:-PATHS]
    for block_id, block in run.ran.items():
        _learn_block(histories.setdefault(block_id, History()), block)


def _learn_block(history: History, block: BlockFacts) -> None:
    if block.duration_ms is not None or block.failed:
        history.add_outcome(block.failed)
    if block.duration_ms is not None:
        history.durations.add(block.duration_ms)
    if block.output_bytes is not None:
        history.sizes.add(block.output_bytes)
