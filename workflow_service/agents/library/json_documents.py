"""JSON: read, written, and picked from."""

import json
from collections.abc import Callable
from typing import Literal

from pydantic import Field, JsonValue

from workflow_service.agents.json_paths import NoSuchPath, look_up
from workflow_service.agents.library.shapes import Output, Params, Record
from workflow_service.agents.library.sources import MAX_FILE_BYTES, read_bytes
from workflow_service.agents.library.tables import FileOutput
from workflow_service.agents.use_cases import RunContext, use_case
from workflow_service.artifacts.references import FileName, FileSource
from workflow_service.engine.json_values import JsonUnfit, load_json


class SelectInput(Params):
    """``paths`` names each value to pick; ``missing`` says what to do where a path leads nowhere."""

    value: JsonValue
    paths: dict[str, str] = Field(min_length=1, max_length=1_000)
    missing: Literal["error", "null"] = "error"


@use_case("json.select")
def select_values(params: SelectInput) -> dict[str, JsonValue]:
    """Pick values out of a JSON value by their paths."""
    picked: dict[str, JsonValue] = {}
    for name, path in params.paths.items():
        try:
            picked[name] = look_up(params.value, path)
        except NoSuchPath:
            if params.missing == "error":
                raise
            picked[name] = None
    return picked


class JsonReadInput(Params):
    """``lines`` reads one JSON value per line (JSON Lines); ``path`` picks a part, as in ``data.items``."""

    file: FileSource
    lines: bool = False
    path: str = ""


class JsonValueOutput(Output):
    """``count`` is the number of items of a list, else 1."""

    value: JsonValue
    count: int


@use_case("json.read")
def read_json(params: JsonReadInput, run: RunContext) -> JsonValueOutput:
    """Read a JSON or JSON Lines file."""
    content = read_bytes(run, params.file)
    if not params.lines:
        return _counted(look_up(_parsed(content, params.file), params.path))
    found: list[JsonValue] = []
    for number, line in enumerate(content.split(b"\n"), 1):
        if line.strip():
            found.append(look_up(_parsed(line, f"line {number} of {params.file}"), params.path))
    return _counted(found)


class JsonWriteInput(Params):
    """``lines`` writes each item of a list on a line of its own (JSON Lines)."""

    value: JsonValue
    name: FileName = "data.json"
    lines: bool = False
    indent: int | None = Field(2, ge=0, le=8)


@use_case("json.write")
def write_json(params: JsonWriteInput, run: RunContext) -> FileOutput:
    """Write a value as a JSON or JSON Lines file and keep it as an artifact."""
    count = _counted(params.value).count
    if params.lines:
        if not isinstance(params.value, list):
            raise ValueError("JSON Lines are written from a list; 'value' is none")
        text = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in params.value)
        kind = "application/x-ndjson"
    else:
        text = json.dumps(params.value, ensure_ascii=False, indent=params.indent) + "\n"
        kind = "application/json"
    return FileOutput(artifact=run.save_file(params.name, text, content_type=kind), count=count)


class JsonQueryInput(Params):
    """``path`` may hold ``*``: every item of a list, or every value of an object, as in ``orders.*.lines.*.sku``."""

    value: JsonValue
    path: str = Field(max_length=1_000)
    default: JsonValue = None
    limit: int = Field(100_000, ge=1, le=1_000_000)


class JsonQueryOutput(Output):
    """``first`` is ``default`` where nothing was found; ``more`` tells that ``limit`` cut the rest."""

    values: list[JsonValue]
    first: JsonValue
    count: int
    more: bool


@use_case("json.query")
def query_json(params: JsonQueryInput) -> JsonQueryOutput:
    """Find every value that a path with wildcards leads to."""
    steps = params.path.split(".*") if not params.path.startswith("*") else ["", *params.path[1:].split(".*")]
    found = [params.value]
    for position, step in enumerate(steps):
        if position:
            found = [member for value in found for member in _members(value)]
        found = [value for value in map(_looker(step.removeprefix(".")), found) if value is not _NOTHING]
    return JsonQueryOutput(
        values=found[: params.limit],
        first=found[0] if found else params.default,
        count=min(len(found), params.limit),
        more=len(found) > params.limit,
    )


_NOTHING: JsonValue = {"nothing": "found"}


def _looker(path: str) -> Callable[[JsonValue], JsonValue]:
    def find(value: JsonValue) -> JsonValue:
        try:
            return look_up(value, path)
        except NoSuchPath as error:
            if "is no path" in str(error):
                raise
            return _NOTHING

    return find


def _members(value: JsonValue) -> list[JsonValue]:
    if isinstance(value, list):
        return value
    return list(value.values()) if isinstance(value, dict) else []


def _parsed(content: bytes, what: str) -> JsonValue:
    try:
        return load_json(content.removeprefix(b"\xef\xbb\xbf"), max_bytes=MAX_FILE_BYTES)
    except JsonUnfit as error:
        place = error.problems[0]
        at = f", line {place.line}, column {place.column}" if place.line else ""
        raise ValueError(f"{what}{at}: {error.message}") from None


def _counted(value: JsonValue) -> JsonValueOutput:
    return JsonValueOutput(value=value, count=len(value) if isinstance(value, list) else 1)


def records_of(value: JsonValue, what: str) -> list[Record]:
    """Return a list of objects as records; raises ``ValueError`` where it is none."""
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ValueError(f"{what} is not a list of objects")
    return value  # type: ignore[return-value]
