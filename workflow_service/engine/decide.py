"""The one rule: what follows when a node is finished (dead-path elimination with losses).

A finished node resolves each of its out-edges as taken, dead or lost; a node whose in-edges allow it becomes
ready, and one that can no longer become ready is skipped, which resolves its own out-edges, and so on.

- A failed node's normal edges are *lost*: what depends on it must not run. Where the node's own error edges
  can also reach the target, an edge is merely *dead*: the error branch takes its place there. A loss keeps
  its origins, and each edge it meets later is lost for the origins that cannot reach its target, dead if none
  is left. An origin without error edges can reach nothing, so one such origin stands for all.
- An error edge is taken when its source fails and dead otherwise, never lost: it waits for a failure, so
  nothing is lost where the source did not run.
- What several in-edges make of a node says ``arrivals``; what a loop makes of its rounds says ``rounds``. An
  unhandled failure, or an error edge taken out of a loop, lets the loops around it begin no new round.

Every decision is therefore a function of the outcomes of the in-edges and not of their order: runs that
differ only in timing end alike. A settlement costs as much as the nodes it settles and their edges, whatever
the size of the plan.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from pydantic import JsonValue

from workflow_service.engine.approval import reads_approved
from workflow_service.engine.arrivals import NO_ORIGINS, Arrivals, Fate, fate_of
from workflow_service.engine.expressions import Scope
from workflow_service.engine.graph import END_NODE, Edge, EdgeKind, Node, NodeKind
from workflow_service.engine.plan import Plan
from workflow_service.engine.rounds import (
    THE_RUN,
    Instance,
    LoopLimit,
    LoopState,
    Place,
    limit_origin,
)
from workflow_service.engine.routing import Route, RoutingFailure, choose_route
from workflow_service.engine.scope import ValuesScope
from workflow_service.engine.states import EdgeOutcome, ErrorType, ExecutionStatus

__all__ = [
    "Arrivals",
    "LoopLimit",
    "LoopState",
    "NodeSettlement",
    "Place",
    "RoutingFailure",
    "Settlement",
    "Verdict",
    "begin",
    "outcome",
    "reads_approved",
    "settle",
]

LOOK_AHEAD = 1_024


class Verdict(StrEnum):
    """How a node ended; a guard that is false and a cascade make SKIPPED."""

    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    REJECTED = "REJECTED"
    SKIPPED = "SKIPPED"


FAILING = frozenset({Verdict.FAILED, Verdict.REJECTED})


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
    place: Place = THE_RUN


@dataclass(frozen=True, slots=True)
class Settlement:
    """What follows from one finished node; to be applied as a whole.

    ``settled`` begins with the finished node; the gates passed and the nodes skipped because of it follow, in
    order. ``arrivals`` holds the new counters of every touched node with in-edges still open, decided or not.
    ``ready`` are the BLOCK and DECIDE nodes that may start now. ``loops`` are the instances that changed, those
    made here in the order of their making. ``arrivals`` and ``ready`` hold in the places that ``loops`` leaves
    behind. ``handled``: the node failed, and an error edge deals with it. With ``routing_failure`` all else is
    empty: ``routing_failed_node`` (the finished node, or a gate) could not choose, and nothing is settled.
    """

    settled: tuple[NodeSettlement, ...] = ()
    arrivals: Mapping[int, Arrivals] = field(default_factory=dict)
    ready: tuple[int, ...] = ()
    loops: tuple[LoopState, ...] = ()
    limits: tuple[LoopLimit, ...] = ()
    reached_end: bool = False
    handled: bool = False
    routing_failure: RoutingFailure | None = None
    routing_failed_node: int | None = None


def begin(plan: Plan) -> Settlement:
    """Return what the start of a run makes ready."""
    walk = Walk(plan, lambda node: ValuesScope(), lambda nodes: {}, frozenset(), {})
    for root in plan.roots:
        loop = plan.nodes[root].loop
        if loop is None:
            walk.make_ready(plan.nodes[root])
        else:
            walk.enter(loop)
    return walk.settlement(handled=False)


def settle(
    plan: Plan,
    node: int,
    verdict: Verdict,
    *,
    scope_of: Callable[[int], Scope],
    arrivals_of: Callable[[frozenset[int]], Mapping[int, Arrivals]],
    loops: Mapping[int, LoopState] | None = None,
    chosen: Iterable[int] | None = None,
    failed_gates: frozenset[int] = frozenset(),
) -> Settlement:
    """Settle the finished ``node`` and everything that is decided by it.

    ``scope_of`` gives the scope in which the conditions of a node or gate are read. ``arrivals_of`` gives the
    counters of nodes with several in-edges, none for those nothing has arrived at; it is called once for the
    direct targets, and once more for all that a cascade may meet (again only where that is more than a
    thousand nodes, for ever larger parts). ``loops`` are the instances that are not closed, by loop; a node
    stands in the current round of its innermost one. ``chosen`` are the normal edges taken, where that is known
    already: a DECIDE node's answer, or a stored route. ``failed_gates`` are gates whose routing is known to
    fail: they settle as FAILED. Raises ``ValueError`` for a question without ``chosen``.
    """
    verdict = Verdict(verdict)
    walk = Walk(plan, scope_of, arrivals_of, failed_gates, loops or {})
    finished = plan.nodes[node]
    walk.close(finished)
    handled = verdict in FAILING and bool(finished.error_edges)
    if chosen is not None and verdict is Verdict.COMPLETED:
        walk.resolve(finished, verdict, Route(_checked(finished, chosen)))
    elif verdict is Verdict.COMPLETED:
        walk.route(finished)
    else:
        walk.resolve(finished, verdict, origins=frozenset({node}) if verdict in FAILING else NO_ORIGINS)
        if verdict in FAILING and not handled:
            walk.forbid_rounds(finished.loop)
    return walk.settlement(handled=handled)


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


class Walk:
    """Follows resolved edges from one finished node until nothing more is decided; used once."""

    def __init__(
        self,
        plan: Plan,
        scope_of: Callable[[int], Scope],
        arrivals_of: Callable[[frozenset[int]], Mapping[int, Arrivals]],
        failed_gates: frozenset[int],
        loops: Mapping[int, LoopState],
    ) -> None:
        self.plan = plan
        self.scope_of = scope_of
        self.arrivals_of = arrivals_of
        self.failed_gates = failed_gates
        self.instances = {loop: Instance.of(state) for loop, state in loops.items()}
        self.changed: dict[int, Instance] = {}
        self.settled: list[NodeSettlement] = []
        self.ready: list[int] = []
        self.limits: list[LoopLimit] = []
        self.counters: dict[int, Arrivals] = {}
        self.touched: set[int] = set()
        self.reached_end = False
        self.failure: Settlement | None = None
        # An edge, what became of it, for whom it is lost, and how many borders of loops it has crossed.
        self.pending: deque[tuple[Edge, EdgeOutcome, frozenset[int], int]] = deque()
        self.loads = 0

    def settlement(self, *, handled: bool) -> Settlement:
        """Follow all edges, let quiet rounds end, and return what came of it."""
        while self.failure is None:
            if self.pending:
                self._follow_pending()
            elif (quiet := self._quiet_loop()) is not None:
                self._end_round(quiet)
            else:
                break
        if self.failure is not None:
            return self.failure
        return Settlement(
            tuple(self.settled),
            {node: self.counters[node] for node in sorted(self.touched) if self._is_open(node)},
            tuple(sorted(self.ready)),
            tuple(each.state(closed=self._is_closed(each)) for each in self.changed.values()),
            tuple(self.limits),
            self.reached_end,
            handled,
        )

    # Nodes

    def close(self, node: Node) -> None:
        """Say that a node is not active any more."""
        if node.loop is not None:
            self.instance(node.loop).open -= 1

    def make_ready(self, node: Node) -> None:
        """Say that a node may start."""
        self.ready.append(node.index)
        if node.loop is not None:
            self.instance(node.loop).open += 1

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
        place: Place | None = None,
    ) -> None:
        """Settle ``node`` and follow all its out-edges."""
        place = self._place(node.loop) if place is None else place
        outcomes: dict[int, EdgeOutcome] = {}
        for edge, result, left in self._resolved_edges(node, verdict, route, origins):
            outcomes[edge.index] = result
            self.pending.append((edge, result, left, 0))
        self.settled.append(
            NodeSettlement(node.index, verdict, outcomes, origins, route.computed, route.conditions, place)
        )

    def _resolved_edges(
        self, node: Node, verdict: Verdict, route: Route, origins: frozenset[int]
    ) -> Iterator[tuple[Edge, EdgeOutcome, frozenset[int]]]:
        """Yield each out-edge with its outcome. What is not taken is lost for ``origins``, or dead."""
        for index in node.normal_edges:
            edge, left = self.plan.edges[index], NO_ORIGINS
            if index in route.taken:
                result = EdgeOutcome.TAKEN
            else:
                left = self._lost_for(origins, edge.target)
                result = EdgeOutcome.LOST if left else EdgeOutcome.DEAD
            yield edge, result, left
        for index in node.error_edges:
            result = EdgeOutcome.TAKEN if verdict in FAILING else EdgeOutcome.DEAD
            yield self.plan.edges[index], result, NO_ORIGINS

    def _lost_for(self, origins: frozenset[int], target: int) -> frozenset[int]:
        reach = self.plan.error_edges_reach
        return frozenset(origin for origin in origins if not reach(origin, target))

    def _begin(self, node: Node) -> None:
        if node.kind is not NodeKind.GATE:
            self.make_ready(node)
        elif node.index in self.failed_gates:
            self.resolve(node, Verdict.FAILED, origins=frozenset({node.index}))
            self.forbid_rounds(node.loop)
        else:
            self.route(node)

    # Edges

    def _follow_pending(self) -> None:
        """Follow edges as far as counters are known, then load the counters that are missing."""
        waiting = []
        while self.pending and self.failure is None:
            step = edge, result, left, crossed = self.pending.popleft()
            target = edge.target
            if crossed < len(edge.leaves):
                self._note_exit(edge, result, left, crossed)
            elif edge.back:
                self._note_back(edge, result)
            elif target == END_NODE:
                self.reached_end |= result is EdgeOutcome.TAKEN
            elif edge.enters is not None:
                self._arrive_at_loop(edge.enters, self.plan.nodes[target], result, left)
            elif target in self.counters or len(self.plan.nodes[target].in_edges) == 1:
                self._arrive(self.plan.nodes[target], result, left)
            else:
                waiting.append(step)
        if waiting and self.failure is None:
            self._load({edge.target for edge, *_ in waiting})
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
            for index in (*node.normal_edges, *node.error_edges):
                edge = self.plan.edges[index]
                # Across the border of a loop nothing arrives before the loop ends, or begins.
                is_near = edge.target != END_NODE and not (
                    edge.back or edge.leaves or edge.enters is not None
                )
                if is_near and edge.target not in seen:
                    seen.add(edge.target)
                    below.append(edge.target)
        return {node for node in seen - self.counters.keys() if len(self.plan.nodes[node].in_edges) > 1}

    def _arrive(self, node: Node, result: EdgeOutcome, origins: frozenset[int]) -> None:
        before = self.counters.get(node.index, Arrivals())
        after = before.with_one(result, self._together(before.origins, origins))
        self.counters[node.index] = after
        self.touched.add(node.index)
        fate = None if fate_of(node, before) else fate_of(node, after)
        if fate is Fate.READY:
            self._begin(node)
        elif fate is not None:
            self.resolve(node, Verdict.SKIPPED, origins=after.origins if fate is Fate.LOST else NO_ORIGINS)

    def _together(self, some: frozenset[int], others: frozenset[int]) -> frozenset[int]:
        """Return all origins, or one alone that no error edge can make good, as nothing can outweigh it."""
        together = some | others
        hopeless = [origin for origin in together if not self.plan.is_recoverable(origin)]
        return frozenset({min(hopeless)}) if hopeless else together

    def _is_open(self, node: int) -> bool:
        return self.counters[node].resolved < len(self.plan.nodes[node].in_edges)

    # Loops

    def instance(self, loop: int) -> Instance:
        """Return the instance of ``loop`` that is to be changed."""
        instance = self.instances[loop]
        self.changed[instance.scope] = instance
        return instance

    def _place(self, loop: int | None) -> Place:
        return THE_RUN if loop is None else self.instances[loop].place

    def enter(self, loop: int) -> None:
        """Begin or skip ``loop``, if the fate of each of its entries is decided."""
        instance = self._awaiting(loop)
        if instance.is_running or instance.ended:
            return
        entries = self.plan.loops[loop].entries
        arrived = {entry: instance.arrivals.get(entry, Arrivals()) for entry in entries}
        fates = {entry: fate_of(self.plan.nodes[entry], arrived[entry]) for entry in entries}
        if None in fates.values():
            return
        lost = [arrived[entry].origins for entry in entries if fates[entry] is Fate.LOST]
        ready = [entry for entry in entries if fates[entry] is Fate.READY]
        if ready and not lost:
            self._count_in(instance, 1)
            self._begin_round(instance, ready)
        else:
            self._skip_loop(instance, self._together(NO_ORIGINS, NO_ORIGINS.union(*lost)))

    def _awaiting(self, loop: int) -> Instance:
        """Return the instance of ``loop`` in the current round around it; a new one where there is none."""
        parent = self._place(self.plan.loops[loop].parent)
        instance = self.instances.get(loop)
        if instance is None or instance.parent != parent:
            made = sum(scope < 0 for scope in self.changed)
            self.instances[loop] = Instance(-1 - made, loop, parent)
        return self.instance(loop)

    def _arrive_at_loop(self, loop: int, entry: Node, result: EdgeOutcome, origins: frozenset[int]) -> None:
        instance = self._awaiting(loop)
        before = instance.arrivals.get(entry.index, Arrivals())
        instance.arrivals[entry.index] = before.with_one(result, self._together(before.origins, origins))
        self.enter(loop)

    def _note_exit(self, edge: Edge, result: EdgeOutcome, left: frozenset[int], crossed: int) -> None:
        instance = self.instance(edge.leaves[crossed])
        instance.exits[edge.index] = result, left
        if edge.kind is EdgeKind.ERROR and result is EdgeOutcome.TAKEN:
            instance.broken = True

    def _note_back(self, edge: Edge, result: EdgeOutcome) -> None:
        if result is EdgeOutcome.TAKEN:
            loop = self.plan.nodes[edge.target].loop
            assert loop is not None  # noqa: S101 - a back edge leads to an entry
            self.instance(loop).back.add(edge.index)

    def forbid_rounds(self, loop: int | None) -> None:
        """Let no loop from ``loop`` outwards begin another round."""
        while loop is not None:
            self.instance(loop).broken = True
            loop = self.plan.loops[loop].parent

    def _count_in(self, instance: Instance, change: int) -> None:
        """Count an inner loop as active, or no more, in the round around it."""
        parent = self.plan.loops[instance.loop].parent
        if parent is not None:
            self.instance(parent).open += change

    def _begin_round(self, instance: Instance, entries: Iterable[int]) -> None:
        instance.begin_round()
        loop = self.plan.loops[instance.loop]
        starting = frozenset(entries)
        for node in loop.body:
            self.counters[node] = Arrivals()
        self.touched.difference_update(loop.body)
        for entry in loop.entries:
            if entry in starting:
                self.make_ready(self.plan.nodes[entry])
            else:
                self.resolve(self.plan.nodes[entry], Verdict.SKIPPED)

    def _quiet_loop(self) -> Instance | None:
        """Return a loop in whose round nothing is active any more."""
        for instance in self.changed.values():
            if instance.is_running and not instance.open and self.instances[instance.loop] is instance:
                return instance
        return None

    def _end_round(self, instance: Instance) -> None:
        loop = self.plan.loops[instance.loop]
        if not instance.back or instance.broken:
            self._end_loop(instance)
        elif instance.round + 1 - instance.first_round < loop.max_rounds:
            self._begin_round(instance, {self.plan.edges[edge].target for edge in instance.back})
        else:
            node = self.plan.edges[min(instance.back)].source
            self.limits.append(LoopLimit(instance.loop, instance.scope, node, loop.max_rounds))
            lost = EdgeOutcome.LOST, frozenset({limit_origin(instance.loop)})
            instance.exits = dict.fromkeys(loop.exits, lost)
            self.forbid_rounds(loop.parent)
            self._end_loop(instance)

    def _end_loop(self, instance: Instance) -> None:
        """Resolve the exits outside, as the last round left them."""
        instance.ended = True
        self._count_in(instance, -1)
        for index in self.plan.loops[instance.loop].exits:
            self._leave(self.plan.edges[index], *instance.exits[index], instance.loop)

    def _leave(self, edge: Edge, result: EdgeOutcome, left: frozenset[int], loop: int) -> None:
        self.pending.append((edge, result, left, edge.leaves.index(loop) + 1))

    def _skip_loop(self, instance: Instance, origins: frozenset[int]) -> None:
        """Skip the whole body, inner loops with it."""
        instance.round, instance.ended = 0, True
        for index in self.plan.loops[instance.loop].body:
            node, outcomes = self.plan.nodes[index], {}
            for edge, result, left in self._resolved_edges(
                node, Verdict.SKIPPED, Route(frozenset()), origins
            ):
                outcomes[edge.index] = result
                if instance.loop in edge.leaves:
                    self._leave(edge, result, left, instance.loop)
            self.settled.append(
                NodeSettlement(index, Verdict.SKIPPED, outcomes, origins, place=instance.place)
            )

    def _is_closed(self, instance: Instance) -> bool:
        """Return whether no edge can arrive any more at an instance that has ended."""
        arrived = instance.arrivals
        return instance.ended and all(
            arrived.get(entry, Arrivals()).resolved == len(self.plan.nodes[entry].in_edges)
            for entry in self.plan.loops[instance.loop].entries
        )
