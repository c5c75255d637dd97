"""Schemas of strangers: what fits agrees with the library's own check, and no pattern holds anybody up."""

import time
from collections.abc import Iterable
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from workflow_service import json_schemas
from workflow_service.json_schemas import SchemaUnusable, check_schema, misfits

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"code": {"pattern": "^[A-Z]{2}[0-9]+$"}},
    "patternProperties": {"^x-": {"type": "integer"}},
    "additionalProperties": False,
}
OPEN = SCHEMA | {"additionalProperties": {"type": "string", "pattern": "o"}}


def told(errors: Iterable[ValidationError]) -> list[tuple[str, str]]:
    return sorted((str(error.validator), error.json_path) for error in errors)


@pytest.mark.parametrize("schema", [SCHEMA, OPEN], ids=["closed", "open"])
@pytest.mark.parametrize(
    "value",
    [
        {"code": "AB1", "x-a": 1},
        {"code": "ab1", "x-a": "1"},
        {"other": "no", "more": "yes"},
        {"code": 3, "other": 5},
        [],
    ],
    ids=["fits", "both wrong", "two more", "no text", "no object"],
)
def test_it_finds_what_the_library_finds(schema: dict[str, Any], value: Any) -> None:
    assert told(misfits(schema, value, 10)) == told(Draft202012Validator(schema).iter_errors(value))


@pytest.mark.parametrize(
    "schema",
    [
        {"items": {"pattern": "^(a|a)*$"}},
        {"items": {"patternProperties": {"^(a|a)*$": True}}},
        {"items": {"additionalProperties": False, "patternProperties": {"^(a|a)*$": True}}},
    ],
    ids=["pattern", "names", "other names"],
)
def test_a_search_without_end_is_given_up(schema: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_schemas, "PATTERNS_MAX_S", 0.1)
    text = "a" * 40 + "!"
    began = time.monotonic()
    with pytest.raises(SchemaUnusable, match="take too long"):
        misfits(schema, [text, {text: 1}] * 50, 10)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"$ref": "https://schemas.example/one.json"}, "leads nowhere"),
        ({"$ref": "#"}, "without end"),
        ({"type": "tex"}, "tex"),
        ({"patternProperties": {"a": {}}, "unevaluatedProperties": False}, "additionalProperties"),
        ({"pattern": "("}, "regex"),
        ({"pattern": "a{99999999999}"}, "repetition"),
    ],
    ids=["elsewhere", "itself", "no type", "both", "no pattern", "too often"],
)
def test_what_cannot_be_used_says_why(schema: dict[str, Any], why: str) -> None:
    with pytest.raises(SchemaUnusable, match=why):
        misfits(schema, {"a": "text"} if "pattern" not in schema else "text", 10)


def test_where_a_schema_is_wrong() -> None:
    with pytest.raises(SchemaUnusable) as caught:
        check_schema({"properties": {"a": {"minimum": "1"}}})
    assert caught.value.place == ("properties", "a", "minimum")
