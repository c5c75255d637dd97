"""The form of a response, from the JSON schema that the workflow asks for.

A schema of plain properties becomes a field for each; any other becomes one field that takes JSON. Either way
the service checks the response against the schema itself: the form only spells it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from workflow_service.engine.definition import JsonObject
from workflow_service.engine.errors import Problem
from workflow_service.engine.json_values import JsonUnfit, json_pointer, load_json
from workflow_service.settings.config import get_config

MAX_FIELDS = 50
PREFIX = "response."
WHOLE = "response"

# The control of a plain type; "json" is a text area for anything.
CONTROLS: Mapping[str, str] = {
    "string": "text",
    "integer": "integer",
    "number": "number",
    "boolean": "boolean",
}


@dataclass(frozen=True, slots=True)
class ResponseField:
    """One field of the form. ``value`` is what was typed; ``problem`` is what is wrong with it."""

    name: str
    label: str
    control: str
    required: bool = False
    help: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    value: str = ""
    problem: str = ""


class ResponseUnreadable(ValueError):
    """What was typed does not spell a response; ``problems`` are by field name."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__("; ".join(problems.values()))
        self.problems = problems


def response_fields(
    schema: JsonObject | None, typed: Mapping[str, str], problems: Mapping[str, str]
) -> list[ResponseField]:
    """Return the form's fields with what was typed into them; none where nothing is asked for."""
    if schema is None:
        return []
    properties = _plain_properties(schema)
    if properties is None:
        return [
            ResponseField(
                WHOLE,
                "Response (JSON)",
                "json",
                required=True,
                help=str(schema.get("description") or "A JSON object that fits what the workflow asks for."),
                value=typed.get(WHOLE, "{}"),
                problem=problems.get(WHOLE, ""),
            )
        ]
    required = schema.get("required")
    named = required if isinstance(required, list) else []
    return [
        _field(name, about, required=name in named, typed=typed, problems=problems)
        for name, about in properties.items()
    ]


def read_response(schema: JsonObject | None, typed: Mapping[str, str]) -> JsonObject | None:
    """Return the response that was typed; raises ``ResponseUnreadable``.

    A field left empty is left out, so that the schema says whether it was needed.
    """
    if schema is None:
        return None
    properties = _plain_properties(schema)
    if properties is None:
        return _read_whole(typed.get(WHOLE, ""))
    response: JsonObject = {}
    problems: dict[str, str] = {}
    for name, about in properties.items():
        text = typed.get(PREFIX + name, "")
        if text.strip() == "":
            continue
        try:
            response[name] = _read(about, text)
        except (ValueError, JsonUnfit) as error:
            problems[PREFIX + name] = str(error)
    if problems:
        raise ResponseUnreadable(problems)
    return response


def problems_by_field(schema: JsonObject | None, problems: tuple[Problem, ...]) -> dict[str, str]:
    """Return a schema's problems by the field that each belongs to, ``""`` for those of no field."""
    properties = _plain_properties(schema or {})
    found: dict[str, list[str]] = {}
    for problem in problems:
        field = WHOLE
        if properties is not None:
            inside = [
                name for name in properties if (problem.pointer + "/").startswith(json_pointer(name) + "/")
            ]
            field = PREFIX + inside[0] if inside else ""
        found.setdefault(field, []).append(problem.message)
    return {field: "; ".join(messages) for field, messages in found.items()}


def _plain_properties(schema: JsonObject) -> dict[str, JsonObject] | None:
    properties = schema.get("properties")
    if schema.get("type") != "object" or not isinstance(properties, dict) or len(properties) > MAX_FIELDS:
        return None
    plain = {name: about for name, about in properties.items() if isinstance(about, dict)}
    return plain if len(plain) == len(properties) else None


def _control(about: JsonObject) -> str:
    choices = about.get("enum")
    if (
        isinstance(choices, list)
        and choices
        and all(isinstance(choice, str | int | float) for choice in choices)
    ):
        return "choice"
    kind = about.get("type")
    if kind == "string" and about.get("format") == "date":
        return "date"
    if kind == "string" and isinstance(about.get("maxLength"), int) and int(str(about["maxLength"])) > 200:
        return "lines"
    return CONTROLS.get(kind, "json") if isinstance(kind, str) else "json"


def _choices(about: JsonObject) -> dict[str, JsonValue]:
    choices = about.get("enum")
    return {str(choice): choice for choice in choices} if isinstance(choices, list) else {}


def _field(
    name: str, about: JsonObject, *, required: bool, typed: Mapping[str, str], problems: Mapping[str, str]
) -> ResponseField:
    control = _control(about)
    choices = tuple((text, text) for text in _choices(about)) if control == "choice" else ()
    if control == "boolean":
        choices = (("true", "Yes"), ("false", "No"))
    default = about.get("default")
    start = "" if default is None or isinstance(default, dict | list) else str(default)
    key = PREFIX + name
    return ResponseField(
        name=key,
        label=str(about.get("title") or name),
        control="choice" if control == "boolean" else control,
        required=required,
        help=str(about.get("description") or ""),
        choices=choices,
        value=typed.get(key, start.lower() if control == "boolean" else start),
        problem=problems.get(key, ""),
    )


def _read(about: JsonObject, text: str) -> JsonValue:
    match _control(about):
        case "choice":
            # Something else is passed on as text: the schema names what may be chosen.
            return _choices(about).get(text, text)
        case "boolean":
            return {"true": True, "false": False}.get(text, text)
        case "integer" | "number" | "json":
            return load_json(text, max_bytes=get_config().max_input_bytes)
    return text


def _read_whole(text: str) -> JsonObject:
    try:
        value: Any = load_json(text or "{}", max_bytes=get_config().max_input_bytes)
    except JsonUnfit as error:
        raise ResponseUnreadable({WHOLE: error.message}) from error
    if not isinstance(value, dict):
        raise ResponseUnreadable({WHOLE: "must be a JSON object"})
    return value
