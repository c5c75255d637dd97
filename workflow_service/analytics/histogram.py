"""Log-scaled histograms of durations: sums of counts whose percentiles are right within a stated relative error.

Bucket ``i`` holds the durations d (microseconds, at least 1) with ``GROWTH**(i-1) < d <= GROWTH**i``; its value is the
one that is off by the same share at both ends. Adding two histograms adds their counts, in whatever order, so that a
run's share can also be taken back. After Masson, Rim and Lee, "DDSketch" (PVLDB 12, 2019), without its cap on buckets:
a millisecond and a month are 1,100 buckets apart.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

RELATIVE_ERROR = 0.01
GROWTH = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
LOG_GROWTH = math.log(GROWTH)


def bucket_of(duration_us: float) -> int:
    """Return the bucket of a duration in microseconds; what is shorter than one is one."""
    return math.ceil(math.log(max(duration_us, 1.0)) / LOG_GROWTH)


def value_of(bucket: int) -> float:
    """Return the microseconds that stand for a bucket: off by at most ``RELATIVE_ERROR`` for each duration in it."""
    return float(2 * GROWTH**bucket / (GROWTH + 1))


def merge(histograms: Iterable[Mapping[int, int]]) -> Counter[int]:
    """Return the sum of histograms: counts by bucket."""
    total: Counter[int] = Counter()
    for histogram in histograms:
        total.update(histogram)
    return total


def percentiles(histogram: Mapping[int, int], fractions: Sequence[float]) -> list[float | None]:
    """Return the microseconds below which each fraction of the durations lies; None where there are none.

    Between two durations where the fraction falls there, as PERCENTILE_CONT has it. ``fractions`` ascend.
    """
    total = sum(histogram.values())
    if not total:
        return [None] * len(fractions)
    wanted = [fraction * (total - 1) for fraction in fractions]
    ranks = sorted({rank for each in wanted for rank in (math.floor(each), math.ceil(each))})
    values = _at_ranks(histogram, ranks)
    found: list[float | None] = []
    for each in wanted:
        low, high = values[math.floor(each)], values[math.ceil(each)]
        found.append(low + (high - low) * (each - math.floor(each)))
    return found


def _at_ranks(histogram: Mapping[int, int], ranks: Sequence[int]) -> dict[int, float]:
    """Return the durations that are so many from the shortest, for ranks that ascend from 0."""
    values: dict[int, float] = {}
    below = 0
    buckets = iter(sorted(histogram))
    bucket = next(buckets)
    for rank in ranks:
        while below + histogram[bucket] <= rank:
            below += histogram[bucket]
            bucket = next(buckets)
        values[rank] = value_of(bucket)
    return values
