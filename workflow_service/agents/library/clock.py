"""The time of day."""

from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from workflow_service.agents.use_cases import use_case


class NowInput(BaseModel):
    timezone: str = "UTC"


class NowOutput(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, serialize_by_alias=True)

    iso: str
    date: str
    epoch_ms: int


@use_case("time.now")
def tell_time(params: NowInput) -> NowOutput:
    """Tell the time, when the block runs: blocks after it see that answer, a second run sees another."""
    try:
        now = datetime.now(ZoneInfo(params.timezone))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"there is no time zone '{params.timezone}'; write one like Europe/Berlin") from None
    return NowOutput(
        iso=now.isoformat(timespec="milliseconds"),
        date=now.date().isoformat(),
        epoch_ms=int(now.timestamp() * 1_000),
    )
