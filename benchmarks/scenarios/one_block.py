"""5,000 executions of one block, beside 5,000 bare tasks, in portions that take turns."""

import statistics
from collections.abc import Iterator

from benchmarks import bare, engine
from benchmarks.bench import Bench
from benchmarks.figures import Figure, medians

PORTION = 1_000
QUICK_PORTION = 300
TIMEOUT_S = 120.0


def measure(bench: Bench) -> Iterator[Figure]:
    """Measure from the first start to the last end; one caller starts them one by one on both sides."""
    template = engine.chain(1)
    portion = bench.scale(PORTION, QUICK_PORTION)
    pairs = []
    engine.run_many(template, portion // 10, TIMEOUT_S)
    bare.run_tasks(portion // 10, TIMEOUT_S)
    for _ in range(bench.scale(5, 3)):
        ours, _ids = engine.run_many(template, portion, TIMEOUT_S)
        pairs.append((portion / ours, portion / bare.run_tasks(portion, TIMEOUT_S)))
        bench.say(f"one-block executions: {pairs[-1][0]:.0f} a second, bare tasks {pairs[-1][1]:.0f}")
    ours, theirs = medians(pairs)
    bench.overhead("one_block", portion / ours, portion)
    yield Figure(
        "one_block.ratio",
        statistics.median(ours / theirs for ours, theirs in pairs),
        f"{ours:.0f} a second",
        f"{theirs:.0f} a second",
        at_least=0.5,
    )
    yield Figure("one_block.per_s", ours)
    yield Figure("one_block.celery_per_s", theirs)
