"""Charts as SVG: the same data is the same picture, and nothing in it is more than a picture."""

from math import ceil, cos, floor, log10, pi, sin
from typing import Annotated, Literal
from xml.sax.saxutils import escape

from pydantic import Field, model_validator

from workflow_service.agents.library.shapes import Output, Params
from workflow_service.agents.use_cases import RunContext, use_case
from workflow_service.artifacts.references import ArtifactRef, FileName

MAX_POINTS = 1_000
TICKS = 5
TEXT = "#1f2937"
GRID = "#d1d5db"
# Okabe and Ito's colours: told apart by most eyes, and on paper.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#666666")

Label = Annotated[str, Field(max_length=200)]


class Series(Params):
    name: Label = ""
    values: list[float | int | None] = Field(min_length=1, max_length=MAX_POINTS)


class ChartInput(Params):
    """``labels`` name the places along the x axis, or the slices of a pie; each series has a value for each.

    ``width`` and ``height`` are pixels.
    """

    kind: Literal["bar", "line", "pie"] = "bar"
    title: Label = ""
    labels: list[Label | int | float] = Field(min_length=1, max_length=MAX_POINTS)
    series: list[Series] = Field(min_length=1, max_length=8)
    width: int = Field(720, ge=200, le=4_000)
    height: int = Field(400, ge=150, le=4_000)
    name: FileName = "chart.svg"

    @model_validator(mode="after")
    def fits(self) -> "ChartInput":
        for series in self.series:
            if len(series.values) != len(self.labels):
                raise ValueError(
                    f"the series '{series.name}' has {len(series.values)} values for {len(self.labels)} labels"
                )
        if self.kind == "pie" and (
            len(self.series) > 1 or any((value or 0) < 0 for value in self.series[0].values)
        ):
            raise ValueError("a pie has one series of values that are not negative")
        return self


class ChartOutput(Output):
    """``svg`` is the picture itself, to be put into a page."""

    artifact: ArtifactRef
    svg: str


@use_case("chart.draw")
def draw_chart(params: ChartInput, run: RunContext) -> ChartOutput:
    """Draw a bar, line or pie chart as an SVG picture and keep it as an artifact."""
    parts = _pie(params) if params.kind == "pie" else _axes_chart(params)
    svg = "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{params.width}" height="{params.height}" '
            f'viewBox="0 0 {params.width} {params.height}" font-family="sans-serif" font-size="12">',
            f"<title>{escape(_clean(params.title) or 'Chart')}</title>",
            f'<rect width="{params.width}" height="{params.height}" fill="#ffffff"/>',
            _text(params.width / 2, 22, params.title, anchor="middle", size=16),
            *parts,
            "</svg>\n",
        )
    )
    return ChartOutput(artifact=run.save_file(params.name, svg, content_type="image/svg+xml"), svg=svg)


def _axes_chart(params: ChartInput) -> list[str]:
    values = [value for series in params.series for value in series.values if value is not None] or [0]
    ticks = _ticks(min(0, *values), max(0, *values))
    left, right, top, bottom = 64.0, params.width - 16.0, 40.0, params.height - 64.0
    low, high = ticks[0], ticks[-1]

    def y_of(value: float) -> float:
        return bottom - (value - low) / (high - low) * (bottom - top)

    parts = []
    for tick in ticks:
        y = y_of(tick)
        parts.append(_line(left, y, right, y, GRID))
        parts.append(_text(left - 6, y + 4, _number(tick), anchor="end"))
    slot = (right - left) / len(params.labels)
    every = max(1, ceil(len(params.labels) * 60 / (right - left)))
    for index in range(0, len(params.labels), every):
        label = _shortened(params.labels[index], slot * every / 6.5)
        parts.append(_text(left + slot * (index + 0.5), bottom + 18, label, anchor="middle"))
    for number, series in enumerate(params.series):
        draw = _bars if params.kind == "bar" else _curve
        parts += draw(series, number, len(params.series), left, slot, y_of)
    parts.append(_line(left, y_of(0), right, y_of(0), TEXT))
    return parts + _legend([series.name for series in params.series], params.height - 18)


def _bars(series: Series, number: int, of: int, left: float, slot: float, y_of: object) -> list[str]:
    width = slot * 0.8 / of
    bars = []
    for index, value in enumerate(series.values):
        if value is None:
            continue
        top, bottom = sorted((y_of(value), y_of(0)))  # type: ignore[operator]
        x = left + slot * (index + 0.1) + width * number
        bars.append(
            f'<rect x="{x:.2f}" y="{top:.2f}" width="{width:.2f}" height="{bottom - top:.2f}" '
            f'fill="{COLOURS[number]}"/>'
        )
    return bars


def _curve(series: Series, number: int, of: int, left: float, slot: float, y_of: object) -> list[str]:
    # A gap in the values is a gap in the line.
    pieces: list[list[str]] = [[]]
    for index, value in enumerate(series.values):
        if value is None:
            pieces.append([])
        else:
            pieces[-1].append(f"{left + slot * (index + 0.5):.2f},{y_of(value):.2f}")  # type: ignore[operator]
    colour = COLOURS[number]
    drawn = []
    for piece in pieces:
        if len(piece) == 1:
            x, _, y = piece[0].partition(",")
            drawn.append(f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>')
        elif piece:
            drawn.append(
                f'<polyline points="{" ".join(piece)}" fill="none" stroke="{colour}" stroke-width="2"/>'
            )
    return drawn


def _pie(params: ChartInput) -> list[str]:
    values = [value or 0 for value in params.series[0].values]
    total = sum(values)
    x, y = params.width * 0.32, params.height / 2 + 12
    radius = min(params.width * 0.28, params.height / 2 - 36)
    parts = []
    start = 0.0
    for index, value in enumerate(values):
        colour = COLOURS[index % len(COLOURS)]
        share = value / total if total else 0
        parts.append(_slice(x, y, radius, start, share, colour))
        start += share
        row = 48 + 20 * index
        if row < params.height - 12:
            parts.append(
                f'<rect x="{params.width * 0.64:.2f}" y="{row}" width="12" height="12" fill="{colour}"/>'
            )
            label = f"{_shortened(params.labels[index], params.width * 0.3 / 6.5)} ({share:.1%})"
            parts.append(_text(params.width * 0.64 + 18, row + 11, label))
    return parts


def _slice(x: float, y: float, radius: float, start: float, share: float, colour: str) -> str:
    if share <= 0:
        return ""
    if share >= 1:
        return f'<circle cx="{x:.2f}" cy="{y:.2f}" r="{radius:.2f}" fill="{colour}"/>'
    one, other = ((2 * pi * place - pi / 2) for place in (start, start + share))
    return (
        f'<path d="M{x:.2f},{y:.2f} L{x + radius * cos(one):.2f},{y + radius * sin(one):.2f} '
        f"A{radius:.2f},{radius:.2f} 0 {int(share > 0.5)} 1 "
        f'{x + radius * cos(other):.2f},{y + radius * sin(other):.2f} Z" fill="{colour}" stroke="#ffffff"/>'
    )


def _legend(names: list[str], y: float) -> list[str]:
    parts = []
    x = 64.0
    for number, name in enumerate(names):
        if name:
            parts.append(
                f'<rect x="{x:.2f}" y="{y - 11:.2f}" width="12" height="12" fill="{COLOURS[number]}"/>'
            )
            parts.append(_text(x + 18, y, name))
            x += 36 + 6.5 * len(name)
    return parts


def _ticks(low: float, high: float) -> list[float]:
    """Return round numbers from at most ``low`` to at least ``high``."""
    span = (high - low) or 1.0
    rough = span / TICKS
    power = 10.0 ** floor(log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first, last = floor(low / step), ceil(high / step)
    return [count * step for count in range(first, max(last, first + 1) + 1)]


def _number(value: float) -> str:
    return f"{value:,.10g}"


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.2f}" y1="{y1:.2f}" x2="{x2:.2f}" y2="{y2:.2f}" stroke="{colour}"/>'


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12) -> str:
    return (
        f'<text x="{x:.2f}" y="{y:.2f}" text-anchor="{anchor}" font-size="{size}" fill="{TEXT}">'
        f"{escape(_clean(text))}</text>"
    )


def _shortened(label: str | float, characters: float) -> str:
    text = str(label)
    room = max(3, int(characters))
    return text if len(text) <= room else text[: room - 1] + "…"


def _clean(text: str) -> str:
    # XML has no way to write control characters.
    return "".join(character if character.isprintable() else " " for character in text)
