"""When a question is due, and for what: the whole life of one that nobody answers, on an injected clock."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from approvals_app.timers import Due, Timers

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = 24 * HOUR


def timers(*steps: tuple[int, int], due: int = 24, remind: float | None = None) -> Timers:
    """Return the timers of a question asked at ``START``; ``steps`` have hours until, and hours of their term."""
    chain: tuple[Any, ...] = tuple({"afterMs": a * 3_600_000, "dueMs": b * 3_600_000} for a, b in steps)
    every = None if remind is None else remind * HOUR
    return Timers(START, START + due * HOUR, chain, 0, every, DAY)


def life(timers: Timers, hours: int, *, late: timedelta = timedelta()) -> list[tuple[float, Due]]:
    """Return what happens in ``hours`` to a question that keeps waiting, with the hour of each."""
    found = []
    since = timers.next_after(START)
    while since is not None and since <= START + hours * HOUR:
        now = since + late
        due = timers.due(since, now)
        if due is not None:
            found.append(((now - START) / HOUR, due))
        if due is Due.ESCALATION:
            taken = timers.taken + 1
            timers = replace(timers, taken=taken, due_at=now + timers.term_of(taken))
        following = timers.next_after(now)
        assert following is None or following > now
        since = following
    return found


def test_without_a_chain_the_end_is_announced_once_and_reminded_of_daily() -> None:
    assert life(timers(), 80) == [(24, Due.TIMEOUT), (48, Due.REMINDER), (72, Due.REMINDER)]


def test_a_chain_is_gone_along_level_by_level_before_the_end() -> None:
    assert life(timers((24, 24), (24, 24)), 100) == [
        (24, Due.ESCALATION),
        (48, Due.ESCALATION),
        (72, Due.TIMEOUT),
        (96, Due.REMINDER),
    ]


def test_a_step_has_a_time_of_its_own_and_gives_a_whole_term() -> None:
    assert life(timers((2, 8), (4, 8), due=8), 20) == [
        (2, Due.ESCALATION),
        (6, Due.ESCALATION),
        (14, Due.TIMEOUT),
    ]


def test_a_step_later_than_the_due_time_comes_before_the_end() -> None:
    assert life(timers((10, 4), due=4), 20) == [(10, Due.ESCALATION), (14, Due.TIMEOUT)]


def test_reminders_lie_on_a_grid_and_yield_to_what_is_more() -> None:
    assert life(timers((6, 6), due=6, remind=2), 16) == [
        (2, Due.REMINDER),
        (4, Due.REMINDER),
        (6, Due.ESCALATION),
        (8, Due.REMINDER),
        (10, Due.REMINDER),
        (12, Due.TIMEOUT),
        (14, Due.REMINDER),
        (16, Due.REMINDER),
    ]


@pytest.mark.parametrize("late_minutes", [0, 1, 90, 60 * 50])
def test_late_sweeps_lose_nothing_and_repeat_nothing(late_minutes: int) -> None:
    late = timedelta(minutes=late_minutes)
    happened = life(timers((3, 3), (3, 3), due=3), 24 * 30, late=late)
    kinds = [due for _, due in happened if due is not Due.REMINDER]
    assert kinds == [Due.ESCALATION, Due.ESCALATION, Due.TIMEOUT]
    hours = [hour for hour, _ in happened]
    # Each level has its whole term, however late the one before was asked.
    assert all(later - earlier >= 3 for earlier, later in pairwise(hours[:3]))


def test_nothing_is_due_before_its_time() -> None:
    one = timers((3, 3), due=3, remind=1)
    since = one.next_after(START)
    assert since == START + HOUR
    assert one.due(since, since - timedelta(seconds=1)) is None


def test_what_was_announced_is_not_announced_again() -> None:
    one = timers(due=3)
    end = one.due_at
    assert one.due(end, end) is Due.TIMEOUT
    following = one.next_after(end)
    assert following is not None
    assert one.due(following, end + HOUR) is None
    assert one.due(following, following) is Due.REMINDER
