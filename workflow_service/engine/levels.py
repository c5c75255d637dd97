"""The shape of a graph without its back edges: order, levels, critical path, fork-join regions.

All are computed in one pass over nodes and edges and hold for every run; nothing here decides anything.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from workflow_service.engine.graph import END_NODE, Edge, Node, NodeKind


@dataclass(frozen=True, slots=True)
class Region:
    """Blocks with one common predecessor (None: the start) and one common, only successor: ``join``."""

    fork: int | None
    members: tuple[int, ...]
    join: int


def topological_order(nodes: Sequence[Node], edges: Sequence[Edge]) -> list[int]:
    """Return the nodes so that every forward edge leads onwards; ties by index of discovery."""
    open_edges = [len(node.in_edges) for node in nodes]
    order = [node.index for node in nodes if not node.in_edges]
    for index in order:
        node = nodes[index]
        for edge in (*node.normal_edges, *node.error_edges):
            target = edges[edge].target
            if target == END_NODE or edges[edge].back:
                continue
            open_edges[target] -= 1
            if not open_edges[target]:
                order.append(target)
    return order


def levels_of(nodes: Sequence[Node], edges: Sequence[Edge], order: Sequence[int]) -> list[int]:
    """Return, by node, how many blocks lie on the longest way to it."""
    levels = [0] * len(nodes)
    for index in order:
        for edge in nodes[index].in_edges:
            source = edges[edge].source
            levels[index] = max(levels[index], levels[source] + (nodes[source].kind is NodeKind.BLOCK))
    return levels


def longest_path(
    nodes: Sequence[Node], edges: Sequence[Edge], order: Sequence[int], cost: Callable[[Node], float]
) -> tuple[int, ...]:
    """Return the blocks on the way from a root that costs most, in order; of equals the first defined."""
    total = [0.0] * len(nodes)
    before: list[int | None] = [None] * len(nodes)
    for index in order:
        sources = [edges[edge].source for edge in nodes[index].in_edges]
        if sources:
            best = max(sources, key=lambda source: (total[source], -source))
            before[index], total[index] = best, total[best]
        total[index] += cost(nodes[index])
    last: int | None = max(order, key=lambda index: (total[index], -index), default=None)
    path = []
    while last is not None:
        if nodes[last].kind is NodeKind.BLOCK:
            path.append(last)
        last = before[last]
    return tuple(reversed(path))


def block_cost(node: Node) -> float:
    """Return 1 for a block and 0 for a hidden node: without measurements every block costs the same."""
    return float(node.kind is NodeKind.BLOCK)


def regions_of(nodes: Sequence[Node], edges: Sequence[Edge]) -> tuple[Region, ...]:
    """Return the groups of at least two siblings whose only successor is the same join."""
    siblings: dict[tuple[int | None, int], list[int]] = {}
    for node in nodes:
        out = (*node.normal_edges, *node.error_edges)
        if node.kind is NodeKind.BLOCK and len(out) == 1 and len(node.in_edges) <= 1:
            edge = edges[out[0]]
            fork = edges[node.in_edges[0]].source if node.in_edges else None
            if edge.target != END_NODE and not edge.back:
                siblings.setdefault((fork, edge.target), []).append(node.index)
    return tuple(
        Region(fork, tuple(members), join) for (fork, join), members in siblings.items() if len(members) > 1
    )
