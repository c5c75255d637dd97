"""The chart of daily revenue: one SVG, the same for the same figures, no script in it.

Nothing is fetched to show it. Bars are days (months, where there are more than 400 days); the line is
the mean of the last seven.
"""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from decimal import ROUND_CEILING, Decimal
from html import escape
from itertools import groupby

MAX_DAYS = 400
MAX_DATE_LABELS = 12
MEAN_DAYS = 7
WIDTH, HEIGHT = 1100, 440
LEFT, RIGHT, TOP, BOTTOM = 86, 24, 74, 58
PLOT_WIDTH, PLOT_HEIGHT = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
FONT = "system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif"
BAR, LINE, GRID, TEXT, STRONG = "#a9c4ea", "#1d4f9c", "#e3e6eb", "#4a5261", "#1b1f27"

Day = tuple[date, Decimal]


def draw_daily_revenue(days: Sequence[Day]) -> str:
    """Return the SVG text. Days without sales between the first and the last count as zero."""
    filled = fill_gaps(days)
    monthly = len(filled) > MAX_DAYS
    points = sum_months(filled) if monthly else filled
    most = max((revenue for _, revenue in points), default=Decimal(0))
    step = axis_step(most)
    top = step * max(Decimal(1), (most / step).to_integral_value(ROUND_CEILING))
    parts = [*draw_frame(points, monthly), *draw_revenue_axis(step, top), *draw_date_axis(points, monthly)]
    parts += draw_bars(points, top, monthly)
    parts += [] if monthly else draw_mean(points, top)
    return "\n".join([*parts, "</svg>", ""])


def fill_gaps(days: Sequence[Day]) -> list[Day]:
    """Return one entry for every day from the first to the last."""
    known = dict(days)
    if not known:
        return []
    first, last = min(known), max(known)
    every = (first + timedelta(days=number) for number in range((last - first).days + 1))
    return [(day, known.get(day, Decimal(0))) for day in every]


def sum_months(days: Sequence[Day]) -> list[Day]:
    """Return the first of each month with the month's revenue."""
    months = groupby(days, key=lambda entry: entry[0].replace(day=1))
    return [(first, sum((revenue for _, revenue in entries), Decimal(0))) for first, entries in months]


def axis_step(most: Decimal) -> Decimal:
    """Return 1, 2 or 5 times a power of ten, so that at most six steps reach ``most``."""
    power = Decimal(1)
    while True:
        for step in (1, 2, 5):
            if step * power * 6 >= most:
                return step * power
        power *= 10


def x_of(number: int, count: int) -> float:
    return LEFT + PLOT_WIDTH * (number + 0.5) / count


def y_of(revenue: Decimal, top: Decimal) -> float:
    return TOP + PLOT_HEIGHT * float(1 - revenue / top)


def say_day(day: date, monthly: bool) -> str:
    return f"{day:%b %Y}" if monthly else f"{day.day} {day:%b}"


def say_date(day: date) -> str:
    return f"{day.day} {day:%B %Y}"


def text(
    x: float, y: float, words: str, *, size: int = 13, anchor: str = "middle", colour: str = TEXT
) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}"'
    return f"<text {place}>{escape(words)}</text>"


def draw_frame(points: Sequence[Day], monthly: bool) -> Iterator[str]:
    """Yield the opening tag, the title and the key."""
    title = "Monthly revenue" if monthly else "Daily revenue"
    span = f"{say_date(points[0][0])} to {say_date(points[-1][0])}" if points else "no sales"
    size = f'width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
    yield f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" font-family="{FONT}">'
    yield f"<title>{title}, {span}</title>"
    yield f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>'
    yield text(LEFT, 32, title, size=20, anchor="start", colour=STRONG)
    yield text(LEFT, 54, f"US dollars, {span}", anchor="start")
    if not monthly:
        yield f'<rect x="{WIDTH - 260}" y="41" width="14" height="14" fill="{BAR}"/>'
        yield text(WIDTH - 240, 53, "One day", anchor="start")
        yield f'<path d="M{WIDTH - 160} 48h24" stroke="{LINE}" stroke-width="3"/>'
        yield text(WIDTH - 130, 53, f"{MEAN_DAYS}-day mean", anchor="start")


def draw_revenue_axis(step: Decimal, top: Decimal) -> Iterator[str]:
    for number in range(int(top / step) + 1):
        y = y_of(step * number, top)
        yield f'<path d="M{LEFT} {y:.1f}h{PLOT_WIDTH}" stroke="{GRID if number else TEXT}"/>'
        yield text(LEFT - 10, y + 4.5, f"{step * number:,.0f}", anchor="end")


def draw_date_axis(points: Sequence[Day], monthly: bool) -> Iterator[str]:
    """Yield the dates: the firsts of months where there are several, else evenly spaced days."""
    numbers = [number for number, (day, _) in enumerate(points) if monthly or day.day == 1]
    if len(numbers) < 3:
        numbers = list(range(len(points)))
    for number in numbers[:: max(1, -(-len(numbers) // MAX_DATE_LABELS))]:
        x = x_of(number, len(points))
        yield f'<path d="M{x:.1f} {TOP + PLOT_HEIGHT}v6" stroke="{TEXT}"/>'
        yield text(x, TOP + PLOT_HEIGHT + 24, say_day(points[number][0], monthly))


def draw_bars(points: Sequence[Day], top: Decimal, monthly: bool) -> Iterator[str]:
    width = PLOT_WIDTH / max(1, len(points)) * 0.76
    for number, (day, revenue) in enumerate(points):
        y = y_of(revenue, top)
        place = f'x="{x_of(number, len(points)) - width / 2:.2f}" y="{y:.1f}"'
        size = f'width="{width:.2f}" height="{TOP + PLOT_HEIGHT - y:.1f}"'
        hint = f"<title>{say_day(day, monthly)}: {revenue:,.2f}</title>"
        yield f'<rect {place} {size} fill="{BAR}">{hint}</rect>'
    if not points:
        yield text(LEFT + PLOT_WIDTH / 2, TOP + PLOT_HEIGHT / 2, "No sales", size=20)


def draw_mean(points: Sequence[Day], top: Decimal) -> Iterator[str]:
    """Yield the line through the mean of each day and the six before it."""
    places = []
    for number in range(MEAN_DAYS - 1, len(points)):
        mean = (
            sum((revenue for _, revenue in points[number - MEAN_DAYS + 1 : number + 1]), Decimal(0))
            / MEAN_DAYS
        )
        places.append(f"{x_of(number, len(points)):.1f},{y_of(mean, top):.1f}")
    if len(places) > 1:
        style = f'fill="none" stroke="{LINE}" stroke-width="2.5" stroke-linejoin="round"'
        yield f'<polyline points="{" ".join(places)}" {style}/>'
