"""Charts: inside their frame, as high as what they show, broken where nothing is, and none of nothing."""

from datetime import UTC, datetime, timedelta

import pytest

from workflow_service.analytics.charts import BOTTOM, TOP, duration_chart, outcome_chart, time_of
from workflow_service.analytics.figures import Durations, Outcomes, Point
from workflow_service.analytics.time_ranges import Granularity

START = datetime(2025, 3, 1, tzinfo=UTC)


def point(day: int, completed: int = 0, failed: int = 0, p50: float | None = None) -> Point:
    durations = Durations(p50, p50, None if p50 is None else 2 * p50, None)
    return Point(START + timedelta(days=day), Outcomes(completed=completed, failed=failed), durations)


def test_bars_are_as_high_as_what_they_count() -> None:
    chart = outcome_chart([point(0, 6, 2), point(1), point(2, 3)], Granularity.DAY)
    assert chart is not None
    assert [label.text for label in chart.upwards] == ["0", "2", "4", "6", "8"]
    first, third = chart.bars
    assert [part.tone for part in first.parts] == ["ok", "bad"]
    assert sum(part.height for part in first.parts) == pytest.approx(BOTTOM - TOP)
    assert first.parts[-1].y == pytest.approx(TOP)
    assert third.parts[0].height == pytest.approx((BOTTOM - TOP) * 3 / 8)
    assert third.title == "3 Mar: 3 completed"
    assert 0 <= first.x < third.x
    assert third.x + third.width <= 100


def test_one_failure_among_thousands_is_seen() -> None:
    chart = outcome_chart([point(0, 100_000, 1)], Granularity.DAY)
    assert chart is not None
    assert chart.bars[0].parts[1].height >= 2


def test_lines_are_broken_where_nothing_completed() -> None:
    chart = duration_chart(
        [point(0, 1, p50=10), point(1), point(2, 1, p50=20), point(3, 1, p50=50)], Granularity.DAY
    )
    assert chart is not None
    median = [segment for segment in chart.segments if segment.tone == "busy"]
    # A dot for each that has none before it, and a line from the third to the fourth.
    assert [(segment.x1, segment.x2) for segment in median] == [(12.5, 12.5), (62.5, 62.5), (62.5, 87.5)]
    highest = min(segment.y2 for segment in chart.segments)
    assert highest == pytest.approx(TOP)
    assert chart.upwards[-1].text == "100 ms"


def test_labels_are_few_and_inside() -> None:
    chart = outcome_chart([point(day, 1) for day in range(365)], Granularity.DAY)
    assert chart is not None
    assert 2 <= len(chart.across) <= 5
    assert all(0 <= label.at <= 100 for label in chart.across)
    assert [label.text for label in chart.upwards] == ["0", "1"]


def test_nothing_has_no_chart() -> None:
    assert outcome_chart([point(0)], Granularity.DAY) is None
    assert duration_chart([point(0, failed=3)], Granularity.DAY) is None
    assert outcome_chart([], Granularity.DAY) is None


@pytest.mark.parametrize(
    ("milliseconds", "words"),
    [(0.25, "0.25 ms"), (999, "999 ms"), (1_500, "1.5 s"), (90_000, "1.5 min"), (7_200_000, "2 h")],
    ids=["part", "milliseconds", "seconds", "minutes", "hours"],
)
def test_durations_in_one_unit(milliseconds: float, words: str) -> None:
    assert time_of(milliseconds) == words
