"""Cycles: which are refused, which are loops, how they nest, what is said about them."""

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.engine.graphs import planned, workflow
from workflow_service.engine.errors import InvalidDefinition
from workflow_service.engine.findings import Finding, Severity, errors_in
from workflow_service.engine.levels import topological_order
from workflow_service.engine.loops import MAX_LOOP_DEPTH, strongly_connected
from workflow_service.engine.plan import Plan, compile_plan
from workflow_service.engine.validation import validate


def findings(edges: str, code: str, **options: Any) -> list[Finding]:
    return [finding for finding in validate(workflow(edges, **options)) if finding.code == code]


def names(plan: Plan, nodes: tuple[int, ...]) -> list[str]:
    return [plan.nodes[node].id for node in nodes]


def arrows(plan: Plan, edges: tuple[int, ...]) -> list[str]:
    targets = {node.index: node.id for node in plan.nodes} | {-1: "end"}
    return [f"{plan.nodes[plan.edges[edge].source].id}->{targets[plan.edges[edge].target]}" for edge in edges]


class TestCircularDependencies:
    @pytest.mark.parametrize(
        ("edges", "blocks"),
        [
            ("block1->block2; block2->block1", ("block1", "block2")),
            ("start->a; a->b; b->c; c->b", ("b", "c")),
            ("a->a; start->a", ("a",)),
            ("start->a; a->b; [b,c]->a; start->c", ("a", "b")),
            ("a->b; b->c; c->d; d->a; c->a", ("a", "b", "c")),
            ("start->a; a->b:else; b->a", ("a", "b")),
        ],
    )
    def test_cycle_is_named(self, edges: str, blocks: tuple[str, ...]) -> None:
        [finding] = findings(edges, "CIRCULAR_DEPENDENCY")
        assert set(finding.blocks) == set(blocks)
        assert finding.severity is Severity.ERROR
        assert finding.pointer
        assert finding.suggestion

    def test_in_the_order_in_which_they_wait(self) -> None:
        [finding] = findings("a->b; b->c; c->a", "CIRCULAR_DEPENDENCY")
        assert finding.blocks == ("a", "b", "c")
        assert "a -> b -> c -> a" in finding.message

    def test_each_knot_has_its_own(self) -> None:
        assert len(findings("a->b; b->a; c->d; d->c", "CIRCULAR_DEPENDENCY")) == 2

    def test_what_follows_from_it_is_not_reported_too(self) -> None:
        codes = {finding.code for finding in validate(workflow("a->b; b->a"))}
        assert codes == {"CIRCULAR_DEPENDENCY"}

    def test_a_long_cycle_has_a_short_message(self) -> None:
        ring = "; ".join(f"b{number}->b{(number + 1) % 3_000}" for number in range(3_000))
        [finding] = findings(ring, "CIRCULAR_DEPENDENCY")
        assert len(finding.blocks) == 3_000
        assert len(finding.message) < 300


class TestLoops:
    def test_a_conditional_edge_back(self) -> None:
        plan = planned("start->draft; draft->review; review->draft:approved == false; review->end:else")
        [loop] = plan.loops
        assert (names(plan, loop.entries), names(plan, loop.body)) == (["draft"], ["draft", "review"])
        assert arrows(plan, loop.back_edges) == ["review->draft"]
        assert arrows(plan, loop.exits) == ["review->end"]
        assert loop.max_rounds == 100
        assert plan.edges[loop.back_edges[0]].back
        assert plan.nodes[0].in_edges == ()

    def test_the_edge_back_itself_may_be_unconditional(self) -> None:
        plan = planned("start->work; work->check; check->fix:bad; fix->work; check->end:else")
        assert arrows(plan, plan.loops[0].back_edges) == ["fix->work"]

    def test_an_error_edge_may_lead_back(self) -> None:
        plan = planned("start->a; a!->b; b->a; a->end")
        assert arrows(plan, plan.loops[0].back_edges) == ["b->a"]

    def test_a_block_may_repeat_itself(self) -> None:
        plan = planned("start->a; a->a:again; a->end:else", a={"max_rounds": 7})
        assert plan.loops[0].body == (0,)
        assert plan.loops[0].max_rounds == 7

    def test_a_loop_that_is_entered_from_a_block(self) -> None:
        plan = planned("a->b; b->c; c->b:again; c->d:else")
        assert names(plan, plan.roots) == ["a"]
        assert names(plan, plan.loops[0].entries) == ["b"]
        assert [node.loop for node in plan.nodes] == [None, 0, 0, None]

    def test_loops_nest(self) -> None:
        plan = planned(
            "start->a; a->b; b->c; c->b:inner; c->d:else; d->a:outer; d->end:else; c->end:away",
        )
        outer, inner = plan.loops
        assert (names(plan, outer.body), outer.parent) == (["a", "b", "c", "d"], None)
        assert (names(plan, inner.body), inner.parent) == (["b", "c"], 0)
        assert arrows(plan, inner.exits) == ["c->d", "c->end"]
        assert arrows(plan, outer.exits) == ["c->end", "d->end"]
        assert [node.loop for node in plan.nodes] == [0, 1, 1, 0]

    def test_an_edge_may_leave_one_loop_and_repeat_the_other(self) -> None:
        plan = planned("start->a; a->b; b->b:inner; b->a:outer; b->end:else")
        outer, inner = plan.loops
        assert arrows(plan, outer.back_edges) == ["b->a"]
        assert arrows(plan, inner.back_edges) == ["b->b"]
        assert arrows(plan, inner.exits) == ["b->a", "b->end"]

    def test_two_loops_side_by_side(self) -> None:
        plan = planned("start->a; a->a:x; a->b:else; b->b:y; b->end:else")
        assert [(names(plan, loop.body), loop.parent) for loop in plan.loops] == [
            (["a"], None),
            (["b"], None),
        ]

    def test_a_join_inside_a_loop(self) -> None:
        plan = planned("start->a; a->[b,c]; [b,c]->d; d->a:again; d->end:else")
        assert names(plan, plan.loops[0].body) == ["a", "b", "c", "d", "[b,c]"]

    def test_a_counting_join_counts_forward_edges(self) -> None:
        edges = "s->a; t->a; a->b; b->a:again; b->end:else"
        assert not findings(edges, "JOIN_TOO_LARGE", a={"join": 2})
        assert findings(edges, "JOIN_TOO_LARGE", a={"join": 3})


class TestSeveralEntries:
    EXCLUSIVE = "s->a:x; s->b:else; a->b; b->a:again; b->end:else"

    def test_allowed_where_every_block_goes_one_way(self) -> None:
        plan = planned(self.EXCLUSIVE)
        [loop] = plan.loops
        assert names(plan, loop.entries) == ["a", "b"]
        assert arrows(plan, loop.back_edges) == ["a->b", "b->a"]

    @pytest.mark.parametrize(
        "more",
        [
            "a->c; c->b",
            "a->b; a->c:y; c->a; a->[b,c]:z",
            "b!->c; b!->d; c->a; d->a",
        ],
    )
    def test_refused_with_parallel_parts(self, more: str) -> None:
        [finding] = findings(f"{self.EXCLUSIVE}; {more}", "UNSUPPORTED_LOOP")
        assert {"a", "b", "c"} <= set(finding.blocks)
        assert "s" not in finding.blocks
        assert "(a, b)" in finding.message
        with pytest.raises(InvalidDefinition):
            planned(f"{self.EXCLUSIVE}; {more}")

    def test_refused_with_inclusive_branches(self) -> None:
        edges = "s->a:x; s->b:else; a->b:p; a->c:q; c->b; b->a:again; b->end:else"
        assert not findings(edges, "UNSUPPORTED_LOOP")
        assert findings(edges, "UNSUPPORTED_LOOP", a={"mode": "inclusive"})

    def test_refused_with_a_join_inside(self) -> None:
        edges = "s->a:x; s->b:else; [a,b]->c; c->a:again; c->b:once_more; c->end:else"
        [finding] = findings(edges, "UNSUPPORTED_LOOP")
        assert "[a,b]" in finding.message

    def test_parallel_parts_are_fine_with_one_entry(self) -> None:
        assert planned("s->a; a->b; a->c; b->d; c->d; d->a:again; d->end:else").loops


class TestWhatIsSaidOfLoops:
    def test_a_join_cannot_be_half_inside(self) -> None:
        [finding] = findings("start->x; start->a; [a,x]->b; b->a:again; b->end:else", "UNSUPPORTED_LOOP")
        assert "[a,x]" in finding.message

    def test_nesting_is_bounded(self) -> None:
        depth = MAX_LOOP_DEPTH + 5
        chain = "; ".join(f"b{number}->b{number + 1}" for number in range(depth))
        back = "; ".join(f"b{depth}->b{number}:x == {number}" for number in range(depth))
        [finding] = findings(f"start->b0; {chain}; {back}; b{depth}->end:else", "UNSUPPORTED_LOOP")
        assert str(MAX_LOOP_DEPTH) in finding.message

    def test_side_branches_run_once_after(self) -> None:
        [finding] = findings("start->a; a->b; a->log; b->a:again; b->end:else", "SIDE_BRANCH_AFTER_LOOP")
        assert (finding.blocks, finding.severity) == (("a",), Severity.WARNING)
        assert not findings("start->a; a->b; b->a:again; b->log:else", "SIDE_BRANCH_AFTER_LOOP")

    def test_a_loop_that_nothing_ends(self) -> None:
        assert findings("start->a; a->b:x; b->a", "LOOP_WITHOUT_EXIT")

    def test_rounds_belong_to_the_entry(self) -> None:
        edges = "start->a; a->b; b->a:again; b->end:else"
        assert not findings(edges, "ROUNDS_WITHOUT_LOOP", a={"max_rounds": 3})
        assert findings(edges, "ROUNDS_WITHOUT_LOOP", b={"max_rounds": 3})


@settings(max_examples=150, deadline=None)
@given(
    size=st.integers(1, 8),
    edges=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7), st.sampled_from(["plain", "x", "error"]))),
    starts=st.sets(st.integers(0, 7)),
    gate=st.none() | st.tuples(st.sets(st.integers(0, 7), min_size=2, max_size=3), st.integers(0, 7)),
)
def test_any_graph_is_planned_or_refused(
    size: int,
    edges: list[tuple[int, int, str]],
    starts: set[int],
    gate: tuple[set[int], int] | None,
) -> None:
    """Nothing crashes; a plan without its back edges has no cycle; its loops are entered and nest."""
    texts = [f"start->b{number % size}" for number in sorted(starts)]
    for source, target, kind in edges:
        arrow, condition = ("!->", "") if kind == "error" else ("->", ":x == 1" if kind == "x" else "")
        texts.append(f"b{source % size}{arrow}b{target % size}{condition}")
    if gate is not None and len({number % size for number in gate[0]}) > 1:
        sources = ",".join(sorted({f"b{number % size}" for number in gate[0]}))
        texts.append(f"[{sources}]->b{gate[1] % size}")
    definition = workflow("; ".join(texts), alone=" ".join(f"b{number}" for number in range(size)))
    if errors_in(validate(definition)):
        with pytest.raises(InvalidDefinition):
            compile_plan(definition)
        return
    plan = compile_plan(definition)
    assert sorted(topological_order(plan.nodes, plan.edges)) == list(range(len(plan.nodes)))
    back = {edge.index for edge in plan.edges if edge.back}
    assert back == {edge for loop in plan.loops for edge in loop.back_edges}
    for loop in plan.loops:
        assert loop.entries
        assert all(plan.edges[edge].target in loop.entries for edge in loop.back_edges)
        if loop.parent is not None:
            assert set(loop.body) < set(plan.loops[loop.parent].body)
    for node in plan.nodes:
        assert not back.intersection(node.in_edges)


@given(rng=st.randoms(use_true_random=False))
def test_components_are_the_mutually_reachable(rng: Random) -> None:
    size = rng.randint(1, 9)
    successors = {node: rng.choices(range(size), k=rng.randint(0, 3)) for node in range(size)}

    def reached(node: int) -> set[int]:
        found, pending = {node}, [node]
        while pending:
            new = set(successors[pending.pop()]) - found
            found |= new
            pending += new
        return found

    components = strongly_connected(successors)
    reach = {node: reached(node) for node in successors}
    assert sorted(node for component in components for node in component) == list(range(size))
    for position, component in enumerate(components):
        for node in component:
            assert {other for other in reach[node] if node in reach[other]} == set(component)
            assert reach[node] <= {other for earlier in components[: position + 1] for other in earlier}
