"""What the configurations of blocks hold that do no work themselves: waits, and workflows inside workflows.

Unlike those of tools they have no input of their own making: a key that is not known is a slip, and refused.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

MAX_WAIT_MS = 3_650 * 86_400_000
SIGNAL_NAME = re.compile(r"[A-Za-z_][\w.-]{0,99}", re.ASCII)
KINDS = ("duration", "until", "signal")


def read_moment(value: object) -> datetime | None:
    """Return an ISO 8601 text as a moment; it must say its offset, as every clock has its own idea of noon."""
    if value is None or isinstance(value, datetime):
        return value
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        if moment is not None and moment.utcoffset() is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    message = "must be a time in ISO 8601 with its offset, such as 2030-01-31T09:00:00Z"
    raise PydanticCustomError("moment", message)


def read_milliseconds(value: object) -> object:
    """Return a number of milliseconds, or a text of one; raises ``PydanticCustomError`` saying what is wanted."""
    number = value
    written = isinstance(value, str) and len(value) <= 20 and value.strip().isdecimal()
    if written or (isinstance(value, float) and value.is_integer()):
        number = int(value)  # type: ignore[call-overload]
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= MAX_WAIT_MS:
        message = "must be a whole number of milliseconds from 0 to {most}; five minutes are 300000"
        raise PydanticCustomError("milliseconds", message, {"most": MAX_WAIT_MS})
    return number


class WaitConfiguration(BaseModel):
    """``{"duration": 60000}`` (milliseconds), ``{"until": "2030-01-31T09:00:00Z"}`` or ``{"signal": "paid"}``.

    ``timeout`` (milliseconds) bounds the wait for a signal; ``on_timeout`` says what then becomes of the block.
    """

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, frozen=True, allow_inf_nan=False)

    duration: Annotated[int | None, BeforeValidator(read_milliseconds)] = None
    until: Annotated[datetime | None, BeforeValidator(read_moment)] = None
    signal: str | None = Field(None, pattern=f"^{SIGNAL_NAME.pattern}$")
    timeout: int | None = Field(None, ge=1, le=MAX_WAIT_MS)
    on_timeout: Literal["fail", "continue"] = "fail"

    @model_validator(mode="before")
    @classmethod
    def one_kind(cls, data: Any) -> Any:
        if isinstance(data, dict):
            given = [kind for kind in KINDS if data.get(kind) is not None]
            if len(given) != 1:
                message = "give exactly one of 'duration', 'until' and 'signal'"
                raise PydanticCustomError("one_kind", message)
            if given != ["signal"] and data.keys() & {"timeout", "onTimeout"}:
                message = "'timeout' and 'onTimeout' belong to the wait for a signal"
                raise PydanticCustomError("signal_only", message)
        return data


class SubworkflowConfiguration(BaseModel):
    """``{"template": "tpl_…", "version": "1.2.0", "input": {…}}``; without ``version`` the current one."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, frozen=True, allow_inf_nan=False)

    template: str = Field(min_length=1, max_length=64)
    version: Annotated[
        str | None, BeforeValidator(lambda value: str(value) if type(value) is int else value)
    ] = Field(None, min_length=1, max_length=32)
    input: dict[str, JsonValue] = {}
