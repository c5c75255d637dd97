"""HTML forms from JSON schemas: fields for what a schema asks, and the value that was typed into them.

A schema of plain properties becomes a field for each, and a property that is such an object itself a group of fields;
lists of plain values are typed a line each. Anything else becomes a field that takes JSON. The form only spells a
value: whoever takes it checks it against the schema. What is left as it was shown keeps its value exactly, whatever a
browser makes of its text.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from pydantic import JsonValue

from workflow_service.engine.definition import JsonObject
from workflow_service.engine.errors import Problem
from workflow_service.engine.json_values import JsonUnfit, json_pointer, load_json
from workflow_service.settings.config import get_config

MAX_FIELDS = 50
ONE_LINE_CHARACTERS = 200

LONG_TEXT = frozenset({"long-text", "markdown", "multiline", "textarea"})
_MISSING = re.compile(r"'(.+)' is a required property")

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

    ``control`` is text, lines, date, integer, number, choice (among ``choices``) or json. A field of an object within
    the value bears that one's label as ``group``, and as the beginning of its own; ``short`` is without it.
    ``format`` is what the schema says of a text.
    """

    name: str
    label: str
    control: str
    required: bool = False
    help: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    value: str = ""
    problem: str = ""
    group: str = ""
    short: str = ""
    format: str = ""


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
    named = _required(schema)
    values = present if isinstance(present, dict) else {}
    fields: list[FormField] = []
    for key, about in properties.items():
        field, value = f"{name}.{key}", values.get(key)
        within = _members(about, value)
        if within is None:
            fields.append(_field(field, key, about, key in named, typed, problems, value))
            continue
        group, needed = str(about.get("title") or key), _required(about) if key in named else ()
        shown = value if value is not None else about.get("default")
        members = shown if isinstance(shown, dict) else {}
        for member, each in within.items():
            inner = _field(
                f"{field}.{member}", member, each, member in needed, typed, problems, members.get(member)
            )
            fields.append(replace(inner, label=f"{group}: {inner.label}", group=group, short=inner.label))
    return tuple(fields)


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
        if _members(about, before) is not None:
            try:
                within = read_form(about, typed, name=field, present=before)
            except FormUnreadable as error:
                problems.update(error.problems)
                continue
            if within or key in value or key in _required(schema):
                value[key] = within
            continue
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
    found: dict[str, list[str]] = {}
    for problem in problems:
        pointer, message = problem.pointer, problem.message
        missing = _MISSING.fullmatch(message)
        if missing is not None:
            pointer += json_pointer(missing[1])
        field = _field_at(schema or {}, pointer, name, present)
        at_hand = missing is not None and field != "" and field.endswith(f".{missing[1]}")
        found.setdefault(field, []).append("is needed" if at_hand else message)
    return {field: "; ".join(messages) for field, messages in found.items()}


def _field_at(schema: JsonObject, pointer: str, name: str, present: JsonValue) -> str:
    """Return the name of the field that a place in the value belongs to; ``""`` where it has none."""
    properties = _plain_properties(schema, present)
    if properties is None:
        return name
    for key, about in properties.items():
        start = json_pointer(key)
        if not (pointer + "/").startswith(start + "/"):
            continue
        value = present.get(key) if isinstance(present, dict) else None
        within = _members(about, value)
        if within is None:
            return f"{name}.{key}"
        # What is wrong with an object as a whole is said at its first field.
        inner = _field_at(about, pointer.removeprefix(start), f"{name}.{key}", value)
        return inner or f"{name}.{key}.{next(iter(within))}"
    return ""


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
    needed = _required(schema)
    first = [key for key in needed if key in plain]

    def order(key: str) -> tuple[float, int]:
        at = plain[key].get("propertyOrder")
        explicit = float(at) if isinstance(at, int | float) else float("inf")
        return explicit, first.index(key) if key in first else len(first)

    return {key: plain[key] for key in sorted(plain, key=order)}


def _required(schema: JsonObject) -> list[JsonValue]:
    required = schema.get("required")
    return required if isinstance(required, list) else []


def _members(about: JsonObject, present: JsonValue) -> dict[str, JsonObject] | None:
    """Return the properties of an object within the value that become fields; None where it is typed as JSON."""
    properties = _plain_properties(about, present) if "enum" not in about else None
    if not properties or any("properties" in each for each in properties.values()):
        return None
    return properties


def _kind(about: JsonObject) -> JsonValue:
    """Return the type of a property; of one that may be null too, the other."""
    kind = about.get("type")
    if isinstance(kind, list):
        others = [each for each in kind if each != "null"]
        return others[0] if len(others) == 1 else None
    return kind


def _control(about: JsonObject) -> str:
    choices = about.get("enum")
    if isinstance(choices, list) and choices and all(isinstance(each, str | int | float) for each in choices):
        return "choice"
    kind = _kind(about)
    if kind == "array":
        items = about.get("items")
        plain = isinstance(items, dict) and _control(items) in {
            "text",
            "lines",
            "date",
            "integer",
            "number",
            "choice",
        }
        return "list" if plain else "json"
    if kind != "string":
        return CONTROLS.get(kind, "json") if isinstance(kind, str) else "json"
    if about.get("format") == "date":
        return "date"
    longest = about.get("maxLength")
    is_long = isinstance(longest, int) and longest > ONE_LINE_CHARACTERS
    return "lines" if is_long or about.get("format") in LONG_TEXT else "text"


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
    about_it = str(about.get("description") or "")
    if control == "list":
        control, about_it = "lines", f"{about_it} One value a line.".strip()
    return FormField(
        name=name,
        label=str(about.get("title") or key),
        control=control,
        required=required,
        help=about_it,
        choices=choices,
        value=text,
        problem=problems.get(name, ""),
        format=str(about.get("format") or ""),
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
            return "lines" if "\n" in text or len(text) > ONE_LINE_CHARACTERS else "text"
        case "date" if text and (len(text) != 10 or text.count("-") != 2):
            return "text"
    return control


def _is_number(text: str) -> bool:
    try:
        value = load_json(text, max_bytes=100)
    except JsonUnfit:
        return False
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(about: JsonObject, value: JsonValue) -> str:
    """Return how a value stands in its field; where it is of another type than the field's, as JSON."""
    if value is None:
        return ""
    match _control(about):
        case "json":
            return json.dumps(value, ensure_ascii=False, indent=2)
        case "list" if isinstance(value, list) and _is_a_line_each(value):
            return "\n".join(map(_scalar_text, value))
    return _scalar_text(value)


def _is_a_line_each(values: list[JsonValue]) -> bool:
    """Whether values that stand a line each are read as they were."""
    texts = [each for each in values if isinstance(each, str)]
    odd = any(not text.strip() or text != text.strip() or len(text.splitlines()) > 1 for text in texts)
    begins_json = bool(texts) and isinstance(values[0], str) and values[0].startswith("[")
    return not odd and not begins_json and all(isinstance(each, str | int | float) for each in values)


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
        case "integer" | "number" as control:
            if not _is_number(text.strip()):
                raise ValueError("must be a whole number" if control == "integer" else "must be a number")
            return load_json(text, max_bytes=get_config().max_input_bytes)
        case "json":
            return load_json(text, max_bytes=get_config().max_input_bytes)
        case "list":
            return _read_list(about, text)
    return _lines(text)


def _read_list(about: JsonObject, text: str) -> JsonValue:
    """Return the values that stand a line each; who wrote a list as JSON meant that."""
    if text.lstrip().startswith("["):
        return load_json(text, max_bytes=get_config().max_input_bytes)
    items = about["items"]
    assert isinstance(items, dict)  # noqa: S101 - else it were no list of plain values
    values: list[JsonValue] = []
    for number, line in enumerate(_lines(text).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            values.append(_read(items, line.strip()))
        except (ValueError, JsonUnfit) as error:
            raise ValueError(f"line {number}: {error}") from error
    return values


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
