"""What was measured: figures with what they aim at, printed as a table and written as JSON, one figure a key."""

import json
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

Pair = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure. ``ours`` and ``floor`` say in words what it came from; a target is a bound on ``value``."""

    key: str
    value: float
    ours: str = ""
    floor: str = ""
    at_most: float | None = None
    at_least: float | None = None

    @property
    def target(self) -> str:
        if self.at_most is not None:
            return f"<= {_number(self.at_most)}"
        return "" if self.at_least is None else f">= {_number(self.at_least)}"

    @property
    def verdict(self) -> str:
        """Return "met", "MISSED", or nothing where there is no target."""
        if self.at_most is None and self.at_least is None:
            return ""
        high, low = self.at_most, self.at_least
        met = (high is None or self.value <= high) and (low is None or self.value >= low)
        return "met" if met else "MISSED"


def ratio_of_pairs(pairs: Sequence[Pair]) -> float:
    """Return the median of ours by theirs, pair by pair."""
    return statistics.median(ours / theirs for ours, theirs in pairs)


def medians(pairs: Sequence[Pair]) -> Pair:
    """Return the median of ours and that of theirs."""
    return statistics.median(ours for ours, _ in pairs), statistics.median(theirs for _, theirs in pairs)


def percentile(values: Iterable[float], percent: float) -> float:
    """Return the smallest value that ``percent`` of all do not exceed (nearest rank)."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("there is nothing to take a percentile of")
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as a table for people."""
    rows = [("figure", "value", "ours", "bare Celery", "target", "")]
    rows += [(f.key, _number(f.value), f.ours, f.floor, f.target, f.verdict) for f in figures]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    aligned = "<><<<<"
    lines = [
        "  ".join(f"{cell:{align}{width}}" for cell, align, width in zip(row, aligned, widths, strict=True))
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


def write_json(figures: Iterable[Figure], path: Path) -> None:
    """Write one number a key."""
    path.parent.mkdir(parents=True, exist_ok=True)
    found = {figure.key: round(figure.value, 4) for figure in figures}
    path.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n")


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 1_000 else f"{value:.2f}"
