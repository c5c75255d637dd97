"""The detectors: each finds one kind of what could be better, and answers with ideas that a replay then weighs."""

from collections.abc import Callable, Iterator

from workflow_service.advisor.ideas import Case, Idea

Detector = Callable[[Case], Iterator[Idea]]

DETECTORS: tuple[Detector, ...] = ()


def detect(case: Case) -> Iterator[Idea]:
    """Yield every idea about a case."""
    for detector in DETECTORS:
        yield from detector(case)
