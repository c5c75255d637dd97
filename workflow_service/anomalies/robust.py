"""What is usual of a measured quantity, and how surprising a value is: median and spread by ranks, pure.

Values are logarithms (of milliseconds, of bytes), where what varies does so by factors. A value's probability is the
larger of two estimates, so that neither a long tail nor a short history makes it look rarer than it is: Student's t on
the median absolute deviation of its side of the median (Rousseeuw and Croux 1993: it is worth 37 % of its values), and
the tail of an exponential fitted, by its median, to what lies beyond the outermost decile. Half of the history may be
anything without moving the median; what was nearly as far out in ``SEEN_SHARE`` of it is usual, whatever the estimates.
How often healthy values are taken for unusual all the same, for several distributions, is tested by simulation.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

MIN_HISTORY = 30
# 1 / the 75 % point of the normal distribution: makes the deviation one of standard deviations.
DEVIATION = 1.4826
EFFICIENCY_OF_DEVIATION = 0.37
TAIL_SHARE = 0.1
SEEN_SHARE = 0.01
NEARLY = 0.85
# A value is never told to be rarer than this: the estimates know nothing of such tails.
LEAST_PROBABILITY = 1e-12


@dataclass(frozen=True, slots=True)
class Side:
    """How values spread on one side of the median, as distances from it: not negative, in order."""

    distances: Sequence[float]
    count: int
    scale: float
    tail_start: float
    tail_scale: float

    def probability(self, distance: float) -> float:
        """Return how probable a value so far out on this side, or farther, is."""
        as_far = len(self.distances) - bisect_left(self.distances, NEARLY * distance)
        if as_far >= max(1.0, SEEN_SHARE * self.count):
            return (1 + as_far) / (1 + self.count)
        freedom = max(1.0, EFFICIENCY_OF_DEVIATION * len(self.distances))
        normal = _t_tail(distance / self.scale, freedom)
        tail = TAIL_SHARE * math.exp(-max(0.0, distance - self.tail_start) / self.tail_scale)
        return max(LEAST_PROBABILITY, normal, tail)


@dataclass(frozen=True, slots=True)
class Spread:
    """What is usual of a quantity, from ``count`` values."""

    count: int
    median: float
    below: Side
    above: Side

    def probability(self, value: float) -> float:
        """Return how probable a value as far out as this one is, whichever side it lies on."""
        side = self.above if value >= self.median else self.below
        return min(1.0, 2 * side.probability(abs(value - self.median)))

    def distance(self, value: float) -> float:
        """Return how many robust standard deviations a value lies from the median, with its sign."""
        side = self.above if value >= self.median else self.below
        return (value - self.median) / side.scale

    def expected(self, probability: float) -> tuple[float, float]:
        """Return the range outside of which a value is at most so probable."""
        return (
            self.median - _reach(self.below, probability / 2),
            self.median + _reach(self.above, probability / 2),
        )


def spread_of(values: Sequence[float], least_scale: float) -> Spread | None:
    """Return what is usual of values, with no spread below ``least_scale``; None for less than ``MIN_HISTORY``."""
    if len(values) < MIN_HISTORY:
        return None
    ordered = sorted(values)
    median = _median(ordered)
    above = [value - median for value in ordered[bisect_left(ordered, median) :]]
    below = [median - value for value in reversed(ordered[: bisect_right(ordered, median)])]
    return Spread(
        len(values), median, _side(below, len(values), least_scale), _side(above, len(values), least_scale)
    )


def _side(distances: Sequence[float], count: int, least_scale: float) -> Side:
    scale = max(least_scale, DEVIATION * _median(distances))
    # The tenth of all values that lies farthest out on this side.
    first = max(0, len(distances) - max(2, round(TAIL_SHARE * count)))
    start = distances[first]
    tail_scale = _median([distance - start for distance in distances[first:]]) / math.log(2)
    return Side(distances, count, scale, start, max(tail_scale, least_scale / 2))


def _reach(side: Side, probability: float) -> float:
    """Return the least distance that is at most so probable."""
    far = side.scale
    while side.probability(far) > probability and far < 1e3 * side.scale:
        far *= 2
    near = 0.0
    for _ in range(40):
        middle = (near + far) / 2
        if side.probability(middle) > probability:
            near = middle
        else:
            far = middle
    return far


def _t_tail(t: float, freedom: float) -> float:
    """Return the upper tail of Student's t, by Wallace's (1959) transformation to a normal deviate."""
    z = (8 * freedom + 1) / (8 * freedom + 3) * math.sqrt(freedom * math.log1p(t * t / freedom))
    return 0.5 * math.erfc(z / math.sqrt(2))


def _median(ordered: Sequence[float]) -> float:
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
