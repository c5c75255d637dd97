"""The little work that a measured step does."""

import random
import time

from pydantic import BaseModel

from benchmarks.fibonacci import slow_fib
from workflow_service.agents.errors import ToolError
from workflow_service.agents.use_cases import use_case
from workflow_service.engine.states import ErrorType


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


class Wait(BaseModel):
    """How long work takes: ``seconds``, and as long again for each further thing in ``of``; how often it fails."""

    seconds: float
    of: list[int] = []
    fails: float = 0.0
    hangs: float = 0.0


class Waited(BaseModel):
    """That it was done, and whether what it looked at was good."""

    good: bool = True


class Checked(BaseModel):
    """Whether a check was passed."""

    passed: bool


@use_case("benchmark.wait")
def wait(params: Wait) -> Waited:
    """Wait as long as one is told; fail in passing, or hang for a minute, as often as one is told."""
    chance = random.random()
    if chance < params.hangs:
        time.sleep(60)
    time.sleep(params.seconds * max(1, len(params.of)))
    if chance < params.fails:
        raise ToolError(ErrorType.NETWORK_ERROR, "the line is dead")
    return Waited()


@use_case("benchmark.check")
def check(params: Wait) -> Checked:
    """Wait, and find fault with what is looked at as often as one is told."""
    time.sleep(params.seconds)
    return Checked(passed=random.random() >= params.fails)
