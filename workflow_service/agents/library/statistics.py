"""Figures that describe numbers and records."""

import statistics
from collections import Counter
from typing import Annotated

from pydantic import Field, JsonValue, model_validator

from workflow_service.agents.library.records import field_of
from workflow_service.agents.library.shapes import MAX_RECORDS, Output, Params, Records
from workflow_service.agents.use_cases import use_case

TOP = 5
Numbers = Annotated[list[float | int | None], Field(max_length=MAX_RECORDS)]


class DescribeInput(Params):
    """Give ``values``, or ``records`` and the ``fields`` to describe (all of the first record's where not given)."""

    values: Numbers | None = None
    records: Records | None = None
    fields: list[str] | None = Field(None, max_length=200)

    @model_validator(mode="after")
    def one_source(self) -> "DescribeInput":
        if (self.values is None) == (self.records is None):
            raise ValueError("give either 'values' or 'records'")
        return self


class TopValue(Output):
    value: str
    count: int


class Description(Output):
    """``count`` are the values there are, ``missing`` those that are null or absent.

    Figures are null where the values are no numbers; ``top`` are the most frequent texts.
    """

    count: int
    missing: int
    distinct: int
    sum: float | int | None = None
    mean: float | None = None
    min: float | int | None = None
    max: float | int | None = None
    median: float | None = None
    std_dev: float | None = None
    p25: float | None = None
    p75: float | None = None
    p95: float | None = None
    top: list[TopValue] = []


class DescribeOutput(Output):
    """``fields`` has a description for each field; for ``values`` it is named ``values``."""

    count: int
    fields: dict[str, Description]


@use_case("stats.describe")
def describe(params: DescribeInput) -> DescribeOutput:
    """Describe numbers or the fields of records: count, mean, median, spread, quantiles, most frequent values."""
    if params.values is not None:
        described = {"values": _described(list(params.values))}
        return DescribeOutput(count=len(params.values), fields=described)
    records = params.records or []
    names = params.fields if params.fields is not None else list(records[0] if records else {})
    columns = {name: [field_of(record, name) for record in records] for name in names}
    return DescribeOutput(
        count=len(records), fields={name: _described(column) for name, column in columns.items()}
    )


def _described(column: list[JsonValue]) -> Description:
    present = [value for value in column if value is not None]
    missing = len(column) - len(present)
    numbers = [value for value in present if isinstance(value, int | float) and not isinstance(value, bool)]
    if not numbers or len(numbers) < len(present):
        texts = Counter(str(value) for value in present)
        top = [TopValue(value=text, count=count) for text, count in _most_common(texts)]
        return Description(count=len(present), missing=missing, distinct=len(texts), top=top)
    ordered = sorted(numbers)
    return Description(
        count=len(ordered),
        missing=missing,
        distinct=len(set(ordered)),
        sum=sum(ordered),
        mean=statistics.fmean(ordered),
        min=ordered[0],
        max=ordered[-1],
        median=statistics.median(ordered),
        std_dev=statistics.pstdev(ordered),
        p25=_quantile(ordered, 0.25),
        p75=_quantile(ordered, 0.75),
        p95=_quantile(ordered, 0.95),
    )


def _most_common(texts: Counter[str]) -> list[tuple[str, int]]:
    # By name where the counts are equal: the answer does not hang on the order of the records.
    return sorted(texts.items(), key=lambda pair: (-pair[1], pair[0]))[:TOP]


def _quantile(ordered: list[float | int], share: float) -> float:
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
