"""Timeouts that break off work which was merely slow, and those that let work hang far longer than it ever takes.

Durations of work are taken to be log-normal, fitted by the median and the lower quartile of all tries, so that those
which were broken off count as what they are: longer than the timeout.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import ceil, exp, log
from statistics import NormalDist

from workflow_service.advisor.editing import with_fields
from workflow_service.advisor.ideas import Case, Idea
from workflow_service.advisor.recordings import RecordedBlock, Recordings, Try, quantile
from workflow_service.advisor.vocabulary import Effort, Kind, Measure, Type
from workflow_service.advisor.wording import share
from workflow_service.engine.definition import Block
from workflow_service.engine.states import ErrorType

LEAST_BROKEN_OFF = 3
LEAST_DONE = 10
# Work counts as broken off by its own timeout where it lasted about as long.
OWN_TIMEOUT = 0.9
NEAR = 0.5
FAR = 5.0
MARGIN = 3.0
SHORTEST_MS = 1_000
LONGEST_MS = 7 * 86_400_000


@dataclass(frozen=True, slots=True)
class Tries:
    """The seconds of tries that were done, and those that the block's timeout broke off."""

    done: tuple[float, ...]
    broken_off: int
    timeout_s: float

    @property
    def longest_s(self) -> float:
        return max(self.done, default=0.0)


def timeouts(case: Case) -> Iterator[Idea]:
    """Yield an idea for each block whose timeout is too short, or far too long."""
    for block in case.definition.blocks:
        if block.timeout is None or block.for_each is not None or block.asks_people:
            continue
        tries = _tries_of(case, block.block_id, block.timeout / 1_000)
        if tries.broken_off < LEAST_BROKEN_OFF or len(tries.done) < LEAST_DONE:
            continue
        if quantile(tries.done, 0.9) >= NEAR * tries.timeout_s:
            yield from _longer(case, block, tries)
        elif tries.timeout_s >= FAR * tries.longest_s:
            yield _shorter(case, block, tries)


def _tries_of(case: Case, name: str, timeout_s: float) -> Tries:
    done: list[float] = []
    broken_off = 0
    for block in case.recordings.worked(name):
        for each in block.tries:
            if is_broken_off(each, timeout_s):
                broken_off += 1
            elif not each.error_type:
                done.append(each.seconds)
    return Tries(tuple(done), broken_off, timeout_s)


def is_broken_off(one: Try, timeout_s: float) -> bool:
    """Tell whether a try was ended by a timeout of so many seconds."""
    return one.error_type == ErrorType.TIMEOUT_ERROR and one.seconds >= OWN_TIMEOUT * timeout_s


def _longer(case: Case, block: Block, tries: Tries) -> Iterator[Idea]:
    lasting = _distribution(tries)
    if lasting is None:
        return
    timeout_s = max(2 * tries.timeout_s, exp(lasting.mean + 3 * lasting.stdev))
    timeout_ms = min(LONGEST_MS, ceil(timeout_s) * 1_000)
    now, then = lasting.cdf(log(tries.timeout_s)), lasting.cdf(log(timeout_ms / 1_000))
    chance = (then - now) / (1 - now) if now < 1 else 0.0
    whole = _whole(tries)
    lasts_s = exp(lasting.inv_cdf((now + then) / 2))

    def allowed(one: RecordedBlock) -> RecordedBlock:
        if not one.failed or not is_broken_off(one.tries[-1], tries.timeout_s):
            return one
        return replace(one, tries=(*one.tries[:-1], Try(lasts_s)), chance=chance)

    yield Idea(
        Kind.TIMEOUT,
        Type.RELIABILITY,
        Measure.FAILURES,
        (block.block_id,),
        f"Give '{block.block_id}' more time",
        f"'{block.block_id}' was broken off after {tries.timeout_s:g} s in {share(tries.broken_off, whole)} tries; a "
        f"tenth of those that were done took {quantile(tries.done, 0.9):.1f} s or more. With "
        f"{timeout_ms / 1_000:g} s {chance:.0%} of what was broken off would be done.",
        lambda: with_fields(case.definition, block.block_id, timeout=timeout_ms),
        Effort.LOW,
        {"timeout": {"block": block.block_id, "milliseconds": timeout_ms}},
        _evidence(tries),
        rewrite=_each(block.block_id, allowed),
    )


def _shorter(case: Case, block: Block, tries: Tries) -> Idea:
    timeout_ms = max(SHORTEST_MS, ceil(MARGIN * tries.longest_s) * 1_000)

    def cut(one: RecordedBlock) -> RecordedBlock:
        after = tuple(
            replace(each, seconds=timeout_ms / 1_000) if is_broken_off(each, tries.timeout_s) else each
            for each in one.tries
        )
        return replace(one, tries=after)

    return Idea(
        Kind.TIMEOUT,
        Type.PERFORMANCE,
        Measure.DURATION,
        (block.block_id,),
        f"Do not let '{block.block_id}' hang",
        f"'{block.block_id}' hung for {tries.timeout_s:g} s in {share(tries.broken_off, _whole(tries))} tries before "
        f"it was broken off, and never took more than {tries.longest_s:.1f} s when it was done.",
        lambda: with_fields(case.definition, block.block_id, timeout=timeout_ms),
        Effort.LOW,
        {"timeout": {"block": block.block_id, "milliseconds": timeout_ms}},
        _evidence(tries),
        rewrite=_each(block.block_id, cut),
    )


def _each(name: str, change: Callable[[RecordedBlock], RecordedBlock]) -> Callable[[Recordings], Recordings]:
    """Return the rewriting that changes every recording of one block."""
    return lambda recordings: recordings.with_block(name, change)


def _distribution(tries: Tries) -> NormalDist | None:
    """Return how the logarithms of durations lie; None where more than half was broken off."""
    every = [*tries.done, *([float("inf")] * tries.broken_off)]
    middle, quarter = quantile(every, 0.5), quantile(every, 0.25)
    if middle == float("inf") or not quarter > 0:
        return None
    spread = (log(middle) - log(quarter)) / 0.6745
    return NormalDist(log(middle), spread) if spread > 0 else None


def _whole(tries: Tries) -> int:
    return len(tries.done) + tries.broken_off


def _evidence(tries: Tries) -> dict[str, float | int]:
    return {
        "timeoutSeconds": tries.timeout_s,
        "brokenOff": tries.broken_off,
        "done": len(tries.done),
        "medianSeconds": round(quantile(tries.done, 0.5), 3),
        "longestSeconds": round(tries.longest_s, 3),
    }
