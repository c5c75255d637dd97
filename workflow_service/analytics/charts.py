"""Series as charts: where bars, lines and labels stand, for a page that draws them as SVG.

Along the time axis positions are percentages, so that a chart is as wide as its place without its text growing;
upwards they are pixels.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from workflow_service.analytics.figures import Point
from workflow_service.analytics.time_ranges import Granularity
from workflow_service.plurals import counted

HEIGHT, TOP, BOTTOM = 190, 14, 164
LABELS = 5
GRID_LINES = 4
# Bars stand apart by a part of their width; a bar of few of many is still seen.
GAP = 0.2
LEAST_PX = 2.0

OUTCOMES = (("ok", "completed"), ("bad", "failed"), ("off", "cancelled"))
PERCENTILES = (("busy", "p50_ms", "half of them"), ("wait", "p95_ms", "19 of 20"))


@dataclass(frozen=True, slots=True)
class Label:
    """A word at a place of an axis; ``anchor`` keeps the outermost inside the chart."""

    at: float
    text: str
    anchor: str = "middle"


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a bar in the tone of what it counts."""

    tone: str
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Bar:
    """What one point of a series counts, from the bottom up."""

    x: float
    width: float
    parts: Sequence[Part]
    title: str


@dataclass(frozen=True, slots=True)
class Segment:
    """A straight piece of a line, or a dot where both ends are one."""

    tone: str
    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars, or lines with a title for each point; ``summary`` says what a person would see."""

    summary: str
    across: Sequence[Label]
    upwards: Sequence[Label]
    bars: Sequence[Bar] = ()
    segments: Sequence[Segment] = ()
    height: int = HEIGHT
    bottom: int = BOTTOM

    @property
    def label_y(self) -> int:
        return self.height - 6


def outcome_chart(points: Sequence[Point], granularity: Granularity) -> Chart | None:
    """Return bars of how many runs completed, failed and were cancelled; None where there were none."""
    totals = [sum(getattr(point.outcomes, name) for _, name in OUTCOMES) for point in points]
    most = max(totals, default=0)
    if not most:
        return None
    step = _step(most / GRID_LINES, least=1)
    top = math.ceil(most / step) * step
    width = 100 / len(points)
    bars = [
        Bar(
            round(index * width + width * GAP / 2, 3),
            round(width * (1 - GAP), 3),
            _parts(point, top),
            f"{moment_of(point.start, granularity)}: {_counts(point)}",
        )
        for index, (point, total) in enumerate(zip(points, totals, strict=True))
        if total
    ]
    return Chart(
        f"{counted(sum(totals), 'run')} over {len(points)} points; at most {most} in one",
        _across(points, granularity),
        _upwards(top, step, lambda value: f"{value:,.0f}"),
        bars=bars,
    )


def duration_chart(points: Sequence[Point], granularity: Granularity) -> Chart | None:
    """Return lines of the median and the 95th percentile of the durations; None where nothing completed."""
    longest = max((point.durations.p95_ms or 0.0 for point in points), default=0.0)
    if not longest:
        return None
    step = _step(longest / GRID_LINES)
    top = math.ceil(longest / step) * step
    segments = [segment for tone, name, _ in PERCENTILES for segment in _segments(points, tone, name, top)]
    width = 100 / len(points)
    bars = [
        Bar(
            round(index * width, 3),
            round(width, 3),
            (),
            f"{moment_of(point.start, granularity)}: {_times(point)}",
        )
        for index, point in enumerate(points)
        if point.durations.p50_ms is not None
    ]
    return Chart(
        f"the 95th percentile is at most {time_of(longest)}",
        _across(points, granularity),
        _upwards(top, step, time_of),
        bars=bars,
        segments=segments,
    )


def moment_of(start: datetime, granularity: Granularity) -> str:
    """Return when a point begins, in words as short as its length allows."""
    match granularity:
        case Granularity.HOUR:
            return f"{start.day} {start:%b %H:%M}"
        case Granularity.MONTH:
            return f"{start:%b %Y}"
    return f"{start.day} {start:%b}"


def time_of(milliseconds: float) -> str:
    """Return a duration in one unit."""
    for unit, length in (("h", 3_600_000), ("min", 60_000), ("s", 1_000)):
        if milliseconds >= length:
            return f"{milliseconds / length:.3g} {unit}"
    return f"{milliseconds:.3g} ms"


def _parts(point: Point, top: float) -> list[Part]:
    parts, y = [], float(BOTTOM)
    for tone, name in OUTCOMES:
        count = getattr(point.outcomes, name)
        if count:
            height = max(LEAST_PX, (BOTTOM - TOP) * count / top)
            y -= height
            parts.append(Part(tone, round(y, 2), round(height, 2)))
    return parts


def _segments(points: Sequence[Point], tone: str, name: str, top: float) -> list[Segment]:
    """Return the line through the points that have a value; it is broken where some have none."""
    width = 100 / len(points)
    found: list[Segment] = []
    before: tuple[float, float] | None = None
    for index, point in enumerate(points):
        value = getattr(point.durations, name)
        if value is None:
            before = None
            continue
        here = (round((index + 0.5) * width, 3), round(BOTTOM - (BOTTOM - TOP) * value / top, 2))
        x1, y1 = before or here
        found.append(Segment(tone, x1, y1, here[0], here[1]))
        before = here
    return found


def _across(points: Sequence[Point], granularity: Granularity) -> list[Label]:
    every = max(1, math.ceil(len(points) / LABELS))
    width = 100 / len(points)
    shown = range(0, len(points), every)
    labels = [
        Label(round((index + 0.5) * width, 3), _on_axis(points[index].start, granularity)) for index in shown
    ]
    if len(points) > LABELS:
        labels[0] = Label(0, labels[0].text, "start")
    return labels


def _on_axis(start: datetime, granularity: Granularity) -> str:
    return f"{start:%H:%M}" if granularity is Granularity.HOUR else moment_of(start, granularity)


def _upwards(top: float, step: float, write: Callable[[float], str]) -> list[Label]:
    lines = round(top / step)
    return [
        Label(round(BOTTOM - (BOTTOM - TOP) * line / lines, 2), write(line * step))
        for line in range(lines + 1)
    ]


def _step(rough: float, least: float = 0.0) -> float:
    """Return the next of 1, 2, 5 times a power of ten that is no less."""
    power = 10.0 ** math.floor(math.log10(rough))
    return max(least, next(power * lead for lead in (1, 2, 5, 10) if power * lead >= rough * (1 - 1e-9)))


def _counts(point: Point) -> str:
    named = ((getattr(point.outcomes, name), name) for _, name in OUTCOMES)
    return ", ".join(f"{count} {name}" for count, name in named if count)


def _times(point: Point) -> str:
    named = ((getattr(point.durations, name), words) for _, name, words in PERCENTILES)
    return ", ".join(f"{words} within {time_of(value)}" for value, words in named if value is not None)
