"""When an ended child starts again, and when it counts as not coming up."""

import pytest

from workflow_service.embedded.restarts import RestartDecision, RestartPolicy, RestartRecord

POLICY = RestartPolicy(
    first_delay_s=0.5, factor=2.0, longest_delay_s=4.0, stable_after_s=10.0, crash_loop_after=3
)


def decisions(*lives_s: float) -> list[RestartDecision]:
    record = RestartRecord(POLICY)
    return [record.note_exit(started_at=100.0, ended_at=100.0 + life) for life in lives_s]


def test_pauses_grow_up_to_the_cap() -> None:
    assert [decision.delay_s for decision in decisions(*[1.0] * 6)] == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0]


def test_a_long_life_clears_the_record() -> None:
    assert [decision.delay_s for decision in decisions(1.0, 1.0, 10.0, 1.0)] == [0.5, 1.0, 0.5, 1.0]


def test_a_crash_loop_is_said_once() -> None:
    assert [decision.crash_loop for decision in decisions(*[1.0] * 5)] == [False, False, True, False, False]


def test_a_later_crash_loop_is_said_again() -> None:
    loops = [decision.crash_loop for decision in decisions(1.0, 1.0, 1.0, 60.0, 1.0, 1.0)]
    assert loops == [False, False, True, False, False, True]


@pytest.mark.parametrize("short_lives", [0, 1, 10_000])
def test_delay_stays_within_its_bounds(short_lives: int) -> None:
    assert POLICY.first_delay_s <= POLICY.delay_s(short_lives) <= POLICY.longest_delay_s
