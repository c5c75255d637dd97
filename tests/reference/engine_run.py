"""A run of the pure engine in memory: it keeps what settlements hand out, as the service keeps it in its tables.

It does what the service does around ``decide``: guards are read when a block becomes ready, a node that cannot
choose its way settles as FAILED, and after an unhandled failure under the policy ``fail`` nothing new starts.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any

from tests.reference.areas import Path
from tests.reference.areas import Place as NamedPlace
from tests.reference.interpreter import READY
from tests.reference.script import CANCELLED
from workflow_service.engine import decide as real_decide
from workflow_service.engine.errors import ExpressionError
from workflow_service.engine.expressions import ValuesScope, evaluate_condition
from workflow_service.engine.plan import END_NODE, NodeKind, Plan

FAILING = ("FAILED", "REJECTED")


class EngineRun:
    """One run of ``plan`` by ``decide``, the engine's module of that name or a faulty one."""

    def __init__(self, plan: Plan, decide: ModuleType = real_decide) -> None:
        self.plan = plan
        self.decide: Any = decide
        self.loops: dict[int, Any] = {}
        self.arrivals: dict[tuple[int, int, int], Any] = {}
        self.path_of_scope: dict[int, Path] = {0: ()}
        self.statuses: dict[NamedPlace, str] = {}
        self.edges: dict[tuple[str, str, bool, Path], str] = {}
        self.ready: list[NamedPlace] = []
        self.running: list[NamedPlace] = []
        self.unhandled: list[str] = []
        self.limits: list[tuple[str, int]] = []
        self.context: dict[str, Any] = {}
        self.outputs: dict[str, Any] = {}
        self.reached_end = False
        self.failing = False
        self._guarded: deque[tuple[int, str]] = deque()

    def begin(self) -> None:
        self._apply(self.decide.begin(self.plan))
        self._settle_guarded()

    def start(self, place: NamedPlace) -> None:
        self.ready.remove(place)
        self.running.append(place)

    def finish(
        self, place: NamedPlace, status: str, output: Mapping[str, Any], answers: Mapping[str, bool]
    ) -> None:
        """Settle a running block or question and all that follows from it."""
        self.running.remove(place)
        index = self.plan.node_by_id[place[0]]
        assert self._place_name(index) == place, "a node stands in the live instance of its loop"
        chosen = None
        if self.plan.nodes[index].kind is NodeKind.DECIDE:
            chosen = self._answer(index, answers)
            status = "FAILED" if chosen is None else status
        elif status == "COMPLETED":
            self.outputs[place[0]] = output
            self.context.update(output)
        self._settle(index, status, chosen)
        self._settle_guarded()

    def outcome(self) -> tuple[str, str | None]:
        assert not self.ready
        assert not self.running
        status, error = self.decide.outcome(
            self.plan, unhandled_failures=bool(self.unhandled), reached_end=self.reached_end
        )
        return status.value, error and error.value

    # Settling

    def _settle(self, index: int, status: str, chosen: tuple[int, ...] | None = None) -> None:
        failed_gates: frozenset[int] = frozenset()
        while True:
            settlement = self.decide.settle(
                self.plan,
                index,
                self.decide.Verdict(status),
                scope_of=self._scope_of,
                arrivals_of=self._arrivals_of,
                loops=self.loops,
                chosen=chosen,
                failed_gates=failed_gates,
            )
            if settlement.routing_failure is None:
                break
            assert settlement == self.decide.Settlement(
                routing_failure=settlement.routing_failure, routing_failed_node=settlement.routing_failed_node
            )
            if settlement.routing_failed_node == index:
                assert status == "COMPLETED"
                status = "FAILED"
            else:
                assert settlement.routing_failed_node not in failed_gates
                failed_gates |= {settlement.routing_failed_node}
        assert settlement.settled[0].node == index
        if status in FAILING and not settlement.handled:
            self._fail(index)
        for gate in failed_gates:
            self._fail(gate)
        self._apply(settlement)

    def _apply(self, settlement: Any) -> None:
        named = self._keep_loops(settlement)
        for each in settlement.settled:
            path = named(each.place)
            name = self.plan.nodes[each.node].id
            assert self.statuses.get((name, path), READY) in (READY, "RUNNING"), (
                f"{name} {path} settled twice"
            )
            self.statuses[name, path] = each.verdict.value
            for index, result in each.outcomes.items():
                edge = self.plan.edges[index]
                target = "end" if edge.target == END_NODE else self.plan.nodes[edge.target].id
                self.edges[name, target, edge.kind.value == "error", path] = result.value
        for node, arrivals in settlement.arrivals.items():
            place = self._place(node)
            assert place is not None
            assert arrivals.resolved < len(self.plan.nodes[node].in_edges)
            self.arrivals[node, place.scope, place.index] = arrivals
        self.reached_end |= settlement.reached_end
        for limit in settlement.limits:
            self.limits.append((self.plan.nodes[limit.node].id, limit.rounds))
            self._fail(limit.node)
        for node in settlement.ready:
            self._make_ready(node)

    def _keep_loops(self, settlement: Any) -> Any:
        """Give new instances a scope, as a table gives ids, and return how to name places after it."""
        scopes: dict[int, int] = {}

        def known(place: Any) -> Any:
            return replace(place, scope=scopes.get(place.scope, place.scope))

        for state in settlement.loops:
            parent = known(state.parent)
            if state.scope < 0:
                scopes[state.scope] = len(self.path_of_scope)
            kept = replace(state, scope=scopes.get(state.scope, state.scope), parent=parent)
            self.path_of_scope[kept.scope] = self._path(parent)
            self.loops[state.loop] = kept
            if state.closed:
                del self.loops[state.loop]
        return lambda place: self._path(known(place))

    def _path(self, place: Any) -> Path:
        return () if place.scope == 0 else (*self.path_of_scope[place.scope], place.index)

    def _place(self, node: int) -> Any:
        loop = self.plan.nodes[node].loop
        if loop is None:
            return self.decide.Place()
        state = self.loops.get(loop)
        return (
            None
            if state is None or state.round < 0 or state.ended
            else self.decide.Place(state.scope, state.round)
        )

    def _place_name(self, node: int) -> NamedPlace:
        place = self._place(node)
        assert place is not None, f"{self.plan.nodes[node].id} stands nowhere"
        return self.plan.nodes[node].id, self._path(place)

    def _arrivals_of(self, nodes: frozenset[int]) -> Mapping[int, Any]:
        found = {}
        for node in nodes:
            place = self._place(node)
            if place is not None and (node, place.scope, place.index) in self.arrivals:
                found[node] = self.arrivals[node, place.scope, place.index]
        return found

    def _fail(self, index: int) -> None:
        self.unhandled.append(self.plan.nodes[index].id)
        block = self.plan.nodes[index].block
        policy = (block.on_failure if block else None) or self.plan.definition.global_settings.on_failure
        self.failing |= policy == "fail"

    # Starting

    def _make_ready(self, index: int) -> None:
        place = self._place_name(index)
        assert place not in self.statuses, f"{place} started twice"
        verdict = CANCELLED if self.failing else self._guard(index)
        self.statuses[place] = verdict or READY
        if verdict is None:
            self.ready.append(place)
        elif verdict != CANCELLED:
            self.statuses[place] = READY
            self._guarded.append((index, verdict))

    def _settle_guarded(self) -> None:
        while self._guarded:
            index, verdict = self._guarded.popleft()
            self._settle(index, verdict)
        if self.failing:
            self.statuses.update(dict.fromkeys(self.ready, CANCELLED))
            self.ready.clear()

    def _guard(self, index: int) -> str | None:
        guard = self.plan.nodes[index].guard
        if guard is None:
            return None
        try:
            return None if evaluate_condition(guard, self._scope()) else "SKIPPED"
        except ExpressionError:
            return "FAILED"

    # Conditions

    def _scope(self, own: Mapping[str, Any] | None = None) -> ValuesScope:
        return ValuesScope(context_values=self.context, own=own or {}, outputs=self.outputs)

    def _scope_of(self, index: int) -> ValuesScope:
        node = self.plan.nodes[index]
        return self._scope(
            {} if node.kind is NodeKind.GATE else self.outputs.get(node.id.removesuffix("?"), {})
        )

    def _answer(self, index: int, answers: Mapping[str, bool]) -> tuple[int, ...] | None:
        """Return the edges that a question takes, None if it cannot choose."""
        routing = self.plan.nodes[index].routing
        matching = []
        for branch in routing.branches:
            try:
                if branch.question is not None or branch.expression is None:
                    matches = answers.get(branch.question or "", False)
                else:
                    matches = evaluate_condition(branch.expression, self._scope_of(index))
            except ExpressionError:
                return None
            if matches:
                matching.append(branch.edges)
                if routing.mode == "exclusive":
                    break
        if not matching and routing.default is None and routing.mode == "exclusive":
            return None
        return tuple(edge for edges in matching or [routing.default or ()] for edge in edges)
