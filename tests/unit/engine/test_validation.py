"""Findings: each mistake is named with its place and its mend, and what is right is left alone."""

from typing import Any

import pytest

from tests.unit.engine.graphs import workflow
from workflow_service.engine.definition import Definition
from workflow_service.engine.findings import Finding, Severity, errors_in, nearest_name_hint
from workflow_service.engine.validation import validate


def found(edges: str, code: str, **options: Any) -> list[Finding]:
    return [finding for finding in validate(workflow(edges, **options)) if finding.code == code]


def found_in(blocks: list[dict[str, Any]], **fields: Any) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return code, pointer and blocks of each finding in document A's JSON; blocks are NOOPs."""
    document = {"blocks": [{"toolType": "NOOP", **block} for block in blocks], **fields}
    return [(each.code, each.pointer, each.blocks) for each in validate(Definition.model_validate(document))]


def test_nothing_to_say_of_a_sound_workflow() -> None:
    definition = workflow("a->b:x == 1; a->c:else; [b,c]->d; d!->e; d->end; e->end")
    assert validate(definition) == ()


class TestNames:
    @pytest.mark.parametrize(
        ("block", "code", "pointer"),
        [
            ({"dependencies": ["extrct"]}, "MISSING_DEPENDENCY", "/blocks/1/dependencies/0"),
            ({"onError": ["extrct"]}, "UNKNOWN_BLOCK", "/blocks/1/onError/0"),
            (
                {"conditions": {"branches": [{"condition": "x == 1", "nextBlocks": ["end", "extrct"]}]}},
                "UNKNOWN_BLOCK",
                "/blocks/1/conditions/branches/0/nextBlocks/1",
            ),
        ],
    )
    def test_unknown_blocks(self, block: dict[str, Any], code: str, pointer: str) -> None:
        definition = Definition.model_validate(
            {
                "blocks": [
                    {"blockId": "extract", "toolType": "NOOP"},
                    {"blockId": "load", "toolType": "NOOP", **block},
                ]
            }
        )
        [finding] = errors_in(validate(definition))
        assert (finding.code, finding.pointer, finding.blocks) == (code, pointer, ("load",))
        assert "'extrct'" in finding.message
        assert finding.suggestion == "Did you mean 'extract'?"

    def test_unknown_blocks_in_joins_and_at_the_end(self) -> None:
        findings = found_in(
            [{"blockId": "a"}],
            gates=[{"sources": ["a", "b"], "nextBlocks": ["c"]}],
            endDependencies=["d"],
        )
        assert findings == [
            ("MISSING_DEPENDENCY", "/endDependencies/0", ("end",)),
            ("UNKNOWN_BLOCK", "/gates/0/sources/1", ("[a,b]",)),
            ("UNKNOWN_BLOCK", "/gates/0/nextBlocks/0", ("[a,b]",)),
        ]

    def test_thousands_of_unknown_names_do_not_take_long(self) -> None:
        blocks = [{"blockId": f"block_{n}", "dependencies": [f"blokc_{n}"]} for n in range(3_000)]
        findings = found_in(blocks)
        assert len(findings) == 3_000

    def test_no_hint_where_nothing_is_like_it(self) -> None:
        assert nearest_name_hint("zebra", ["extract", "load"]) == ""


class TestReachability:
    def test_an_island_is_unreachable(self) -> None:
        findings = found("a->b; c->d:x; d->c", "UNREACHABLE_BLOCK")
        assert [finding.blocks for finding in findings] == [("c",), ("d",)]
        assert findings[0].severity is Severity.ERROR
        assert "start->c" in findings[0].suggestion

    def test_what_only_an_island_leads_to_is_too(self) -> None:
        assert {f.blocks for f in found("a->b; c->c:x; c->d; d!->e", "UNREACHABLE_BLOCK")} == {
            ("c",),
            ("d",),
            ("e",),
        }

    def test_a_start_makes_it_reachable(self) -> None:
        assert not found("start->c; a->b; c->d:x; d->c; c->end:else", "UNREACHABLE_BLOCK")


class TestConditions:
    @pytest.mark.parametrize(
        ("block", "pointer"),
        [
            ({"conditions": {"expression": "x =="}}, "/blocks/0/conditions/expression"),
            (
                {"conditions": {"branches": [{"condition": "x + 1", "nextBlocks": ["end"]}]}},
                "/blocks/0/conditions/branches/0/condition",
            ),
            ({"outputMapping": {"a/b~c": "x.__class__("}}, "/blocks/0/outputMapping/a~1b~0c"),
        ],
    )
    def test_bad_conditions_are_placed(self, block: dict[str, Any], pointer: str) -> None:
        [finding] = errors_in(
            validate(Definition.model_validate({"blocks": [{"blockId": "a", "toolType": "NOOP", **block}]}))
        )
        assert (finding.code, finding.pointer, finding.blocks) == ("BAD_CONDITION", pointer, ("a",))
        assert finding.line == 1
        assert finding.column

    def test_every_bad_reference_of_a_configuration_is_placed(self) -> None:
        block = {"blockId": "a", "configuration": {"ok": "${x}", "url": "${", "list": [1, {"b": "${1 +}"}]}}
        assert found_in([block]) == [
            ("BAD_REFERENCE", "/blocks/0/configuration/url", ("a",)),
            ("BAD_REFERENCE", "/blocks/0/configuration/list/1/b", ("a",)),
        ]

    def test_for_each_is_checked(self) -> None:
        block = {"blockId": "a", "toolType": "NOOP", "forEach": "items["}
        assert [pointer for _, pointer, _ in found_in([block])] == ["/blocks/0/forEach"]

    def test_conditions_of_joins_are_placed(self) -> None:
        gate = {
            "sources": ["a", "b"],
            "branches": [{"condition": "(", "nextBlocks": ["end"]}],
            "set": {"n": ")"},
            "nextBlocks": ["end"],
        }
        findings = found_in([{"blockId": "a"}, {"blockId": "b"}], gates=[gate])
        assert ("BAD_CONDITION", "/gates/0/branches/0/condition", ("[a,b]",)) in findings
        assert ("BAD_CONDITION", "/gates/0/set/n", ("[a,b]",)) in findings

    def test_a_missing_default_is_a_warning(self) -> None:
        [finding] = found("a->b:x == 1; a->c:x == 2", "NO_DEFAULT_BRANCH")
        assert (finding.severity, finding.blocks) == (Severity.WARNING, ("a",))
        assert found('a->b:"is it good"', "NO_DEFAULT_BRANCH")[0].blocks == ("a",)
        assert found("[a,b]->c:x == 1", "NO_DEFAULT_BRANCH")[0].blocks == ("[a,b]",)

    def test_no_warning_with_a_default_or_inclusive_branches(self) -> None:
        assert not found("a->b:x == 1; a->c", "NO_DEFAULT_BRANCH")
        assert not found("a->b:x == 1", "NO_DEFAULT_BRANCH", a={"mode": "inclusive"})

    @pytest.mark.parametrize(
        "edges",
        ["a->b:x; a->c:else; a->d", "a->b:x; a->c:else; a->d:else", "[a,e]->b:x; [a,e]->c:else; [a,e]->d"],
    )
    def test_two_defaults_are_ambiguous(self, edges: str) -> None:
        [finding] = found(edges, "AMBIGUOUS_DEFAULT")
        assert finding.severity is Severity.ERROR
        assert finding.pointer in ("/blocks/0/conditions", "/gates/0")

    @pytest.mark.parametrize(
        "edges", ["a->b:x; a->c; a->d", "a->b:else; a->c:else; a->d", "a->b:x; a->[c,d]:else"]
    )
    def test_one_default_is_not(self, edges: str) -> None:
        assert not found(edges, "AMBIGUOUS_DEFAULT")


class TestWork:
    @pytest.mark.parametrize(
        "options",
        [
            {"tool_type": "NOOP"},
            {"tool_type": None, "human_in_loop": {"required": True}},
            {"tool_type": "HUMAN"},
            {"tool_type": None, "agent_id": "agent1"},
            {"tool_type": None, "agent_type": "loader"},
        ],
    )
    def test_a_tool_a_person_or_an_agent_is_work(self, options: dict[str, Any]) -> None:
        assert not found("a->end", "NO_WORK", a=options)

    def test_nothing_to_do(self) -> None:
        [finding] = found("a->end", "NO_WORK", a={"tool_type": None})
        assert (finding.blocks, finding.pointer) == (("a",), "/blocks/0/toolType")
        assert finding.severity is Severity.ERROR

    @pytest.mark.parametrize(
        ("join", "leading", "wrong"), [(1, 0, True), (2, 2, False), (3, 2, True), (1, 1, False)]
    )
    def test_a_join_needs_enough_edges(self, join: int, leading: int, wrong: bool) -> None:
        edges = "; ".join(f"b{number}->a" for number in range(leading))
        assert bool(found(edges, "JOIN_TOO_LARGE", alone="a", a={"join": join})) is wrong

    def test_the_start_counts_for_a_join(self) -> None:
        assert not found("start->a; b->a", "JOIN_TOO_LARGE", a={"join": 2})


class TestOutputs:
    READ_B: dict[str, Any] = {"configuration": {"x": "${blocks.b.output.n}"}}

    @pytest.mark.parametrize(
        "edges",
        [
            "b->a",
            "b->c; c->a",
            "b!->a",
            "[b,c]->a",
            'b->c:"is it good"; c->a',
            "start->a; a->b; b->a:again; b->end:else",
        ],
    )
    def test_an_ancestors_output_is_there(self, edges: str) -> None:
        assert not errors_in(validate(workflow(edges, a=self.READ_B)))

    @pytest.mark.parametrize("edges", ["a->b", "c->a; c->b", "[a,c]->b"])
    def test_any_others_is_not(self, edges: str) -> None:
        [finding] = found(edges, "OUTPUT_NOT_AVAILABLE", a=self.READ_B)
        assert finding.blocks == ("a", "b")
        assert finding.pointer.endswith("/configuration")

    def test_its_own_output_is_there_after_it_ran(self) -> None:
        assert not found("a->b:blocks.a.output.n; a->c:else", "OUTPUT_NOT_AVAILABLE")
        mapping = {"output_mapping": {"n": "blocks.a.output.n"}}
        assert not found("a->b", "OUTPUT_NOT_AVAILABLE", a=mapping)

    def test_and_not_before(self) -> None:
        own = {"configuration": {"x": "${blocks.a.output.n}"}}
        assert found("a->b", "OUTPUT_NOT_AVAILABLE", a=own)
        assert found("a->b", "OUTPUT_NOT_AVAILABLE", a={"guard": "blocks.a.output.n"})
        assert not found("start->a; a->a:again; a->end:else", "OUTPUT_NOT_AVAILABLE", a=own)

    def test_a_branch_reads_what_ran_before_it(self) -> None:
        assert not found("a->b; b->c:blocks.a.output.n; b->d:else", "OUTPUT_NOT_AVAILABLE")
        assert found("a->b; b->c:blocks.d.output.n; b->d:else", "OUTPUT_NOT_AVAILABLE")

    def test_a_join_reads_its_sources(self) -> None:
        gates = {"[a,b]": {"set": {"n": "blocks.a.output.n + blocks.b.output.n"}}}
        assert not found("[a,b]->c", "OUTPUT_NOT_AVAILABLE", gates=gates)

    def test_an_unknown_block_has_none(self) -> None:
        [finding] = found("a->b:blocks.nobody.output.n; a->c:else", "UNKNOWN_BLOCK")
        assert "'nobody'" in finding.message

    def test_every_block_reading_every_other_is_checked_in_one_pass(self) -> None:
        size = 2_000
        blocks = [{"blockId": "b0"}] + [
            {
                "blockId": f"b{n}",
                "dependencies": [f"b{n - 1}"],
                "configuration": {"x": f"${{blocks.b{n // 2}.output.n}}"},
            }
            for n in range(1, size)
        ]
        assert found_in(blocks) == []
