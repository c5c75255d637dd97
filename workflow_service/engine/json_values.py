"""JSON that the service can keep: bounded in size and depth, and holding only what Postgres can store.

Everything that comes from outside as JSON (request bodies, outputs of tools, answers of other services)
passes here. Depth is bounded before parsing, so that no input can exhaust the parser's stack; after
``load_json`` or ``check_json`` a value holds no NaN or Infinity, no NUL character, no lone surrogate and only
string keys.
"""

import json
import re
from collections.abc import Iterator
from math import isfinite
from typing import Any, ClassVar, Literal, cast

from pydantic import JsonValue

from workflow_service.engine.errors import Problem, WorkflowError

MAX_DEPTH = 100

UnfitKind = Literal["JSON_SYNTAX", "JSON_TOO_LARGE", "JSON_TOO_DEEP", "JSON_VALUE"]

# A string that is not closed runs to the end: every quote is passed once, so the scan is linear on any input.
_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")
_SHOWN_CHARACTERS = 200


class JsonUnfit(WorkflowError):
    """A JSON document cannot be kept: ``pointer`` says where, ``reason`` why, ``kind`` what sort of fault."""

    code: ClassVar[str] = "JSON_UNFIT"

    def __init__(
        self,
        pointer: str,
        reason: str,
        kind: UnfitKind,
        *,
        line: int | None = None,
        column: int | None = None,
    ) -> None:
        problem = Problem(code=kind, message=reason, pointer=pointer, line=line, column=column)
        super().__init__(f"{pointer}: {reason}" if pointer else reason, [problem])
        self.pointer = pointer
        self.reason = reason
        self.kind: UnfitKind = kind


def load_json(document: str | bytes, *, max_bytes: int, max_depth: int = MAX_DEPTH) -> JsonValue:
    """Parse one JSON document of at most ``max_bytes`` (UTF-8) and ``max_depth`` nested brackets.

    Repeated keys are refused: which of them counts would depend on the reader. Raises ``JsonUnfit``.
    """
    text = _decode(document, max_bytes)
    _bound_depth(text, max_depth)
    try:
        value: JsonValue = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique_keys)
    except json.JSONDecodeError as error:
        raise JsonUnfit(
            "", f"is not JSON: {error.msg}", "JSON_SYNTAX", line=error.lineno, column=error.colno
        ) from None
    except ValueError as error:
        raise JsonUnfit("", f"is not JSON: {error}", "JSON_SYNTAX") from None
    _check_values(value, max_values=max_bytes, max_depth=max_depth)
    return value


def check_json(value: object, *, max_bytes: int, max_depth: int = MAX_DEPTH) -> None:
    """Raise ``JsonUnfit`` unless ``value`` is plain JSON data of at most ``max_bytes`` as UTF-8."""
    _check_values(value, max_values=max_bytes, max_depth=max_depth)
    size = len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
    if size > max_bytes:
        raise JsonUnfit("", f"is {size} bytes as JSON; at most {max_bytes} are kept", "JSON_TOO_LARGE")


def json_size(value: JsonValue, known: dict[int, int] | None = None) -> int:
    """Return about how many characters ``value`` has as JSON; what it holds several times is measured once."""
    known = {} if known is None else known
    match value:
        case str():
            return len(value) + 2
        case dict() | list():
            size = known.get(id(value))
            if size is None:
                members = [*value, *value.values()] if isinstance(value, dict) else value
                size = known[id(value)] = 2 + sum(json_size(member, known) + 1 for member in members)
            return size
        case _:
            return 8


def json_pointer(*parts: str | int) -> str:
    """Return the JSON pointer (RFC 6901) that leads through ``parts``."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def storable_text(text: str, max_characters: int) -> str:
    """Return ``text`` cut to ``max_characters`` and as Postgres can hold it: for messages and logs only."""
    cut = text if len(text) <= max_characters else text[: max_characters - 1] + "…"
    return cut.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def storable_json(value: object, max_characters: int) -> JsonValue:
    """Return ``value``, or its description as a storable text where it is no JSON that can be kept: for logs only."""
    try:
        check_json(value, max_bytes=max_characters)
    except (JsonUnfit, ValueError):  # a number of thousands of digits cannot be written out
        return storable_text(f"{value!r:.{max_characters}}", max_characters)
    return cast(JsonValue, value)


def _decode(document: str | bytes, max_bytes: int) -> str:
    # One character is at least one byte: most oversized texts are refused without encoding them.
    if len(document) > max_bytes:
        raise JsonUnfit("", f"is larger than {max_bytes} bytes", "JSON_TOO_LARGE")
    try:
        if isinstance(document, bytes):
            return document.decode("utf-8")
        size = len(document.encode("utf-8"))
    except UnicodeError as error:
        raise JsonUnfit("", f"is not UTF-8: {error.reason}", "JSON_SYNTAX") from None  # type: ignore[attr-defined]
    if size > max_bytes:
        raise JsonUnfit("", f"is larger than {max_bytes} bytes", "JSON_TOO_LARGE")
    return document


def _bound_depth(text: str, max_depth: int) -> None:
    if text.count("[") + text.count("{") <= max_depth:
        return
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > max_depth:
            raise JsonUnfit("", f"is nested deeper than {max_depth} levels", "JSON_TOO_DEEP")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"the key {key[:_SHOWN_CHARACTERS]!r} is given twice in one object")
            seen.add(key)
    return members


_Parts = tuple[str | int, ...]


def _check_values(value: object, *, max_values: int, max_depth: int) -> None:
    # A stack of iterators, not recursion: depth is ours to bound. Values are counted because one list may
    # stand in many places of a Python value, which would otherwise take for ever to walk.
    path: list[str | int] = []
    open_iterators: list[Iterator[tuple[str | int, object]]] = []
    passed = 0
    current: object = value
    while True:
        passed += 1
        if passed > max_values:
            raise JsonUnfit("", f"holds more than {max_values} values", "JSON_TOO_LARGE")
        members = _members(current, path)
        if members is not None:
            if len(open_iterators) >= max_depth:
                raise JsonUnfit("", f"is nested deeper than {max_depth} levels", "JSON_TOO_DEEP")
            open_iterators.append(members)
            path.append("")
        while open_iterators:
            step = next(open_iterators[-1], None)
            if step is not None:
                path[-1], current = step
                break
            open_iterators.pop()
            path.pop()
        else:
            return


def _members(value: object, path: list[str | int]) -> Iterator[tuple[str | int, object]] | None:
    """Check one value; answer its members if it is a container."""
    if value is None or isinstance(value, bool | int):
        return None
    if isinstance(value, str):
        _check_text(value, path)
        return None
    if isinstance(value, float):
        if not isfinite(value):
            raise JsonUnfit(json_pointer(*path), f"{value} is not a JSON number", "JSON_VALUE")
        return None
    if isinstance(value, list):
        return iter(enumerate(value))
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise JsonUnfit(json_pointer(*path), f"the key {key!r:.200} is not a string", "JSON_VALUE")
            _check_text(key, path)
        return iter(value.items())
    raise JsonUnfit(json_pointer(*path), f"a {type(value).__name__} is not a JSON value", "JSON_VALUE")


def _check_text(text: str, path: list[str | int]) -> None:
    if "\x00" in text:
        reason = "holds the character U+0000, which cannot be stored"
        raise JsonUnfit(json_pointer(*path), reason, "JSON_VALUE")
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise JsonUnfit(json_pointer(*path), "holds half of a surrogate pair", "JSON_VALUE") from None
