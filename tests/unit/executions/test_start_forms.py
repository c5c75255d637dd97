"""Forms made from input schemas: which control a type gets, what is read back, and where a problem stands."""

from typing import Any

import pytest
from django.http import QueryDict

from executions_app.admin_start_form import (
    OptionsShown,
    StartForm,
    StartUnreadable,
    options_of_run,
    read_options,
    shown_options,
)
from workflow_service.engine.definition import JsonObject
from workflow_service.engine.errors import Problem
from workflow_service.schema_forms import FormField

ADDRESS: JsonObject = {
    "type": "object",
    "title": "Address",
    "required": ["city"],
    "properties": {"city": {"type": "string"}, "floor": {"type": "integer", "default": 2}},
}


def fields(about: Any, *, required: bool = False, present: Any = None) -> list[FormField]:
    schema: JsonObject = {
        "type": "object",
        "properties": {"it": about},
        "required": ["it"] if required else [],
    }
    return [one for group in StartForm(schema, present).groups({}, {}) for one in group.fields]


def read(about: Any, typed: str | dict[str, str], *, present: Any = None, required: bool = False) -> Any:
    schema: JsonObject = {
        "type": "object",
        "properties": {"it": about},
        "required": ["it"] if required else [],
    }
    given = {"input.it": typed} if isinstance(typed, str) else typed
    return StartForm(schema, present).read_input(given)


@pytest.mark.parametrize(
    ("about", "control", "value"),
    [
        ({"type": "string", "default": "a"}, "text", "a"),
        ({"type": "string", "maxLength": 5000}, "lines", ""),
        ({"type": "string", "format": "markdown"}, "lines", ""),
        ({"type": "string", "format": "date", "default": "2026-11-22"}, "date", "2026-11-22"),
        ({"type": "string", "format": "date-time"}, "text", ""),
        ({"type": "string", "enum": ["a", "b"], "default": "b"}, "choice", "b"),
        ({"enum": [1, 2.5, "c"]}, "choice", ""),
        ({"type": "integer", "default": 0}, "integer", "0"),
        ({"type": "number", "default": 1.5}, "number", "1.5"),
        ({"type": "boolean", "default": False}, "choice", "false"),
        ({"type": ["string", "null"]}, "text", ""),
        ({"type": ["string", "integer"]}, "json", ""),
        ({"type": "array", "items": {"type": "string"}, "default": ["a", "b"]}, "lines", "a\nb"),
        ({"type": "array", "items": {"type": "string"}, "default": ["a\nb"]}, "lines", '["a\\nb"]'),
        ({"type": "array", "items": {"type": "object"}, "default": []}, "json", "[]"),
        ({"type": "array"}, "json", ""),
        ({"type": "object"}, "json", ""),
        ({"$ref": "#/$defs/thing"}, "json", ""),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "json", ""),
        ({}, "json", ""),
    ],
)
def test_each_type_has_its_control(about: Any, control: str, value: str) -> None:
    (field,) = fields(about)
    assert (field.control, field.value, field.name) == (control, value, "input.it")


@pytest.mark.parametrize(
    ("about", "typed", "value"),
    [
        ({"type": "string"}, " a ", " a "),
        ({"type": "string"}, "1", "1"),
        ({"type": "integer"}, "7", 7),
        ({"type": "number"}, "1e3", 1000.0),
        ({"type": "boolean"}, "false", False),
        ({"enum": [1, "1"]}, "1", "1"),
        ({"type": "array", "items": {"type": "string"}}, "a\r\n\r\n b \n", ["a", "b"]),
        ({"type": "array", "items": {"type": "integer"}}, "1\n2", [1, 2]),
        ({"type": "array", "items": {"type": "string"}}, '["a\\nb"]', ["a\nb"]),
        ({"type": "array"}, '[{"a": null}]', [{"a": None}]),
        ({"type": "object"}, '{"a": 1}', {"a": 1}),
    ],
)
def test_what_is_typed_is_read(about: Any, typed: str, value: Any) -> None:
    assert read(about, typed) == {"it": value}


@pytest.mark.parametrize("kind", ["string", "integer", "number", "boolean", "array", "object"])
def test_a_field_left_empty_is_left_out(kind: str) -> None:
    assert read({"type": kind}, "") == {}
    assert read({"type": kind}, {}) == {}


@pytest.mark.parametrize(
    ("about", "typed", "said"),
    [
        ({"type": "integer"}, "seven", "input.it"),
        ({"type": "object"}, "{", "input.it"),
        ({"type": "array", "items": {"type": "integer"}}, "1\ntwo", "input.it"),
    ],
)
def test_what_spells_nothing_is_said_at_its_field(about: Any, typed: str, said: str) -> None:
    with pytest.raises(StartUnreadable) as refused:
        read(about, typed)
    assert list(refused.value.problems) == [said]


def test_an_object_within_becomes_a_group() -> None:
    found = fields(ADDRESS, required=True)
    assert [(one.name, one.label, one.short, one.group, one.required, one.value) for one in found] == [
        ("input.it.city", "Address: city", "city", "Address", True, ""),
        ("input.it.floor", "Address: floor", "floor", "Address", False, "2"),
    ]
    typed = {"input.it.city": "Linz", "input.it.floor": "3"}
    assert read(ADDRESS, typed) == {"it": {"city": "Linz", "floor": 3}}
    assert read(ADDRESS, {}) == {}
    assert read(ADDRESS, {}, required=True) == {"it": {}}
    kept = read(ADDRESS, {"input.it.city": "Wels"}, present={"it": {"city": "Linz", "more": 1}, "x": 2})
    assert kept == {"it": {"city": "Wels", "more": 1}, "x": 2}


def test_only_one_level_becomes_a_group() -> None:
    deep = {"type": "object", "properties": {"a": ADDRESS}}
    (field,) = fields(deep)
    assert (field.control, field.group) == ("json", "")


def test_problems_stand_next_to_their_fields() -> None:
    schema: JsonObject = {
        "type": "object",
        "required": ["who"],
        "properties": {"who": {"type": "string"}, "address": ADDRESS, "many": {"type": "array"}},
    }
    found = StartForm(schema).problems_of(
        (
            Problem("X", "'who' is a required property", "/input"),
            Problem("X", "'city' is a required property", "/input/address"),
            Problem("X", "3 is too much", "/input/address/floor"),
            Problem("X", "odd", "/input/many/0/a"),
            Problem("X", "'other' is a required property", "/input"),
            Problem("X", "too long", "/options/timeout"),
        )
    )
    assert found == {
        "input.who": "is needed",
        "input.address.city": "is needed",
        "input.address.floor": "3 is too much",
        "input.many": "odd",
        "": "'other' is a required property",
        "minutes": "too long",
    }


@pytest.mark.parametrize(
    "schema",
    [
        None,
        {},
        {"type": "object"},
        {"type": "object", "properties": {}},
        {"type": "array"},
        {"properties": []},
    ],
)
def test_a_schema_without_fields_is_one_text(schema: Any) -> None:
    form = StartForm(schema)
    (group,) = form.groups({}, {})
    (field,) = group.fields
    assert (field.name, field.control, field.value) == ("input", "json", "{}")
    assert not form.has_fields
    assert form.read_input({"input": '{"a": [1]}'}) == {"a": [1]}
    with pytest.raises(StartUnreadable):
        form.read_input({"input": "[1]"})


def test_a_schema_with_fields_may_be_one_text_too() -> None:
    schema: JsonObject = {"properties": {"it": {"type": "integer"}}}
    assert StartForm(schema).has_fields
    assert StartForm(schema).read_input({"input.it": "1"}) == {"it": 1}
    assert StartForm(schema, as_json=True).read_input({"input": '{"it": 1}'}) == {"it": 1}


def test_options_are_those_of_the_api() -> None:
    typed = QueryDict("priority=high&minutes=1.5&recovery=true&without_models=yes&on_error=yes&channel=email")
    options = read_options(shown_options(typed))
    assert options == {
        "priority": "high",
        "timeout": 90_000,
        "enableAutoRecovery": True,
        "enableAiDecisions": False,
        "notifications": {"onComplete": False, "onError": True, "channels": ["email"]},
    }
    again = options_of_run(options)
    assert read_options(again) == options
    assert read_options(options_of_run({})) == {"priority": "normal"}


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"minutes": "soon"}, "minutes"),
        ({"minutes": "0"}, "minutes"),
        ({"minutes": "-1"}, "minutes"),
        ({"minutes": "99999999"}, "minutes"),
        ({"minutes": "1e5"}, "minutes"),
        ({"priority": "urgent"}, "priority"),
        ({"recovery": "maybe"}, "recovery"),
    ],
)
def test_options_that_make_no_sense_are_refused_by_name(given: dict[str, Any], name: str) -> None:
    with pytest.raises(StartUnreadable) as refused:
        read_options(OptionsShown(**given))
    assert list(refused.value.problems) == [name]
