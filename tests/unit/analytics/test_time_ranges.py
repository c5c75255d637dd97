"""Time ranges: widened to whole hours, cut into points, read by whole days where there are any."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from workflow_service.analytics.errors import TimeRangeInvalid
from workflow_service.analytics.time_ranges import Granularity, TimeRange, begin_of


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def range_of(start: str, end: str) -> TimeRange:
    return TimeRange.around(at(start), at(end))


def test_a_range_is_widened_to_whole_hours_of_utc() -> None:
    found = range_of("2025-03-01T10:59:59", "2025-03-01T12:00:01")
    assert (found.start, found.end) == (at("2025-03-01T10:00:00"), at("2025-03-01T13:00:00"))
    assert range_of("2025-03-01T10:00:00", "2025-03-01T12:00:00").end == at("2025-03-01T12:00:00")
    india = timezone(timedelta(hours=5, minutes=30))
    half = datetime(2025, 3, 1, 12, 0, tzinfo=india)
    assert TimeRange.around(half, half + timedelta(minutes=1)).start == at("2025-03-01T06:00:00")


@pytest.mark.parametrize(
    ("granularity", "points"),
    [
        (Granularity.HOUR, 36 * 24),
        (Granularity.DAY, 36),
        (Granularity.WEEK, 6),
        (Granularity.MONTH, 3),
    ],
    ids=str,
)
def test_points_cover_a_range(granularity: Granularity, points: int) -> None:
    # From a Wednesday to a Wednesday, over the ends of a February and a leap day.
    within = range_of("2024-01-31T00:00:00", "2024-03-07T00:00:00")
    found = within.points(granularity)
    assert len(found) == points
    assert found == sorted(set(found))
    assert found[0] <= within.start
    assert found[-1] < within.end
    assert all(begin_of(point, granularity) == point for point in found)


@pytest.mark.parametrize(
    ("start", "end", "days"),
    [
        ("2025-03-01T00:00:00", "2025-03-03T00:00:00", ("2025-03-01", "2025-03-03")),
        ("2025-03-01T01:00:00", "2025-03-03T23:00:00", ("2025-03-02", "2025-03-03")),
        ("2025-03-01T01:00:00", "2025-03-02T23:00:00", None),
        ("2025-03-01T05:00:00", "2025-03-01T06:00:00", None),
    ],
    ids=["days", "with ends", "none whole", "an hour"],
)
def test_whole_days_of_a_range(start: str, end: str, days: tuple[str, str] | None) -> None:
    within = range_of(start, end)
    if days is None:
        assert within.whole_days == (within.end, within.end)
    else:
        assert within.whole_days == (at(f"{days[0]}T00:00:00"), at(f"{days[1]}T00:00:00"))


@pytest.mark.parametrize(
    ("start", "end", "granularity"),
    [
        ("2025-03-02T00:00:00", "2025-03-01T00:00:00", Granularity.DAY),
        ("2025-03-02T00:00:00", "2025-03-02T00:00:00", Granularity.DAY),
        ("2025-01-01T00:00:00", "2025-12-31T00:00:00", Granularity.HOUR),
        ("0001-01-01T00:00:00", "9999-12-31T23:30:00", Granularity.MONTH),
    ],
    ids=["backwards", "empty", "too many points", "beyond the calendar"],
)
def test_a_range_that_is_none_is_refused(start: str, end: str, granularity: Granularity) -> None:
    with pytest.raises(TimeRangeInvalid):
        range_of(start, end).points(granularity)


def test_longer_points_are_advised_only_where_there_are_any() -> None:
    centuries = TimeRange(datetime(2000, 1, 1, tzinfo=UTC), datetime(2300, 1, 1, tzinfo=UTC))
    with pytest.raises(TimeRangeInvalid, match=r"or take longer points$"):
        centuries.points(Granularity.WEEK)
    with pytest.raises(TimeRangeInvalid, match=r"by month: shorten it$"):
        centuries.points(Granularity.MONTH)
