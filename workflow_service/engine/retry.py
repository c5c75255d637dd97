"""Whether failed work is tried again, and when (document A section 16.1).

The answer is a value; who saves it, and who wakes the block up, is somebody else. Retries of the work are
counted here, not the runs that a lost worker makes necessary.
"""

from dataclasses import dataclass

from workflow_service.engine.definition import RetryPolicy
from workflow_service.engine.states import ErrorType

LONGEST_RETRY_AFTER_S = 3_600.0

# Trying again would ask a person twice, or change nothing: the work itself did not fail.
NEVER_RETRIED = frozenset(
    {
        ErrorType.APPROVAL_REJECTED,
        ErrorType.APPROVAL_TIMEOUT,
        ErrorType.NO_BRANCH_MATCHED,
        ErrorType.ROUTING_ERROR,
        ErrorType.SETTLEMENT_ERROR,
        ErrorType.NO_PATH_TO_END,
        ErrorType.LOOP_LIMIT_REACHED,
        ErrorType.MAP_FAILED,
    }
)


@dataclass(frozen=True, slots=True)
class RetryDecision:
    """Whether to try again, in how many seconds, and why (or why not)."""

    retry: bool
    delay_s: float
    reason: str


def decide_retry(
    policy: RetryPolicy,
    *,
    error_type: ErrorType,
    retryable: bool,
    retries_so_far: int,
    jitter: float,
    retry_after_s: float | None = None,
) -> RetryDecision:
    """Decide about work that failed with ``error_type``.

    ``retryable`` is the tool's opinion, which holds unless the policy lists error types: then its list does.
    ``jitter`` is a random number in [0, 1). ``retry_after_s`` is what the other side asked for: the delay is
    at least that, an hour at most.
    """
    if error_type in NEVER_RETRIED:
        return RetryDecision(False, 0.0, f"{error_type} is never retried")
    if policy.retry_conditions is not None and error_type not in policy.retry_conditions:
        return RetryDecision(False, 0.0, f"{error_type} is not among the retry conditions")
    if policy.retry_conditions is None and not retryable:
        return RetryDecision(False, 0.0, f"{error_type} will not pass by trying again")
    if retries_so_far >= policy.max_retries:
        return RetryDecision(False, 0.0, f"all {policy.max_retries} retries are used up")
    delay_s = backoff_delay_s(policy, retries_so_far, jitter)
    if retry_after_s is not None and retry_after_s > delay_s:
        delay_s = min(retry_after_s, LONGEST_RETRY_AFTER_S)
    return RetryDecision(True, delay_s, f"{error_type}: retry {retries_so_far + 1} of {policy.max_retries}")


def backoff_delay_s(policy: RetryPolicy, retries_so_far: int, jitter: float) -> float:
    """Return the seconds before the next retry; with jitter, between half of the full delay and all of it."""
    factor = {
        "fixed": 1.0,
        "linear": 1.0 + retries_so_far,
        "exponential": policy.backoff_multiplier**retries_so_far,
    }[policy.backoff_strategy]
    delay_s = min(policy.base_delay * factor, policy.max_delay) / 1_000
    return delay_s * (0.5 + jitter / 2) if policy.jitter else delay_s
