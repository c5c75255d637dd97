"""JSON documents of definitions: what is read, what is refused and with which words, and what is normalised."""

from typing import Any

import pytest
from pydantic import ValidationError

from workflow_service.engine.definition import Block, Branch, Conditions, Definition, Gate
from workflow_service.engine.documents import dump_definition, load_definition
from workflow_service.engine.dsl import render_dsl
from workflow_service.engine.errors import InvalidDefinition
from workflow_service.engine.states import ErrorType, ToolType

DOCUMENT: dict[str, Any] = {
    "blocks": [
        {
            "blockId": "extract",
            "name": "Extract",
            "toolType": "SCRIPT",
            "configuration": {"script": "extract.py", "path": "${workflow.input.csvPath}"},
            "conditions": {
                "type": "inclusive",
                "branches": [
                    {"condition": "rows > 0", "nextBlocks": ["load"]},
                    {"condition": "else", "nextBlocks": ["end"]},
                ],
            },
            "retryPolicy": {"maxRetries": 5, "retryConditions": ["TIMEOUT_ERROR"]},
        },
        {"blockId": "load", "humanInLoop": {"required": True, "type": "REVIEW"}, "onError": ["end"]},
    ],
    "endDependencies": ["load"],
    "globalSettings": {"maxParallelBlocks": 2},
}


def test_a_document_is_read() -> None:
    definition = load_definition(DOCUMENT)
    first = definition.blocks[0]
    assert first.tool_type is ToolType.SCRIPT
    assert first.conditions.branches == (
        Branch(condition="rows > 0", next_blocks=("load",)),
        Branch(next_blocks=("end",)),
    )
    assert first.retry_policy is not None
    assert first.retry_policy.retry_conditions == (ErrorType.TIMEOUT_ERROR,)
    assert definition.global_settings.max_parallel_blocks == 2


def test_a_document_is_written_without_defaults() -> None:
    assert dump_definition(load_definition(DOCUMENT)) == {
        **DOCUMENT,
        "blocks": [
            {
                **DOCUMENT["blocks"][0],
                "conditions": {
                    "type": "inclusive",
                    "branches": [{"condition": "rows > 0", "nextBlocks": ["load"]}, {"nextBlocks": ["end"]}],
                },
            },
            DOCUMENT["blocks"][1],
        ],
    }


def test_snake_case_is_read_too() -> None:
    block = {"block_id": "a", "tool_type": "NOOP", "retry_policy": {"max_retries": 1}}
    assert load_definition({"blocks": [block]}).blocks[0].tool_type is ToolType.NOOP


@pytest.mark.parametrize(
    ("document", "pointer", "code", "words"),
    [
        (None, "", "WRONG_TYPE", "must be an object, not null"),
        ([], "", "WRONG_TYPE", "must be an object, not a list"),
        ("x", "", "WRONG_TYPE", "must be an object, not a text"),
        ({}, "/blocks", "MISSING_FIELD", "'blocks' is missing"),
        ({"blocks": []}, "/blocks", "INVALID_FIELD", "at least 1 item"),
        ({"blocks": {}}, "/blocks", "WRONG_TYPE", "must be a list, not an object"),
        ({"blocks": [3]}, "/blocks/0", "WRONG_TYPE", "must be an object, not a number"),
        ({"blocks": [{}]}, "/blocks/0/blockId", "MISSING_FIELD", "'blockId' is missing"),
        ({"blocks": [{"blockId": "1a"}]}, "/blocks/0/blockId", "INVALID_FIELD", "must start with a letter"),
        ({"blocks": [{"blockId": "start"}]}, "/blocks/0/blockId", "INVALID_FIELD", "'start' is reserved"),
        ({"blocks": [{"blockId": 3}]}, "/blocks/0/blockId", "WRONG_TYPE", "must be a text, not a number"),
        (
            {"blocks": [{"blockId": "a", "Timeout": 3}]},
            "/blocks/0/Timeout",
            "UNKNOWN_FIELD",
            "'Timeout' is unknown",
        ),
        ({"blocks": [{"blockId": "a"}], "gate": []}, "/gate", "UNKNOWN_FIELD", "'gate' is unknown"),
        ({"blocks": [{"blockId": "a", "join": 0}]}, "/blocks/0/join", "INVALID_FIELD", "must be"),
        ({"blocks": [{"blockId": "a", "join": 1.5}]}, "/blocks/0/join", "INVALID_FIELD", "must be"),
        (
            {"blocks": [{"blockId": "a", "toolType": "APIS"}]},
            "/blocks/0/toolType",
            "INVALID_FIELD",
            "must be 'API'",
        ),
        (
            {"blocks": [{"blockId": "a", "dependencies": ["end"]}]},
            "/blocks/0/dependencies/0",
            "INVALID_FIELD",
            "'end' is reserved",
        ),
        (
            {
                "blocks": [
                    {"blockId": "a", "conditions": {"branches": [{"condition": "x", "nextBlocks": []}]}}
                ]
            },
            "/blocks/0/conditions/branches/0/nextBlocks",
            "INVALID_FIELD",
            "at least 1 item",
        ),
        (
            {"blocks": [{"blockId": "a", "retryPolicy": {"backoffStrategy": "linea"}}]},
            "/blocks/0/retryPolicy/backoffStrategy",
            "INVALID_FIELD",
            "did you mean 'linear'?",
        ),
        (
            {"blocks": [{"blockId": "a"}], "gates": [{"sources": ["b", "b"], "nextBlocks": ["a"]}]},
            "/gates/0",
            "INVALID_FIELD",
            "at least two different sources",
        ),
        (
            {"blocks": [{"blockId": "a", "configuration": {"x": float("inf")}}]},
            "/blocks/0/configuration/x",
            "JSON_VALUE",
            "not a JSON number",
        ),
    ],
)
def test_a_wrong_document_names_place_and_reason(document: Any, pointer: str, code: str, words: str) -> None:
    with pytest.raises(InvalidDefinition) as caught:
        load_definition(document)
    problem = caught.value.problems[0]
    assert (problem.pointer, problem.code) == (pointer, code)
    assert words in f"{problem.message} {problem.suggestion}"


def test_every_wrong_place_is_one_problem() -> None:
    with pytest.raises(InvalidDefinition) as caught:
        load_definition(
            {
                "blocks": [
                    {"blockId": "a", "join": "x", "timeout": "5", "nam": "x"},
                    {"blockId": "b", "optional": "yes", "configuration": []},
                ],
                "globalSettings": {"timeout": -1},
            }
        )
    assert {problem.pointer for problem in caught.value.problems} == {
        "/blocks/0/join",
        "/blocks/0/timeout",
        "/blocks/0/nam",
        "/blocks/1/optional",
        "/blocks/1/configuration",
        "/globalSettings/timeout",
    }
    assert len(caught.value.problems) == 6
    assert caught.value.message.endswith("(and 5 more)")


def test_a_document_nested_too_deep_is_refused() -> None:
    deep: Any = {}
    for _ in range(5_000):
        deep = {"x": deep}
    with pytest.raises(InvalidDefinition, match="nested deeper than 100 levels"):
        load_definition({"blocks": [{"blockId": "a", "configuration": deep}]})


def test_an_id_given_twice_is_left_to_the_validation_of_the_graph() -> None:
    twice = load_definition({"blocks": [{"blockId": "a"}, {"blockId": "a", "timeout": 5}]})
    assert [block.timeout for block in twice.blocks] == [None, 5]
    assert render_dsl(twice) == "start->[a,a];\n"


def test_many_problems_are_cut() -> None:
    blocks = [{"blockId": f"b{index}", "x": 1} for index in range(300)]
    with pytest.raises(InvalidDefinition, match=r"\(and 299 more\)") as caught:
        load_definition({"blocks": blocks})
    assert len(caught.value.problems) == 100


def _definition(*blocks: Block, **fields: Any) -> Definition:
    return Definition(blocks=blocks, **fields)


def test_a_pair_named_by_branch_and_dependency_is_the_branch() -> None:
    branch = Branch(condition="x", next_blocks=("b", "end"))
    head = Block(block_id="a", conditions=Conditions(branches=(branch,)))
    tail = Block(block_id="b", dependencies=("a",))
    assert _definition(head, tail, end_dependencies=("a", "b")) == _definition(
        head, Block(block_id="b"), end_dependencies=("b",)
    )


def test_a_plain_start_is_left_out_and_a_loop_head_keeps_it() -> None:
    plain = _definition(Block(block_id="a", dependencies=("start",)))
    assert plain.blocks[0].dependencies == ()
    back = Branch(condition="x", next_blocks=("a",))
    tail = Block(block_id="b", dependencies=("a",), conditions=Conditions(branches=(back,)))
    loop = _definition(Block(block_id="a", dependencies=("start",)), tail)
    assert loop.block("a").dependencies == ("start",)


def test_order_and_repetition_mean_nothing_where_they_mean_nothing() -> None:
    assert Block(block_id="a", dependencies=("c", "b", "c")) == Block(block_id="a", dependencies=("b", "c"))
    assert Gate(sources=("b", "a", "b"), next_blocks=("d", "c")) == Gate(
        sources=("a", "b"), next_blocks=("c", "d")
    )
    assert Branch(condition=" x ", next_blocks=("b", "a", "b")) == Branch(
        condition="x", next_blocks=("b", "a")
    )
    for word in ("else", "default", "", "  "):
        assert Branch(condition=word, next_blocks=("a",)).is_default


def test_a_branch_has_a_condition_or_a_question() -> None:
    with pytest.raises(ValidationError, match="not both"):
        Branch(condition="x", question="really?", next_blocks=("a",))
