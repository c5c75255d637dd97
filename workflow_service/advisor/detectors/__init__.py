"""The detectors: each finds one kind of what could be better, and answers with ideas that a replay then weighs."""

from collections.abc import Callable, Iterator

from workflow_service.advisor.detectors.caching import cache
from workflow_service.advisor.detectors.cheaper_model import cheaper_model
from workflow_service.advisor.detectors.dead_branches import dead_branches
from workflow_service.advisor.detectors.parallelise import parallelise
from workflow_service.advisor.detectors.reorder import reorder
from workflow_service.advisor.detectors.retrying import retry
from workflow_service.advisor.detectors.splitting import split
from workflow_service.advisor.detectors.timeouts import timeouts
from workflow_service.advisor.ideas import Case, Idea
from workflow_service.engine.recommendations import Effect

Detector = Callable[[Case], Iterator[Idea]]

DETECTORS: tuple[Detector, ...] = (
    parallelise,
    retry,
    timeouts,
    cache,
    cheaper_model,
    reorder,
    dead_branches,
    split,
)


# What the rules hold back, and somebody who understands what a workflow is for may think worth it.
LONGER_CHARACTERS, MORE_ANSWERS = 1_000, 50


def held_back(case: Case) -> Iterator[Idea]:
    """Yield ideas that the rules alone do not propose: effects that are not known, answers that are not short."""
    yield from cache(case, Effect.UNKNOWN)
    known = {idea.subject for idea in cheaper_model(case)}
    for idea in cheaper_model(case, LONGER_CHARACTERS, MORE_ANSWERS):
        if idea.subject not in known:
            yield idea


def detect(case: Case) -> Iterator[Idea]:
    """Yield every idea about a case."""
    for detector in DETECTORS:
        yield from detector(case)
