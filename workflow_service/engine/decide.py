"""The one rule: what follows when a node is finished (dead-path elimination with losses).

A finished node resolves each of its out-edges as taken, dead or lost; a node whose in-edges allow it becomes
ready, and one that can no longer become ready is skipped, which resolves its own out-edges, and so on.

- A failed node's normal edges are *lost*: what depends on it must not run. Where the node's own error edges
  can also reach the target, an edge is merely *dead*: the error branch takes its place there. A loss keeps
  its origins, and each edge it meets later is lost for the origins that cannot reach its target, dead if none
  is left. An origin without error edges can reach nothing, so one such origin stands for all.
- An error edge is taken when its source fails and dead otherwise, never lost: it waits for a failure, so
  nothing is lost where the source did not run.
- ``join`` "all" waits for every in-edge, then wants one taken and none lost. Every other join counts: it is
  ready at ``needed`` taken ones (any: 1, a gate: all of them), and out of reach for good once more in-edges
  are dead than it can spare; these two cannot change any more, so it settles at once. In between, where
  losses alone keep it from being ready, it waits for the rest: whether its end is dead or lost, and for which
  origins, must not depend on which block was faster.

Every decision is therefore a function of the outcomes of the in-edges and not of their order: runs that
differ only in timing end alike. A settlement costs as much as the nodes it settles and their edges, whatever
the size of the plan.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum

from pydantic import JsonValue

from workflow_service.engine.approval import reads_approved
from workflow_service.engine.expressions import Scope
from workflow_service.engine.graph import END_NODE, Node, NodeKind
from workflow_service.engine.plan import Plan
from workflow_service.engine.routing import Route, RoutingFailure, choose_route
from workflow_service.engine.states import EdgeOutcome, ErrorType, ExecutionStatus

__all__ = [
    "Arrivals",
    "NodeSettlement",
    "RoutingFailure",
    "Settlement",
    "Verdict",
    "outcome",
    "reads_approved",
    "settle",
]

NO_ORIGINS: frozenset[int] = frozenset()
LOOK_AHEAD = 1_024


class Verdict(StrEnum):
    """How a node ended; a guard that is false and a cascade make SKIPPED."""

    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    REJECTED = "REJECTED"
    SKIPPED = "SKIPPED"


FAILING = frozenset({Verdict.FAILED, Verdict.REJECTED})


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


@dataclass(frozen=True, slots=True)
class NodeSettlement:
    """One node decided: all its out-edges resolved.

    ``origins`` are whom its losses come from: itself, if it failed. ``computed`` are a gate's names, to be
    merged into the context; ``conditions`` are the sources read, with their results.
    """

    node: int
    verdict: Verdict
    outcomes: Mapping[int, EdgeOutcome]
    origins: frozenset[int] = NO_ORIGINS
    computed: Mapping[str, JsonValue] = field(default_factory=dict)
    conditions: tuple[tuple[str, bool], ...] = ()


@dataclass(frozen=True, slots=True)
class Settlement:
    """What follows from one finished node; to be applied as a whole.

    ``settled`` begins with the finished node; the gates passed and the nodes skipped because of it follow, in
    order. ``arrivals`` holds the new counters of every touched node with in-edges still open, decided or not.
    ``ready`` are the BLOCK and DECIDE nodes that may start now. ``handled``: the node failed, and an error
    edge deals with it. With ``routing_failure`` all else is empty: ``routing_failed_node`` (the finished
    node, or a gate) could not choose, and nothing is settled.
    """

    settled: tuple[NodeSettlement, ...] = ()
    arrivals: Mapping[int, Arrivals] = field(default_factory=dict)
    ready: tuple[int, ...] = ()
    reached_end: bool = False
    handled: bool = False
    routing_failure: RoutingFailure | None = None
    routing_failed_node: int | None = None


def settle(
    plan: Plan,
    node: int,
    verdict: Verdict,
    *,
    scope_of: Callable[[int], Scope],
    arrivals_of: Callable[[frozenset[int]], Mapping[int, Arrivals]],
    chosen: Iterable[int] | None = None,
    failed_gates: frozenset[int] = frozenset(),
) -> Settlement:
    """Settle the finished ``node`` and everything that is decided by it.

    ``scope_of`` gives the scope in which the conditions of a node or gate are read. ``arrivals_of`` gives the
    counters of nodes with several in-edges, none for those nothing has arrived at; it is called once for the
    direct targets, and once more for all that a cascade may meet (again only where that is more than a
    thousand nodes, for ever larger parts). ``chosen`` are the normal edges taken, where that is known
    already: a DECIDE node's answer, or a stored route. ``failed_gates`` are gates whose routing is known to
    fail: they settle as FAILED. Raises ``ValueError`` for a plan with loops, and for a question without
    ``chosen``.
    """
    if plan.loops:
        raise ValueError("a plan with loops cannot be settled yet; see unsupported_features()")
    verdict = Verdict(verdict)
    walk = _Walk(plan, scope_of, arrivals_of, failed_gates)
    finished = plan.nodes[node]
    if chosen is not None and verdict is Verdict.COMPLETED:
        walk.resolve(finished, verdict, Route(_checked(finished, chosen)))
    elif verdict is Verdict.COMPLETED:
        walk.route(finished)
    else:
        walk.resolve(finished, verdict, origins=frozenset({node}) if verdict in FAILING else NO_ORIGINS)
    return walk.settlement(handled=verdict in FAILING and bool(finished.error_edges))


def outcome(
    plan: Plan, *, unhandled_failures: bool, reached_end: bool
) -> tuple[ExecutionStatus, ErrorType | None]:
    """Return how a run ends in which no node is active any more."""
    if unhandled_failures:
        return ExecutionStatus.FAILED, None
    if plan.has_end_edges and not reached_end:
        return ExecutionStatus.FAILED, ErrorType.NO_PATH_TO_END
    return ExecutionStatus.COMPLETED, None


def _checked(node: Node, chosen: Iterable[int]) -> frozenset[int]:
    taken = frozenset(chosen) | frozenset(node.routing.always)
    if not taken <= set(node.normal_edges):
        raise ValueError(f"{sorted(taken)} are not all normal edges of '{node.id}'")
    return taken


class _Fate(Enum):
    READY = "ready"
    SKIPPED = "skipped"
    LOST = "lost"


def _fate(node: Node, arrivals: Arrivals) -> _Fate | None:
    """Return what ``arrivals`` make of ``node``, None while that is open. Later arrivals never change it."""
    taken = arrivals.taken + node.starts
    complete = arrivals.resolved == len(node.in_edges)
    if node.join == "all":
        ready = taken > 0 and not arrivals.lost
    elif arrivals.dead > node.arrivals_expected - node.needed:
        return _Fate.SKIPPED
    else:
        ready = taken >= node.needed
        complete = complete or ready
    if not complete:
        return None
    if ready:
        return _Fate.READY
    return _Fate.LOST if arrivals.lost else _Fate.SKIPPED


class _Walk:
    """Follows resolved edges from one finished node until nothing more is decided; used once."""

    def __init__(
        self,
        plan: Plan,
        scope_of: Callable[[int], Scope],
        arrivals_of: Callable[[frozenset[int]], Mapping[int, Arrivals]],
        failed_gates: frozenset[int],
    ) -> None:
        self.plan = plan
        self.scope_of = scope_of
        self.arrivals_of = arrivals_of
        self.failed_gates = failed_gates
        self.settled: list[NodeSettlement] = []
        self.ready: list[int] = []
        self.counters: dict[int, Arrivals] = {}
        self.touched: set[int] = set()
        self.reached_end = False
        self.failure: Settlement | None = None
        self.pending: deque[tuple[int, EdgeOutcome, frozenset[int]]] = deque()
        self.loads = 0

    def settlement(self, *, handled: bool) -> Settlement:
        """Follow all edges and return what came of it."""
        while self.pending and self.failure is None:
            self._follow_pending()
        if self.failure is not None:
            return self.failure
        return Settlement(
            tuple(self.settled),
            {node: self.counters[node] for node in sorted(self.touched) if self._is_open(node)},
            tuple(sorted(self.ready)),
            self.reached_end,
            handled,
        )

    def route(self, node: Node) -> None:
        """Let a completed node choose its edges."""
        route = choose_route(node, self.scope_of)
        if isinstance(route, RoutingFailure):
            self.failure = Settlement(routing_failure=route, routing_failed_node=node.index)
        else:
            self.resolve(node, Verdict.COMPLETED, route)

    def resolve(
        self,
        node: Node,
        verdict: Verdict,
        route: Route = Route(frozenset()),  # noqa: B008 -- an immutable value
        origins: frozenset[int] = NO_ORIGINS,
    ) -> None:
        """Settle ``node``: resolve all its out-edges. What is not taken is lost for ``origins``, or dead."""
        outcomes: dict[int, EdgeOutcome] = {}
        for edge in node.normal_edges:
            left = NO_ORIGINS
            if edge in route.taken:
                outcomes[edge] = EdgeOutcome.TAKEN
            else:
                left = self._lost_for(origins, self.plan.edges[edge].target)
                outcomes[edge] = EdgeOutcome.LOST if left else EdgeOutcome.DEAD
            self.pending.append((edge, outcomes[edge], left))
        for edge in node.error_edges:
            outcomes[edge] = EdgeOutcome.TAKEN if verdict in FAILING else EdgeOutcome.DEAD
            self.pending.append((edge, outcomes[edge], NO_ORIGINS))
        self.settled.append(
            NodeSettlement(node.index, verdict, outcomes, origins, route.computed, route.conditions)
        )

    def _lost_for(self, origins: frozenset[int], target: int) -> frozenset[int]:
        reach = self.plan.error_edges_reach
        return frozenset(origin for origin in origins if not reach(origin, target))

    def _follow_pending(self) -> None:
        """Follow edges as far as counters are known, then load the counters that are missing."""
        waiting = []
        while self.pending and self.failure is None:
            edge, result, left = self.pending.popleft()
            target = self.plan.edges[edge].target
            if target == END_NODE:
                self.reached_end |= result is EdgeOutcome.TAKEN
            elif target in self.counters or len(self.plan.nodes[target].in_edges) == 1:
                self._arrive(self.plan.nodes[target], result, left)
            else:
                waiting.append((edge, result, left))
        if waiting and self.failure is None:
            self._load({self.plan.edges[edge].target for edge, _, _ in waiting})
            self.pending.extend(waiting)

    def _load(self, targets: set[int]) -> None:
        self.loads += 1
        wanted = frozenset(targets if self.loads == 1 else self._and_below(targets))
        known = self.arrivals_of(wanted)
        for node in wanted:
            self.counters[node] = known.get(node, Arrivals())

    def _and_below(self, targets: set[int]) -> set[int]:
        """Return ``targets`` and the nodes with several in-edges below them: a cascade may meet those
        next."""
        limit = LOOK_AHEAD * 8 ** (self.loads - 2)
        seen, below = set(targets), deque(sorted(targets))
        while below and len(seen) < limit:
            node = self.plan.nodes[below.popleft()]
            for edge in (*node.normal_edges, *node.error_edges):
                target = self.plan.edges[edge].target
                if target != END_NODE and target not in seen:
                    seen.add(target)
                    below.append(target)
        return {node for node in seen - self.counters.keys() if len(self.plan.nodes[node].in_edges) > 1}

    def _arrive(self, node: Node, result: EdgeOutcome, origins: frozenset[int]) -> None:
        before = self.counters.get(node.index, Arrivals())
        after = Arrivals(
            before.taken + (result is EdgeOutcome.TAKEN),
            before.dead + (result is EdgeOutcome.DEAD),
            before.lost + (result is EdgeOutcome.LOST),
            self._together(before.origins, origins),
        )
        self.counters[node.index] = after
        self.touched.add(node.index)
        fate = None if _fate(node, before) else _fate(node, after)
        if fate is _Fate.READY:
            self._begin(node)
        elif fate is not None:
            lost_for = after.origins if fate is _Fate.LOST else NO_ORIGINS
            self.resolve(node, Verdict.SKIPPED, origins=lost_for)

    def _begin(self, node: Node) -> None:
        if node.kind is not NodeKind.GATE:
            self.ready.append(node.index)
        elif node.index in self.failed_gates:
            self.resolve(node, Verdict.FAILED, origins=frozenset({node.index}))
        else:
            self.route(node)

    def _together(self, some: frozenset[int], others: frozenset[int]) -> frozenset[int]:
        """Return all origins, or one alone that no error edge can make good, as nothing can outweigh it."""
        together = some | others
        hopeless = [origin for origin in together if not self.plan.nodes[origin].error_edges]
        return frozenset({min(hopeless)}) if hopeless else together

    def _is_open(self, node: int) -> bool:
        return self.counters[node].resolved < len(self.plan.nodes[node].in_edges)
