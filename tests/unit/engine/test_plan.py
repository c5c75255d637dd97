"""Plans: nodes and edges of both spellings, order, levels, critical path, regions; what this version cannot run."""

import time
from typing import Any

import pytest

from tests.unit.engine.graphs import planned, workflow
from workflow_service.engine.definition import Definition
from workflow_service.engine.errors import InvalidDefinition
from workflow_service.engine.expressions import References
from workflow_service.engine.levels import longest_path, topological_order
from workflow_service.engine.plan import END_NODE, NodeKind, Plan, compile_plan, unsupported_features
from workflow_service.engine.secret_places import secret_places


def edges_of(plan: Plan) -> set[tuple[str, str, str]]:
    names = {node.index: node.id for node in plan.nodes} | {END_NODE: "end"}
    arrows = {"normal": "->", "error": "!->"}
    return {(names[edge.source], arrows[edge.kind], names[edge.target]) for edge in plan.edges}


def ids(plan: Plan, nodes: tuple[int, ...]) -> list[str]:
    return [plan.nodes[node].id for node in nodes]


class TestEdges:
    def test_both_spellings_are_one_graph(self) -> None:
        plan = planned("a->b:x == 1; a->c:else; a->end:x == 2; [b,c]->d; d!->e; d->end")
        assert edges_of(plan) == {
            ("a", "->", "b"),
            ("a", "->", "c"),
            ("a", "->", "end"),
            ("b", "->", "[b,c]"),
            ("c", "->", "[b,c]"),
            ("[b,c]", "->", "d"),
            ("d", "!->", "e"),
            ("d", "->", "end"),
        }
        assert plan.has_end_edges
        assert ids(plan, plan.roots) == ["a"]

    def test_dependency_and_next_block_naming_one_pair_are_one_edge(self) -> None:
        plan = planned("a->b:x == 1; a->c:x == 2; a->b")
        assert edges_of(plan) == {("a", "->", "b"), ("a", "->", "c")}
        assert plan.nodes[0].routing.default is None

    def test_a_gate_needs_every_source(self) -> None:
        plan = planned("[a,b,c]->d")
        gate = plan.nodes[plan.node_by_id["[a,b,c]"]]
        assert (gate.kind, gate.join, gate.needed, len(gate.in_edges)) == (NodeKind.GATE, "every", 3, 3)

    @pytest.mark.parametrize(("join", "needed"), [("all", 1), ("any", 1), (2, 2)])
    def test_needed(self, join: Any, needed: int) -> None:
        plan = planned("a->d; b->d; c->d", d={"join": join})
        assert plan.nodes[plan.node_by_id["d"]].needed == needed

    def test_names_used_are_those_of_every_expression(self) -> None:
        plan = planned(
            "a->b:one == 1; a->c:context.two; [b,c]->d:three",
            a={"guard": "four", "configuration": {"deep": [{"x": "${five} and ${workflow.input.no}"}]}},
            b={"output_mapping": {"key": "output.rows + six"}},
            c={"for_each": "${seven}"},
            d={"for_each": "eight"},
            gates={"[b,c]": {"set": {"out": "nine"}}},
        )
        expected = {"one", "two", "three", "four", "five", "six", "seven", "eight", "nine"}
        assert plan.names_used == expected

    def test_references_of_work_and_of_routing_are_apart(self) -> None:
        plan = planned("a->b:go; b->c", b={"configuration": {"x": "${blocks.a.output.n}"}, "guard": "ready"})
        a, b = plan.nodes[:2]
        assert a.references == References()
        assert a.routing_references == References(context=frozenset({"go"}))
        assert b.references == References(context=frozenset({"ready"}), outputs=frozenset({"a"}))

    def test_roots_begin_the_run(self) -> None:
        plan = planned(
            "start->a; a->b; b->a:again; b->end:else; start->c; d->c", c={"join": "any"}, alone="e"
        )
        assert ids(plan, plan.roots) == ["a", "c", "d", "e"]

    def test_a_plan_does_not_change(self) -> None:
        plan = planned("a->b")
        with pytest.raises(AttributeError):
            plan.roots = ()  # type: ignore[misc]


class TestShape:
    def test_levels_are_what_may_run_at_once(self) -> None:
        plan = planned("A->C; B->D")
        assert [sorted(ids(plan, level)) for level in plan.levels] == [["A", "B"], ["C", "D"]]

    def test_a_level_is_the_longest_way(self) -> None:
        plan = planned("a->b; b->z; a->z; y->z")
        assert [ids(plan, level) for level in plan.levels] == [["a", "y"], ["b"], ["z"]]

    def test_hidden_nodes_take_no_level(self) -> None:
        plan = planned('[a,b]->c:"is it good"; [a,b]->d:else; a->e')
        assert [ids(plan, level) for level in plan.levels] == [["a", "b"], ["c", "d", "e"]]

    def test_levels_pass_over_back_edges(self) -> None:
        plan = planned("start->a; a->b; b->c; c->b:again; c->d:else")
        assert [ids(plan, level) for level in plan.levels] == [["a"], ["b"], ["c"], ["d"]]

    def test_critical_path_is_the_longest(self) -> None:
        plan = planned("a->b; b->c; c->z; a->y; y->z; x->z; [a,x]->q")
        assert ids(plan, plan.critical_path) == ["a", "b", "c", "z"]

    def test_longest_path_by_measured_cost(self) -> None:
        plan = planned("a->b; b->c; c->z; a->y; y->z")
        order = topological_order(plan.nodes, plan.edges)
        seconds = {"a": 1, "b": 1, "c": 1, "y": 10, "z": 1}
        path = longest_path(plan.nodes, plan.edges, order, lambda node: seconds[node.id])
        assert ids(plan, path) == ["a", "y", "z"]

    def test_regions_are_siblings_with_one_successor(self) -> None:
        plan = planned("s->[a,b,c,d]; [a,b]->t; c->u; d->u; d!->v; p->w; q->w; t->w")
        found = [
            (region.fork if region.fork is None else plan.nodes[region.fork].id, ids(plan, region.members))
            for region in plan.regions
        ]
        assert found == [("s", ["a", "b"]), (None, ["p", "q"])]
        assert [plan.nodes[region.join].id for region in plan.regions] == ["[a,b]", "w"]


class TestReach:
    def test_from_the_error_edges_only(self) -> None:
        plan = planned("a->b; a!->c; c->d; c!->e; d->end; f->d")
        index = plan.node_by_id
        assert [name for name in "abcdef" if plan.error_edges_reach(index["a"], index[name])] == [
            "c",
            "d",
            "e",
        ]
        assert plan.error_edges_reach(index["a"], END_NODE)
        assert not plan.error_edges_reach(index["c"], END_NODE)
        assert not plan.error_edges_reach(index["b"], index["d"])

    @pytest.mark.parametrize("size", range(1, 20))
    def test_the_end_is_no_node(self, size: int) -> None:
        """The bit of the end is not the bit of any node, whatever their number."""
        chain = "; ".join(f"b{number}->b{number + 1}" for number in range(size))
        plan = planned(f"a!->b0; {chain}")
        assert plan.error_edges_reach(0, len(plan.nodes) - 1)
        assert not plan.error_edges_reach(0, END_NODE)


class TestInvalid:
    def test_every_error_is_named(self) -> None:
        definition = workflow("a->b:x ==; b->c; c->b", alone="d", d={"tool_type": None})
        with pytest.raises(InvalidDefinition) as raised:
            compile_plan(definition)
        assert {problem.code for problem in raised.value.problems} == {
            "BAD_CONDITION",
            "CIRCULAR_DEPENDENCY",
            "NO_WORK",
        }
        assert raised.value.message.endswith("(and 2 more)")

    def test_warnings_do_not_stop_it(self) -> None:
        assert planned("a->b:x == 1").nodes


class TestUnsupported:
    def test_secrets_belong_into_configurations_of_tools(self) -> None:
        tool = {"tool_type": "API", "configuration": {"headers": {"Authorization": "${secrets.TOKEN}"}}}
        plan = planned("a->b", a=tool | {"recovery": {"fallback": tool, "compensate": tool}})
        assert unsupported_features(plan) == ()
        assert [
            (place.pointer, place.names) for place in secret_places(plan.nodes[plan.node_by_id["a"]])
        ] == [
            ("/blocks/0/configuration/headers/Authorization", frozenset({"TOKEN"})),
            ("/blocks/0/recovery/fallback/configuration/headers/Authorization", frozenset({"TOKEN"})),
            ("/blocks/0/recovery/compensate/configuration/headers/Authorization", frozenset({"TOKEN"})),
        ]

    @pytest.mark.parametrize(
        ("edges", "block", "pointer"),
        [
            ("a->b:x == secrets.TOKEN; a->c:else", {}, "/blocks/0"),
            (
                "a->b",
                {"conditions": {"expression": "secrets.TOKEN == 'x'"}},
                "/blocks/0/conditions/expression",
            ),
            ("a->b", {"for_each": "secrets.TOKEN"}, "/blocks/0/forEach"),
            ("a->b", {"output_mapping": {"n": "secrets.TOKEN"}}, "/blocks/0/outputMapping/n"),
            (
                "a->b",
                {
                    "tool_type": "SUBWORKFLOW",
                    "configuration": {"template": "t", "input": {"k": "${secrets.TOKEN}"}},
                },
                "/blocks/0/configuration/input/k",
            ),
        ],
    )
    def test_secrets_stand_nowhere_else(self, edges: str, block: dict[str, Any], pointer: str) -> None:
        [problem] = unsupported_features(planned(edges, a={"tool_type": "NOOP", **block}))
        assert (problem.code, problem.pointer) == ("SECRET_NOT_ALLOWED", pointer)
        assert "TOKEN" in problem.message

    def test_nothing_in_a_plan_that_runs(self) -> None:
        person = {"tool_type": None, "human_in_loop": {"required": True}}
        plan = planned("a->b:x == 1; a->c:else; [b,c]->d; d!->e", a={"tool_type": "USE_CASE"}, b=person)
        assert unsupported_features(plan) == ()


@pytest.mark.parametrize("shape", ["chain", "fan", "net"])
def test_large_definitions_compile_in_seconds(shape: str) -> None:
    """Ten times what it takes on a small machine: this guards against quadratic passes, not against noise."""
    size = {"chain": 5_000, "fan": 1_000, "net": 2_000}[shape]

    def block(number: int) -> dict[str, Any]:
        before = {
            "chain": [number - 1],
            "fan": list(range(1, number)) if number == size - 1 else [0],
            "net": sorted({number - 1, number * 7 // 11, number * 3 // 5}),
        }[shape]
        names = [f"b{other}" for other in before if 0 <= other < number]
        read = {"value": f"${{blocks.{names[0]}.output.value}}"} if names else {}
        return {"blockId": f"b{number}", "toolType": "NOOP", "dependencies": names, "configuration": read}

    definition = Definition.model_validate({"blocks": [block(number) for number in range(size)]})
    began = time.process_time()
    plan = compile_plan(definition)
    assert time.process_time() - began < 10
    assert len(plan.nodes) == size
