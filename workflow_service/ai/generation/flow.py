"""The vocabulary of generation: steps, the ways between them, and the facts that the ways depend on. Values only."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from workflow_service.engine.definition import END, START


class StepKind(StrEnum):
    """What a step is, as far as it matters for who does it."""

    WORK = "work"
    APPROVAL = "approval"
    TRIGGER = "trigger"
    SIGNAL = "signal"
    PAUSE = "pause"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do. ``title`` is a short sentence, ``text`` the words it came from; durations are milliseconds.

    ``who`` is the person or role that is asked; ``for_each`` names the list in the run's input whose items are
    worked on one by one; ``retries`` None leaves it to the defaults.
    """

    id: str
    title: str
    text: str = ""
    kind: StepKind = StepKind.WORK
    who: str = ""
    agent: str = ""
    capability: str = ""
    for_each: str = ""
    retries: int | None = None
    retry_delay_ms: int | None = None
    timeout_ms: int | None = None
    duration_ms: int | None = None
    signal: str = ""
    max_rounds: int | None = None
    optional: bool = False
    asks_first: bool = False


@dataclass(frozen=True, slots=True)
class Way:
    """A way on: from one step, or from several that all must have led there.

    Without ``condition`` it is always gone, unless it ``is_default`` (gone where no condition of its source holds) or
    ``on_error`` (gone where the source fails).
    """

    sources: tuple[str, ...]
    target: str
    condition: str | None = None
    is_default: bool = False
    on_error: bool = False

    @property
    def is_plain(self) -> bool:
        return self.condition is None and not self.is_default and not self.on_error


@dataclass(frozen=True, slots=True)
class Flow:
    """What is to be done. ``start`` and ``end`` stand among the sources and targets of ``ways``."""

    steps: tuple[Step, ...]
    ways: tuple[Way, ...]
    name: str = ""
    description: str = ""
    notes: tuple[str, ...] = field(default=())

    def step(self, step_id: str) -> Step:
        """Return the step of that id; raises ``KeyError``."""
        for step in self.steps:
            if step.id == step_id:
                return step
        raise KeyError(step_id)

    def ways_from(self, step_id: str) -> tuple[Way, ...]:
        """Return the ways that leave that step alone."""
        return tuple(way for way in self.ways if way.sources == (step_id,))

    def ways_to(self, step_id: str) -> tuple[Way, ...]:
        """Return the ways that lead to that step."""
        return tuple(way for way in self.ways if way.target == step_id)

    def starts(self) -> tuple[str, ...]:
        """Return the steps with which the run begins."""
        return tuple(way.target for way in self.ways if START in way.sources)

    def with_notes(self, notes: Iterable[str]) -> "Flow":
        """Return the flow with more to say about it, each thing once."""
        return replace(self, notes=tuple(dict.fromkeys((*self.notes, *notes))))

    def with_step(self, changed: Step) -> "Flow":
        """Return the flow with ``changed`` in place of the step of its id."""
        return replace(self, steps=tuple(changed if one.id == changed.id else one for one in self.steps))


def closed(flow: Flow) -> Flow:
    """Return the flow with a way to ``end`` from every step that leads nowhere, and from ``start`` to the unreached."""
    leading = {source for way in flow.ways if not way.on_error for source in way.sources}
    reached = {way.target for way in flow.ways}
    starts = [Way((START,), step.id) for step in flow.steps if step.id not in reached]
    ends = [Way((step.id,), END) for step in flow.steps if step.id not in leading]
    return replace(flow, ways=(*starts, *flow.ways, *ends))
