"""What follows from a comparison, and what does not."""

import pytest

from workflow_service.advisor.implication import contradicts, implies

FOLLOWS = [
    ("x > 20", "x > 10"),
    ("x > 10", "x >= 10"),
    ("x >= 11", "x > 10"),
    ("20 < x", "x > 10"),
    ("x < 3", "x <= 3"),
    ("x == 'high'", "x == 'high'"),
    ("x == 7", "x > 5"),
    ("x == 'a'", "x != 'b'"),
    ("x > 3", "x != 3"),
    ("x > 20 and y == 1", "x > 10"),
    ("order.total > 20 and order.paid == true", "order.paid == true and order.total > 5"),
]
DOES_NOT = [
    ("x > 10", "x > 20"),
    ("x > 10", "y > 10"),
    ("x >= 10", "x > 10"),
    ("x > 10", "x < 20"),
    ("x == 1", "x == true"),
    ("x != 1", "x == 2"),
    ("x > 10 or y > 1", "x > 10"),
    ("len(x) > 10", "len(x) > 5"),
    ("x > y", "x > 1"),
    ("x > 20", "x > 10 and y > 1"),
    ("not x > 20", "x > 10"),
]


@pytest.mark.parametrize(("condition", "other"), FOLLOWS, ids=range(len(FOLLOWS)))
def test_what_follows_is_seen(condition: str, other: str) -> None:
    assert implies(condition, other)


@pytest.mark.parametrize(("condition", "other"), DOES_NOT, ids=range(len(DOES_NOT)))
def test_what_does_not_follow_is_never_said_to(condition: str, other: str) -> None:
    assert not implies(condition, other)


@pytest.mark.parametrize(
    "condition",
    ["x > 3 and x < 2", "x == 1 and x == 2", "x == 'a' and x != 'a'", "x >= 3 and x < 3", "x > 3 and x <= 3"],
)
def test_contradictions_are_seen(condition: str) -> None:
    assert contradicts(condition)


@pytest.mark.parametrize(
    "condition", ["x > 3 and x < 5", "x >= 3 and x <= 3", "x > 3 or x < 2", "x == 1 and y == 2"]
)
def test_what_may_hold_is_no_contradiction(condition: str) -> None:
    assert not contradicts(condition)


def test_what_is_said_holds_for_values() -> None:
    operators = ("<", "<=", ">", ">=", "==", "!=")
    values = (-1, 0, 0.5, 1, 1.5, 2, 3)
    for first in operators:
        for second in operators:
            for a in (0, 1, 2):
                for b in (0, 1, 2):
                    one, other = f"x {first} {a}", f"x {second} {b}"
                    holding = [x for x in values if eval(one)]  # noqa: S307 - made here
                    if implies(one, other):
                        assert all(eval(other) for x in holding), (one, other)  # noqa: S307
                    if contradicts(f"{one} and {other}"):
                        assert not any(eval(other) for x in holding), (one, other)  # noqa: S307
