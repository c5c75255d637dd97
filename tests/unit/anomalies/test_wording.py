"""Findings in words: numbers in the unit that suits them, and what was expected as the kind has it."""

import pytest

from workflow_service.anomalies.detection import Finding, Kind
from workflow_service.anomalies.wording import expected_in_words, explain, in_words, milliseconds


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        (0, "0 ms"),
        (999, "999 ms"),
        (1_500, "1.5 s"),
        (59_400, "59.4 s"),
        (59_600, "1 min"),
        (95_000, "1 min 35 s"),
        (3_600_000, "1 h"),
        (5_430_000, "1 h 30 min"),
        (90_000_000, "1 day 1 h"),
    ],
)
def test_times_are_told_in_the_unit_that_suits_them(ms: float, words: str) -> None:
    assert milliseconds(ms) == words


@pytest.mark.parametrize(
    ("finding", "sentence"),
    [
        (
            Finding(Kind.DURATION, "a", 60_000, 100, 900, 1e-7, 120),
            "Block 'a' took 1 min; 100 ms to 900 ms is to be expected, judged by 120 runs.",
        ),
        (
            Finding(Kind.ERROR_RATE, "", 40, 0, 15, 1e-4, 1_200),
            "This workflow failed in 40 % of the last runs; up to 15 % is to be expected, judged by 1,200 runs.",
        ),
        (
            Finding(Kind.OUTPUT_SIZE, "a", 2, 1_000, 2_500_000, 1e-4, 120),
            "Block 'a' gave 2 bytes; 1 kB to 2.5 MB is to be expected, judged by 120 runs.",
        ),
        (
            Finding(Kind.PATH, "", 0, 1, 300, 0.003, 300),
            "The run took a path that none of the runs before it took, judged by 300 runs.",
        ),
    ],
    ids=["duration", "error rate", "output size", "path"],
)
def test_each_kind_has_its_sentence(finding: Finding, sentence: str) -> None:
    assert explain(finding) == sentence


def test_what_is_expected_is_told_as_the_kind_has_it() -> None:
    assert expected_in_words(Kind.ERROR_RATE, 0, 15) == "up to 15 %"
    assert expected_in_words(Kind.PATH, 2, 300) == "at least 2 of 300"
    assert expected_in_words(Kind.OUTPUT_SIZE, 10, 2_000) == "10 bytes to 2 kB"
    assert in_words(Kind.PATH, 1) == "1 run"
