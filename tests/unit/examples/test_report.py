"""The report and its chart: the same for the same figures, and nothing in them that a file could smuggle in."""

import re
from datetime import date, timedelta
from decimal import Decimal
from xml.etree import ElementTree

import pytest

from examples.sales_etl.chart import draw_daily_revenue
from examples.sales_etl.loading import Figures
from examples.sales_etl.reporting import Quality, write_report, write_stopped_report

SVG = "{http://www.w3.org/2000/svg}"
QUALITY = Quality(
    csv_path="sales.csv",
    rows=1_000,
    bad_rows=12,
    mended_rows=34,
    reasons={"impossible_date": 7, "repeated_order": 5},
    rejected_path="rejected.jsonl",
    suspected_pairs=3,
    approved_bad_rows=True,
)


def days(count: int) -> list[tuple[date, Decimal]]:
    first = date(2025, 1, 1)
    return [(first + timedelta(days=number), Decimal(100 * (number + 1))) for number in range(count)]


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_a_chart_has_a_bar_for_every_day_and_readable_axes() -> None:
    points = days(100)
    del points[50]
    svg = draw_daily_revenue(points)
    bars = [
        element
        for element in ElementTree.fromstring(svg).iter(f"{SVG}rect")
        if element.find(f"{SVG}title") is not None
    ]
    assert len(bars) == 100
    assert bars[50].get("height") == "0.0"
    assert bars[99].findtext(f"{SVG}title") == "10 Apr: 10,000.00"
    shown = texts(svg)
    assert [label for label in shown if re.fullmatch(r"[\d,]+", label)] == [
        "0",
        "2,000",
        "4,000",
        "6,000",
        "8,000",
        "10,000",
    ]
    assert [label for label in shown if re.fullmatch(r"1 \w+", label)] == ["1 Jan", "1 Feb", "1 Mar", "1 Apr"]
    assert "7-day mean" in shown


def test_nothing_in_a_chart_leads_elsewhere_and_it_never_changes() -> None:
    svg = draw_daily_revenue(days(30))
    assert re.findall(r"https?://[^\"]*", svg) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"<(script|style|image|link|use)|href|url\(", svg)
    assert svg == draw_daily_revenue(days(30))


@pytest.mark.parametrize("count", [0, 1, 2, 6, 7, 400])
def test_a_chart_can_be_drawn_of_any_number_of_days(count: int) -> None:
    assert ElementTree.fromstring(draw_daily_revenue(days(count))).tag == f"{SVG}svg"
    assert ("No sales" in texts(draw_daily_revenue(days(count)))) == (count == 0)


def test_years_are_shown_by_month() -> None:
    shown = texts(draw_daily_revenue(days(800)))
    assert "Monthly revenue" in shown
    assert "Jan 2025" in shown
    assert len([label for label in shown if re.fullmatch(r"\w{3} \d{4}", label)]) <= 12


def test_a_report_says_the_figures() -> None:
    part = (("Desk | <b>", 2, Decimal("12.50")),)
    text = write_report(
        "exec_1", QUALITY, Figures(988, Decimal("1234567.8"), tuple(days(3)), part, part), "c.svg"
    )
    assert "| Revenue | $1,234,567.80 |" in text
    assert "| Days | 2025-01-01 to 2025-01-03 |" in text
    assert "![Revenue by day](c.svg)" in text
    assert "Of 1,000 rows, 12 (1.20 %) were rejected; a person approved going on without them." in text
    assert "| impossible date | 7 |" in text
    # What came from the file cannot end a cell or begin a tag.
    assert "| Desk \\| \\<b\\> | 2 | $12.50 |" in text


def test_a_stopped_report_says_that_nothing_was_loaded() -> None:
    text = write_stopped_report("exec_1", QUALITY, "too many\n# [dates](x)")
    assert "**nothing was loaded**" in text
    assert "> too many\n> # \\[dates\\](x)" in text
    assert "They left no comment." in write_stopped_report("exec_1", QUALITY, "")
