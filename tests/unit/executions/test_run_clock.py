"""The clock of a run: it counts active time only."""

from datetime import UTC, datetime, timedelta

import pytest

from executions_app.run_clock import RunClock, clock
from workflow_service.engine.states import ExecutionStatus as E

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def test_a_started_run_has_its_whole_timeout_before_it() -> None:
    begun = clock(RunClock(5_000), E.STARTING, E.STARTING, NOON)
    assert begun == RunClock(5_000, 0, NOON, after(5))
    assert clock(begun, E.STARTING, E.RUNNING, after(2)) == begun


@pytest.mark.parametrize("still", [E.WAITING_FOR_APPROVAL, E.PAUSED])
def test_the_clock_stands_while_the_run_waits_or_is_paused(still: E) -> None:
    begun = clock(RunClock(5_000), E.STARTING, E.RUNNING, NOON)
    standing = clock(begun, E.RUNNING, still, after(2))
    assert standing == RunClock(5_000, 2_000, None, None)
    assert clock(standing, still, still, after(60)) == standing
    again = clock(standing, still, E.RUNNING, after(100))
    assert again == RunClock(5_000, 2_000, after(100), after(103))
    assert again.active_ms_at(after(101)) == 3_000


def test_a_run_that_is_held_back_has_no_deadline_until_it_begins() -> None:
    held = clock(RunClock(5_000), E.STARTING, E.STARTING, NOON, held_back=True)
    assert held == RunClock(5_000)
    assert clock(held, E.STARTING, E.STARTING, after(60)).deadline_at == after(65)


@pytest.mark.parametrize("ended", [E.COMPLETED, E.FAILED, E.CANCELLED])
def test_an_ended_run_keeps_its_time_and_a_restart_begins_at_zero(ended: E) -> None:
    begun = clock(RunClock(5_000), E.STARTING, E.RUNNING, NOON)
    over = clock(begun, E.RUNNING, ended, after(7))
    assert over == RunClock(5_000, 7_000, None, None)
    assert clock(over, ended, E.RUNNING, after(10)) == RunClock(5_000, 0, after(10), after(15))


def test_without_a_timeout_there_is_no_deadline() -> None:
    assert clock(RunClock(None), E.STARTING, E.RUNNING, NOON) == RunClock(None, 0, NOON, None)


def test_a_clock_that_ran_past_its_timeout_while_stopping_is_due_at_once() -> None:
    late = RunClock(5_000, 9_000, None, None)
    assert clock(late, E.PAUSED, E.RUNNING, NOON).deadline_at == NOON
