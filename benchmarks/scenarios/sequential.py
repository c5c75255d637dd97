"""40 steps of fib(10) one after the other, beside a Celery chain as long; and the same without continuation."""

import statistics
from collections.abc import Iterator

from benchmarks import bare, engine
from benchmarks.bench import Bench
from benchmarks.figures import Figure, medians, ratio_of_pairs

STEPS = 40
WARM_UP = 2
TIMEOUT_S = 60.0


def measure(bench: Bench) -> Iterator[Figure]:
    """Measure in turns: the workflow, the chain, and the workflow on the worker that never continues in place."""
    template = engine.chain(STEPS, fib=True)
    rounds = []
    for n in range(WARM_UP + bench.runs):
        ours, _ = engine.run_once(template, TIMEOUT_S)
        theirs = bare.run_chain(STEPS, TIMEOUT_S)
        stepwise, _ = engine.run_once(template, TIMEOUT_S, engine.LOW)
        if n >= WARM_UP:
            rounds.append((ours, theirs, stepwise))
    pairs = [(ours, theirs) for ours, theirs, _ in rounds]
    ours_ms, theirs_ms = (seconds * 1_000 / STEPS for seconds in medians(pairs))
    bench.overhead("sequential", ours_ms * STEPS / 1_000, STEPS, workers=1)
    stepwise_pairs = [(stepwise, theirs) for _, theirs, stepwise in rounds]
    stepwise_ms = statistics.median(stepwise for *_, stepwise in rounds) * 1_000 / STEPS
    floor = f"{theirs_ms:.2f} ms a step"
    yield Figure("sequential_40.ratio", ratio_of_pairs(pairs), f"{ours_ms:.2f} ms a step", floor, at_most=1.0)
    yield Figure("sequential_40.ms", ours_ms)
    yield Figure("sequential_40.celery_ms", theirs_ms)
    yield Figure(
        "sequential_40.without_continuation_ratio",
        ratio_of_pairs(stepwise_pairs),
        f"{stepwise_ms:.2f} ms a step",
        floor,
    )
