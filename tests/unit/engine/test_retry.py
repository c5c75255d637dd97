"""Retries: how many, for which errors, after how long."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_service.engine.definition import RetryPolicy
from workflow_service.engine.retry import NEVER_RETRIED, RetryDecision, backoff_delay_s, decide_retry
from workflow_service.engine.states import ErrorType


def decided(policy: RetryPolicy | None = None, **given: Any) -> RetryDecision:
    arguments: dict[str, Any] = {
        "error_type": ErrorType.NETWORK_ERROR,
        "retryable": True,
        "retries_so_far": 0,
        "jitter": 0.5,
        **given,
    }
    return decide_retry(policy or RetryPolicy(jitter=False), **arguments)


def test_three_retries_are_four_tries() -> None:
    assert [decided(retries_so_far=number).retry for number in range(5)] == [True, True, True, False, False]
    assert not decided(RetryPolicy(max_retries=0)).retry


@pytest.mark.parametrize(
    ("strategy", "delays"),
    [
        ("fixed", [1, 1, 1, 1, 1, 1]),
        ("linear", [1, 2, 3, 4, 5, 6]),
        ("exponential", [1, 2, 4, 8, 16, 30]),
    ],
)
def test_backoff(strategy: Any, delays: list[float]) -> None:
    policy = RetryPolicy(backoff_strategy=strategy, max_retries=10, jitter=False)
    assert [decided(policy, retries_so_far=number).delay_s for number in range(6)] == delays


def test_backoff_of_ones_own() -> None:
    policy = RetryPolicy(base_delay=200, backoff_multiplier=3, max_delay=1_000, jitter=False)
    assert [backoff_delay_s(policy, number, 0) for number in range(3)] == pytest.approx([0.2, 0.6, 1.0])


@given(
    jitter=st.floats(0, 1, exclude_max=True),
    retries=st.integers(0, 100),
    multiplier=st.floats(1, 100),
    base=st.integers(0, 86_400_000),
)
def test_jitter_takes_at_most_half_away(jitter: float, retries: int, multiplier: float, base: int) -> None:
    shape: dict[str, Any] = {"base_delay": base, "backoff_multiplier": multiplier}
    full = backoff_delay_s(RetryPolicy(jitter=False, **shape), retries, jitter)
    assert 0 <= full <= 30
    assert full / 2 <= backoff_delay_s(RetryPolicy(**shape), retries, jitter) <= full


def test_the_tools_opinion_holds_where_no_conditions_are_given() -> None:
    assert not decided(retryable=False).retry
    assert decided(error_type=ErrorType.SYSTEM_ERROR).retry


def test_retry_conditions_decide_alone() -> None:
    policy = RetryPolicy(retry_conditions=(ErrorType.TIMEOUT_ERROR, ErrorType.SYSTEM_ERROR))
    assert decided(policy, error_type=ErrorType.SYSTEM_ERROR, retryable=False).retry
    assert not decided(policy, error_type=ErrorType.NETWORK_ERROR).retry
    assert not decided(RetryPolicy(retry_conditions=())).retry


@pytest.mark.parametrize("error_type", sorted(NEVER_RETRIED))
def test_some_errors_are_never_retried(error_type: ErrorType) -> None:
    policy = RetryPolicy(retry_conditions=(error_type,))
    assert decided(policy, error_type=error_type) == RetryDecision(
        False, 0.0, f"{error_type} is never retried"
    )


@pytest.mark.parametrize(
    ("asked_s", "delay_s"), [(None, 1), (0.2, 1), (-5, 1), (12.5, 12.5), (1e9, 3_600), (float("nan"), 1)]
)
def test_what_the_other_side_asks_for(asked_s: float | None, delay_s: float) -> None:
    assert decided(retry_after_s=asked_s).delay_s == delay_s


def test_says_why() -> None:
    assert decided(retries_so_far=1).reason == "NETWORK_ERROR: retry 2 of 3"
    assert decided(retries_so_far=3).reason == "all 3 retries are used up"
