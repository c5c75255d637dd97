"""The little work that a measured step does."""

from pydantic import BaseModel

from benchmarks.fibonacci import slow_fib
from workflow_service.agents.use_cases import use_case


class Number(BaseModel):
    """Which Fibonacci number."""

    n: int


class Found(BaseModel):
    """That number."""

    fib: int


@use_case("benchmark.fib")
def fib(params: Number) -> Found:
    """Return a Fibonacci number the slow way."""
    return Found(fib=slow_fib(params.n))
