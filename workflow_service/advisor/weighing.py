"""Ideas weighed: each is replayed over the recorded runs beside the definition as it is, and must be worth it.

An idea is dropped whose definition is not sound, that saves less than a twentieth of what it is meant to lower or less
than a moment, or that buys it with something else: more failures, or a tenth more time or money.
"""

import logging
from collections.abc import Iterable, Iterator

from workflow_service.advisor.ideas import Case, Idea, Weighed
from workflow_service.advisor.replay import Outlook, Unending, improvement, replay
from workflow_service.advisor.vocabulary import Effort, Measure
from workflow_service.engine.errors import InvalidDefinition
from workflow_service.engine.plan import compile_plan

logger = logging.getLogger(__name__)

LEAST_SHARE = 0.05
# What saves a run less than that nobody notices, and it lies below what a replay can tell apart.
LEAST_SECONDS = 0.02
WORSE_BY = 0.10
MORE_FAILURES = 0.005
MAX_SUGGESTIONS = 20
MAX_IDEAS = 20


def weigh(case: Case, ideas: Iterable[Idea]) -> tuple[Outlook, tuple[Weighed, ...]]:
    """Return how the case runs now, and the ideas that are worth it, what saves most first."""
    now = replay(case.plan, case.recordings)
    promising = [idea for idea in ideas if _may_be_worth_it(case, now, idea)]
    promising.sort(key=lambda idea: -_seconds_of(case, idea))
    found = [weighed for idea in promising[:MAX_IDEAS] for weighed in _weigh(case, now, idea)]
    found.sort(key=lambda each: (priority_of(each), -each.share, each.idea.kind, each.idea.subject))
    return now, tuple(found[:MAX_SUGGESTIONS])


def priority_of(weighed: Weighed) -> int:
    """Return how urgent it is, 1 to 5: by the share it saves, reliability before the rest, upkeep last."""
    if weighed.idea.measure is Measure.SIZE:
        return 5
    steps = 4 if weighed.share < 0.1 else 3 if weighed.share < 0.25 else 2
    lifted = weighed.idea.measure is Measure.FAILURES or weighed.idea.effort is Effort.LOW
    return max(1, steps - lifted)


def _may_be_worth_it(case: Case, now: Outlook, idea: Idea) -> bool:
    """Tell whether a replay is worth its time: what takes no time cannot save any, however it is arranged."""
    return idea.measure is not Measure.DURATION or _seconds_of(case, idea) >= LEAST_SHARE * now.duration


def _seconds_of(case: Case, idea: Idea) -> float:
    """Return the seconds of a run in which an idea's blocks are at work or about to be."""
    runs = case.recordings.runs
    worked = [block for name in idea.blocks for block in case.recordings.by_block.get(name, ())]
    lag_s = sum(max(run.lag_s, run.message_s) for run in runs) / max(1, len(runs))
    return sum(block.seconds + lag_s for block in worked) / max(1, len(runs))


def _weigh(case: Case, now: Outlook, idea: Idea) -> Iterator[Weighed]:
    try:
        definition = idea.make()
        plan = compile_plan(definition)
        then = replay(plan, idea.rewrite(case.recordings))
    except (InvalidDefinition, Unending) as error:
        logger.info("an idea (%s of %s) does not hold: %s", idea.kind, idea.subject, error)
        return
    share = improvement(idea.measure, now, then)
    if share < (0.0 if idea.measure is Measure.SIZE else LEAST_SHARE) or share <= 0:
        return
    if idea.measure is Measure.DURATION and now.duration - then.duration < LEAST_SECONDS:
        return
    if _costs_too_much(now, then):
        return
    yield Weighed(
        idea,
        definition,
        now.of(idea.measure),
        then.of(idea.measure),
        share,
        _left(now.duration, then.duration),
        then.failures,
        _left(now.cost, then.cost),
    )


def _costs_too_much(now: Outlook, then: Outlook) -> bool:
    if then.failures > now.failures + MORE_FAILURES:
        return True
    # Runs that are saved go on to their end, which takes its time and money.
    if then.failures < now.failures:
        return False
    return then.duration > now.duration * (1 + WORSE_BY) or then.cost > now.cost * (1 + WORSE_BY)


def _left(before: float, after: float) -> float:
    return min(1.0, after / before) if before > 0 else 1.0
