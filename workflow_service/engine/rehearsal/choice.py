"""Where a dry run goes where nothing forces it: the natural way, or towards what no run has reached yet."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from workflow_service.engine.graph import END_NODE, Edge, Node
from workflow_service.engine.plan import Plan

FAR = 1_000_000
MAX_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Way:
    """One way out of a node: the branch of that position, None for the default."""

    branch: int | None
    edges: tuple[int, ...]


class Ways(Protocol):
    """Says which way a dry run had better go."""

    @property
    def insists(self) -> bool:
        """Whether other values may take the place of assumed ones for the sake of a way."""

    def order(self, node: Node, taken: Mapping[int, int]) -> Sequence[Way]:
        """Return the ways out of ``node``, the best first; ``taken`` counts what this run has taken."""

    def fails(self, node: Node, taken: Mapping[int, int]) -> bool:
        """Tell whether ``node`` had better fail, though nothing says that it does."""

    def enters(self, node: Node) -> bool:
        """Tell whether the guard of ``node`` had better hold."""


def ways_of(node: Node) -> list[Way]:
    """Return the ways among which ``node`` chooses; of no conditions there are none."""
    routing = node.routing
    if not routing.branches:
        return []
    ways = [Way(position, branch.edges) for position, branch in enumerate(routing.branches)]
    return ways if routing.default is None else [*ways, Way(None, routing.default)]


class Natural:
    """Onwards, by the first condition that leads there; every loop is left after its first round."""

    insists = False

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def order(self, node: Node, taken: Mapping[int, int]) -> Sequence[Way]:
        def cost(way: Way) -> tuple[int, bool]:
            backwards = any(self._plan.edges[edge].back for edge in way.edges)
            return sum(taken.get(edge, 0) for edge in way.edges), backwards

        return sorted(ways_of(node), key=cost)

    def fails(self, node: Node, taken: Mapping[int, int]) -> bool:
        return False

    def enters(self, node: Node) -> bool:
        return True


class Leading:
    """Towards the nearest edge that no run has taken yet; one that was wanted in vain is given up after some runs."""

    insists = True

    def __init__(
        self,
        plan: Plan,
        taken: frozenset[int],
        reached: frozenset[str],
        attempts: Mapping[int, int] | None = None,
    ) -> None:
        self._plan = plan
        self._taken = taken
        self._reached = reached
        self._attempts = dict(attempts or {})
        self._wanted: set[int] = set()
        self._goals = {
            edge.index
            for edge in plan.edges
            if edge.index not in taken and self._attempts.get(edge.index, 0) < MAX_ATTEMPTS
        }
        self._distance = self._distances()

    def has_goals(self) -> bool:
        return bool(self._goals)

    def after(self, taken: frozenset[int], reached: frozenset[str]) -> "Leading":
        """Return who leads the next run: what was wanted in this one and not taken has been tried once more."""
        attempts = dict(self._attempts)
        wanted = self._wanted or self._goals
        for edge in wanted - taken:
            attempts[edge] = attempts.get(edge, 0) + 1
        return Leading(self._plan, taken, reached, attempts)

    def order(self, node: Node, taken: Mapping[int, int]) -> Sequence[Way]:
        def cost(way: Way) -> tuple[int, int, bool]:
            backwards = any(self._plan.edges[edge].back for edge in way.edges)
            return self._cost(way.edges, taken)[0], self._cost(way.edges, taken)[1], backwards

        ways = sorted(ways_of(node), key=cost)
        if ways:
            self._wanted.update(edge for edge in ways[0].edges if edge in self._goals)
        return ways

    def fails(self, node: Node, taken: Mapping[int, int]) -> bool:
        if not node.error_edges:
            return False
        times, distance = self._cost(node.error_edges, taken)
        better = (times, distance) < min(
            [self._cost((edge,), taken) for edge in node.normal_edges], default=(FAR, FAR)
        )
        if better and distance < FAR:
            self._wanted.update(edge for edge in node.error_edges if edge in self._goals)
            return True
        return False

    def enters(self, node: Node) -> bool:
        ways = [edge for edge in (*node.normal_edges, *node.error_edges) if edge in self._goals]
        return bool(ways) or node.id not in self._reached or self._distance[node.index] < FAR

    def _cost(self, edges: Sequence[int], taken: Mapping[int, int]) -> tuple[int, int]:
        times = sum(taken.get(edge, 0) for edge in edges)
        return times, min((self._beyond(edge) for edge in edges), default=FAR)

    def _beyond(self, index: int) -> int:
        """Return how many edges a goal is away by way of an edge."""
        if index in self._goals:
            return 0
        target = self._plan.edges[index].target
        return FAR if target == END_NODE else min(FAR, 1 + self._distance[target])

    def _distances(self) -> list[int]:
        """Return, by node, how many edges the nearest goal is away; a goal of its own is 0 away."""
        distance = [FAR] * len(self._plan.nodes)
        incoming: list[list[Edge]] = [[] for _ in self._plan.nodes]
        pending: deque[int] = deque()
        for edge in self._plan.edges:
            if edge.target != END_NODE:
                incoming[edge.target].append(edge)
            if edge.index in self._goals and distance[edge.source]:
                distance[edge.source] = 0
                pending.append(edge.source)
        while pending:
            node = pending.popleft()
            for edge in incoming[node]:
                if distance[edge.source] == FAR:
                    distance[edge.source] = distance[node] + 1
                    pending.append(edge.source)
        return distance
