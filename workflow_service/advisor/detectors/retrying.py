"""Blocks that fail with errors that pass, and are not tried again.

How probably another try works is told by all tries of the block there were: ``(worked + 1) / (tries + 2)``. Work that
changes something outside is never proposed for it, and neither is work that fails as often as not.
"""

from collections.abc import Iterator
from dataclasses import replace

from workflow_service.advisor.detectors.timeouts import is_broken_off
from workflow_service.advisor.editing import with_fields
from workflow_service.advisor.ideas import Case, Idea
from workflow_service.advisor.recordings import RecordedBlock, Recordings, Try
from workflow_service.advisor.vocabulary import Effort, Kind, Measure, Type
from workflow_service.advisor.wording import doubt, share
from workflow_service.engine.definition import Block, RetryPolicy
from workflow_service.engine.recommendations import Effect
from workflow_service.engine.states import ErrorType

PASSING = frozenset(
    {
        ErrorType.NETWORK_ERROR,
        ErrorType.RATE_LIMIT_ERROR,
        ErrorType.AGENT_UNAVAILABLE,
        ErrorType.TIMEOUT_ERROR,
    }
)
LEAST_FAILURES = 3
RETRIES = 3
BASE_DELAY_MS = 1_000
MOSTLY_FAILS = 0.5


def retry(case: Case) -> Iterator[Idea]:
    """Yield an idea for each block whose passing failures nobody meets."""
    for block in case.definition.blocks:
        policy = _policy(case, block)
        if _is_met(block) or policy is None or case.effects.get(block.block_id) is Effect.SOME:
            continue
        worked = case.recordings.worked(block.block_id)
        failed = [each for each in worked if each.failed and _passes(each, block, policy)]
        tries = sum(len(each.tries) for each in worked)
        bad = sum(bool(one.error_type) for each in worked for one in each.tries)
        if len(failed) >= LEAST_FAILURES and bad < MOSTLY_FAILS * tries:
            yield idea_of(case, block, policy, failed, (bad + 1) / (tries + 2))


def idea_of(case: Case, block: Block, policy: RetryPolicy, failed: list[RecordedBlock], fails: float) -> Idea:
    """Return the idea that a block is tried again; ``fails`` is how probably one try fails."""
    name = block.block_id
    kinds = sorted({each.error_type for each in failed})
    runs = len(case.recordings.worked(name))
    proposed = {"maxRetries": RETRIES, "baseDelay": max(BASE_DELAY_MS, policy.base_delay)}
    effect = case.effects.get(name)
    conditions = policy.retry_conditions
    written = policy.model_dump(mode="json", by_alias=True, exclude_defaults=True) | proposed
    if conditions is not None:
        written["retryConditions"] = sorted({*conditions, *map(ErrorType, kinds)})
    return Idea(
        Kind.RETRY,
        Type.RELIABILITY,
        Measure.FAILURES,
        (name,),
        f"Try '{name}' again when it fails in passing",
        f"'{name}' failed in {share(len(failed), runs)} runs with {', '.join(kinds)}, which pass, and is not tried "
        f"again. A try fails with {fails:.0%}, {RETRIES + 1} of them with {fails ** (RETRIES + 1):.1%}.",
        lambda: with_fields(case.definition, name, retryPolicy=written),
        Effort.LOW if effect is Effect.NONE else Effort.MEDIUM,
        {"retryPolicy": {"block": name, **proposed}},
        {"failed": len(failed), "runs": runs, "errorTypes": list(kinds), "tryFails": round(fails, 4)},
        rewrite=lambda recordings: _with_retries(recordings, block, policy, fails),
        condition=doubt(effect, f"'{name}' may be done twice"),
    )


def _policy(case: Case, block: Block) -> RetryPolicy | None:
    """Return the policy that a definition gives a block; None: that of the service, which tries again."""
    return block.retry_policy or case.definition.global_settings.default_retry_policy


def _is_met(block: Block) -> bool:
    return bool(block.on_error) or block.recovery is not None or block.optional or block.for_each is not None


def _passes(recorded: RecordedBlock, block: Block, policy: RetryPolicy) -> bool:
    """Tell whether work failed with an error that passes, and which the policy does not meet.

    What the block's own timeout broke off would be broken off again.
    """
    if recorded.error_type not in PASSING:
        return False
    if block.timeout is not None and is_broken_off(recorded.tries[-1], block.timeout / 1_000):
        return False
    allowed = policy.retry_conditions is None or recorded.error_type in policy.retry_conditions
    return not (allowed and policy.max_retries)


def _with_retries(recordings: Recordings, block: Block, policy: RetryPolicy, fails: float) -> Recordings:
    usual = recordings.typical[block.block_id].seconds
    # What comes before the try that works, on average: each further try is as probable as all before it failing.
    pauses = sum((BASE_DELAY_MS / 1_000) * 2**number * 0.75 * fails**number for number in range(RETRIES))

    def retried(one: RecordedBlock) -> RecordedBlock:
        if not (one.failed and _passes(one, block, policy)):
            return one
        first = replace(one.tries[-1], pause_s=pauses)
        again = Try(usual * (1 + fails))
        return replace(one, tries=(*one.tries[:-1], first, again), chance=1 - fails**RETRIES)

    return recordings.with_block(block.block_id, retried)
