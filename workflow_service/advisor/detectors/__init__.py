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


def detect(case: Case) -> Iterator[Idea]:
    """Yield every idea about a case."""
    for detector in DETECTORS:
        yield from detector(case)
