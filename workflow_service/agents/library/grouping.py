"""Records in groups, each summed up in figures."""

from typing import Literal

from pydantic import Field, JsonValue, model_validator

from workflow_service.agents.library.records import Keys, field_of, identity
from workflow_service.agents.library.shapes import (
    ExpressionText,
    Output,
    Params,
    Record,
    Records,
    bad_record,
    value_of,
)
from workflow_service.agents.use_cases import use_case
from workflow_service.engine.expressions import compile_expression
from workflow_service.engine.operators import is_number, kind_of

Function = Literal["count", "sum", "average", "min", "max", "first", "last", "distinct", "list"]


class Aggregate(Params):
    """``function`` over the values of the expression ``of``; null is left out. ``count`` needs no ``of``."""

    function: Function
    of: ExpressionText | None = None

    @model_validator(mode="after")
    def of_what(self) -> "Aggregate":
        if self.of is None and self.function != "count":
            raise ValueError(f"'{self.function}' needs 'of', an expression such as price * quantity")
        return self


class GroupInput(Params):
    """``by`` are the fields that records of one group share; none makes one group of all."""

    records: Records
    by: Keys | list[str] = []
    aggregate: dict[str, Aggregate] = Field({}, max_length=100)


class GroupOutput(Output):
    """``groups`` have the fields of ``by`` and one for each aggregate, in the order in which they first appear."""

    groups: list[Record]
    count: int


@use_case("data.group")
def group_records(params: GroupInput) -> GroupOutput:
    """Group records by fields and sum each group up: count, sum, average, least, most …"""
    clash = set(params.by) & set(params.aggregate)
    if clash:
        raise ValueError(f"both 'by' and 'aggregate' name {', '.join(sorted(clash))}")
    members: dict[str, list[tuple[int, Record]]] = {}
    if not params.by:
        members[""] = []
    for index, record in enumerate(params.records):
        key = identity([field_of(record, path) for path in params.by]) if params.by else ""
        members.setdefault(key, []).append((index, record))
    groups = [_summed_up(group, params) for group in members.values()]
    return GroupOutput(groups=groups, count=len(groups))


def _summed_up(group: list[tuple[int, Record]], params: GroupInput) -> Record:
    answer: Record = {path: field_of(group[0][1], path) for path in params.by}
    for name, aggregate in params.aggregate.items():
        answer[name] = _figure(aggregate, group)
    return answer


def _figure(aggregate: Aggregate, group: list[tuple[int, Record]]) -> JsonValue:
    if aggregate.of is None:
        return len(group)
    expression = compile_expression(aggregate.of)
    values = [(index, value_of(expression, record, index)) for index, record in group]
    present: list[tuple[int, JsonValue]] = [(index, value) for index, value in values if value is not None]
    plain: list[JsonValue] = [value for _, value in present]
    match aggregate.function:
        case "count":
            return len(plain)
        case "list":
            return plain
        case "first" | "last":
            return plain[0 if aggregate.function == "first" else -1] if plain else None
        case "distinct":
            return len({identity(value) for value in plain})
        case "min" | "max":
            return _extreme(present, aggregate.function)
    numbers = [_number(index, value) for index, value in present]
    if aggregate.function == "sum":
        return sum(numbers)
    return sum(numbers) / len(numbers) if numbers else None


def _number(index: int, value: JsonValue) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise bad_record(index, f"only numbers can be summed, and this is {kind_of(value)}")
    return value


def _extreme(present: list[tuple[int, JsonValue]], function: str) -> JsonValue:
    if not present:
        return None
    texts = isinstance(present[0][1], str)
    for index, value in present:
        if not (isinstance(value, str) if texts else is_number(value)):
            raise bad_record(
                index, f"{function} needs numbers only or texts only, and this is {kind_of(value)}"
            )
    values = [value for _, value in present]
    return min(values) if function == "min" else max(values)  # type: ignore[type-var]
