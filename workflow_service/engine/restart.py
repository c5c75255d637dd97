"""Restarts: what one takes back, and how the rest of the run leads up to it again.

What is taken back is the nodes asked for and everything that depends on them. A loop is one block to what is outside
of it: where anything in it is taken back, so is whatever its exits lead to. Where the restart begins inside a loop,
that loop goes back to the round it begins in: what stands before it in that round stays, later rounds are dropped, and
its bound counts afresh.

What stays is not evaluated again: its stored outcomes are replayed, and decide what is taken back to be ready,
skipped or still open, as they did the first time.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from workflow_service.engine.arrivals import NO_ORIGINS
from workflow_service.engine.decide import FAILING, Settlement, Verdict, Walk
from workflow_service.engine.expressions import Scope
from workflow_service.engine.graph import END_NODE, Edge
from workflow_service.engine.plan import Plan
from workflow_service.engine.rounds import NOT_BEGUN, THE_RUN, LoopState, Place, limit_origin
from workflow_service.engine.states import EdgeOutcome


@dataclass(frozen=True, slots=True)
class Settled:
    """A node that was settled in ``place``: its verdict, what became of its out-edges, whom its losses come from.

    A failed one without ``outcomes`` was never followed, not along its error edges either.
    """

    node: int
    place: Place
    verdict: Verdict
    outcomes: Mapping[int, EdgeOutcome]
    origins: frozenset[int] = NO_ORIGINS


@dataclass(frozen=True, slots=True)
class Cut:
    """What a restart takes back.

    ``nodes`` are taken back where they stand in ``places``: the run itself, and the round that each loop is set back
    to which is taken back in part. ``loops`` are taken back as wholes, in the rounds of ``places`` around them.
    """

    plan: Plan
    instances: Mapping[int, LoopState]
    nodes: frozenset[int]
    loops: frozenset[int]
    places: Mapping[int | None, Place]

    def takes(self, place: Place, node: int) -> bool:
        """Tell whether the row of a node in a place is taken back."""
        if self._takes_round(place):
            return True
        return node in self.nodes and self.places.get(self.plan.nodes[node].loop) == place

    def takes_instance(self, scope: int) -> bool:
        """Tell whether an instance of a loop is taken back as a whole."""
        state = self.instances[scope]
        whole = state.loop in self.loops and self._is_set_back_to(state.loop, state.parent)
        return whole or self._takes_round(state.parent)

    def affected(self) -> tuple[int, ...]:
        """Return all nodes that are taken back, in the order of the plan."""
        bodies = (self.plan.loops[loop].body for loop in self.loops)
        return tuple(sorted(self.nodes.union(*bodies)))

    def _takes_round(self, place: Place) -> bool:
        for each in path(self.instances, place):
            if each == THE_RUN:
                return False
            state = self.instances[each.scope]
            kept = self.places.get(state.loop)
            if kept is not None and kept.scope == each.scope and each.index > kept.index:
                return True
            if state.loop in self.loops and self._is_set_back_to(state.loop, state.parent):
                return True
        return False

    def _is_set_back_to(self, loop: int, parent: Place) -> bool:
        return self.places.get(self.plan.loops[loop].parent) == parent


def path(instances: Mapping[int, LoopState], place: Place) -> Iterator[Place]:
    """Yield ``place`` and the places around it, out to the run itself."""
    while place != THE_RUN:
        yield place
        place = instances[place.scope].parent
    yield THE_RUN


def affected_nodes(plan: Plan, from_nodes: Collection[int]) -> frozenset[int]:
    """Return ``from_nodes`` and what depends on them, where all of them stand in no loop."""
    return frozenset(cut(plan, {}, [(THE_RUN, node) for node in from_nodes]).affected())


def cut(plan: Plan, instances: Mapping[int, LoopState], targets: Iterable[tuple[Place, int]]) -> Cut:
    """Return what a restart from ``targets`` (nodes where they stood) takes back.

    ``instances`` are all of the run's loops that were not taken back before, by scope. Of several targets in one loop
    the earliest round counts.
    """
    paths = [(tuple(path(instances, place)), node) for place, node in targets]
    nodes: set[int] = set()
    loops: set[int] = set()
    places: dict[int | None, Place] = {None: THE_RUN}
    pending: list[int | None] = [None]
    while pending:
        level = pending.pop()
        place = places[level]
        starting = {node for around, node in paths if around[0] == place}
        inner = _rounds_within(instances, paths, place)
        taken, whole = _closure(plan, level, starting, set(inner))
        nodes |= taken
        loops |= whole
        for loop in inner.keys() - whole:
            places[loop] = inner[loop]
            pending.append(loop)
    return Cut(plan, instances, frozenset(nodes), frozenset(loops), places)


def reopen(
    cut: Cut,
    kept: Collection[Settled],
    active: Mapping[Place, int],
    *,
    scope_of: Callable[[int], Scope],
    failed_gates: frozenset[int] = frozenset(),
) -> Settlement:
    """Return what is ready, skipped or open of what was taken back, replaying what stays.

    ``kept`` are the settled rows that are not taken back, ``active`` counts those that are not settled, by place.
    The answer is like that of ``decide.settle``, except that ``settled`` begins with no finished node.
    """
    plan = cut.plan
    loops = loops_after(cut, kept, active)
    walk = Walk(plan, scope_of, lambda nodes: {}, failed_gates, loops)
    for loop in cut.places:
        if loop is not None:
            walk.instance(loop)
    walk.pending.extend(_replayed(cut, kept))
    for node in sorted(cut.nodes):
        at = plan.nodes[node].loop
        # An entry that was taken back in a round had begun it: nothing else leads there.
        if (at is None and node in plan.roots) or (at is not None and node in plan.loops[at].entries):
            walk.make_ready(plan.nodes[node])
    for root in plan.roots:
        loop = plan.nodes[root].loop
        if loop in cut.loops:
            walk.enter(loop)
    return walk.settlement(handled=False)


def _rounds_within(
    instances: Mapping[int, LoopState], paths: Iterable[tuple[tuple[Place, ...], int]], place: Place
) -> dict[int, Place]:
    """Return the loops directly within ``place`` that hold targets, with the earliest round that does."""
    found: dict[int, Place] = {}
    for around, _ in paths:
        if place in around[1:]:
            inner = around[around.index(place) - 1]
            loop = instances[inner.scope].loop
            known = found.get(loop)
            if known is None or inner.index < known.index:
                found[loop] = inner
    return found


def _closure(plan: Plan, level: int | None, nodes: set[int], within: set[int]) -> tuple[set[int], set[int]]:
    """Return the nodes and inner loops that depend on ``nodes`` and on the loops ``within``, in one round of a loop.

    A loop is among the answers only if it is reached from outside of it.
    """
    taken, whole, left = set(nodes), set[int](), set(within)
    edges = [edge for node in nodes for edge in _edges_inside(plan, node)]
    edges += [edge for loop in within for edge in _edges_out(plan, loop)]
    while edges:
        edge = edges.pop()
        if edge.enters is not None and edge.enters not in whole:
            whole.add(edge.enters)
            if edge.enters not in left:
                left.add(edge.enters)
                edges += _edges_out(plan, edge.enters)
        elif edge.enters is None and edge.target not in taken:
            taken.add(edge.target)
            edges += _edges_inside(plan, edge.target)
    return taken, whole


def _edges_inside(plan: Plan, node: int) -> list[Edge]:
    """Return the edges of a node that stay in its round."""
    own = plan.nodes[node]
    edges = (plan.edges[index] for index in (*own.normal_edges, *own.error_edges))
    return [edge for edge in edges if not edge.leaves and not edge.back and edge.target != END_NODE]


def _edges_out(plan: Plan, loop: int) -> list[Edge]:
    """Return the exits of a loop that stay in the round around it."""
    edges = (plan.edges[index] for index in plan.loops[loop].exits)
    return [edge for edge in edges if edge.leaves[-1] == loop and not edge.back and edge.target != END_NODE]


def loops_after(cut: Cut, kept: Iterable[Settled], active: Mapping[Place, int]) -> dict[int, LoopState]:
    """Return the instances by loop as they stand when what was taken back is gone."""
    kept = list(kept)
    found: dict[int, LoopState] = {}
    broken = _broken_places(cut, kept)
    for scope, state in cut.instances.items():
        place = cut.places.get(state.loop)
        if place is not None and place.scope == scope:
            found[state.loop] = replace(
                state,
                round=place.index,
                first_round=place.index,
                open=active.get(place, 0) + _open_loops_in(cut, place),
                broken=place in broken,
                ended=False,
                closed=False,
                back=frozenset(),
                exits={},
            )
        elif not state.closed and not cut.takes_instance(scope):
            found.setdefault(state.loop, state)
    return found


def _open_loops_in(cut: Cut, place: Place) -> int:
    """Count the inner loops that are under way in a place: set back, or never ended."""
    set_back = {at.scope for at in cut.places.values()}
    return sum(
        scope in set_back or (state.round != NOT_BEGUN and not state.ended)
        for scope, state in cut.instances.items()
        if state.parent == place and not cut.takes_instance(scope)
    )


def _broken_places(cut: Cut, kept: Iterable[Settled]) -> set[Place]:
    """Return the rounds in which a failure that nobody handled stays."""
    found: set[Place] = set()
    for each in kept:
        handled = each.outcomes and cut.plan.nodes[each.node].error_edges
        if each.verdict in FAILING and not handled:
            found.update(path(cut.instances, each.place))
    for scope, state in cut.instances.items():
        if at_limit(state) and not cut.takes_instance(scope):
            found.update(path(cut.instances, state.parent))
    return found


def at_limit(state: LoopState) -> bool:
    """Tell whether an instance ended because it reached its bound."""
    origin = limit_origin(state.loop)
    return state.ended and any(origin in left for _, left in state.exits.values())


def _replayed(cut: Cut, kept: Collection[Settled]) -> Iterator[tuple[Edge, EdgeOutcome, frozenset[int], int]]:
    """Yield the resolved edges that lead from what stays to what was taken back, or out of a loop set back."""
    for each in kept:
        if cut.places.get(cut.plan.nodes[each.node].loop) == each.place:
            for index, result in each.outcomes.items():
                edge = cut.plan.edges[index]
                yield from _followed(cut, edge, result, _left(cut, each, edge, result), 0)
    set_back = {at.scope for at in cut.places.values()}
    for scope, state in cut.instances.items():
        if not state.ended or scope in set_back or cut.takes_instance(scope):
            continue
        if cut.places.get(cut.plan.loops[state.loop].parent) == state.parent:
            for index, (result, left) in (state.exits or _exits_of_skipped(cut, scope, kept)).items():
                edge = cut.plan.edges[index]
                yield from _followed(cut, edge, result, left, edge.leaves.index(state.loop) + 1)


def _exits_of_skipped(
    cut: Cut, scope: int, kept: Iterable[Settled]
) -> dict[int, tuple[EdgeOutcome, frozenset[int]]]:
    """Return the exits of a loop that was skipped: it keeps none itself, but the rows of its body do."""
    loop = cut.instances[scope].loop
    return {
        index: (result, _left(cut, each, cut.plan.edges[index], result))
        for each in kept
        if each.place.scope == scope
        for index, result in each.outcomes.items()
        if loop in cut.plan.edges[index].leaves
    }


def _followed(
    cut: Cut, edge: Edge, result: EdgeOutcome, left: frozenset[int], crossed: int
) -> Iterator[tuple[Edge, EdgeOutcome, frozenset[int], int]]:
    """Yield an edge if it matters to what was taken back; the borders it ``crossed`` are behind it."""
    leads_on = (
        crossed < len(edge.leaves)
        or edge.back
        or edge.target == END_NODE
        or (edge.enters in cut.loops if edge.enters is not None else edge.target in cut.nodes)
    )
    if leads_on:
        yield edge, result, left, crossed


def _left(cut: Cut, each: Settled, edge: Edge, result: EdgeOutcome) -> frozenset[int]:
    """Return for whom an edge of a settled node is lost."""
    if result is not EdgeOutcome.LOST:
        return NO_ORIGINS
    reach = cut.plan.error_edges_reach
    return frozenset(origin for origin in each.origins if not reach(origin, edge.target))
