"""Finding JSON in what a model wrote, and checking it."""

import time
from typing import Any

import pytest
from pydantic import JsonValue

from workflow_service.ai.answers import BadSchema, NoJson, check_schema, extract_json, schema_problems


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        ("  [1]\n", [1]),
        ("true", True),
        ('```json\n{"a": 1}\n```', {"a": 1}),
        ('Look:\n```\n{"a": 1}\n```\nand better:\n```json\n{"a": 2}\n```', {"a": 2}),
        ('```python\nprint(1)\n```\n{"a": 1}', {"a": 1}),
        ('Of [1] I say {"a": [1, 2]} and {} too.', {"a": [1, 2]}),
        ('{"a": "}{"} trailing {', {"a": "}{"}),
        ('\ufeff{"a": 1}', {"a": 1}),
    ],
)
def test_json_is_found(text: str, value: Any) -> None:
    assert extract_json(text) == value


@pytest.mark.parametrize("text", ["", "no", "{", "{'a': 1}", '{"a": NaN}', '{"a": "\\u0000"}', "[" * 200_000])
def test_what_is_no_json_is_said(text: str) -> None:
    began = time.monotonic()
    with pytest.raises(NoJson):
        extract_json(text)
    assert time.monotonic() - began < 2


def test_problems_have_places_and_are_few() -> None:
    schema: dict[str, JsonValue] = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "additionalProperties": False,
    }
    (one,) = schema_problems({"n": "x"}, schema)
    assert (one.pointer, one.code) == ("/n", "ANSWER_INVALID")
    many = schema_problems(list(range(100)), {"items": {"type": "string"}})
    assert len(many) == 20


@pytest.mark.parametrize(
    ("schema", "pointer"),
    [
        ({"type": "thing"}, "/type"),
        ({"items": {"$ref": "http://127.0.0.1/x"}}, "/items/$ref"),
        ("text", ""),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused(schema: Any, pointer: str) -> None:
    with pytest.raises(BadSchema) as caught:
        check_schema(schema)
    assert caught.value.pointer == pointer


def test_a_reference_that_leads_nowhere_is_a_problem() -> None:
    (problem,) = schema_problems({"a": 1}, {"$ref": "#/$defs/none"})
    assert problem.code == "BAD_SCHEMA"
