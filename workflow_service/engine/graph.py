"""The vocabulary of plans: nodes by index, edges by index, how a node routes.

There is one edge per pair of nodes and kind. Values only: ``wiring`` makes them from a definition.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from workflow_service.engine.definition import Block, Definition
from workflow_service.engine.expressions import Expression, References
from workflow_service.engine.findings import Finding
from workflow_service.engine.interpolation import Template

END_NODE = -1


class NodeKind(StrEnum):
    BLOCK = "block"
    GATE = "gate"
    DECIDE = "decide"


class EdgeKind(StrEnum):
    NORMAL = "normal"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Edge:
    """A way from one node to another; ``target`` is ``END_NODE`` for the end of the run.

    ``conditional`` says that a completed source may leave it out. ``back`` edges start a loop's next round
    and are no in-edges of their target. ``leaves`` are the loops, inner before outer, that end before the edge
    is resolved at its target; ``enters`` is the loop that it leads into.
    """

    index: int
    source: int
    target: int
    kind: EdgeKind = EdgeKind.NORMAL
    conditional: bool = False
    back: bool = False
    leaves: tuple[int, ...] = ()
    enters: int | None = None


@dataclass(frozen=True, slots=True)
class RoutingBranch:
    """One conditional way out: an expression, or a question to the LLM.

    Where both are there, the expression answers the question for a model that cannot.
    """

    expression: Expression | None
    question: str | None
    edges: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Routing:
    """How a completed node chooses among its normal edges.

    ``always`` is taken whatever the branches say; ``default`` is None where there is none. ``set`` names the
    values a gate computes, in order, before its branches are read.
    """

    mode: Literal["exclusive", "inclusive"] = "exclusive"
    always: tuple[int, ...] = ()
    branches: tuple[RoutingBranch, ...] = ()
    default: tuple[int, ...] | None = None
    set: tuple[tuple[str, Expression], ...] = ()

    @property
    def asks(self) -> bool:
        """Whether a branch is a question, which no settlement can answer by itself."""
        return any(branch.question is not None for branch in self.branches)


@dataclass(frozen=True, slots=True)
class Node:
    """A block, or a hidden gate or DECIDE node behind one.

    ``in_edges`` are the forward ones. ``starts`` is one more in-edge, taken when the run begins. ``needed``
    is how many taken in-edges make the node ready (``join`` "all" also wants every in-edge resolved and none
    lost). ``references`` are what its work reads (configuration, guard, ``forEach``), ``routing_references``
    what its branches read. ``fallback`` and ``undo`` are the configurations of what stands in for it and undoes it,
    with references of their own. ``level`` counts the blocks on the longest way to it.
    """

    index: int
    id: str
    kind: NodeKind
    pointer: str
    block: Block | None = None
    join: Literal["all", "any", "every"] | int = "all"
    starts: bool = False
    in_edges: tuple[int, ...] = ()
    normal_edges: tuple[int, ...] = ()
    error_edges: tuple[int, ...] = ()
    routing: Routing = Routing()
    guard: Expression | None = None
    template: Template | None = None
    for_each: Template | None = None
    fallback: Template | None = None
    undo: Template | None = None
    output_mapping: tuple[tuple[str, Expression], ...] = ()
    references: References = field(default_factory=References)
    routing_references: References = field(default_factory=References)
    level: int = 0
    loop: int | None = None

    @property
    def arrivals_expected(self) -> int:
        """How many in-edges will be resolved, the one from the start of the run included."""
        return len(self.in_edges) + self.starts

    @property
    def needed(self) -> int:
        if self.join == "every":
            return len(self.in_edges)
        return self.join if isinstance(self.join, int) else 1


@dataclass(frozen=True, slots=True)
class Graph:
    """All nodes and edges of a definition, with what was wrong in building them."""

    definition: Definition
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    node_by_id: Mapping[str, int]
    findings: tuple[Finding, ...]

    def successors(self) -> list[list[int]]:
        """Return the targets of each node's edges, ``end`` left out."""
        found: list[list[int]] = [[] for _ in self.nodes]
        for edge in self.edges:
            if edge.target != END_NODE:
                found[edge.source].append(edge.target)
        return found
