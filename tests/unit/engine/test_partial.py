"""Every fault of a document or a text is told in one round, and nothing is said about the holes it leaves."""

from typing import Any

import pytest

from workflow_service.engine.dsl_places import DslPlaces
from workflow_service.engine.partial import PartialDefinition, read_document, read_dsl
from workflow_service.engine.validation import validate

GOOD: dict[str, Any] = {"blockId": "a", "toolType": "NOOP"}


def said(read: PartialDefinition) -> list[tuple[str, str]]:
    found = [(one.code, one.pointer) for one in read.problems]
    if read.definition is None:
        return found
    return found + [(one.code, one.pointer) for one in validate(read.definition) if read.stands(one)]


def test_what_is_right_is_read_as_it_is() -> None:
    read = read_document({"blocks": [GOOD]})
    assert (read.problems, read.is_whole) == ((), True)
    assert read.definition is not None


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        # An unknown field does not hide a condition that is none, nor a missing dependency.
        (
            [{**GOOD, "toolTyp": 1}, {**GOOD, "blockId": "b", "dependencies": ["c"]}],
            [("UNKNOWN_FIELD", "/blocks/0/toolTyp"), ("MISSING_DEPENDENCY", "/blocks/1/dependencies/0")],
        ),
        (
            [{**GOOD, "timeout": "soon"}, {**GOOD, "blockId": "b", "conditions": {"expression": "x ="}}],
            [("WRONG_TYPE", "/blocks/0/timeout"), ("BAD_CONDITION", "/blocks/1/conditions/expression")],
        ),
        # Nothing is said to be unreachable, or to have no default, because a branch could not be read.
        (
            [
                {**GOOD, "conditions": {"branches": [
                    {"condition": "x", "nextBlocks": ["b"]}, {"condition": 5, "nextBlocks": ["c"]}]}},
                {**GOOD, "blockId": "b", "dependencies": ["d"]},
                {**GOOD, "blockId": "c", "dependencies": ["c2"]},
                {**GOOD, "blockId": "d", "dependencies": ["b"]},
            ],
            [
                ("WRONG_TYPE", "/blocks/0/conditions/branches/1/condition"),
                ("MISSING_DEPENDENCY", "/blocks/2/dependencies/0"),
                ("CIRCULAR_DEPENDENCY", "/blocks/1"),
            ],
        ),
        ([{**GOOD, "blockId": "1a"}, {**GOOD, "dependencies": ["x"]}], [("INVALID_FIELD", "/blocks/0/blockId")]),
        ([7], [("WRONG_TYPE", "/blocks/0")]),
        (
            [{**GOOD, "toolType": "MAP"}, {**GOOD, "blockId": "b", "dependencies": ["c"]}],
            [("INVALID_FIELD", "/blocks/0"), ("MISSING_DEPENDENCY", "/blocks/1/dependencies/0")],
        ),
    ],
)  # fmt: skip
def test_a_fault_hides_no_other(blocks: list[Any], expected: list[tuple[str, str]]) -> None:
    assert said(read_document({"blocks": blocks})) == expected


@pytest.mark.parametrize(
    "document", [None, [], 5, {}, {"blocks": []}, {"blocks": {}}, {"blocks": [float("nan")]}]
)
def test_what_holds_no_blocks_is_not_read(document: Any) -> None:
    read = read_document(document)
    assert read.definition is None
    assert read.problems


def test_several_faults_of_a_text_are_told_with_their_places() -> None:
    text = "start->a;\na=>b;\nb->c:x=1;\nc->d:(y;\nc->e:else;\nd->end;\ne->end;\n7x->y;"
    read = read_dsl(text, {"e": {"toolTyp": "NOOP"}})
    assert [(one.code, one.line) for one in read.problems] == [
        ("DSL_SYNTAX_ERROR", 2),
        ("DSL_SYNTAX_ERROR", 8),
        ("BAD_CONDITION", 3),
        ("BAD_CONDITION", 4),
        ("UNKNOWN_FIELD", None),
    ]
    assert read.problems[-1].pointer == "/states/e/toolTyp"
    assert not read.is_whole
    assert read.definition is not None


@pytest.mark.parametrize("text", ["", "->", ";;;", "x", None, "a" * 20, "start->", "[a,b]->c:;" * 30])
def test_no_text_is_too_broken(text: Any) -> None:
    assert read_dsl(text).problems


def test_findings_about_a_text_have_line_and_column() -> None:
    text = "start->a;\na->b: n > 3 ;\na->c:n > 5;\n[b,c]->d:x == 1;\nd->end;\n"
    states = {"a": {"toolType": "NOOP", "configuration": {"output": "${bad +}"}}}
    read = read_dsl(text, states)
    assert read.definition is not None
    places = DslPlaces(read.transitions, states)
    placed = [places.placed(one, read.definition) for one in validate(read.definition)]
    found = {(one.code, one.blocks[:1]): (one.pointer, one.line, one.column) for one in placed}
    assert found["NO_DEFAULT_BRANCH", ("a",)] == ("/dsl", 1, 8)
    assert found["BAD_REFERENCE", ("a",)][0] == "/states/a/configuration/output"
    assert found["NO_WORK", ("b",)] == ("/dsl", 2, 4)
    assert found["NO_DEFAULT_BRANCH", ("[b,c]",)][1] == 4
