"""The benchmark's arithmetic: a wrong median or a verdict the wrong way round would go unnoticed."""

import json
from pathlib import Path

import pytest

from benchmarks.figures import Figure, medians, percentile, ratio_of_pairs, table, write_json


def test_the_ratio_is_the_median_of_the_pairs_not_of_the_sides() -> None:
    pairs = [(1.0, 2.0), (9.0, 3.0), (4.0, 4.0)]
    assert ratio_of_pairs(pairs) == 1.0
    assert medians(pairs) == (4.0, 3.0)


@pytest.mark.parametrize(("percent", "expected"), [(50, 50), (95, 95), (99, 99), (100, 100), (0, 1)])
def test_a_percentile_is_a_value_that_was_measured(percent: float, expected: float) -> None:
    assert percentile(reversed(range(1, 101)), percent) == expected


def test_a_percentile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 95)


@pytest.mark.parametrize(
    ("figure", "verdict"),
    [
        (Figure("a", 1.0, at_most=1.0), "met"),
        (Figure("a", 1.01, at_most=1.0), "MISSED"),
        (Figure("a", 0.5, at_least=0.5), "met"),
        (Figure("a", 0.49, at_least=0.5), "MISSED"),
        (Figure("a", 7.0), ""),
    ],
)
def test_a_figure_is_held_to_its_target(figure: Figure, verdict: str) -> None:
    assert figure.verdict == verdict


def test_the_table_and_the_file_have_every_figure(tmp_path: Path) -> None:
    figures = [
        Figure("sequential_40.ratio", 0.912345, "3.10 ms", "3.40 ms", at_most=1.0),
        Figure("sequential_40.ms", 3.1),
    ]
    lines = table(figures).splitlines()
    assert lines[1].split() == ["sequential_40.ratio", "0.91", "3.10", "ms", "3.40", "ms", "<=", "1", "met"]
    write_json(figures, tmp_path / "build" / "bench.json")
    assert json.loads((tmp_path / "build" / "bench.json").read_text()) == {
        "sequential_40.ms": 3.1,
        "sequential_40.ratio": 0.9123,
    }
