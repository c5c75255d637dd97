"""Time ranges in whole hours of UTC, cut into the points of a series, and read from as few rollups as they allow.

Whole days of a range are read from the rollups by day, what is left at its ends from those by hour.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from workflow_service.analytics.errors import TimeRangeInvalid

MAX_POINTS = 1_000
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MONTH = timedelta(days=30)
YEARS = (1970, 9_000)
BEYOND = f"the time range must lie between the years {YEARS[0]} and {YEARS[1]}"


class Granularity(StrEnum):
    """How long the points of a series are (document B section 7.1); weeks begin on Monday."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


# The longest that a point of each is.
LENGTHS = {
    Granularity.HOUR: HOUR,
    Granularity.DAY: DAY,
    Granularity.WEEK: 7 * DAY,
    Granularity.MONTH: 31 * DAY,
}


@dataclass(frozen=True, slots=True)
class TimeRange:
    """From the beginning of an hour on, before that of another; the moments are UTC."""

    start: datetime
    end: datetime

    @classmethod
    def around(cls, start: datetime, end: datetime) -> "TimeRange":
        """Return the whole hours that two moments lie in; raises ``TimeRangeInvalid`` if they are no range."""
        if not (YEARS[0] <= start.year and end.year <= YEARS[1]):
            raise TimeRangeInvalid(BEYOND)
        if end <= start:
            raise TimeRangeInvalid("the end of the time range must be after its start")
        first, last = begin_of(start, Granularity.HOUR), begin_of(end, Granularity.HOUR)
        return cls(first, last if last == end else last + HOUR)

    @classmethod
    def asked(cls, start: datetime | None, end: datetime | None, now: datetime) -> "TimeRange":
        """Return the range between two moments: without an end up to ``now``, without a start 30 days long.

        Raises ``TimeRangeInvalid``.
        """
        end = end or now
        try:
            return cls.around(start or end - MONTH, end)
        except OverflowError as error:
            raise TimeRangeInvalid(BEYOND) from error

    @property
    def length(self) -> timedelta:
        return self.end - self.start

    def points(self, granularity: Granularity) -> list[datetime]:
        """Return where the points of a series begin; raises ``TimeRangeInvalid`` where there are too many."""
        if self.length / LENGTHS[granularity] > MAX_POINTS:
            mend = "shorten it" if granularity is Granularity.MONTH else "shorten it, or take longer points"
            raise TimeRangeInvalid(
                f"the time range has more than {MAX_POINTS} points by {granularity}: {mend}"
            )
        found, point = [], begin_of(self.start, granularity)
        while point < self.end:
            found.append(point)
            point = begin_of(point + LENGTHS[granularity], granularity)
        return found

    @property
    def whole_days(self) -> tuple[datetime, datetime]:
        """Where the days begin and end that lie in the range as wholes: at one moment where none does."""
        first = begin_of(self.start + DAY - HOUR, Granularity.DAY)
        last = begin_of(self.end, Granularity.DAY)
        return (first, last) if first < last else (self.end, self.end)

    def condition(self, *, by_hour: bool = False) -> tuple[str, dict[str, datetime]]:
        """Return SQL that rollups of this range fulfil, each run counted once, and its parameters.

        ``by_hour`` reads hours only.
        """
        first, last = (self.end, self.end) if by_hour else self.whole_days
        return (
            "(grain = 'd' AND start >= %(first_day)s AND start < %(last_day)s"
            " OR grain = 'h' AND (start >= %(start)s AND start < %(first_day)s"
            " OR start >= %(last_day)s AND start < %(end)s))",
            {"start": self.start, "end": self.end, "first_day": first, "last_day": last},
        )


def begin_of(moment: datetime, granularity: Granularity) -> datetime:
    """Return when the hour, day, week or month of a moment begins, in UTC."""
    hour = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    match granularity:
        case Granularity.HOUR:
            return hour
        case Granularity.DAY:
            return hour.replace(hour=0)
        case Granularity.WEEK:
            return hour.replace(hour=0) - hour.weekday() * DAY
        case Granularity.MONTH:
            return hour.replace(hour=0, day=1)
