"""Where a graph's nodes go: layers from left to right, few crossings (Sugiyama's method, in its plain form).

Edges that run back are set aside, layers are longest paths, long edges get a waypoint in each layer they
cross, and the order within a layer follows the barycentres of the neighbours. Same graph, same picture.
"""

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

MAX_NODES = 300
MAX_EDGES = 1_500
MAX_WAYPOINTS = 6_000
SWEEPS = 8

Pair = tuple[str, str]
Slot = str | tuple[str, str, int]


class GraphTooLarge(ValueError):
    """The graph has too many nodes or edges for a picture that anybody could read."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Positions: ``x`` counts layers, ``y`` counts rows. ``routes`` holds the points of each edge."""

    positions: Mapping[str, tuple[float, float]]
    routes: Mapping[Pair, tuple[tuple[float, float], ...]]
    back_edges: frozenset[Pair]
    columns: int
    rows: float


def lay_out(nodes: Sequence[str], edges: Sequence[Pair]) -> Layout:
    """Return where everything goes; raises ``GraphTooLarge``. Edges must join nodes that are listed."""
    if len(nodes) > MAX_NODES or len(edges) > MAX_EDGES:
        raise GraphTooLarge(f"{len(nodes)} nodes and {len(edges)} edges")
    back = _back_edges(nodes, edges)
    forward = [edge for edge in edges if edge not in back]
    layer_of = _layers(nodes, forward)
    layers, chains = _with_waypoints(nodes, forward, layer_of)
    neighbours = _neighbours(chains)
    _order(layers, neighbours)
    rows = _place(layers, neighbours)
    positions = {name: (float(layer_of[name]), rows[name]) for name in nodes}
    routes = {
        pair: tuple((_column(slot, layer_of), rows[slot]) for slot in chain) for pair, chain in chains.items()
    }
    routes.update({pair: (positions[pair[0]], positions[pair[1]]) for pair in back})
    height = max(rows.values(), default=0.0) + 1
    return Layout(positions, routes, frozenset(back), len(layers), height)


def _column(slot: Slot, layer_of: Mapping[str, int]) -> float:
    return float(layer_of[slot] if isinstance(slot, str) else slot[2])


def _back_edges(nodes: Sequence[str], edges: Sequence[Pair]) -> set[Pair]:
    """Return the edges that lead to a node whose visit is still open (depth first, without recursion)."""
    successors: dict[str, list[str]] = defaultdict(list)
    for source, target in edges:
        successors[source].append(target)
    back: set[Pair] = set()
    done: set[str] = set()
    for root in nodes:
        if root in done:
            continue
        open_nodes = {root}
        stack = [(root, iter(successors[root]))]
        while stack:
            node, following = stack[-1]
            target = next(following, "")
            if not target:
                stack.pop()
                open_nodes.discard(node)
                done.add(node)
            elif target in open_nodes:
                back.add((node, target))
            elif target not in done:
                open_nodes.add(target)
                stack.append((target, iter(successors[target])))
    return back


def _layers(nodes: Sequence[str], edges: Sequence[Pair]) -> dict[str, int]:
    """Return each node's longest distance from a root."""
    missing = dict.fromkeys(nodes, 0)
    successors: dict[str, list[str]] = defaultdict(list)
    for source, target in edges:
        missing[target] += 1
        successors[source].append(target)
    layer = dict.fromkeys(nodes, 0)
    ready = deque(node for node in nodes if not missing[node])
    while ready:
        node = ready.popleft()
        for target in successors[node]:
            layer[target] = max(layer[target], layer[node] + 1)
            missing[target] -= 1
            if not missing[target]:
                ready.append(target)
    return layer


def _with_waypoints(
    nodes: Sequence[str], edges: Sequence[Pair], layer_of: Mapping[str, int]
) -> tuple[list[list[Slot]], dict[Pair, list[Slot]]]:
    layers: list[list[Slot]] = [[] for _ in range(max(layer_of.values(), default=0) + 1)]
    for node in nodes:
        layers[layer_of[node]].append(node)
    chains: dict[Pair, list[Slot]] = {}
    waypoints = 0
    for source, target in edges:
        between: list[Slot] = [
            (source, target, column) for column in range(layer_of[source] + 1, layer_of[target])
        ]
        waypoints += len(between)
        if waypoints > MAX_WAYPOINTS:
            raise GraphTooLarge(f"more than {MAX_WAYPOINTS} edge crossings of layers")
        for offset, slot in enumerate(between, start=layer_of[source] + 1):
            layers[offset].append(slot)
        chains[source, target] = [source, *between, target]
    return layers, chains


def _neighbours(chains: Mapping[Pair, list[Slot]]) -> tuple[dict[Slot, list[Slot]], dict[Slot, list[Slot]]]:
    left: dict[Slot, list[Slot]] = defaultdict(list)
    right: dict[Slot, list[Slot]] = defaultdict(list)
    for chain in chains.values():
        for source, target in pairwise(chain):
            right[source].append(target)
            left[target].append(source)
    return left, right


def _order(
    layers: list[list[Slot]], neighbours: tuple[dict[Slot, list[Slot]], dict[Slot, list[Slot]]]
) -> None:
    """Sort each layer by where its neighbours in the layer before, then in the layer after, stand."""
    left, right = neighbours
    for sweep in range(SWEEPS):
        forward = sweep % 2 == 0
        ordered, side = (layers, left) if forward else (layers[::-1], right)
        for before, layer in pairwise(ordered):
            _sort_by_barycentre(layer, side, {slot: index for index, slot in enumerate(before)})


def _sort_by_barycentre(
    layer: list[Slot], side: Mapping[Slot, list[Slot]], place: Mapping[Slot, int]
) -> None:
    weight = {
        slot: sum(place[other] for other in side[slot]) / len(side[slot]) if side.get(slot) else float(index)
        for index, slot in enumerate(layer)
    }
    layer.sort(key=lambda slot: weight[slot])


def _place(
    layers: list[list[Slot]], neighbours: tuple[dict[Slot, list[Slot]], dict[Slot, list[Slot]]]
) -> dict[Slot, float]:
    """Return rows: each slot near the middle of its neighbours, a row or more from the next one."""
    left, right = neighbours
    rows: dict[Slot, float] = {slot: float(index) for layer in layers for index, slot in enumerate(layer)}
    for sweep in range(SWEEPS):
        side = left if sweep % 2 == 0 else right
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            wanted = [
                sum(rows[other] for other in side[slot]) / len(side[slot]) if side.get(slot) else rows[slot]
                for slot in layer
            ]
            _spread(layer, wanted, rows)
    top = min(rows.values(), default=0.0)
    return {slot: row - top for slot, row in rows.items()}


def _spread(layer: list[Slot], wanted: Sequence[float], rows: dict[Slot, float]) -> None:
    last = float("-inf")
    for slot, row in zip(layer, wanted, strict=True):
        last = max(row, last + 1)
        rows[slot] = last
    if layer:
        shift = sum(wanted) / len(wanted) - sum(rows[slot] for slot in layer) / len(layer)
        for slot in layer:
            rows[slot] += shift
