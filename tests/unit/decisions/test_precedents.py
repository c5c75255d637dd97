"""When earlier decisions decide: so many of the last must agree."""

import pytest

from workflow_service.decisions.like_cases import Earlier, agreed
from workflow_service.engine.definition import DecisionHistory


@pytest.mark.parametrize(
    ("earlier", "agreeing", "decides"),
    [
        ("", 1, None),
        ("a", 1, "a"),
        ("ab", 2, None),
        ("aba", 2, "a"),
        ("bbbaa", 3, "b"),
        ("abcde", 2, None),
    ],
    ids=["none", "one", "they differ", "two of three", "three of five", "all differ"],
)
def test_enough_of_the_last_agree(earlier: str, agreeing: int, decides: str | None) -> None:
    cases = [Earlier((key,), "") for key in earlier]
    found = agreed(cases, DecisionHistory(agreeing=agreeing, last=5))
    assert (None if found is None else found.keys) == (None if decides is None else (decides,))
    if found is not None:
        assert (found.seen, found.agreeing) == (len(earlier), earlier.count(found.keys[0]))
