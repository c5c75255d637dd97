"""What a file looks like, column by column, before anyone judges it."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any

from examples.sales_etl.cleaning import DOLLARS, is_blank
from examples.sales_etl.json_lines import RawRow

COMMONEST = 5
NUMBER = re.compile(r"-?\d+(\.\d+)?", re.ASCII)
SHAPES = ((re.compile(r"[^\W\d_]+"), "a"), (re.compile(r"\d+"), "9"), (re.compile(r"\s+"), " "))


def profile_rows(rows: Iterable[RawRow]) -> dict[str, Any]:
    """Return ``{"rows", "columns": {name: figures}}`` for all rows, readable or not."""
    cells: dict[str, Counter[str]] = {}
    count = 0
    for row in rows:
        count += 1
        for name, value in row.values.items():
            if name:
                cells.setdefault(name, Counter())[value] += 1
    return {"rows": count, "columns": {name: profile_column(values, count) for name, values in cells.items()}}


def profile_column(values: Mapping[str, int], rows: int) -> dict[str, Any]:
    """Return the figures of one column from its values and how often each occurs."""
    filled = {value: times for value, times in values.items() if not is_blank(value)}
    shapes: Counter[str] = Counter()
    for value, times in filled.items():
        shapes[shape(value)] += times
    figures: dict[str, Any] = {
        "filled": sum(filled.values()),
        "blank": rows - sum(filled.values()),
        "distinct": len(filled),
        "longest": max(map(len, filled), default=0),
        "untrimmed": sum(times for value, times in filled.items() if value != value.strip()),
        "commonest": Counter(filled).most_common(COMMONEST),
        "shapes": shapes.most_common(COMMONEST),
    }
    numbers = sorted(number for value, times in filled.items() for number in as_numbers(value) * times)
    if len(numbers) * 2 > figures["filled"]:
        figures |= {"least": numbers[0], "median": median(numbers), "most": numbers[-1]}
    return figures


def shape(value: str) -> str:
    """Return what the value looks like: ``S-000123`` is ``a-9``."""
    for pattern, letter in SHAPES:
        value = pattern.sub(letter, value)
    return value[:40]


def as_numbers(value: str) -> list[float]:
    """Return the number that the value is, or nothing."""
    tidy = DOLLARS.sub("", value.strip()).replace(",", "")
    return [float(tidy)] if NUMBER.fullmatch(tidy) and len(tidy) < 20 else []
