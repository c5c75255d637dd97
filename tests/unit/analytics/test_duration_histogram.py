"""Percentiles of log-scaled histograms: within their stated error of the exact ones, however they were summed."""

import random
from collections import Counter

import pytest

from workflow_service.analytics.histogram import (
    RELATIVE_ERROR,
    bucket_of,
    merge,
    percentiles,
    value_of,
)

FRACTIONS = (0.0, 0.5, 0.95, 0.99, 1.0)


def exact(values: list[float], fraction: float) -> float:
    """Return what PERCENTILE_CONT answers."""
    ordered = sorted(values)
    rank = fraction * (len(ordered) - 1)
    low = int(rank)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (rank - low)


def histogram_of(values: list[float]) -> Counter[int]:
    return Counter(bucket_of(value) for value in values)


@pytest.mark.parametrize("duration", [1, 2, 3, 999, 1_000, 123_456, 86_400_000_000, 31 * 86_400_000_000])
def test_a_bucket_stands_for_its_durations_within_the_stated_error(duration: int) -> None:
    assert abs(value_of(bucket_of(duration)) - duration) <= RELATIVE_ERROR * duration * (1 + 1e-9)


@pytest.mark.parametrize("spread", [0.1, 1.0, 3.0], ids=["narrow", "usual", "wide"])
@pytest.mark.parametrize("number", [1, 2, 3, 10, 1_000])
def test_percentiles_are_within_the_stated_error_of_exact_ones(number: int, spread: float) -> None:
    chance = random.Random(number)
    values = [chance.lognormvariate(13, spread) for _ in range(number)]
    found = percentiles(histogram_of(values), FRACTIONS)
    for fraction, answer in zip(FRACTIONS, found, strict=True):
        assert answer == pytest.approx(exact(values, fraction), rel=RELATIVE_ERROR * 1.001)


def test_histograms_add_up_and_are_taken_back() -> None:
    first, second = {10: 2, 0: 1}, {10: 1, 400: 5}
    assert merge([first, second]) == {10: 3, 0: 1, 400: 5}
    taken_back = +merge([first, second, {bucket: -count for bucket, count in first.items()}])
    assert taken_back == merge([second])


def test_nothing_has_no_percentiles() -> None:
    assert percentiles({}, (0.5, 0.95)) == [None, None]
