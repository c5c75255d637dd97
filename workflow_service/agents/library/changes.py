"""What is different between two lists of records, or two texts."""

import difflib
from typing import Annotated

from pydantic import Field, JsonValue

from workflow_service.agents.library.records import Keys, field_of, identity
from workflow_service.agents.library.shapes import Output, Params, Record, Records
from workflow_service.agents.use_cases import use_case

MAX_LINES = 20_000


class DataDiffInput(Params):
    """``key`` are the fields that say which record is which."""

    before: Records
    after: Records
    key: Keys
    ignore: Annotated[list[str], Field(max_length=1_000)] = []


class FieldChange(Output):
    before: JsonValue
    after: JsonValue


class ChangedRecord(Output):
    key: Record
    fields: dict[str, FieldChange]


class DataDiffOutput(Output):
    added: list[Record]
    removed: list[Record]
    changed: list[ChangedRecord]
    unchanged_count: int
    same: bool


@use_case("data.diff")
def diff_records(params: DataDiffInput) -> DataDiffOutput:
    """Compare two lists of records: what was added, removed and changed, field by field."""
    before, after = _by_key(params.before, params, "before"), _by_key(params.after, params, "after")
    changed: list[ChangedRecord] = []
    for key in before.keys() & after.keys():
        fields = _changes(before[key], after[key], params.ignore)
        if fields:
            named = {path: field_of(after[key], path) for path in params.key}
            changed.append(ChangedRecord(key=named, fields=fields))
    added = [record for key, record in after.items() if key not in before]
    removed = [record for key, record in before.items() if key not in after]
    changed.sort(key=lambda change: identity(change.key))
    kept = len(before.keys() & after.keys())
    return DataDiffOutput(
        added=added,
        removed=removed,
        changed=changed,
        unchanged_count=kept - len(changed),
        same=not (added or removed or changed),
    )


def _by_key(records: list[Record], params: DataDiffInput, side: str) -> dict[str, Record]:
    found: dict[str, Record] = {}
    for index, record in enumerate(records):
        key = identity([field_of(record, path) for path in params.key])
        if key in found:
            raise ValueError(f"'{side}', record {index}: another one has the same {', '.join(params.key)}")
        found[key] = record
    return found


def _changes(before: Record, after: Record, ignored: list[str]) -> dict[str, FieldChange]:
    names = [*before, *(name for name in after if name not in before)]
    return {
        name: FieldChange(before=before.get(name), after=after.get(name))
        for name in names
        if name not in ignored and identity(before.get(name)) != identity(after.get(name))
    }


class TextDiffInput(Params):
    before: str = Field(max_length=2_000_000)
    after: str = Field(max_length=2_000_000)
    context: int = Field(3, ge=0, le=100, description="Lines shown around each change.")


class TextDiffOutput(Output):
    """``diff`` is in the unified form."""

    diff: str
    added: int
    removed: int
    same: bool


@use_case("text.diff")
def diff_texts(params: TextDiffInput) -> TextDiffOutput:
    """Compare two texts line by line."""
    before, after = params.before.splitlines(), params.after.splitlines()
    if len(before) + len(after) > MAX_LINES:
        raise ValueError(f"the texts have more than {MAX_LINES} lines together")
    lines = list(difflib.unified_diff(before, after, "before", "after", lineterm="", n=params.context))
    marks = [line[:1] for line in lines[2:]]
    return TextDiffOutput(
        diff="\n".join(lines),
        added=marks.count("+"),
        removed=marks.count("-"),
        same=params.before == params.after,
    )
