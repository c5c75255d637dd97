"""The numbers of a suggestion as a page shows them: with their units, and as bars beside each other."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import JsonValue

from workflow_service.advisor.models import OptimizationRecord
from workflow_service.advisor.vocabulary import Measure

MEASURE_NAMES = {
    Measure.DURATION: "Active time of a run",
    Measure.FAILURES: "Runs that fail",
    Measure.COST: "Language models, a run",
    Measure.SIZE: "Blocks and ways to read",
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """A figure before and after, as words; ``share`` is how long the bar of after is, in percent of before's.

    Of nothing before, the bar is empty (``from_zero``), and that of anything after it whole.
    """

    name: str
    measure: str
    before: str
    after: str
    share: float
    from_zero: bool
    runs: str


def comparisons_of(record: OptimizationRecord) -> list[Comparison]:
    """Return what the replay came to and, where it is there, what was measured."""
    found = []
    replay = record.evidence.get("replay")
    if isinstance(replay, dict):
        found.append(_comparison("By replay", replay, ""))
    if record.measurement:
        runs = f"{record.measurement['runsBefore']} runs before, {record.measurement['runs']} after"
        found.append(_comparison("Measured", record.measurement, runs))
    return found


def measured_in_words(record: OptimizationRecord) -> str:
    """Return what a suggestion brought: in percent, or as both figures where there was nothing to take percent of."""
    if record.actual_improvement is not None:
        return f"{record.actual_improvement} %"
    if not record.measurement:
        return "—"
    found = _comparison("", record.measurement, "")
    return f"{found.before} → {found.after}"


def evidence_of(record: OptimizationRecord) -> Iterator[tuple[str, JsonValue]]:
    """Yield the numbers behind a suggestion, their names in words."""
    for name, value in record.evidence.items():
        if name != "replay" and value not in ([], {}, ""):
            words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
            yield words.capitalize(), _flat(value)


def _flat(value: JsonValue) -> JsonValue:
    """Return a list or an object of plain values as one line."""
    if isinstance(value, list):
        return ", ".join(str(one) for one in value)
    if isinstance(value, dict):
        return ", ".join(f"{name} {one}" for name, one in value.items())
    return value


def worded(measure: Measure, value: float) -> str:
    """Return a figure with its unit."""
    match measure:
        case Measure.DURATION:
            return f"{value:.2f} s" if value < 10 else f"{value:.1f} s"
        case Measure.FAILURES:
            return f"{value:.1%}".replace("%", " %")
        case Measure.COST:
            return f"{value:.4f} USD"
        case Measure.SIZE:
            return f"{value:.0f}"


def _comparison(name: str, figures: dict[str, JsonValue], runs: str) -> Comparison:
    measure = Measure(str(figures["measure"]))
    before, after = float(str(figures["before"])), float(str(figures["after"]))
    share = min(100.0, 100 * after / before) if before > 0 else 100.0 if after > 0 else 0.0
    return Comparison(
        name,
        MEASURE_NAMES[measure],
        worded(measure, before),
        worded(measure, after),
        round(share, 1),
        before <= 0,
        runs,
    )
