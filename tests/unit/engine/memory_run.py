"""A whole run in memory: ``settle`` after ``settle`` until nothing is active, and everything checked on the way.

It does what a runner does with settlements, without saving anything: it keeps the counters it is handed,
starts what is ready, settles again as FAILED what could not route. Every settlement is checked against what
must hold at any moment of any run.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from workflow_service.engine.decide import Arrivals, Settlement, Verdict, outcome, settle
from workflow_service.engine.errors import ExpressionError
from workflow_service.engine.expressions import ValuesScope, evaluate_condition
from workflow_service.engine.plan import END_NODE, Node, NodeKind, Plan
from workflow_service.engine.states import EdgeOutcome, ErrorType, ExecutionStatus


@dataclass(frozen=True)
class Finish:
    """How a block ends, and its output. ``answers`` are those to the questions of its branches."""

    verdict: Verdict = Verdict.COMPLETED
    output: Mapping[str, Any] = field(default_factory=dict)
    answers: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Ending:
    """All that may be compared between two runs of one plan."""

    verdicts: Mapping[str, Verdict]
    outcomes: Mapping[tuple[str, str, str], EdgeOutcome]
    origins: Mapping[str, frozenset[int]]
    unhandled: frozenset[str]
    status: tuple[ExecutionStatus, ErrorType | None]


class MemoryRun:
    """One run of ``plan``; ``finishes`` says by id how blocks end, and what gates find in the context."""

    def __init__(self, plan: Plan, finishes: Mapping[str, Finish]) -> None:
        self.plan = plan
        self.finishes = finishes
        self.active = list(plan.roots)
        self.started = set(plan.roots)
        self.verdicts: dict[int, Verdict] = {}
        self.outcomes: dict[int, EdgeOutcome] = {}
        self.origins: dict[int, frozenset[int]] = {}
        self.counters: dict[int, Arrivals] = {}
        self.unhandled: set[int] = set()
        self.reached_end = False

    def run(self, choose: Callable[[int], int]) -> "MemoryRun":
        """Finish the active nodes one by one, the ``choose(how many)``-th next, until none is left."""
        while self.active:
            self.finish(self.active.pop(choose(len(self.active))))
        return self

    def finish_block(self, block_id: str, verdict: Verdict = Verdict.COMPLETED) -> Settlement:
        """Finish one active block by hand."""
        index = self.plan.node_by_id[block_id]
        self.active.remove(index)
        return self.finish(index, verdict)

    def finish(self, index: int, verdict: Verdict | None = None) -> Settlement:
        node = self.plan.nodes[index]
        verdict = verdict or self._verdict(node)
        chosen = self._answer(node) if node.kind is NodeKind.DECIDE else None
        if node.kind is NodeKind.DECIDE and chosen is None:
            verdict = Verdict.FAILED
        failed_gates: frozenset[int] = frozenset()
        while True:
            settlement = self._settle(index, verdict, chosen, failed_gates)
            if settlement.routing_failure is None:
                break
            assert settlement == Settlement(
                routing_failure=settlement.routing_failure, routing_failed_node=settlement.routing_failed_node
            )
            if settlement.routing_failed_node == index:
                verdict = Verdict.FAILED
            else:
                assert settlement.routing_failed_node is not None
                failed_gates |= {settlement.routing_failed_node}
        self._apply(index, settlement)
        return settlement

    def ending(self) -> Ending:
        """Return how the run ended; every node must have been decided."""
        nodes, edges = self.plan.nodes, self.plan.edges
        assert self.verdicts.keys() == set(range(len(nodes)))
        assert self.outcomes.keys() == set(range(len(edges)))
        names = {node.index: node.id for node in nodes} | {END_NODE: "end"}
        return Ending(
            {nodes[index].id: verdict for index, verdict in self.verdicts.items()},
            {
                (names[edges[index].source], edges[index].kind, names[edges[index].target]): result
                for index, result in self.outcomes.items()
            },
            {nodes[index].id: origins for index, origins in self.origins.items()},
            frozenset(nodes[index].id for index in self.unhandled),
            outcome(self.plan, unhandled_failures=bool(self.unhandled), reached_end=self.reached_end),
        )

    def _finish_of(self, node: Node) -> Finish:
        return self.finishes.get(node.id.removesuffix("?"), Finish())

    def _verdict(self, node: Node) -> Verdict:
        return self._finish_of(node).verdict if node.kind is NodeKind.BLOCK else Verdict.COMPLETED

    def _answer(self, node: Node) -> tuple[int, ...] | None:
        """Return the edges a DECIDE node takes, or None if it cannot choose."""
        finish = self._finish_of(node)
        exclusive = node.routing.mode == "exclusive"
        holding = []
        for branch in node.routing.branches:
            try:
                if branch.question is not None or branch.expression is None:
                    holds = finish.answers.get(branch.question or "", False)
                else:
                    holds = evaluate_condition(branch.expression, self._scope(node.index))
            except ExpressionError:
                return None
            if holds:
                holding.append(branch.edges)
                if exclusive:
                    break
        if not holding and node.routing.default is None and exclusive:
            return None
        return tuple(edge for edges in holding or [node.routing.default or ()] for edge in edges)

    def _scope(self, index: int) -> ValuesScope:
        return ValuesScope(own=self._finish_of(self.plan.nodes[index]).output)

    def _settle(
        self, index: int, verdict: Verdict, chosen: tuple[int, ...] | None, failed_gates: frozenset[int]
    ) -> Settlement:
        loads: list[frozenset[int]] = []

        def arrivals_of(wanted: frozenset[int]) -> Mapping[int, Arrivals]:
            loads.append(wanted)
            return {node: self.counters[node] for node in wanted if node in self.counters}

        settlement = settle(
            self.plan,
            index,
            verdict,
            scope_of=self._scope,
            arrivals_of=arrivals_of,
            chosen=chosen,
            failed_gates=failed_gates,
        )
        assert len(loads) <= 2
        assert sum(map(len, loads)) == len(frozenset().union(*loads)), "a counter was loaded twice"
        return settlement

    def _apply(self, index: int, settlement: Settlement) -> None:
        for each in settlement.settled:
            assert each.node not in self.verdicts, "settled twice"
            assert each.node == index or each.node not in self.started, "skipped although it was started"
            assert not self.outcomes.keys() & each.outcomes.keys()
            self.verdicts[each.node] = each.verdict
            self.outcomes.update(each.outcomes)
            self.origins[each.node] = each.origins
            failed = each.verdict in (Verdict.FAILED, Verdict.REJECTED)
            if failed and not (each.node == index and settlement.handled):
                self.unhandled.add(each.node)
        assert settlement.settled[0].node == index
        self.counters.update(settlement.arrivals)
        assert not self.started.intersection(settlement.ready), "started twice"
        assert not self.verdicts.keys() & set(settlement.ready)
        self.started.update(settlement.ready)
        self.active += settlement.ready
        self.reached_end |= settlement.reached_end
        self._check_counters(settlement)
        self._check_nothing_is_late()

    def _check_counters(self, settlement: Settlement) -> None:
        """The counters handed out say what the edges say, for every node still open."""
        for node, arrivals in settlement.arrivals.items():
            taken, dead, lost = self._recount(node)
            assert (arrivals.taken, arrivals.dead, arrivals.lost) == (taken, dead, lost)
            assert taken + dead + lost < len(self.plan.nodes[node].in_edges)

    def _check_nothing_is_late(self) -> None:
        """What can be decided is decided: by joins that count, as soon as it is certain."""
        for node in self.plan.nodes:
            decided = node.index in self.started or node.index in self.verdicts
            taken, dead, lost = self._recount(node.index)
            taken += node.starts
            complete = taken + dead + lost == node.arrivals_expected
            if node.join == "all":
                certain = complete
            else:
                certain = complete or taken >= node.needed or dead > node.arrivals_expected - node.needed
            assert decided == certain, (node.id, node.join, taken, dead, lost)

    def _recount(self, index: int) -> tuple[int, int, int]:
        node = self.plan.nodes[index]
        results = [self.outcomes[edge] for edge in node.in_edges if edge in self.outcomes]
        return (
            results.count(EdgeOutcome.TAKEN),
            results.count(EdgeOutcome.DEAD),
            results.count(EdgeOutcome.LOST),
        )
