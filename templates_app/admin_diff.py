"""What differs between two versions, as a page shows it: lines of texts, values of the rest."""

import difflib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pydantic import JsonValue

from templates_app.version_diff import VersionDiff
from workflow_service.engine.definition_diff import ChangeKind, DefinitionDiff, FieldChange, PartChange

MAX_LINES = 400
KEPT_LINES = 3

# A line with its sign: + for the newer version, - for the older, a space for both.
Line = tuple[str, str]


@dataclass(frozen=True, slots=True)
class ShownField:
    """A field that differs: its path within its part, and its lines; values of one line are two lines."""

    kind: ChangeKind
    path: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class ShownPart:
    """A part of the definition with what differs in it."""

    kind: ChangeKind
    name: str
    fields: tuple[ShownField, ...]


def shown_parts(found: VersionDiff) -> list[ShownPart]:
    """Return everything that differs, part by part: blocks, joins, then the rest."""
    definition = found.definition
    parts = [_part(one) for one in definition.blocks]
    parts += [_part(one, "join ") for one in definition.gates]
    rest = (
        ("files", found.files),
        ("settings", definition.global_settings),
        ("input schema", definition.input_schema),
        ("ends", definition.end_dependencies),
    )
    parts += [
        ShownPart(ChangeKind.CHANGED, name, tuple(_fields(fields, 1))) for name, fields in rest if fields
    ]
    return parts


def statuses_of(found: DefinitionDiff) -> dict[str, str]:
    """Return what became of each block and join of the newer version, as badges name it."""
    parts = (*found.blocks, *found.gates)
    return {part.name: part.kind.value for part in parts if part.kind is not ChangeKind.REMOVED}


def compared(old: JsonValue, new: JsonValue) -> tuple[Line, ...]:
    """Return what differs between two values, line by line; nothing where they are equal."""
    return _bounded(tuple(_compared(_lines(old), _lines(new))))


def _part(part: PartChange, prefix: str = "") -> ShownPart:
    if part.kind is ChangeKind.CHANGED:
        return ShownPart(part.kind, prefix + part.name, tuple(_fields(part.fields, 2)))
    sign = "+" if part.kind is ChangeKind.ADDED else "-"
    lines = tuple((sign, line) for line in _lines(part.value))
    return ShownPart(part.kind, prefix + part.name, (ShownField(part.kind, "", _bounded(lines)),))


def _fields(fields: Iterable[FieldChange], depth: int) -> Iterator[ShownField]:
    """Yield fields with the first ``depth`` steps of their pointers left out: the part says them."""
    for field in fields:
        path = "/".join(field.pointer.split("/")[depth + 1 :])
        old = [] if field.kind is ChangeKind.ADDED else _lines(field.old)
        new = [] if field.kind is ChangeKind.REMOVED else _lines(field.new)
        yield ShownField(field.kind, path, _bounded(tuple(_compared(old, new))))


def _compared(old: list[str], new: list[str]) -> Iterator[Line]:
    if len(old) > MAX_LINES * 5 or len(new) > MAX_LINES * 5:  # comparing takes the square of that
        yield from (("-", line) for line in old)
        yield from (("+", line) for line in new)
        return
    for line in list(difflib.unified_diff(old, new, lineterm="", n=KEPT_LINES))[2:]:
        yield ("…", "") if line.startswith("@@") else (line[0], line[1:])


def _lines(value: JsonValue) -> list[str]:
    text = (
        value if isinstance(value, str) and "\n" in value else json.dumps(value, indent=2, ensure_ascii=False)
    )
    return text.splitlines()


def _bounded(lines: tuple[Line, ...]) -> tuple[Line, ...]:
    rest = len(lines) - MAX_LINES
    shown = lines[1:] if lines and lines[0][0] == "…" else lines
    return (*shown[:MAX_LINES], ("…", f"{rest} lines more")) if rest > 0 else shown
