"""The immutable plan of a definition: what ``decide`` walks, compiled once per template version.

A plan holds no finding of severity ERROR; its graph without back edges has no cycle. Everything that would be
costly while running is computed here once, except who can reach whom: that is asked only when a block has
failed, and then remembered.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from workflow_service.engine import levels
from workflow_service.engine.definition import Definition
from workflow_service.engine.errors import InvalidDefinition, Problem
from workflow_service.engine.findings import errors_in
from workflow_service.engine.graph import (
    END_NODE,
    Edge,
    EdgeKind,
    Graph,
    Node,
    NodeKind,
    Routing,
    RoutingBranch,
)
from workflow_service.engine.levels import Region
from workflow_service.engine.loops import Loop, LoopNest
from workflow_service.engine.secret_places import misplaced_secrets
from workflow_service.engine.validation import check

__all__ = [
    "END_NODE",
    "Edge",
    "EdgeKind",
    "Loop",
    "Node",
    "NodeKind",
    "Plan",
    "Region",
    "Routing",
    "RoutingBranch",
    "compile_plan",
    "unsupported_features",
]


@dataclass(frozen=True, slots=True)
class Plan:
    """``roots`` are the blocks that begin a run; ``levels`` groups blocks that nothing keeps from
    overlapping.

    ``names_used`` are the context keys that any expression reads. A loop is numbered, by its place in ``loops``.
    """

    definition: Definition
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    node_by_id: Mapping[str, int]
    roots: tuple[int, ...]
    loops: tuple[Loop, ...]
    regions: tuple[Region, ...]
    levels: tuple[tuple[int, ...], ...]
    critical_path: tuple[int, ...]
    has_end_edges: bool
    names_used: frozenset[str]
    _reached: dict[int, bytes] = field(default_factory=dict, repr=False, compare=False)

    def joins_after(self, node: int) -> tuple[int, ...]:
        """Return the nodes with several in-edges that an edge of ``node`` leads to."""
        edges = (*self.nodes[node].normal_edges, *self.nodes[node].error_edges)
        targets = dict.fromkeys(self.edges[edge].target for edge in edges)
        return tuple(
            target for target in targets if target != END_NODE and len(self.nodes[target].in_edges) > 1
        )

    def error_edges_reach(self, origin: int, target: int) -> bool:
        """Return whether ``target`` lies on a way that begins with an error edge of ``origin``."""
        if not self.is_recoverable(origin):
            return False
        reached = self._reached.get(origin)
        if reached is None:
            reached = self._reached[origin] = self._reach(origin)
        # The end of the run, -1, has the last bit.
        return bool(reached[target >> 3] >> (target & 7) & 1)

    def is_recoverable(self, origin: int) -> bool:
        """Return whether an error edge may make good what was lost at ``origin``; at a loop's limit none does."""
        return origin >= 0 and bool(self.nodes[origin].error_edges)

    def _reach(self, origin: int) -> bytes:
        """Return a bit for each node on a way from ``origin``'s error edges; one bit, as there may be
        many."""
        reached = bytearray((len(self.nodes) >> 3) + 1)
        pending = [self.edges[edge].target for edge in self.nodes[origin].error_edges]
        while pending:
            target = pending.pop()
            if reached[target >> 3] >> (target & 7) & 1:
                continue
            reached[target >> 3] |= 1 << (target & 7)
            if target != END_NODE:
                node = self.nodes[target]
                out = (self.edges[edge] for edge in (*node.normal_edges, *node.error_edges))
                pending.extend(edge.target for edge in out if not edge.back)
        return bytes(reached)


def compile_plan(definition: Definition) -> Plan:
    """Compile ``definition``; raises ``InvalidDefinition`` with every finding of severity ERROR."""
    checked = check(definition)
    problems = errors_in(checked.findings)
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise InvalidDefinition(f"{problems[0].message}{more}", problems)
    return _plan(checked.graph, checked.nest)


def _plan(graph: Graph, nest: LoopNest) -> Plan:
    edges = tuple(nest.placed(edge) for edge in graph.edges) if nest.loops else graph.edges
    forward = [
        replace(node, in_edges=tuple(edge for edge in node.in_edges if not edges[edge].back))
        if nest.back_edges
        else node
        for node in graph.nodes
    ]
    order = levels.topological_order(forward, edges)
    level_of = levels.levels_of(forward, edges, order)
    nodes = tuple(
        replace(node, level=level_of[node.index], loop=nest.loop_of[node.index]) for node in forward
    )
    blocks_by_level: list[list[int]] = [[] for _ in range(max(level_of, default=0) + 1)]
    for node in nodes:
        if node.kind is NodeKind.BLOCK:
            blocks_by_level[node.level].append(node.index)
    return Plan(
        graph.definition,
        nodes,
        edges,
        graph.node_by_id,
        roots=tuple(node.index for node in nodes if begins(node)),
        loops=nest.loops,
        regions=levels.regions_of(nodes, edges),
        levels=tuple(tuple(blocks) for blocks in blocks_by_level if blocks),
        critical_path=levels.longest_path(nodes, edges, order, levels.block_cost),
        has_end_edges=any(edge.target == END_NODE for edge in edges),
        names_used=frozenset().union(*map(_names_read, nodes)),
    )


def begins(node: Node) -> bool:
    """Return whether the start of the run alone makes ``node`` ready."""
    if not node.in_edges:
        return True
    return node.starts and node.join != "all" and node.needed == 1


def _names_read(node: Node) -> frozenset[str]:
    names = node.references.context | node.routing_references.context
    for part in (node.fallback, node.undo):
        names |= part.references.context if part is not None else frozenset()
    for _, expression in node.output_mapping:
        names |= expression.references.context - {"output"}
    return names


def unsupported_features(plan: Plan) -> tuple[Problem, ...]:
    """Return what the plan holds that is understood, but cannot be run by this version."""
    found: list[Problem] = []
    for node in plan.nodes:
        found += misplaced_secrets(node)
    return tuple(found)
