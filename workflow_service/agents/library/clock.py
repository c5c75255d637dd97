"""Times of day and the spans between them."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AwareDatetime, Field

from workflow_service.agents.library.shapes import Output, Params
from workflow_service.agents.use_cases import use_case

MAX_DAYS = 366_000


class NowInput(Params):
    timezone: str = "UTC"


class NowOutput(Output):
    iso: str
    date: str
    epoch_ms: int


@use_case("time.now")
def tell_time(params: NowInput) -> NowOutput:
    """Tell the time, when the block runs: blocks after it see that answer, a second run sees another."""
    return _moment(datetime.now(_zone(params.timezone)))


class ShiftInput(Params):
    """``at`` is a time with its offset, such as ``2026-03-31T12:00:00Z``. Each amount may be negative.

    ``workdays`` are counted last; Saturday and Sunday are none.
    """

    at: AwareDatetime
    days: int = Field(0, ge=-MAX_DAYS, le=MAX_DAYS)
    hours: float = Field(0, ge=-(10**6), le=10**6)
    minutes: float = Field(0, ge=-(10**7), le=10**7)
    seconds: float = Field(0, ge=-(10**9), le=10**9)
    workdays: int = Field(0, ge=-10_000, le=10_000)
    timezone: str = "UTC"


@use_case("time.shift")
def shift_time(params: ShiftInput) -> NowOutput:
    """Add days, hours or working days to a time: due dates."""
    zone = _zone(params.timezone)
    try:
        # Days are days of the calendar there, hours are hours that pass.
        moment = params.at.astimezone(zone) + timedelta(days=params.days)
        step = timedelta(days=1 if params.workdays > 0 else -1)
        left = abs(params.workdays)
        while left:
            moment += step
            left -= moment.weekday() < 5
        passing = timedelta(hours=params.hours, minutes=params.minutes, seconds=params.seconds)
        return _moment((moment.astimezone(ZoneInfo("UTC")) + passing).astimezone(zone))
    except OverflowError:
        raise ValueError("that time is beyond the calendar") from None


class BetweenInput(Params):
    start: AwareDatetime
    end: AwareDatetime


class BetweenOutput(Output):
    """``seconds`` and the others are each the whole span; negative where ``end`` is before ``start``."""

    seconds: float
    minutes: float
    hours: float
    days: float


@use_case("time.between")
def time_between(params: BetweenInput) -> BetweenOutput:
    """Measure the span between two times."""
    seconds = (params.end - params.start).total_seconds()
    return BetweenOutput(seconds=seconds, minutes=seconds / 60, hours=seconds / 3_600, days=seconds / 86_400)


class FormatInput(Params):
    """``format`` as in Python's strftime: ``%d.%m.%Y %H:%M``."""

    at: AwareDatetime
    format: str = Field("%Y-%m-%d", min_length=1, max_length=100)
    timezone: str = "UTC"


class FormatOutput(Output):
    """``weekday`` is 1 for Monday to 7 for Sunday."""

    text: str
    weekday: int
    weekend: bool


@use_case("time.format")
def format_time(params: FormatInput) -> FormatOutput:
    """Write a time as people do, in their time zone."""
    moment = params.at.astimezone(_zone(params.timezone))
    weekday = moment.isoweekday()
    return FormatOutput(text=moment.strftime(params.format), weekday=weekday, weekend=weekday > 5)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"there is no time zone '{name}'; write one like Europe/Berlin") from None


def _moment(moment: datetime) -> NowOutput:
    return NowOutput(
        iso=moment.isoformat(timespec="milliseconds"),
        date=moment.date().isoformat(),
        epoch_ms=int(moment.timestamp() * 1_000),
    )
