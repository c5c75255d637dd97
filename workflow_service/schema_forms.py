"""HTML forms from JSON schemas: fields for what a schema asks, and the value that was typed into them.

A schema of plain properties becomes a field for each; any other becomes one field that takes JSON. The form only
spells a value: whoever takes it checks it against the schema. What is left as it was shown keeps its value exactly,
whatever a browser makes of its text.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from workflow_service.engine.definition import JsonObject
from workflow_service.engine.errors import Problem
from workflow_service.engine.json_values import JsonUnfit, json_pointer, load_json
from workflow_service.settings.config import get_config

MAX_FIELDS = 50
ONE_LINE_CHARACTERS = 200

# The control of a plain type; "json" is a text area for anything.
CONTROLS: Mapping[str, str] = {
    "string": "text",
    "integer": "integer",
    "number": "number",
    "boolean": "boolean",
}


@dataclass(frozen=True, slots=True)
class FormField:
    """One field of a form. ``value`` is what is shown in it; ``problem`` is what is wrong with that.

    ``control`` is text, lines, date, integer, number, choice (among ``choices``) or json.
    """

    name: str
    label: str
    control: str
    required: bool = False
    help: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    value: str = ""
    problem: str = ""


class FormUnreadable(ValueError):
    """What was typed spells no value; ``problems`` are by field name."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__("; ".join(problems.values()))
        self.problems = problems


def form_fields(
    schema: JsonObject | None,
    typed: Mapping[str, str],
    problems: Mapping[str, str],
    *,
    name: str,
    label: str = "Value",
    present: JsonValue = None,
) -> tuple[FormField, ...]:
    """Return a form's fields with what was typed into them; none where nothing is asked for.

    ``name`` begins the names of its fields. ``present`` is the value that is shown before anything is typed.
    """
    if schema is None:
        return ()
    properties = _plain_properties(schema, present)
    if properties is None:
        return (
            FormField(
                name,
                f"{label} (JSON)",
                "json",
                required=True,
                help=str(schema.get("description") or "A JSON value that fits what the workflow asks for."),
                value=typed.get(name, _whole_text(present)),
                problem=problems.get(name, ""),
            ),
        )
    required = schema.get("required")
    named = required if isinstance(required, list) else []
    values = present if isinstance(present, dict) else {}
    return tuple(
        _field(f"{name}.{key}", key, about, key in named, typed, problems, values.get(key))
        for key, about in properties.items()
    )


def read_form(
    schema: JsonObject, typed: Mapping[str, str], *, name: str, present: JsonValue = None
) -> JsonValue:
    """Return the value that was typed; raises ``FormUnreadable``.

    A field left empty is left out, so that the schema says whether it was needed; a text that was there is made empty.
    What ``present`` has besides the form's fields stays.
    """
    properties = _plain_properties(schema, present)
    if properties is None:
        text = typed.get(name, "")
        if present is not None and _same(text, _whole_text(present)):
            return present
        return _read_json(text or "{}", name)
    value: JsonObject = dict(present) if isinstance(present, dict) else {}
    problems: dict[str, str] = {}
    for key, about in properties.items():
        field = f"{name}.{key}"
        before = value.get(key)
        text = typed.get(field, "")
        if key in value and (field not in typed or _same(text, _text(about, before))):
            continue
        if text.strip() == "":
            if isinstance(before, str):
                value[key] = ""
            else:
                value.pop(key, None)
            continue
        try:
            value[key] = _read(about, text)
        except (ValueError, JsonUnfit) as error:
            problems[field] = str(error)
    if problems:
        raise FormUnreadable(problems)
    return value


def read_object(
    schema: JsonObject, typed: Mapping[str, str], *, name: str, present: JsonValue = None
) -> JsonObject:
    """Return the object that was typed, as ``read_form`` does; raises ``FormUnreadable`` also for what is none."""
    value = read_form(schema, typed, name=name, present=present)
    if not isinstance(value, dict):
        raise FormUnreadable({name: "must be a JSON object"})
    return value


def problems_by_field(
    schema: JsonObject | None, problems: Iterable[Problem], *, name: str, present: JsonValue = None
) -> dict[str, str]:
    """Return a value's problems by the field that each belongs to, ``""`` for those of no field."""
    properties = _plain_properties(schema or {}, present)
    found: dict[str, list[str]] = {}
    for problem in problems:
        field = name
        if properties is not None:
            inside = [
                key for key in properties if (problem.pointer + "/").startswith(json_pointer(key) + "/")
            ]
            field = f"{name}.{inside[0]}" if inside else ""
        found.setdefault(field, []).append(problem.message)
    return {field: "; ".join(messages) for field, messages in found.items()}


def schema_of(value: JsonValue) -> JsonObject:
    """Return a schema that ``value`` fits, so that what has none of its own can be edited field by field."""
    if not isinstance(value, dict) or not value:
        return {}
    return {
        "type": "object",
        "properties": {key: {"type": _type_of(member)} for key, member in value.items()},
    }


def _plain_properties(schema: JsonObject, present: JsonValue) -> dict[str, JsonObject] | None:
    """Return the properties that become fields, in order; None where the schema or the value is no such thing.

    The order is ``propertyOrder`` where they have it, else that of ``required``, and then of the schema: a JSON
    object in Postgres does not keep its own.
    """
    properties = schema.get("properties")
    if schema.get("type") != "object" or not isinstance(properties, dict) or len(properties) > MAX_FIELDS:
        return None
    if present is not None and not isinstance(present, dict):
        return None
    plain = {key: about for key, about in properties.items() if isinstance(about, dict)}
    if len(plain) != len(properties):
        return None
    required = schema.get("required")
    first = [key for key in required if key in plain] if isinstance(required, list) else []

    def order(key: str) -> tuple[float, int]:
        at = plain[key].get("propertyOrder")
        explicit = float(at) if isinstance(at, int | float) else float("inf")
        return explicit, first.index(key) if key in first else len(first)

    return {key: plain[key] for key in sorted(plain, key=order)}


def _control(about: JsonObject) -> str:
    choices = about.get("enum")
    if isinstance(choices, list) and choices and all(isinstance(each, str | int | float) for each in choices):
        return "choice"
    kind = about.get("type")
    if kind == "string" and about.get("format") == "date":
        return "date"
    longest = about.get("maxLength")
    if kind == "string" and isinstance(longest, int) and longest > ONE_LINE_CHARACTERS:
        return "lines"
    return CONTROLS.get(kind, "json") if isinstance(kind, str) else "json"


def _choices(about: JsonObject) -> dict[str, JsonValue]:
    choices = about.get("enum")
    return {_scalar_text(choice): choice for choice in choices} if isinstance(choices, list) else {}


def _field(
    name: str,
    key: str,
    about: JsonObject,
    required: bool,
    typed: Mapping[str, str],
    problems: Mapping[str, str],
    present: JsonValue,
) -> FormField:
    text = typed.get(name, _text(about, about.get("default") if present is None else present))
    control = _control_for(about, text)
    choices = tuple((each, each) for each in _choices(about)) if control == "choice" else ()
    if control == "boolean":
        control, choices = "choice", (("true", "Yes"), ("false", "No"))
    return FormField(
        name=name,
        label=str(about.get("title") or key),
        control=control,
        required=required,
        help=str(about.get("description") or ""),
        choices=choices,
        value=text,
        problem=problems.get(name, ""),
    )


def _control_for(about: JsonObject, text: str) -> str:
    """Return a control that can show ``text``: a value may be other than its schema says."""
    control = _control(about)
    match control:
        case "text" if "\n" in text or len(text) > ONE_LINE_CHARACTERS:
            return "lines"
        case "choice" if text and text not in _choices(about):
            return "lines"
        case "boolean" if text not in ("", "true", "false"):
            return "lines"
        case "integer" | "number" if text and not _is_number(text):
            return "lines"
        case "date" if text and (len(text) != 10 or text.count("-") != 2):
            return "text"
    return control


def _is_number(text: str) -> bool:
    try:
        return isinstance(load_json(text, max_bytes=100), int | float)
    except JsonUnfit:
        return False


def _text(about: JsonObject, value: JsonValue) -> str:
    """Return how a value stands in its field; where it is of another type than the field's, as JSON."""
    if value is None:
        return ""
    if _control(about) == "json":
        return json.dumps(value, ensure_ascii=False, indent=2)
    return _scalar_text(value)


def _scalar_text(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _whole_text(present: JsonValue) -> str:
    return "{}" if present is None else json.dumps(present, ensure_ascii=False, indent=2)


def _same(typed: str, shown: str) -> bool:
    """Whether a text came back as it was shown, but for what browsers do to lines and to a first empty one."""
    typed, shown = _lines(typed), _lines(shown)
    return typed in (shown, shown.removeprefix("\n"))


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _read(about: JsonObject, text: str) -> JsonValue:
    match _control(about):
        case "choice":
            # Something else is passed on as text: the schema names what may be chosen.
            return _choices(about).get(text, text)
        case "boolean":
            return {"true": True, "false": False}.get(text, text)
        case "integer" | "number" | "json":
            return load_json(text, max_bytes=get_config().max_input_bytes)
    return _lines(text)


def _read_json(text: str, name: str) -> JsonValue:
    try:
        return load_json(text, max_bytes=get_config().max_output_bytes)
    except JsonUnfit as error:
        raise FormUnreadable({name: error.message}) from error


def _type_of(value: JsonValue) -> JsonValue:
    match value:
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case dict():
            return "object"
    return "null"
