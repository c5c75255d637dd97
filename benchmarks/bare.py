"""Bare Celery with its defaults: the floor that the engine is measured against."""

import os
import time
from collections.abc import Callable

from celery import Celery, chain, chord, group

from benchmarks.fibonacci import slow_fib

# Not the current app: the engine's messages must not go its way.
app = Celery(
    "bare", broker=os.environ["BARE_REDIS_URL"], backend=os.environ["BARE_REDIS_URL"], set_as_current=False
)


@app.task
def fib(n: int) -> int:
    """Return a Fibonacci number the slow way: the little work of a step, the same on both sides."""
    return slow_fib(n)


@app.task
def nothing() -> None:
    """Do nothing."""


def run_chain(steps: int, timeout_s: float) -> float:
    """Run a chain of tasks that compute fib(10); returns seconds."""
    return _timed(lambda: chain(*(fib.si(10) for _ in range(steps))).apply_async().get(timeout=timeout_s))


def run_chord(width: int, timeout_s: float) -> float:
    """Run a chord of tasks that do nothing, with a body; returns seconds."""
    return _timed(lambda: chord(nothing.si() for _ in range(width))(nothing.si()).get(timeout=timeout_s))


def run_tasks(count: int, timeout_s: float) -> float:
    """Send tasks one by one and wait for the result of each; returns seconds."""

    def send_and_wait() -> None:
        for result in [nothing.delay() for _ in range(count)]:
            result.get(timeout=timeout_s)

    return _timed(send_and_wait)


def wait_ready(timeout_s: float) -> None:
    """Wait until a worker takes tasks; raises Celery's ``TimeoutError``."""
    group(nothing.si() for _ in range(4)).apply_async().get(timeout=timeout_s)


def _timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
