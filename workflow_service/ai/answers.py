"""What a model wrote, as JSON: found in its text, and checked against a schema. Pure."""

import json
import re
from collections.abc import Iterator

from jsonschema.exceptions import ValidationError
from pydantic import JsonValue

from workflow_service import json_schemas
from workflow_service.engine.errors import Problem
from workflow_service.engine.json_values import JsonUnfit, check_json, json_pointer
from workflow_service.json_schemas import SchemaUnusable, misfits

MAX_PROBLEMS = 20
MAX_BYTES = 2 * 1024 * 1024
MAX_STARTS = 50
_FENCE = re.compile(r"```[\w-]*[ \t]*\r?\n(.*?)```", re.DOTALL)
_OPENING = re.compile(r"[{\[]")


class BadSchema(ValueError):
    """What should be a JSON Schema is none; ``pointer`` says where in it."""

    def __init__(self, message: str, pointer: str) -> None:
        super().__init__(f"{pointer}: {message}" if pointer else message)
        self.message, self.pointer = message, pointer


class NoJson(ValueError):
    """A text holds no JSON value; its message says where the nearest thing to one breaks off."""


def extract_json(text: str) -> JsonValue:
    """Return the JSON value in a text: the whole of it, else a fenced block, else the largest object or list in it.

    Raises ``NoJson``.
    """
    try:
        return _load(text)
    except ValueError as error:
        first = error
    for fenced in reversed(_FENCE.findall(text)):
        try:
            return _load(fenced)
        except ValueError:
            continue
    found = list(_embedded(text))
    if not found:
        raise NoJson(f"it is no JSON: {first}")
    return max(found, key=lambda one: one[0])[1]


def check_schema(schema: JsonValue) -> None:
    """Raise ``BadSchema`` unless it is None or a JSON Schema, draft 2020-12, that refers to nothing else."""
    if schema is None:
        return
    try:
        json_schemas.check_schema(schema)
    except SchemaUnusable as error:
        raise BadSchema(error.message, json_pointer(*error.place)) from None
    for place, target in _references(schema, ""):
        if not target.startswith("#"):
            raise BadSchema("it refers to another document, which is never fetched", place)


def _references(schema: JsonValue, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(schema, dict):
        for key, value in schema.items():
            here = place + json_pointer(key)
            if key in ("$ref", "$dynamicRef") and isinstance(value, str):
                yield here, value
            else:
                yield from _references(value, here)
    elif isinstance(schema, list):
        for index, value in enumerate(schema):
            yield from _references(value, place + json_pointer(index))


def schema_problems(value: JsonValue, schema: JsonValue) -> list[Problem]:
    """Return where ``value`` does not fit the JSON Schema, draft 2020-12; references lead nowhere outside of it."""
    if not isinstance(schema, dict):
        return []
    try:
        return [_problem(error) for error in misfits(schema, value, MAX_PROBLEMS)]
    except SchemaUnusable as error:
        return [Problem("BAD_SCHEMA", f"the schema cannot be used: {error.message}")]


def _problem(error: ValidationError) -> Problem:
    return Problem("ANSWER_INVALID", error.message[:500], pointer=json_pointer(*error.absolute_path))


def _load(text: str) -> JsonValue:
    if len(text) > MAX_BYTES:
        raise ValueError("it is too long")
    try:
        value: JsonValue = json.loads(text.strip().removeprefix("\ufeff"))
        check_json(value, max_bytes=MAX_BYTES)
    except JsonUnfit as error:
        raise ValueError(error.message) from None
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    return value


def _embedded(text: str) -> Iterator[tuple[int, JsonValue]]:
    """Yield objects and lists that stand in a text, with their lengths; not those inside of one already found."""
    decoder = json.JSONDecoder()
    position = 0
    for _ in range(MAX_STARTS):
        opening = _OPENING.search(text, position)
        if opening is None:
            return
        try:
            value, end = decoder.raw_decode(text, opening.start())
            check_json(value, max_bytes=MAX_BYTES)
        except (ValueError, JsonUnfit, RecursionError):
            position = opening.start() + 1
            continue
        yield end - opening.start(), value
        position = end
