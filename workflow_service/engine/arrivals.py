"""What the in-edges of a node make of it: ready, skipped, lost, or still open.

- ``join`` "all" waits for every in-edge, then wants one taken and none lost.
- Every other join counts: it is ready at ``needed`` taken ones (any: 1, a gate: all of them), and out of reach
  for good once more in-edges are dead than it can spare; these two cannot change any more, so it is decided at
  once. In between, where losses alone keep it from being ready, it waits for the rest: whether its end is dead
  or lost, and for which origins, must not depend on which block was faster.

Each is a function of the outcomes of the in-edges and not of their order.
"""

from dataclasses import dataclass
from enum import Enum

from workflow_service.engine.graph import Node
from workflow_service.engine.states import EdgeOutcome

NO_ORIGINS: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Arrivals:
    """How a node's in-edges were resolved so far; ``origins`` are the nodes that its losses come from.

    The start of the run, where it is one more in-edge, is not counted here.
    """

    taken: int = 0
    dead: int = 0
    lost: int = 0
    origins: frozenset[int] = NO_ORIGINS

    @property
    def resolved(self) -> int:
        return self.taken + self.dead + self.lost

    def with_one(self, outcome: EdgeOutcome, origins: frozenset[int]) -> "Arrivals":
        """Return these arrivals and one more; ``origins`` are all that losses come from now."""
        return Arrivals(
            self.taken + (outcome is EdgeOutcome.TAKEN),
            self.dead + (outcome is EdgeOutcome.DEAD),
            self.lost + (outcome is EdgeOutcome.LOST),
            origins,
        )


class Fate(Enum):
    READY = "ready"
    SKIPPED = "skipped"
    LOST = "lost"


def fate_of(node: Node, arrivals: Arrivals) -> Fate | None:
    """Return what ``arrivals`` make of ``node``, None while that is open. Later arrivals never change it."""
    taken = arrivals.taken + node.starts
    complete = arrivals.resolved == len(node.in_edges)
    if node.join == "all":
        ready = taken > 0 and not arrivals.lost
    elif arrivals.dead > node.arrivals_expected - node.needed:
        return Fate.SKIPPED
    else:
        ready = taken >= node.needed
        complete = complete or ready
    if not complete:
        return None
    if ready:
        return Fate.READY
    return Fate.LOST if arrivals.lost else Fate.SKIPPED
