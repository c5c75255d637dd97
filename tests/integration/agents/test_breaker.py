"""The circuit breaker: its rules one by one, and its state between two worker processes."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count

import pytest

from tests.misbehaving_server import MisbehavingServer, misbehaving_server
from workflow_service.agents import shared_state
from workflow_service.agents.breaker import (
    Admission,
    BreakerRules,
    BreakerState,
    CircuitBreaker,
    Outcome,
    breaker_key,
    read_states,
)
from workflow_service.agents.rates import take_turn

S = BreakerState
RULES = BreakerRules(failures=3, successes=2)
TURN_BACK = "return redis.call('HINCRBY', KEYS[1], 'opened_at', -ARGV[1])"
numbers = count(1)


@pytest.fixture
def breaker() -> CircuitBreaker:
    return CircuitBreaker(f"test:{os.getpid()}:{next(numbers)}", RULES)


def calls(breaker: CircuitBreaker, *outcomes: Outcome) -> None:
    for outcome in outcomes:
        admission = breaker.admit(5)
        assert admission.allowed
        breaker.report(admission, outcome)


def opened(breaker: CircuitBreaker) -> None:
    calls(breaker, *[Outcome.FAILURE] * RULES.failures)
    assert breaker.state() is S.OPEN


def let_pass(key: str, ms: int = 60_001) -> None:
    """Let a breaker have opened so much earlier."""
    shared_state.run_script(TURN_BACK, [f"breaker:{{{key}}}"], [ms])


def half_opened(breaker: CircuitBreaker) -> None:
    opened(breaker)
    let_pass(breaker.key)
    assert breaker.state() is S.HALF_OPEN


def test_only_failures_in_a_row_open_it(breaker: CircuitBreaker) -> None:
    calls(breaker, Outcome.FAILURE, Outcome.FAILURE, Outcome.SUCCESS, Outcome.FAILURE, Outcome.FAILURE)
    assert breaker.state() is S.CLOSED
    calls(breaker, Outcome.NEITHER)
    assert breaker.state() is S.CLOSED, "who asks to be left alone has not failed"
    calls(breaker, Outcome.FAILURE)
    assert breaker.state() is S.OPEN


def test_open_it_lets_nobody_through_and_says_for_how_long(breaker: CircuitBreaker) -> None:
    opened(breaker)
    admission = breaker.admit(5)
    assert not admission.allowed
    assert 30 < admission.retry_after_s <= 60
    let_pass(breaker.key, 30_000)
    assert not breaker.admit(5).allowed


def test_so_many_trials_that_succeed_close_it(breaker: CircuitBreaker) -> None:
    half_opened(breaker)
    calls(breaker, Outcome.SUCCESS)
    assert breaker.state() is S.HALF_OPEN
    calls(breaker, Outcome.NEITHER)
    assert breaker.state() is S.HALF_OPEN
    calls(breaker, Outcome.SUCCESS)
    assert breaker.state() is S.CLOSED
    calls(breaker, Outcome.FAILURE, Outcome.FAILURE)
    assert breaker.state() is S.CLOSED, "it counts anew"


def test_one_trial_that_fails_opens_it_again(breaker: CircuitBreaker) -> None:
    half_opened(breaker)
    calls(breaker, Outcome.SUCCESS, Outcome.FAILURE)
    assert breaker.state() is S.OPEN
    assert not breaker.admit(5).allowed


def test_no_more_trials_at_once_than_successes_are_wanted(breaker: CircuitBreaker) -> None:
    half_opened(breaker)
    trials = [breaker.admit(5) for _ in range(4)]
    assert [trial.allowed for trial in trials] == [True, True, False, False]
    breaker.report(trials[0], Outcome.SUCCESS)
    assert not breaker.admit(5).allowed, "one success is wanted still, and one trial at work"


def test_a_trial_whose_worker_died_is_forgotten(breaker: CircuitBreaker) -> None:
    half_opened(breaker)
    for _ in range(2):
        assert breaker.admit(0.01).allowed
    time.sleep(0.05)
    assert breaker.admit(5).allowed


def test_a_short_trial_does_not_take_a_long_one_along(breaker: CircuitBreaker) -> None:
    half_opened(breaker)
    long = breaker.admit(60)
    assert breaker.admit(0.01).allowed
    time.sleep(0.05)
    breaker.report(long, Outcome.FAILURE)
    assert breaker.state() is S.OPEN, "the long one counts"


def test_what_began_before_it_opened_says_nothing_any_more(breaker: CircuitBreaker) -> None:
    early = breaker.admit(5)
    half_opened(breaker)
    for outcome in (Outcome.SUCCESS, Outcome.FAILURE):
        breaker.report(early, outcome)
        assert breaker.state() is S.HALF_OPEN


def test_many_are_read_at_once(breaker: CircuitBreaker) -> None:
    opened(breaker)
    assert read_states([breaker.key, f"{breaker.key}:other"], RULES) == [S.OPEN, S.CLOSED]
    breaker.reset()
    assert read_states([breaker.key], RULES) == [S.CLOSED]
    assert read_states([]) == []


def test_without_redis_every_call_is_let_through(
    breaker: CircuitBreaker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    opened(breaker)
    gone = shared_state.make_client("redis://127.0.0.1:1/0")
    monkeypatch.setattr(shared_state, "_script", gone.register_script)
    monkeypatch.setattr(shared_state, "_left_alone_until", 0.0)
    started = time.monotonic()
    for _ in range(50):
        admission = breaker.admit(5)
        assert admission == Admission(allowed=True)
        breaker.report(admission, Outcome.FAILURE)
        assert take_turn("nobody", caller="a", per_min=1) == 0.0
    assert breaker.state() is S.CLOSED
    assert time.monotonic() - started < 2, "it is asked once, and then left alone for a while"
    assert len([record for record in caplog.records if "Redis does not answer" in record.message]) == 1


def test_turns_are_given_out_in_order_and_kept() -> None:
    key = f"test:{os.getpid()}:{next(numbers)}"
    waits = [take_turn(key, caller=str(n), per_min=6, burst=2) for n in range(5)]
    assert waits[:2] == [0.0, 0.0]
    assert waits[2:] == pytest.approx([10, 20, 30], abs=5)
    again = take_turn(key, caller="4", per_min=6, burst=2)
    assert 20 < again <= waits[4], "its turn is kept, and it does not get a later one"


def test_a_turn_comes() -> None:
    key = f"test:{os.getpid()}:{next(numbers)}"
    take_turn(key, caller="1", per_min=300)
    deadline = time.monotonic() + 20
    while take_turn(key, caller="2", per_min=300) > 0:
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Caller:
    """A worker's process that calls one agent."""

    def __init__(self, stack: ExitStack, server: MisbehavingServer, agent_id: str) -> None:
        environment = {**os.environ, "EGRESS_ALLOW": "127.0.0.1"}
        self._process = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-m", "tests.agent_caller", server.url("/agent"), agent_id],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment,
            )
        )  # fmt: skip
        stack.callback(self._process.kill)

    def call(self, manner: str) -> str:
        """Have it call the agent once; returns what it came to."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{manner}\n")
        self._process.stdin.flush()
        answer: str = self._process.stdout.readline()
        return answer.strip()


@pytest.fixture
def server() -> Iterator[MisbehavingServer]:
    with misbehaving_server() as server:
        yield server


def test_two_worker_processes_share_it(server: MisbehavingServer) -> None:
    agent_id = f"far{os.getpid()}"
    breaker = CircuitBreaker(breaker_key(1, agent_id))
    with ExitStack() as stack:
        one, two = (Caller(stack, server, agent_id) for _ in range(2))
        # Five failures in a row open it, whoever meets them.
        assert [one.call("broken") for _ in range(4)] == ["NETWORK_ERROR"] * 4
        assert two.call("good") == "COMPLETED"
        assert [one.call("broken") for _ in range(3)] == ["NETWORK_ERROR"] * 3
        assert breaker.state() is S.CLOSED
        assert [two.call("broken") for _ in range(2)] == ["NETWORK_ERROR"] * 2
        assert breaker.state() is S.OPEN
        # The other sees it open, and the agent is not called.
        asked = len(server.requests)
        assert one.call("good") == two.call("good") == "AGENT_UNAVAILABLE open"
        assert len(server.requests) == asked
        # Half open: a trial that fails opens it again for both.
        let_pass(breaker.key)
        assert one.call("broken") == "NETWORK_ERROR"
        assert two.call("good") == "AGENT_UNAVAILABLE open"
        # Three trials that succeed close it, whoever makes them.
        let_pass(breaker.key)
        assert [two.call("good"), one.call("good")] == ["COMPLETED"] * 2
        assert breaker.state() is S.HALF_OPEN
        assert two.call("good") == "COMPLETED"
        assert breaker.state() is S.CLOSED
        assert [one.call("broken") for _ in range(4)] == ["NETWORK_ERROR"] * 4, "closed, it counts anew"
        assert two.call("good") == "COMPLETED"
