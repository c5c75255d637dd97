"""The rule, row by row: what each kind of finish does to edges, joins, gates and what lies behind them."""

from typing import Any

import pytest

from tests.unit.engine.graphs import planned
from tests.unit.engine.memory_run import Finish, MemoryRun
from workflow_service.engine.decide import Arrivals, Settlement, Verdict, outcome, reads_approved, settle
from workflow_service.engine.expressions import ValuesScope
from workflow_service.engine.plan import Plan
from workflow_service.engine.states import EdgeOutcome, ErrorType, ExecutionStatus

COMPLETED, FAILED, REJECTED, SKIPPED = Verdict
TAKEN, DEAD, LOST = EdgeOutcome
FAIL = Finish(FAILED)


def ended(edges: str, finishes: dict[str, Finish] | None = None, **options: Any) -> dict[str, Verdict]:
    """Run a workflow to its end and return how every node ended."""
    run = MemoryRun(planned(edges, **options), finishes or {}).run(lambda active: 0)
    return dict(run.ending().verdicts)


def settled(plan: Plan, block_id: str, verdict: Verdict = COMPLETED, **own: Any) -> Settlement:
    """Settle one block of a plan that nothing has arrived in yet."""
    return settle(
        plan,
        plan.node_by_id[block_id],
        verdict,
        scope_of=lambda node: ValuesScope(own=own),
        arrivals_of=lambda nodes: {},
    )


def edges_of(plan: Plan, settlement: Settlement, block_id: str) -> dict[str, EdgeOutcome]:
    """Return what became of the edges of one settled block, by target, error edges as '!target'."""
    index = plan.node_by_id[block_id]
    [found] = [each for each in settlement.settled if each.node == index]
    return {
        ("!" if plan.edges[edge].kind == "error" else "") + plan.nodes[plan.edges[edge].target].id: result
        for edge, result in found.outcomes.items()
    }


def ready(plan: Plan, settlement: Settlement) -> list[str]:
    return [plan.nodes[node].id for node in settlement.ready]


class TestFinishes:
    def test_completed_takes_its_normal_edges(self) -> None:
        plan = planned("a->b; a->c; a!->d")
        settlement = settled(plan, "a")
        assert edges_of(plan, settlement, "a") == {"b": TAKEN, "c": TAKEN, "!d": DEAD}
        assert ready(plan, settlement) == ["b", "c"]
        assert [each.verdict for each in settlement.settled] == [COMPLETED, SKIPPED]
        assert not settlement.handled

    @pytest.mark.parametrize("verdict", [FAILED, REJECTED])
    def test_failed_takes_its_error_edges(self, verdict: Verdict) -> None:
        plan = planned("a->b; a!->d; b->c")
        settlement = settled(plan, "a", verdict)
        assert edges_of(plan, settlement, "a") == {"b": LOST, "!d": TAKEN}
        assert ready(plan, settlement) == ["d"]
        assert settlement.handled

    def test_failed_without_error_edges_loses_everything_behind_it(self) -> None:
        plan = planned("a->b; b->c; b!->d")
        settlement = settled(plan, "a", FAILED)
        assert [(plan.nodes[each.node].id, each.verdict) for each in settlement.settled] == [
            ("a", FAILED),
            ("b", SKIPPED),
            ("c", SKIPPED),
            ("d", SKIPPED),
        ]
        assert edges_of(plan, settlement, "b") == {"c": LOST, "!d": DEAD}
        assert not settlement.ready
        assert not settlement.handled

    def test_skipped_by_its_guard_leaves_dead_edges(self) -> None:
        plan = planned("a->b; a!->c", a={"guard": "x == 1"})
        assert plan.nodes[0].guard is not None
        settlement = settled(plan, "a", SKIPPED)
        assert edges_of(plan, settlement, "a") == {"b": DEAD, "!c": DEAD}

    def test_what_is_ready_is_in_order_of_definition(self) -> None:
        plan = planned("x->b; a->[c,b]:go", b={"join": "any"})
        assert ready(plan, settled(plan, "a", go=True)) == ["b", "c"]

    def test_a_status_by_its_name_is_a_verdict(self) -> None:
        plan = planned("a->b")
        assert ready(plan, settled(plan, "a", "COMPLETED")) == ["b"]  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="RUNNING"):
            settled(plan, "a", "RUNNING")  # type: ignore[arg-type]

    def test_one_edge_for_success_and_failure_alike(self) -> None:
        for finish in (Finish(), FAIL):
            assert ended("a->cleanup; a!->cleanup", {"a": finish})["cleanup"] is COMPLETED


class TestLosses:
    def test_a_failure_is_not_dead(self) -> None:
        """The other branch of the join is fine, and still it must not run."""
        assert ended("a->c; b->c", {"a": FAIL})["c"] is SKIPPED

    def test_where_the_error_edge_leads_too_a_failure_is_dead(self) -> None:
        ends = ended("a->ship; a!->refund; ship->report; refund->report", {"a": FAIL})
        assert ends == {"a": FAILED, "ship": SKIPPED, "refund": COMPLETED, "report": COMPLETED}

    def test_a_loss_keeps_its_origin_through_skipped_blocks(self) -> None:
        """b is lost to a; where a's own error edge leads too, b's edge is dead, not lost."""
        plan = planned("a->b; b->c; b->m; a!->r; r->m")
        settlement = settled(plan, "a", FAILED)
        assert edges_of(plan, settlement, "b") == {"c": LOST, "m": DEAD}
        assert ended("a->b; b->c; b->m; a!->r; r->m", {"a": FAIL})["m"] is COMPLETED

    def test_two_origins_must_both_be_made_good(self) -> None:
        edges = "a->b; c->b; b->m; a!->r; r->m; c!->s; s->t"
        assert ended(edges, {"a": FAIL})["m"] is COMPLETED
        assert ended(edges, {"a": FAIL, "c": FAIL})["m"] is SKIPPED
        assert ended(edges + "; t->m", {"a": FAIL, "c": FAIL})["m"] is COMPLETED

    def test_the_error_branch_may_fail_too(self) -> None:
        ends = ended("a->b; a!->r; b->m; r->m", {"a": FAIL, "r": FAIL})
        assert ends == {"a": FAILED, "b": SKIPPED, "r": FAILED, "m": SKIPPED}

    def test_an_error_handler_shared_with_a_lost_block_still_runs(self) -> None:
        """An error edge waits for a failure: where its source is lost to another, it is merely dead."""
        ends = ended("a->b; b!->undo; c!->undo", {"a": FAIL, "c": FAIL})
        assert ends == {"a": FAILED, "b": SKIPPED, "c": FAILED, "undo": COMPLETED}

    def test_origins_are_kept_until_one_alone_stands_for_all(self) -> None:
        plan = planned("[a,b,c]->d; a!->x; b!->y; d->e")
        gate = plan.node_by_id["[a,b,c]"]
        run = MemoryRun(plan, {})
        run.finish_block("a", FAILED)
        run.finish_block("b", FAILED)
        assert run.counters[gate] == Arrivals(lost=2, origins=frozenset({0, 1}))
        run.finish_block("c", FAILED)
        assert run.origins[gate] == {2}, "nothing can make up for c"


class TestJoinAll:
    def test_waits_for_all(self) -> None:
        run = MemoryRun(planned("a->c; b->c"), {})
        settlement = run.finish_block("b")
        assert not settlement.ready
        assert settlement.arrivals == {1: Arrivals(taken=1)}
        assert run.finish_block("a").ready == (1,)

    def test_needs_one_taken_edge(self) -> None:
        edges = "a->c:x == 1; a->d:else; b->c:x == 1; b->d:else"
        one, none = Finish(output={"x": 1}), Finish(output={"x": 0})
        assert ended(edges, {"a": one, "b": none})["c"] is COMPLETED
        assert ended(edges, {"a": none, "b": none})["c"] is SKIPPED

    def test_merge_after_exclusive_branches_runs_once(self) -> None:
        ends = ended("a->b:x == 1; a->c:else; b->d; c->d", {"a": Finish(output={"x": 1})})
        assert ends == {"a": COMPLETED, "b": COMPLETED, "c": SKIPPED, "d": COMPLETED}

    def test_start_is_an_edge_of_its_own(self) -> None:
        plan = planned("a->b:x == 1; a->c:else; start->b; start->d; d->b")
        assert [plan.nodes[root].id for root in plan.roots] == ["a", "d"]
        assert ended("a->b:x == 1; a->c:else; start->b", {"a": Finish(output={"x": 0})})["b"] is COMPLETED


class TestJoinAny:
    def test_begun_by_the_start_it_does_not_begin_again(self) -> None:
        run = MemoryRun(planned("start->a; b->a", a={"join": "any"}), {})
        assert not run.finish_block("b").ready
        assert run.active == [run.plan.node_by_id["a"]]

    def test_ready_at_the_first_taken_and_only_once(self) -> None:
        run = MemoryRun(planned("a->c; b->c; d->c", c={"join": "any"}), {})
        first = run.finish_block("b")
        assert ready(run.plan, first) == ["c"]
        assert first.arrivals == {run.plan.node_by_id["c"]: Arrivals(taken=1)}
        assert not run.finish_block("a").ready
        run.finish_block("c")
        last = run.finish_block("d", FAILED)
        assert not last.ready
        assert len(last.settled) == 1
        assert not last.arrivals

    def test_not_put_off_by_a_loss(self) -> None:
        assert ended("a->c; b->c", {"a": FAIL}, c={"join": "any"})["c"] is COMPLETED

    def test_none_taken(self) -> None:
        dead = "a->c:x == 1; a->d:else; b->c:x == 1; b->d:else; c->m; e->m"
        none = Finish(output={"x": 0})
        assert ended(dead, {"a": none, "b": none}, c={"join": "any"})["m"] is COMPLETED
        assert ended(dead, {"a": none, "b": FAIL}, c={"join": "any"})["m"] is SKIPPED


class TestJoinOfMany:
    def test_ready_at_n(self) -> None:
        run = MemoryRun(planned("a->d; b->d; c->d", d={"join": 2}), {})
        assert not run.finish_block("a").ready
        assert ready(run.plan, run.finish_block("c")) == ["d"]
        assert not run.finish_block("b").ready

    def test_skipped_as_soon_as_dead_edges_put_it_out_of_reach(self) -> None:
        run = MemoryRun(planned("a->d; b->d; c->d; d->e", d={"join": 2}), {})
        run.finish_block("a", SKIPPED)
        settlement = run.finish_block("b", SKIPPED)
        assert [run.plan.nodes[each.node].id for each in settlement.settled] == ["b", "d", "e"]
        assert not run.finish_block("c").ready

    @pytest.mark.parametrize("order", ["abc", "acb", "bac", "bca", "cab", "cba"])
    def test_dead_or_lost_does_not_depend_on_who_was_faster(self, order: str) -> None:
        """Two edges dead: it could not run anyway, so nothing is lost, whenever the failure is seen."""
        run = MemoryRun(planned("a->d; b->d; c->d; d->m; e->m", d={"join": 2}), {})
        finishes = {"a": SKIPPED, "b": FAILED, "c": SKIPPED}
        for block in order:
            run.finish_block(block, finishes[block])
        run.finish_block("e")
        run.finish_block("m")
        assert run.ending().verdicts["m"] is COMPLETED

    def test_waits_for_the_rest_where_a_loss_is_to_blame(self) -> None:
        run = MemoryRun(planned("a->d; b->d; c->d; d->m; e->m", d={"join": 2}), {})
        run.finish_block("a", SKIPPED)
        assert len(run.finish_block("b", FAILED).settled) == 1
        assert [run.plan.nodes[each.node].id for each in run.finish_block("c").settled] == ["c", "d"]
        assert [each.verdict for each in run.finish_block("e").settled] == [COMPLETED, SKIPPED]


class TestGates:
    def test_opens_when_every_edge_is_taken(self) -> None:
        run = MemoryRun(planned("[a,b]->c; [a,b]->d"), {})
        assert not run.finish_block("b").ready
        settlement = run.finish_block("a")
        assert ready(run.plan, settlement) == ["c", "d"]
        assert [run.plan.nodes[each.node].id for each in settlement.settled] == ["a", "[a,b]"]

    def test_a_dead_edge_closes_it_at_once(self) -> None:
        run = MemoryRun(planned("[a,b]->c"), {})
        settlement = run.finish_block("a", SKIPPED)
        assert [run.plan.nodes[each.node].id for each in settlement.settled] == ["a", "[a,b]", "c"]
        assert not run.finish_block("b").ready

    @pytest.mark.parametrize("first", ["a", "b"])
    def test_dead_beats_lost(self, first: str) -> None:
        run = MemoryRun(planned("[a,b]->c; c->m; d->m"), {})
        for block in (first, {"a": "b", "b": "a"}[first]):
            run.finish_block(block, {"a": FAILED, "b": SKIPPED}[block])
        assert ready(run.plan, run.finish_block("d")) == ["m"]

    def test_lost_when_a_source_failed(self) -> None:
        assert ended("[a,b]->c; c->m; d->m", {"a": FAIL})["m"] is SKIPPED

    def test_a_source_leads_to_its_gate_whatever_it_chose(self) -> None:
        ends = ended("a->x:flag; a->y:else; [a,b]->c", {"a": Finish(output={"flag": True})})
        assert ends["[a,b]"] is COMPLETED
        assert ends["c"] is COMPLETED

    def test_conditions_in_order_once(self) -> None:
        edges = "[a,b]->c:all_pass == true; [a,b]->d:any_fail == true; [a,b]->e:else"
        for own, chosen in (({"all_pass": True}, "c"), ({"all_pass": False, "any_fail": True}, "d")):
            ends = ended(edges, {"[a,b]": Finish(output=own)})
            assert [name for name in "cde" if ends[name] is COMPLETED] == [chosen]
        run = MemoryRun(planned(edges), {"[a,b]": Finish(output={"all_pass": False, "any_fail": False})})
        run.finish_block("a")
        gate = run.finish_block("b").settled[1]
        assert gate.conditions == (("all_pass == true", False), ("any_fail == true", False))
        assert run.plan.nodes[run.active[0]].id == "e"

    def test_computes_names_in_order_and_reads_them(self) -> None:
        gates = {"[a,b]": {"set": {"total": "x + 1", "all_pass": "total > 2"}}}
        run = MemoryRun(
            planned("[a,b]->c:all_pass; [a,b]->d:else", gates=gates), {"[a,b]": Finish(output={"x": 2})}
        )
        run.finish_block("a")
        settlement = run.finish_block("b")
        assert settlement.settled[1].computed == {"total": 3, "all_pass": True}
        assert ready(run.plan, settlement) == ["c"]

    def test_a_computed_name_is_seen_in_the_context_too(self) -> None:
        gates = {"[a,b]": {"set": {"flag": "true"}}}
        plan = planned("[a,b]->c:context.flag and workflow.input.go; [a,b]->d:else", gates=gates)
        settlement = settle(
            plan,
            plan.node_by_id["b"],
            COMPLETED,
            scope_of=lambda node: ValuesScope(input={"go": True}),
            arrivals_of=lambda nodes: {plan.node_by_id["[a,b]"]: Arrivals(taken=1)},
        )
        assert ready(plan, settlement) == ["c"]

    def test_may_lead_to_the_end(self) -> None:
        run = MemoryRun(planned("[a,b]->end"), {})
        assert not run.finish_block("a").reached_end
        assert run.finish_block("b").reached_end


class TestBranches:
    @pytest.mark.parametrize(
        ("mode", "x", "chosen"),
        [
            ("exclusive", 5, {"b"}),
            ("exclusive", 2, {"c"}),
            ("exclusive", 0, {"d"}),
            ("inclusive", 5, {"b", "c"}),
            ("inclusive", 2, {"c"}),
            ("inclusive", 0, {"d"}),
        ],
    )
    def test_exclusive_and_inclusive(self, mode: str, x: int, chosen: set[str]) -> None:
        plan = planned("a->b:x > 3; a->c:x > 1; a->d:else", a={"mode": mode})
        settlement = settled(plan, "a", x=x)
        assert set(ready(plan, settlement)) == chosen
        assert edges_of(plan, settlement, "a") == {
            name: TAKEN if name in chosen else DEAD for name in ("b", "c", "d")
        }

    def test_conditions_after_the_first_true_one_are_not_read(self) -> None:
        plan = planned("a->b:x == 1; a->c:missing == 1")
        settlement = settled(plan, "a", x=1)
        assert settlement.settled[0].conditions == (("x == 1", True),)

    def test_unconditional_edges_beside_conditional_ones_are_the_default(self) -> None:
        plan = planned("a->b:x == 1; a->c; a->d")
        assert ready(plan, settled(plan, "a", x=1)) == ["b"]
        assert ready(plan, settled(plan, "a", x=2)) == ["c", "d"]

    def test_a_lone_default_is_unconditional(self) -> None:
        plan = planned("a->b:else; a->c")
        assert ready(plan, settled(plan, "a")) == ["b", "c"]

    def test_an_edge_that_two_branches_share(self) -> None:
        plan = planned("a->[b,c]:x == 1; a->[c,d]:x == 2")
        assert edges_of(plan, settled(plan, "a", x=2), "a") == {"b": DEAD, "c": TAKEN, "d": TAKEN}

    def test_inclusive_without_match_or_default(self) -> None:
        assert ended("a->b:x == 1; b->c", {"a": Finish(output={"x": 0})}, a={"mode": "inclusive"}) == {
            "a": COMPLETED,
            "b": SKIPPED,
            "c": SKIPPED,
        }

    def test_a_route_already_known_is_not_chosen_again(self) -> None:
        plan = planned("a->b:x == 1; a->c:else; [a,d]->e")
        to_c = next(edge.index for edge in plan.edges if edge.target == plan.node_by_id["c"])
        settlement = settle(
            plan,
            plan.node_by_id["a"],
            COMPLETED,
            scope_of=lambda node: pytest.fail("no condition is read"),
            arrivals_of=lambda nodes: {},
            chosen=[to_c],
        )
        assert edges_of(plan, settlement, "a") == {"b": DEAD, "c": TAKEN, "[a,d]": TAKEN}

    def test_a_route_must_be_made_of_the_nodes_own_edges(self) -> None:
        plan = planned("a->b; b->c")
        with pytest.raises(ValueError, match="not all normal edges of 'a'"):
            settle(
                plan,
                0,
                COMPLETED,
                scope_of=lambda node: ValuesScope(),
                arrivals_of=lambda nodes: {},
                chosen=[1],
            )


class TestRoutingFailures:
    def test_no_branch_matched_names_conditions_and_values(self) -> None:
        plan = planned("a->b:urgency == 'high'; a->c:len(tags) > 2 and blocks.a.output.kind.name == 'x'")
        settlement = settle(
            plan,
            0,
            COMPLETED,
            scope_of=lambda node: ValuesScope(
                own={"urgency": "low", "tags": ["t"] * 3}, outputs={"a": {"kind": {"name": "y"}}}
            ),
            arrivals_of=lambda nodes: {},
        )
        failure = settlement.routing_failure
        assert failure is not None
        assert settlement == Settlement(routing_failure=failure, routing_failed_node=0)
        assert failure.error_type is ErrorType.NO_BRANCH_MATCHED
        assert failure.details == {
            "conditions": ["urgency == 'high'", "len(tags) > 2 and blocks.a.output.kind.name == 'x'"],
            "values": {"urgency": "low", "tags": "a list of 3 items", "blocks.a.output.kind.name": "y"},
        }
        assert "urgency is 'low'" in failure.message

    def test_values_of_secrets_are_never_named(self) -> None:
        plan = planned("a->b:token == secrets.TOKEN")
        settlement = settle(
            plan,
            0,
            COMPLETED,
            scope_of=lambda node: ValuesScope(own={"token": "wrong"}, secrets={"TOKEN": "hunter2"}),
            arrivals_of=lambda nodes: {},
        )
        assert settlement.routing_failure is not None
        assert settlement.routing_failure.details["values"] == {}
        assert "hunter2" not in settlement.routing_failure.message

    def test_long_values_are_cut(self) -> None:
        plan = planned("a->b:text == 'x' or exists(nothing)")
        failure = settled(plan, "a", text="y" * 5_000).routing_failure
        assert failure is not None
        assert failure.details["values"] == {"text": "y" * 200 + "…", "nothing": "missing"}

    @pytest.mark.parametrize("own", [{}, {"x": "text"}, {"x": None}])
    def test_a_condition_that_cannot_be_evaluated(self, own: dict[str, Any]) -> None:
        failure = settled(planned("a->b:x > 1; a->c:else"), "a", **own).routing_failure
        assert failure is not None
        assert failure.error_type is ErrorType.ROUTING_ERROR
        assert failure.details["condition"] == "x > 1"

    def test_a_condition_that_is_neither_true_nor_false(self) -> None:
        failure = settled(planned("a->b:x; a->c:else"), "a", x=3).routing_failure
        assert failure is not None
        assert "not true or false" in failure.message

    def test_the_failed_block_then_settles_as_failed(self) -> None:
        ends = ended("a->b:x == 1; a!->c", {"a": Finish(output={"x": 2})})
        assert ends == {"a": FAILED, "b": SKIPPED, "c": COMPLETED}

    def test_a_gate_that_cannot_choose_is_named_and_nothing_is_settled(self) -> None:
        plan = planned("[a,b]->c:missing; a->d")
        run = MemoryRun(plan, {})
        run.finish_block("b")
        gate = plan.node_by_id["[a,b]"]
        given: dict[str, Any] = {
            "scope_of": lambda node: ValuesScope(),
            "arrivals_of": lambda nodes: {gate: Arrivals(taken=1)},
        }
        failed = settle(plan, plan.node_by_id["a"], COMPLETED, **given)
        assert failed.routing_failed_node == gate
        assert failed == Settlement(routing_failure=failed.routing_failure, routing_failed_node=gate)
        again = settle(plan, plan.node_by_id["a"], COMPLETED, **given, failed_gates=frozenset({gate}))
        assert ready(plan, again) == ["d"]
        assert [(plan.nodes[each.node].id, each.verdict) for each in again.settled] == [
            ("a", COMPLETED),
            ("[a,b]", FAILED),
            ("c", SKIPPED),
        ]

    def test_a_gate_may_be_routed_again(self) -> None:
        plan = planned("[a,b]->c:flag; [a,b]->d:else")
        assert ready(plan, settled(plan, "[a,b]", flag=True)) == ["c"]


class TestQuestions:
    def test_a_decide_node_owns_the_whole_list(self) -> None:
        plan = planned('a->b:x == 1; a->c:"the customer sounds angry"; a->d:else; [a,e]->f')
        decide = plan.nodes[plan.node_by_id["a?"]]
        assert decide.kind == "decide"
        assert [branch.question for branch in decide.routing.branches] == [None, "the customer sounds angry"]
        assert plan.nodes[0].routing.branches == ()
        assert ready(plan, settled(plan, "a", x=1)) == ["a?"]

    def test_takes_the_edges_it_is_told(self) -> None:
        edges = 'a->b:"is it urgent"; a->c:else'
        for answer, chosen in ((True, "b"), (False, "c")):
            ends = ended(edges, {"a": Finish(answers={"is it urgent": answer})})
            assert ends[chosen] is COMPLETED
            assert ends[{"b": "c", "c": "b"}[chosen]] is SKIPPED

    def test_a_question_without_an_answer_is_refused(self) -> None:
        with pytest.raises(ValueError, match="asks a question"):
            settled(planned('a->b:"is it urgent"'), "a?")

    def test_losses_pass_through_it(self) -> None:
        ends = ended('a->b:"is it urgent"; a->m:else; a!->r; r->m', {"a": FAIL})
        assert ends == {"a": FAILED, "a?": SKIPPED, "b": SKIPPED, "r": COMPLETED, "m": COMPLETED}

    def test_behind_a_gate(self) -> None:
        run = MemoryRun(planned('[a,b]->c:"are both good"; [a,b]->d:else'), {})
        run.finish_block("a")
        assert ready(run.plan, run.finish_block("b")) == ["[a,b]?"]


class TestCascades:
    def test_one_settlement_however_long(self) -> None:
        chain = "a->b0:x == 1; a->z:else; " + "; ".join(
            f"b{number}->b{number + 1}" for number in range(2_999)
        )
        plan = planned(chain)
        settlement = settled(plan, "a", x=0)
        assert len(settlement.settled) == 3_001
        assert ready(plan, settlement) == ["z"]

    def test_counters_are_asked_for_once_and_once_more_for_a_cascade(self) -> None:
        rungs = "; ".join(f"l{n}->[l{n + 1},r{n + 1}]; r{n}->[l{n + 1},r{n + 1}]" for n in range(100))
        plan = planned(f"a->[l0,r0]:x == 1; a->z:else; {rungs}")
        asked: list[frozenset[int]] = []

        def arrivals_of(nodes: frozenset[int]) -> dict[int, Arrivals]:
            asked.append(nodes)
            return {}

        settlement = settle(
            plan, 0, COMPLETED, scope_of=lambda node: ValuesScope(own={"x": 0}), arrivals_of=arrivals_of
        )
        assert len(settlement.settled) == 203
        assert [len(nodes) for nodes in asked] == [2, 198]

    def test_nothing_is_asked_where_no_join_is_near(self) -> None:
        plan = planned("a->b; b->c; c->d; x->d")
        settle(
            plan,
            0,
            COMPLETED,
            scope_of=lambda node: ValuesScope(),
            arrivals_of=lambda nodes: pytest.fail(f"asked for {nodes}"),
        )

    def test_a_settlement_reads_what_is_near_only(self) -> None:
        """The cost of a step must not grow with the workflow."""
        sections = "; ".join(
            f"s{n}->a{n}:x == 1; s{n}->b{n}:else; a{n}->s{n + 1}; b{n}->s{n + 1}" for n in range(500)
        )
        plan = planned(sections)
        asked: list[frozenset[int]] = []

        def arrivals_of(nodes: frozenset[int]) -> dict[int, Arrivals]:
            asked.append(nodes)
            return {}

        first = plan.node_by_id["s0"]
        scope = ValuesScope(own={"x": 1})
        settle(plan, first, COMPLETED, scope_of=lambda node: scope, arrivals_of=arrivals_of)
        assert asked == [frozenset({plan.node_by_id["s1"]})]


class TestEnd:
    @pytest.mark.parametrize(
        ("edges", "unhandled", "reached", "expected"),
        [
            ("a->b", False, False, (ExecutionStatus.COMPLETED, None)),
            ("a->end", False, True, (ExecutionStatus.COMPLETED, None)),
            ("a->end", False, False, (ExecutionStatus.FAILED, ErrorType.NO_PATH_TO_END)),
            ("a->end", True, True, (ExecutionStatus.FAILED, None)),
            ("a->b", True, False, (ExecutionStatus.FAILED, None)),
        ],
    )
    def test_outcome(
        self, edges: str, unhandled: bool, reached: bool, expected: tuple[ExecutionStatus, ErrorType | None]
    ) -> None:
        plan = planned(edges)
        assert outcome(plan, unhandled_failures=unhandled, reached_end=reached) == expected

    def test_a_failure_that_an_error_edge_handles_completes_the_run(self) -> None:
        run = MemoryRun(planned("a->b; a!->c; b->end; c->end"), {"a": FAIL}).run(lambda active: 0)
        assert run.ending().status == (ExecutionStatus.COMPLETED, None)

    def test_an_unhandled_failure_fails_it_after_everything_else_ran(self) -> None:
        run = MemoryRun(planned("a->b; c->d; d->end"), {"a": FAIL}).run(lambda active: 0)
        assert run.ending().status == (ExecutionStatus.FAILED, None)
        assert run.ending().verdicts["d"] is COMPLETED

    def test_an_error_edge_may_lead_to_the_end(self) -> None:
        settlement = settled(planned("a->b; a!->end"), "a", FAILED)
        assert settlement.reached_end
        assert settlement.handled

    def test_no_way_taken_to_the_end(self) -> None:
        plan = planned("a->end:x == 1; a->b:else")
        run = MemoryRun(plan, {"a": Finish(output={"x": 0})}).run(lambda active: 0)
        assert run.ending().status == (ExecutionStatus.FAILED, ErrorType.NO_PATH_TO_END)


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        ("a->b:approved == true; a->c:else", True),
        ("a->b:not context.approved; a->c:else", True),
        ("a->b:blocks.a.output.approved; a->c:else", True),
        ("a->b:blocks.a.output['approved'] == false; a->c:else", True),
        ('a->b:"is he angry"; a->c:approved', True),
        ("[a,x]->b:approved; [a,x]->c:else", True),
        ('[a,x]->b:"is he angry"; [a,x]->c:approved', True),
        ("a->b:x == 'approved'; a->c:else", False),
        ("a->b:blocks.a.output.status == 'approved'; a->c:else", False),
        ("a->b; b->c:approved; b->d:else", False),
        ("a->b; a->end", False),
    ],
)
def test_reads_approved(edges: str, expected: bool) -> None:
    plan = planned(edges)
    assert reads_approved(plan, plan.node_by_id["a"]) is expected


def test_reads_approved_in_what_a_gate_computes() -> None:
    plan = planned("[a,b]->c:fine; [a,b]->d:else", gates={"[a,b]": {"set": {"fine": "approved and true"}}})
    assert reads_approved(plan, plan.node_by_id["a"])
