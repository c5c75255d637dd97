"""Chains of 10, 100, 1,000 and 5,000 blocks: what a step costs must not depend on how many there are."""

import statistics
from collections.abc import Iterator

from benchmarks import engine
from benchmarks.bench import Bench
from benchmarks.figures import Figure
from templates_app.models import Template

SHORTEST = 10
TIMEOUT_S = 240.0


def measure(bench: Bench) -> Iterator[Figure]:
    """Compare each length with 10, whose runs surround it: both see the same machine."""
    lengths = (100, 1_000) if bench.quick else (100, 1_000, 5_000)
    short = engine.chain(SHORTEST)
    _steps(short, 3)
    for length in lengths:
        long = engine.chain(length)
        ratios, costs = [], []
        for _ in range(max(1, min(5, 5_000 // length))):
            around = _steps(short, 5)
            cost = engine.step_ms(engine.run_once(long, TIMEOUT_S)[1])
            around += _steps(short, 5)
            costs.append(cost)
            ratios.append(cost / statistics.median(around))
        cost = statistics.median(costs)
        bench.say(f"a chain of {length}: {cost:.2f} ms a step")
        bench.overhead(f"growth {length}", cost / 1_000, 1, workers=1)
        yield Figure(
            f"growth_{length}.ratio",
            statistics.median(ratios),
            f"{cost:.2f} ms a step, of {SHORTEST}: {cost / statistics.median(ratios):.2f}",
            at_most=1.2,
        )


def _steps(template: Template, runs: int) -> list[float]:
    return [engine.step_ms(engine.run_once(template, TIMEOUT_S)[1]) for _ in range(runs)]
