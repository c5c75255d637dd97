"""Small computations."""

from pydantic import BaseModel, Field

from workflow_service.agents.use_cases import use_case


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
