"""What one definition says that another does not, field by field.

Blocks are matched by their ids and gates by their sources, wherever they stand in their lists; within one, and in
settings and the input schema, every field that differs is named by its JSON pointer with both values. A pointer leads
into the newer document, of what was removed into the older.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import JsonValue

from workflow_service.engine.definition import Definition
from workflow_service.engine.documents import dump_definition
from workflow_service.engine.json_values import json_pointer

Document = Mapping[Any, Any]


class ChangeKind(StrEnum):
    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One value that differs; ``old`` is None where it was added, ``new`` where it was removed."""

    kind: ChangeKind
    pointer: str
    old: JsonValue = None
    new: JsonValue = None


@dataclass(frozen=True, slots=True)
class PartChange:
    """A block or a gate that came, went or differs; ``fields`` say how it differs, ``value`` what came or went."""

    kind: ChangeKind
    name: str
    pointer: str
    value: JsonValue = None
    fields: tuple[FieldChange, ...] = ()


@dataclass(frozen=True, slots=True)
class DefinitionDiff:
    """Everything in which two definitions differ. ``reordered``: the blocks that both have come in another order."""

    blocks: tuple[PartChange, ...]
    gates: tuple[PartChange, ...]
    end_dependencies: tuple[FieldChange, ...]
    input_schema: tuple[FieldChange, ...]
    global_settings: tuple[FieldChange, ...]
    reordered: bool

    @property
    def is_empty(self) -> bool:
        """Whether the two definitions are the same."""
        fields = (self.end_dependencies, self.input_schema, self.global_settings)
        return not (self.blocks or self.gates or any(fields) or self.reordered)


def diff_definitions(old: Definition, new: Definition) -> DefinitionDiff:
    """Return what has to change in ``old`` to become ``new``."""
    before, after = dump_definition(old), dump_definition(new)
    old_ids, new_ids = (
        _numbered(block.block_id for block in old.blocks),
        _numbered(block.block_id for block in new.blocks),
    )
    old_gates, new_gates = (
        _numbered(gate.name for gate in old.gates),
        _numbered(gate.name for gate in new.gates),
    )
    return DefinitionDiff(
        blocks=tuple(_parts("blocks", old_ids, before, new_ids, after)),
        gates=tuple(_parts("gates", old_gates, before, new_gates, after)),
        end_dependencies=_field("endDependencies", before, after),
        input_schema=_field("inputSchema", before, after),
        global_settings=_field("globalSettings", before, after),
        reordered=[key for key in old_ids if key in new_ids] != [key for key in new_ids if key in old_ids],
    )


def diff_fields(old: Document, new: Document) -> tuple[FieldChange, ...]:
    """Return every field in which two JSON objects differ."""
    return tuple(_members(old, new, ("", "")))


# A name and which of those with that name: a draft may have two blocks of one id.
_Key = tuple[str, int]
# Where a value stands in the older and in the newer document.
_Places = tuple[str, str]


def _numbered(names: Iterable[str]) -> dict[_Key, int]:
    """Return the position of each part, by name and number."""
    seen: Counter[str] = Counter()
    found: dict[_Key, int] = {}
    for position, name in enumerate(names):
        found[name, seen[name]] = position
        seen[name] += 1
    return found


def _parts(
    kind: str, old: Mapping[_Key, int], before: Document, new: Mapping[_Key, int], after: Document
) -> Iterator[PartChange]:
    for key, position in old.items():
        place, value = json_pointer(kind, position), before[kind][position]
        if key not in new:
            yield PartChange(ChangeKind.REMOVED, key[0], place, value)
            continue
        there = json_pointer(kind, new[key])
        fields = tuple(_members(value, after[kind][new[key]], (place, there)))
        if fields:
            yield PartChange(ChangeKind.CHANGED, key[0], there, fields=fields)
    for key, position in new.items():
        if key not in old:
            place = json_pointer(kind, position)
            yield PartChange(ChangeKind.ADDED, key[0], place, after[kind][position])


def _field(name: str, before: Document, after: Document) -> tuple[FieldChange, ...]:
    old, new = ({name: document[name]} if name in document else {} for document in (before, after))
    return diff_fields(old, new)


def _members(old: Document, new: Document, places: _Places) -> Iterator[FieldChange]:
    for key in dict.fromkeys((*old, *new)):
        step = json_pointer(key)
        was, now = places[0] + step, places[1] + step
        if key not in new:
            yield FieldChange(ChangeKind.REMOVED, was, old=old[key])
        elif key not in old:
            yield FieldChange(ChangeKind.ADDED, now, new=new[key])
        else:
            yield from _values(old[key], new[key], (was, now))


def _values(old: Any, new: Any, places: _Places) -> Iterator[FieldChange]:
    if isinstance(old, dict) and isinstance(new, dict):
        yield from _members(old, new, places)
    elif _has_parts(old) and _has_parts(new):
        # Objects in a list, such as branches, are told apart by their places.
        yield from _members(dict(enumerate(old)), dict(enumerate(new)), places)
    elif not _are_same(old, new):
        yield FieldChange(ChangeKind.CHANGED, places[1], old, new)


def _has_parts(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(item, dict | list) for item in value)


def _are_same(old: Any, new: Any) -> bool:
    """Say whether two values are the same JSON: in Python ``True`` is 1, and 1 is 1.0."""
    return json.dumps(old, sort_keys=True) == json.dumps(new, sort_keys=True)
