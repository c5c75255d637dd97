"""Loops, settlement by settlement: rounds, exits, nesting, limits, and what forbids another round."""

from collections.abc import Callable, Mapping

import pytest

from tests.unit.engine.graphs import planned
from workflow_service.engine.decide import (
    Arrivals,
    LoopState,
    NodeSettlement,
    Place,
    Settlement,
    Verdict,
    begin,
    settle,
)
from workflow_service.engine.expressions import ValuesScope
from workflow_service.engine.plan import Plan

COMPLETED, FAILED, SKIPPED = Verdict.COMPLETED, Verdict.FAILED, Verdict.SKIPPED
Finish = tuple[Verdict, Mapping[str, object]]
DONE: Finish = (COMPLETED, {})
AGAIN: Finish = (COMPLETED, {"again": True})
LEAVE: Finish = (COMPLETED, {"again": False})
FAIL: Finish = (FAILED, {})


class LoopRun:
    """A run in memory whose blocks end as ``finishes`` says: block id → one finish a round, the last for all others."""

    def __init__(self, plan: Plan, finishes: Mapping[str, list[Finish]]) -> None:
        self.plan = plan
        self.finishes = finishes
        self.scopes = 0
        self.loops: dict[int, LoopState] = {}
        self.arrivals: dict[tuple[Place, int], Arrivals] = {}
        self.runs: list[str] = []
        self.settled: list[NodeSettlement] = []
        self.settlements: list[Settlement] = []
        self.unhandled: list[str] = []
        self.reached_end = False
        self.active: list[int] = []
        self._apply(begin(plan))

    def run(self, choose: Callable[[list[int]], int] = min) -> "LoopRun":
        while self.active:
            index = choose(self.active)
            self.active.remove(index)
            name = self.plan.nodes[index].id
            ways = self.finishes.get(name, [DONE])
            verdict, output = ways[min(self.runs.count(name), len(ways)) - 1]
            settlement = settle(
                self.plan,
                index,
                verdict,
                scope_of=lambda node: ValuesScope(own=output),  # noqa: B023 - called at once
                arrivals_of=self._arrivals_of,
                loops=self.loops,
            )
            assert settlement.routing_failure is None, settlement.routing_failure
            if verdict is FAILED and not settlement.handled:
                self.unhandled.append(name)
            self._apply(settlement)
        assert not self.loops, "a loop was left open"
        return self

    def ended(self, block_id: str) -> list[Verdict]:
        """Return how a block ended, each time."""
        return [each.verdict for each in self.settled if self.plan.nodes[each.node].id == block_id]

    def rounds(self, block_id: str) -> list[int]:
        return [each.place.index for each in self.settled if self.plan.nodes[each.node].id == block_id]

    def _place(self, node: int) -> Place | None:
        loop = self.plan.nodes[node].loop
        if loop is None:
            return Place()
        state = self.loops.get(loop)
        return None if state is None or state.round < 0 or state.ended else Place(state.scope, state.round)

    def _arrivals_of(self, nodes: frozenset[int]) -> Mapping[int, Arrivals]:
        placed = {node: self._place(node) for node in nodes}
        return {
            node: self.arrivals[place, node]
            for node, place in placed.items()
            if place is not None and (place, node) in self.arrivals
        }

    def _apply(self, settlement: Settlement) -> None:
        self.settlements.append(settlement)
        names: dict[int, int] = {0: 0}
        for state in settlement.loops:
            if state.scope < 0:
                self.scopes += 1
                names[state.scope] = self.scopes

        def named(place: Place) -> Place:
            return Place(names.get(place.scope, place.scope), place.index)

        for state in settlement.loops:
            kept = LoopState(
                names.get(state.scope, state.scope), state.loop, named(state.parent), state.round, state.first_round,
                state.open, state.broken, state.ended, state.closed, state.back, state.exits, state.arrivals,
            )  # fmt: skip
            self.loops[state.loop] = kept
            if state.closed:
                del self.loops[state.loop]
        for each in settlement.settled:
            place = named(each.place)
            assert (place, each.node) not in {(old.place, old.node) for old in self.settled}, "settled twice"
            self.settled.append(
                NodeSettlement(each.node, each.verdict, each.outcomes, each.origins, place=place)
            )
        for node, arrivals in settlement.arrivals.items():
            stands = self._place(node)
            assert stands is not None
            self.arrivals[stands, node] = arrivals
        for node in settlement.ready:
            self.active.append(node)
            self.runs.append(self.plan.nodes[node].id)
        self.reached_end |= settlement.reached_end


ORDERS = [min, max]


def test_a_loop_runs_until_no_edge_leads_back() -> None:
    plan = planned("start->a; a->b; b->a:again; b->c:else")
    run = LoopRun(plan, {"b": [AGAIN, AGAIN, LEAVE]}).run()
    assert run.runs == ["a", "b", "a", "b", "a", "b", "c"]
    assert run.rounds("b") == [0, 1, 2]
    assert run.ended("c") == [COMPLETED]


def test_a_block_may_loop_on_itself() -> None:
    plan = planned("start->poll; poll->poll:again; poll->done:else")
    assert LoopRun(plan, {"poll": [AGAIN, LEAVE]}).run().runs == ["poll", "poll", "done"]


@pytest.mark.parametrize("order", ORDERS)
def test_a_join_waits_anew_in_every_round(order: Callable[[list[int]], int]) -> None:
    plan = planned("start->a; a->[x,y]; x->j; y->j; j->a:again; j->end:else")
    run = LoopRun(plan, {"j": [AGAIN, LEAVE]}).run(order)
    assert run.ended("j") == [COMPLETED, COMPLETED]
    assert sorted(run.runs) == sorted(["a", "x", "y", "j"] * 2)
    assert run.reached_end


@pytest.mark.parametrize("order", ORDERS)
def test_a_back_edge_beats_an_exit_of_the_same_round(order: Callable[[list[int]], int]) -> None:
    plan = planned("start->a; a->[x,y,side]; x->a:again; x->out:else; y->a:again; y->out:else")
    run = LoopRun(plan, {"x": [AGAIN, LEAVE], "y": [LEAVE]}).run(order)
    assert run.runs.count("y") == 2
    assert run.runs.count("side") == 1, "what is outside runs once, after the loop"
    assert run.runs.count("out") == 1


def test_only_the_last_rounds_exits_count() -> None:
    plan = planned("start->a; a->b; a->j; b->j; b->alarm:loud; b->j:else; j->a:again; j->c:else")
    loud: Finish = (COMPLETED, {"loud": True})
    quiet: Finish = (COMPLETED, {"loud": False})
    run = LoopRun(plan, {"b": [loud, quiet], "j": [AGAIN, LEAVE]}).run()
    assert run.runs == ["a", "b", "j", "a", "b", "j", "c"]
    assert run.ended("alarm") == [SKIPPED]


def test_inner_loops_begin_anew_in_every_outer_round() -> None:
    plan = planned("start->a; a->i; i->i:again; i->z:else; z->a:again; z->end:else")
    run = LoopRun(plan, {"i": [AGAIN, LEAVE, AGAIN, AGAIN, LEAVE], "z": [AGAIN, LEAVE]}).run()
    assert run.runs == ["a", "i", "i", "z", "a", "i", "i", "i", "z"]
    assert run.rounds("i") == [0, 1, 0, 1, 2]
    assert len({each.place.scope for each in run.settled if run.plan.nodes[each.node].id == "i"}) == 2
    assert run.reached_end


def test_an_exit_of_an_inner_loop_may_lead_back_in_the_outer() -> None:
    plan = planned("start->a; a->i; i->i:again; i->a:restart; i->end:else")
    again: Finish = (COMPLETED, {"again": True, "restart": False})
    restart: Finish = (COMPLETED, {"again": False, "restart": True})
    leave: Finish = (COMPLETED, {"again": False, "restart": False})
    run = LoopRun(plan, {"i": [again, restart, leave]}).run()
    assert run.runs == ["a", "i", "i", "a", "i"]
    assert run.reached_end


def test_a_skipped_loop_skips_its_body_and_leaves_dead_exits() -> None:
    plan = planned("s->a:again; s->x:else; a->b; b->a:again; b->m:else; x->m")
    run = LoopRun(plan, {"s": [LEAVE]}).run()
    assert run.ended("a") == run.ended("b") == [SKIPPED]
    assert run.ended("m") == [COMPLETED]


def test_a_lost_loop_loses_what_follows() -> None:
    plan = planned("s->a; a->b; b->a:again; b->m:else; y->m")
    run = LoopRun(plan, {"s": [FAIL]}).run()
    assert run.ended("b") == [SKIPPED]
    assert run.ended("m") == [SKIPPED]


def test_the_bound_ends_a_loop_with_an_error() -> None:
    plan = planned("start->a; a->a:again; a->b:else", a={"maxRounds": 3})
    run = LoopRun(plan, {"a": [AGAIN]}).run()
    assert run.runs == ["a", "a", "a"]
    [limit] = [limit for each in run.settlements for limit in each.limits]
    assert (plan.nodes[limit.node].id, limit.rounds) == ("a", 3)
    assert run.ended("b") == [SKIPPED]


@pytest.mark.parametrize("order", ORDERS)
def test_an_unhandled_failure_begins_no_new_round(order: Callable[[list[int]], int]) -> None:
    plan = planned("start->a; a->[x,y]; x->a:again; x->out:else; y->a:again; y->out:else")
    run = LoopRun(plan, {"x": [AGAIN], "y": [FAIL]}).run(order)
    assert run.runs.count("a") == 1
    assert run.ended("out") == [SKIPPED]
    assert run.unhandled == ["y"]


@pytest.mark.parametrize("order", ORDERS)
def test_an_error_edge_out_of_the_loop_beats_back_edges(order: Callable[[list[int]], int]) -> None:
    plan = planned("start->a; a->[x,y]; x->a:again; x->out:else; y->a:again; y->out:else; y!->rescue")
    run = LoopRun(plan, {"x": [AGAIN], "y": [FAIL]}).run(order)
    assert run.runs.count("a") == 1
    assert run.ended("rescue") == [COMPLETED]
    assert run.unhandled == []


def test_an_error_edge_may_lead_back() -> None:
    plan = planned("start->a; a->b; b!->a; b->end")
    run = LoopRun(plan, {"b": [FAIL, DONE]}).run()
    assert run.runs == ["a", "b", "a", "b"]
    assert run.reached_end


@pytest.mark.parametrize("entered", ["p", "q"])
def test_an_exclusive_loop_may_be_entered_at_several_blocks(entered: str) -> None:
    plan = planned("s->p:again; s->q:else; p->q; q->p:again; q->end:else")
    first = AGAIN if entered == "p" else LEAVE
    run = LoopRun(plan, {"s": [first], "q": [AGAIN, LEAVE]}).run()
    assert run.runs == (["s", "p", "q", "p", "q"] if entered == "p" else ["s", "q", "p", "q"])


def test_late_arrivals_at_a_loop_that_has_ended_change_nothing() -> None:
    plan = planned("u->a; v->a; a->a:again; a->end:else", a={"join": "any"})
    run = LoopRun(plan, {"a": [LEAVE]}).run(lambda active: max(active, key=lambda n: plan.nodes[n].id != "v"))
    assert run.runs.count("a") == 1
