"""Lists of records: filtered, computed, sorted, split. Conditions and values are expressions of our own language."""

from collections.abc import Callable
from functools import cmp_to_key
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from workflow_service.agents.errors import ToolError
from workflow_service.agents.json_paths import NoSuchPath, look_up
from workflow_service.agents.library.conversions import Kind, convert
from workflow_service.agents.library.shapes import (
    MAX_PROBLEMS,
    BadRecord,
    ConditionText,
    ExpressionText,
    Output,
    Params,
    Record,
    Records,
    bad_record,
    record_scope,
    value_of,
)
from workflow_service.agents.use_cases import use_case
from workflow_service.engine.errors import ExpressionError
from workflow_service.engine.expressions import (
    ValuesScope,
    compile_condition,
    compile_expression,
    evaluate_condition,
)
from workflow_service.engine.operators import is_number, kind_of

OnError = Literal["fail", "report"]
Keys = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=500)]], Field(min_length=1, max_length=50)
]


class RecordsOutput(Output):
    """``bad_records`` (at most 1,000 are listed, ``bad_count`` counts all) are those that could not be judged."""

    records: list[Record]
    count: int
    bad_records: list[BadRecord] = []
    bad_count: int = 0


class FilterInput(Params):
    """``where`` is a condition over a record's fields, as in ``amount > 100 and status == 'open'``.

    ``on_error`` says what to do with a record on which it cannot be evaluated: fail, or leave it out and tell it.
    """

    records: Records
    where: ConditionText
    on_error: OnError = "fail"


class FilterOutput(RecordsOutput):
    """``records`` met the condition, ``rejected`` did not."""

    rejected: list[Record]
    rejected_count: int


@use_case("data.filter")
def filter_records(params: FilterInput) -> FilterOutput:
    """Part records by a condition: those that meet it, and those that do not."""
    condition = compile_condition(params.where)
    output = FilterOutput(records=[], count=0, rejected=[], rejected_count=0)
    for index, record in enumerate(params.records):
        try:
            met = evaluate_condition(condition, record_scope(record, index))
        except ExpressionError as error:
            note_bad(output, bad_record(index, error.message), params.on_error)
            continue
        (output.records if met else output.rejected).append(record)
    output.count, output.rejected_count = len(output.records), len(output.rejected)
    return output


class MapInput(Params):
    """``fields`` names each value to compute, as in ``{"total": "price * quantity"}``; ``keep`` says which of the
    record's own fields stay beside them: all, none, or those listed."""

    records: Records
    fields: dict[str, ExpressionText] = Field(max_length=200)
    keep: Literal["all", "none"] | list[str] = "all"
    on_error: OnError = "fail"


@use_case("data.map")
def map_records(params: MapInput) -> RecordsOutput:
    """Compute fields of every record, and choose which of its own it keeps."""
    fields = {name: compile_expression(source) for name, source in params.fields.items()}
    output = RecordsOutput(records=[], count=0)
    for index, record in enumerate(params.records):
        try:
            computed = {name: value_of(field, record, index) for name, field in fields.items()}
        except ToolError as error:
            note_bad(output, error, params.on_error)
            continue
        output.records.append(_kept(record, params.keep) | computed)
    output.count = len(output.records)
    return output


class ConvertInput(Params):
    """``types`` says what each field becomes: ``{"amount": "number", "paid": "boolean"}``. An empty text is null."""

    records: Records
    types: dict[str, Kind] = Field(min_length=1, max_length=1_000)
    on_error: OnError = "report"


@use_case("data.convert")
def convert_records(params: ConvertInput) -> RecordsOutput:
    """Turn texts into numbers, dates and truth values; what is none is told."""
    output = RecordsOutput(records=[], count=0)
    for index, record in enumerate(params.records):
        try:
            changed = {name: _converted(record, name, kind) for name, kind in params.types.items()}
        except ValueError as error:
            note_bad(output, bad_record(index, str(error)), params.on_error)
            continue
        output.records.append(record | changed)
    output.count = len(output.records)
    return output


class SortInput(Params):
    """``by`` are fields or paths, the first counts most; ``-`` before one turns its order. Null comes last."""

    records: Records
    by: Keys
    limit: int | None = Field(None, ge=0)
    offset: int = Field(0, ge=0)


@use_case("data.sort")
def sort_records(params: SortInput) -> RecordsOutput:
    """Sort records, and take the first of them if asked."""
    keyed = list(enumerate(params.records))
    for key in reversed(params.by):
        path, turned = key.removeprefix("-"), key.startswith("-")
        # Null last, whichever way the order goes.
        present = [pair for pair in keyed if _field(pair[1], path) is not None]
        absent = [pair for pair in keyed if _field(pair[1], path) is None]
        compare = _comparison(path)
        keyed = sorted(present, key=cmp_to_key(compare), reverse=turned) + absent
    end = None if params.limit is None else params.offset + params.limit
    records = [record for _, record in keyed[params.offset : end]]
    return RecordsOutput(records=records, count=len(records))


class DistinctInput(Params):
    """``by`` are the fields that make two records the same; all of them where not given."""

    records: Records
    by: Keys | None = None


class DistinctOutput(RecordsOutput):
    duplicates: list[Record]
    duplicate_count: int


@use_case("data.distinct")
def distinct_records(params: DistinctInput) -> DistinctOutput:
    """Take each record once, the first of those that are the same, and tell the others."""
    seen: set[str] = set()
    output = DistinctOutput(records=[], count=0, duplicates=[], duplicate_count=0)
    for record in params.records:
        key = identity(record if params.by is None else [_field(record, path) for path in params.by])
        (output.duplicates if key in seen else output.records).append(record)
        seen.add(key)
    output.count, output.duplicate_count = len(output.records), len(output.duplicates)
    return output


class SplitInput(Params):
    """``size`` is the most items of one part."""

    items: list[JsonValue] = Field(max_length=1_000_000)
    size: int = Field(ge=1, le=1_000_000)


class SplitOutput(Output):
    parts: list[list[JsonValue]]
    count: int


@use_case("data.split")
def split_list(params: SplitInput) -> SplitOutput:
    """Split a list into parts of a size, one for each item of a map."""
    starts = range(0, len(params.items), params.size)
    parts = [params.items[start : start + params.size] for start in starts]
    return SplitOutput(parts=parts, count=len(parts))


class ConcatInput(Params):
    lists: list[list[JsonValue]] = Field(min_length=1, max_length=1_000)


class ConcatOutput(Output):
    items: list[JsonValue]
    count: int


@use_case("data.concat")
def concat_lists(params: ConcatInput) -> ConcatOutput:
    """Join lists, one after the other."""
    items = [item for one in params.lists for item in one]
    return ConcatOutput(items=items, count=len(items))


class ComputeInput(Params):
    """``fields`` are expressions over ``values``, as in ``{"overBudget": "sum(costs) > budget"}``.

    Each may use those before it.
    """

    values: Record = {}
    fields: dict[str, ExpressionText] = Field(min_length=1, max_length=200)


@use_case("data.compute")
def compute_fields(params: ComputeInput) -> dict[str, JsonValue]:
    """Compute named values by expressions; the answer has one field for each."""
    answer: dict[str, JsonValue] = {}
    for name, source in params.fields.items():
        try:
            answer[name] = compile_expression(source).evaluate(ValuesScope(own=params.values | answer))
        except ExpressionError as error:
            raise ToolError(bad_record(0, "").error_type, f"{name}: {error.message}") from None
    return answer


def note_bad(output: RecordsOutput, error: ToolError, on_error: OnError) -> None:
    """Raise ``error``, or put it down as a bad record, as ``on_error`` says."""
    if on_error == "fail":
        raise error
    output.bad_count += 1
    if len(output.bad_records) < MAX_PROBLEMS:
        index = error.details["index"]
        reason = error.message.partition(": ")[2]
        output.bad_records.append(BadRecord(index=int(str(index)), reason=reason))


def field_of(record: Record, path: str) -> JsonValue:
    """Return the field ``path`` leads to, null where there is none; raises ``ValueError`` for what is no path."""
    if path in record:
        return record[path]
    try:
        return look_up(record, path)
    except NoSuchPath as error:
        if "is no path" in str(error):
            raise
        return None


_field = field_of


def identity(value: JsonValue) -> str:
    """Return a text that two values share exactly if they are the same; 1 and 1.0 are, 1 and true are not."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return repr(value)
    if isinstance(value, int | float):
        return repr(int(value)) if value == int(value) else repr(value)
    if isinstance(value, list):
        return "[" + ",".join(map(identity, value)) + "]"
    return "{" + ",".join(f"{name!r}:{identity(value[name])}" for name in sorted(value)) + "}"


def _kept(record: Record, keep: str | list[str]) -> Record:
    if keep == "all":
        return dict(record)
    return {name: record[name] for name in keep if name in record} if isinstance(keep, list) else {}


def _converted(record: Record, name: str, kind: Kind) -> JsonValue:
    try:
        return convert(record.get(name), kind)
    except ValueError as error:
        raise ValueError(f"'{name}': {error}") from None


def _comparison(path: str) -> Callable[[tuple[int, Record], tuple[int, Record]], int]:
    def compare(left: tuple[int, Record], right: tuple[int, Record]) -> int:
        one, other = _field(left[1], path), _field(right[1], path)
        alike = (is_number(one) and is_number(other)) or type(one) is type(other)
        if not alike or isinstance(one, list | dict):
            raise bad_record(
                right[0], f"'{path}' is {kind_of(other)}, which has no order beside {kind_of(one)}"
            )
        return (one > other) - (one < other)  # type: ignore[operator]

    return compare
