"""Loops while they run: where their nodes stand, and what a round leaves behind.

Seen from outside a loop is one block. Its instance awaits the fate of each of its entries; then it is skipped, or
its first round begins at the entries that are ready. In a round every node of the body resolves once; edges that
lead back or out are noted, not followed. When nothing in the round is active any more, the noted back edges begin
the next round, or, if there is none, the noted exits resolve outside. Since only the current round of a loop
around it can hold an instance, there is at most one of each loop that is not closed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from workflow_service.engine.arrivals import Arrivals
from workflow_service.engine.states import EdgeOutcome

NOT_BEGUN = -1


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node's row stands: the run itself, or a round of a loop's instance."""

    scope: int = 0
    index: int = 0


THE_RUN = Place()


@dataclass(frozen=True, slots=True)
class LoopState:
    """One instance of a loop; ``scope`` is the caller's name for it, negative where a settlement made it.

    ``open`` counts the nodes and inner loops of this round that are active. ``back`` are the back edges taken in it,
    ``exits`` the outcomes of the edges that leave the loop, with the origins of what is
    lost. ``broken``: a failure forbids another round. ``arrivals`` are those at the entries, from outside;
    ``closed``: no more of them will come to a loop that has ended.
    """

    scope: int
    loop: int
    parent: Place = THE_RUN
    round: int = NOT_BEGUN
    first_round: int = 0
    open: int = 0
    broken: bool = False
    ended: bool = False
    closed: bool = False
    back: frozenset[int] = frozenset()
    exits: Mapping[int, tuple[EdgeOutcome, frozenset[int]]] = field(default_factory=dict)
    arrivals: Mapping[int, Arrivals] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LoopLimit:
    """A loop that was to begin another round than its bound allows; ``node`` led back, and is in ``scope``."""

    loop: int
    scope: int
    node: int
    rounds: int


def limit_origin(loop: int) -> int:
    """Return the origin of what is lost when a loop reaches its limit: no node, so nothing makes it good."""
    return -2 - loop


@dataclass(slots=True)
class Instance:
    """A ``LoopState`` that a settlement is changing."""

    scope: int
    loop: int
    parent: Place
    round: int = NOT_BEGUN
    first_round: int = 0
    open: int = 0
    broken: bool = False
    ended: bool = False
    back: set[int] = field(default_factory=set)
    exits: dict[int, tuple[EdgeOutcome, frozenset[int]]] = field(default_factory=dict)
    arrivals: dict[int, Arrivals] = field(default_factory=dict)

    @classmethod
    def of(cls, state: LoopState) -> "Instance":
        return cls(
            state.scope,
            state.loop,
            state.parent,
            state.round,
            state.first_round,
            state.open,
            state.broken,
            state.ended,
            set(state.back),
            dict(state.exits),
            dict(state.arrivals),
        )

    @property
    def place(self) -> Place:
        return Place(self.scope, self.round)

    @property
    def is_running(self) -> bool:
        return self.round != NOT_BEGUN and not self.ended

    def begin_round(self) -> None:
        """Forget the last round and begin the next."""
        self.round += 1
        self.open, self.broken = 0, False
        self.back, self.exits = set(), {}

    def state(self, *, closed: bool) -> LoopState:
        return LoopState(
            self.scope,
            self.loop,
            self.parent,
            self.round,
            self.first_round,
            self.open,
            self.broken,
            self.ended,
            closed,
            frozenset(self.back),
            dict(self.exits),
            dict(self.arrivals),
        )
