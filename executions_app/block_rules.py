"""What a block, its template and the configuration say about its time and its retries, in that order."""

import random

from templates_app.plans import CompiledVersion
from workflow_service.engine.definition import Block, RetryPolicy
from workflow_service.engine.retry import RetryDecision, decide_retry
from workflow_service.engine.states import ErrorType
from workflow_service.settings.config import get_config

# A worker ends its block by itself when the time is over, and needs a moment to write that down. Who still runs so
# long after it cannot be stopped by a signal that it may block, only killed.
KILL_AFTER_S = 10.0


def timeout_s(block: Block | None) -> float:
    """Return the seconds that one try of a block may take."""
    given_ms = None if block is None else block.timeout
    return (given_ms or get_config().workflow_default_timeout_ms) / 1_000


def hard_end_s(block: Block | None) -> float:
    """Return the seconds after its start at which a block's process is killed."""
    return timeout_s(block) + KILL_AFTER_S


def retry_decision(
    block: Block | None,
    compiled: CompiledVersion,
    *,
    error_type: ErrorType,
    retryable: bool,
    retries_so_far: int,
    retry_after_s: float | None = None,
) -> RetryDecision:
    """Decide by the block's policy, else its template's, else the configured one whether failed work is tried again."""
    policy = block.retry_policy if block else None
    policy = policy or compiled.definition.global_settings.default_retry_policy
    return decide_retry(
        policy or RetryPolicy(max_retries=get_config().workflow_retry_attempts),
        error_type=error_type,
        retryable=retryable,
        retries_so_far=retries_so_far,
        jitter=random.random(),  # noqa: S311 - spreads load, hides nothing
        retry_after_s=retry_after_s,
    )
