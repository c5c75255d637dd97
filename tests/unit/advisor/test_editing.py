"""Changes to definitions: what waits for whom afterwards, joins, branches and ends included."""

from typing import Any

import pytest

from tests.recorded_runs import plan_of
from workflow_service.advisor.editing import edited, side_by_side, swapped, without_branch
from workflow_service.engine.definition import Definition
from workflow_service.engine.graph import END_NODE
from workflow_service.engine.plan import compile_plan


def ways(definition: Definition) -> set[tuple[str, str]]:
    plan = compile_plan(definition)
    return {
        (plan.nodes[edge.source].id, "end" if edge.target == END_NODE else plan.nodes[edge.target].id)
        for edge in plan.edges
    }


def definition_of(blocks: list[dict[str, Any]], **more: Any) -> Definition:
    return plan_of(blocks, **more).definition


CHOOSING = {
    "branches": [{"condition": "x > 1", "nextBlocks": ["b"]}, {"condition": "else", "nextBlocks": ["d"]}]
}


@pytest.mark.parametrize(
    ("blocks", "more", "expected"),
    [
        (
            [
                {"blockId": "a"},
                {"blockId": "b", "dependencies": ["a"]},
                {"blockId": "c", "dependencies": ["b"]},
            ],
            {"endDependencies": ["c"]},
            {("a", "c"), ("b", "c"), ("c", "end")},
        ),
        (
            [
                {"blockId": "s", "conditions": {"branches": [{"condition": "x > 1", "nextBlocks": ["a"]}]}},
                {"blockId": "a"},
                {"blockId": "b", "dependencies": ["a"]},
            ],
            {"endDependencies": ["b"]},
            {("s", "a"), ("s", "b"), ("a", "end"), ("b", "end")},
        ),
    ],
    ids=["roots", "behind a branch"],
)
def test_blocks_begin_together_and_what_follows_waits_for_both(
    blocks: list[dict[str, Any]], more: dict[str, Any], expected: set[tuple[str, str]]
) -> None:
    changed = edited(definition_of(blocks, **more), lambda document: side_by_side(document, ("a", "b")))
    assert ways(changed) == expected


def test_a_check_comes_first_and_its_way_on_leads_to_the_work() -> None:
    blocks: list[dict[str, Any]] = [
        {"blockId": "s"},
        {"blockId": "a", "dependencies": ["s"]},
        {
            "blockId": "b",
            "dependencies": ["a"],
            "conditions": {
                "branches": [
                    {"condition": "x > 1", "nextBlocks": ["end"]},
                    {"condition": "else", "nextBlocks": ["c"]},
                ]
            },
        },
        {"blockId": "c"},
    ]
    changed = edited(
        definition_of(blocks, endDependencies=["c"]), lambda document: swapped(document, "a", "b")
    )
    assert ways(changed) == {("s", "b"), ("b", "end"), ("b", "a"), ("a", "c"), ("c", "end")}


def test_a_branch_goes_with_what_nothing_else_leads_to() -> None:
    blocks: list[dict[str, Any]] = [
        {"blockId": "a", "conditions": CHOOSING},
        {"blockId": "b"},
        {"blockId": "c", "dependencies": ["b"]},
        {"blockId": "d"},
        {"blockId": "e", "dependencies": ["c", "d"]},
    ]
    gone: list[str] = []
    changed = edited(definition_of(blocks), lambda document: gone.extend(without_branch(document, "a", 0)))
    assert sorted(gone) == ["b", "c"]
    assert ways(changed) == {("a", "d"), ("d", "e")}
