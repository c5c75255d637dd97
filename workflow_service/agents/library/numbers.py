"""Small computations."""

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from typing import Literal

from pydantic import BaseModel, Field, model_validator

from workflow_service.agents.library.shapes import Output, Params
from workflow_service.agents.use_cases import use_case

MAX_RANGE = 100_000


class FibonacciInput(BaseModel):
    n: int = Field(ge=0, le=1_000)


class FibonacciOutput(BaseModel):
    n: int
    value: int


@use_case("math.fib")
def fibonacci(params: FibonacciInput) -> FibonacciOutput:
    """Compute a Fibonacci number: a light step of real work, as benchmarks want it."""
    value, following = 0, 1
    for _ in range(params.n):
        value, following = following, value + following
    return FibonacciOutput(n=params.n, value=value)


class RoundInput(Params):
    """``digits`` behind the point; below 0 whole tens, hundreds. ``mode`` ``half_up`` is what bills are rounded by."""

    value: float | int
    digits: int = Field(0, ge=-15, le=15)
    mode: Literal["half_up", "half_even", "down", "up"] = "half_up"


class NumberOutput(Output):
    """``text`` has all the digits that were asked for."""

    value: float | int
    text: str


_ROUNDING = {
    "half_up": ROUND_HALF_UP,
    "half_even": ROUND_HALF_EVEN,
    "down": ROUND_FLOOR,
    "up": ROUND_CEILING,
}


@use_case("numbers.round")
def round_number(params: RoundInput) -> NumberOutput:
    """Round a number as one would on paper: 2.675 to two digits is 2.68."""
    exact = Decimal(str(params.value))
    if abs(exact) >= 10**15:
        raise ValueError("a number of more than 15 digits before the point is not rounded")
    rounded = exact.quantize(Decimal(1).scaleb(-params.digits), rounding=_ROUNDING[params.mode])
    value = int(rounded) if params.digits <= 0 else float(rounded)
    return NumberOutput(value=value, text=f"{rounded:f}")


class RangeInput(Params):
    """From ``start`` to before ``stop`` by ``step``."""

    start: int = Field(0, ge=-(10**12), le=10**12)
    stop: int = Field(ge=-(10**12), le=10**12)
    step: int = Field(1, ge=-(10**9), le=10**9)

    @model_validator(mode="after")
    def bounded(self) -> "RangeInput":
        if self.step == 0 or len(range(self.start, self.stop, self.step)) > MAX_RANGE:
            raise ValueError(f"the range must have at most {MAX_RANGE} numbers, and its step not be 0")
        return self


class RangeOutput(Output):
    values: list[int]
    count: int


@use_case("numbers.range")
def number_range(params: RangeInput) -> RangeOutput:
    """Count from one number to before another: items for a map."""
    values = list(range(params.start, params.stop, params.step))
    return RangeOutput(values=values, count=len(values))
