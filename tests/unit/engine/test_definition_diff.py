"""What one definition says that another does not: every difference is named, and nothing else."""

import copy
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from workflow_service.engine.definition import Definition
from workflow_service.engine.definition_diff import ChangeKind, DefinitionDiff, FieldChange, diff_definitions
from workflow_service.engine.documents import dump_definition, load_definition

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-2, 2) | st.text("ab/~", max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab/~", max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)


def definition(*blocks: dict[str, Any], **fields: Any) -> Definition:
    return load_definition({"blocks": [{"toolType": "NOOP", **block} for block in blocks], **fields})


def a(value: Any = 1, **fields: Any) -> dict[str, Any]:
    return {"blockId": "a", "configuration": {"output": value}, **fields}


B = {"blockId": "b", "dependencies": ["a"]}


def test_the_same_definition_has_no_differences() -> None:
    one = definition(a({"x": [1, {"y": None}]}), B, inputSchema={"type": "object"})
    assert diff_definitions(one, load_definition(dump_definition(one))).is_empty


def test_blocks_that_come_go_and_change_are_told_apart() -> None:
    found = diff_definitions(
        definition(a(timeout=5), B), definition({"blockId": "c"}, a({"n": 2}, name="First"))
    )
    assert [(part.kind, part.name, part.pointer) for part in found.blocks] == [
        ("changed", "a", "/blocks/1"),
        ("removed", "b", "/blocks/1"),
        ("added", "c", "/blocks/0"),
    ]
    assert list(found.blocks[0].fields) == [
        FieldChange(ChangeKind.CHANGED, "/blocks/1/configuration/output", 1, {"n": 2}),
        FieldChange(ChangeKind.REMOVED, "/blocks/0/timeout", old=5),
        FieldChange(ChangeKind.ADDED, "/blocks/1/name", new="First"),
    ]
    assert found.blocks[1].value == {"blockId": "b", "toolType": "NOOP", "dependencies": ["a"]}
    assert found.blocks[2].value == {"blockId": "c", "toolType": "NOOP"}


def test_branches_are_compared_one_by_one_and_plain_lists_as_wholes() -> None:
    def choosing(*branches: dict[str, Any]) -> dict[str, Any]:
        return a(conditions={"branches": list(branches)})

    high, low = {"condition": "x > 1", "nextBlocks": ["b"]}, {"nextBlocks": ["b"]}
    found = diff_definitions(
        definition(choosing(high, low), {"blockId": "b"}),
        definition(choosing({**high, "condition": "x > 2"}), {"blockId": "b", "dependencies": ["a"]}),
    )
    (changed,) = found.blocks
    assert [(one.kind, one.pointer, one.old, one.new) for one in changed.fields] == [
        ("changed", "/blocks/0/conditions/branches/0/condition", "x > 1", "x > 2"),
        ("removed", "/blocks/0/conditions/branches/1", {"nextBlocks": ["b"]}, None),
    ]


def test_gates_settings_schema_ends_and_order_are_compared_too() -> None:
    blocks = (a(), {"blockId": "b"}, {"blockId": "c"})
    gate = {"sources": ["a", "b"], "nextBlocks": ["c"]}
    found = diff_definitions(
        definition(*blocks, gates=[gate], inputSchema={"type": "object"}, globalSettings={"timeout": 5}),
        definition(
            *reversed(blocks),
            gates=[{**gate, "set": {"n": "1"}}, {"sources": ["b", "c"], "nextBlocks": ["end"]}],
            endDependencies=["c"],
            globalSettings={"timeout": 6},
        ),
    )
    assert found.blocks == ()
    assert found.reordered
    assert [(gate.kind, gate.name) for gate in found.gates] == [("changed", "[a,b]"), ("added", "[b,c]")]
    assert found.end_dependencies == (FieldChange(ChangeKind.ADDED, "/endDependencies", new=["c"]),)
    assert found.input_schema == (FieldChange(ChangeKind.REMOVED, "/inputSchema", old={"type": "object"}),)
    assert found.global_settings == (FieldChange(ChangeKind.CHANGED, "/globalSettings/timeout", 5, 6),)


def test_what_python_takes_for_equal_and_json_does_not_is_a_change() -> None:
    for old, new in ((True, 1), (1, 1.0), (0, False)):
        (part,) = diff_definitions(definition(a(old)), definition(a(new))).blocks
        assert part.fields == (FieldChange(ChangeKind.CHANGED, "/blocks/0/configuration/output", old, new),)


def test_two_blocks_of_one_id_are_two() -> None:
    found = diff_definitions(definition(a(1)), definition(a(1), a(2)))
    assert [(part.kind, part.pointer) for part in found.blocks] == [("added", "/blocks/1")]


@given(JSON, JSON)
def test_the_fields_named_make_the_one_of_the_other(old: Any, new: Any) -> None:
    found = diff_definitions(definition(a(old)), definition(a(new)))
    patched = _patched(dump_definition(definition(a(old))), found)
    assert json.dumps(patched, sort_keys=True) == json.dumps(
        dump_definition(definition(a(new))), sort_keys=True
    )


def _patched(document: dict[str, Any], found: DefinitionDiff) -> dict[str, Any]:
    """Return the older document with every change made; members of lists are taken away from the end."""
    patched = copy.deepcopy(document)
    fields = [field for part in found.blocks for field in part.fields]
    for change in (one for one in fields if one.kind is not ChangeKind.REMOVED):
        parent, last = _parent(patched, change.pointer)
        if isinstance(parent, list) and last == len(parent):
            parent.append(change.new)
        else:
            parent[last] = change.new
    for change in reversed([one for one in fields if one.kind is ChangeKind.REMOVED]):
        parent, last = _parent(patched, change.pointer)
        del parent[last]
    return patched


def _parent(document: Any, pointer: str) -> tuple[Any, Any]:
    *path, last = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    for part in path:
        document = document[int(part)] if isinstance(document, list) else document[part]
    return document, int(last) if isinstance(document, list) else last
