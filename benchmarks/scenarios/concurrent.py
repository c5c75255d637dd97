"""Many runs at once: 1,000 diamonds, and the documents' named loads of 50 and 100 runs and of 50 states."""

import statistics
from collections.abc import Iterator

from benchmarks import engine
from benchmarks.bench import Bench
from benchmarks.figures import Figure, percentile

TIMEOUT_S = 180.0
BLOCKS = 7
STATES = 50
WAIT_LIMIT_MS = 2_000.0


def measure_diamonds(bench: Bench) -> Iterator[Figure]:
    """Start 1,000 diamonds of seven blocks at once; every one must complete."""
    count = bench.scale(1_000, 200)
    seconds, ids = engine.run_many(engine.diamond(), count, TIMEOUT_S)
    bench.overhead("diamonds", seconds, count * BLOCKS)
    yield Figure(f"diamonds_{count}.completed", len(ids), f"{seconds:.1f} s", at_least=count)
    yield Figure(
        f"diamonds_{count}.per_s", count / seconds, f"{count * BLOCKS / seconds:.0f} blocks a second"
    )


def measure_named_loads(bench: Bench) -> Iterator[Figure]:
    """Run 50 and then 100 diamonds at once."""
    template = engine.diamond()
    for count in (50, 100):
        seconds, ids = engine.run_many(template, count, TIMEOUT_S)
        key = f"concurrent_{count}"
        ms = bench.overhead(key, seconds, count * BLOCKS)
        yield Figure(f"{key}.completed", len(ids), f"{seconds:.2f} s", at_least=count)
        yield Figure(f"{key}.overhead_per_block_ms", ms, at_most=WAIT_LIMIT_MS)
        yield Figure(
            f"{key}.block_p95_ms",
            percentile(engine.block_waits_ms(ids), 95),
            "from its row to its end, waiting for a worker included",
            at_most=WAIT_LIMIT_MS,
        )


def measure_states(bench: Bench) -> Iterator[Figure]:
    """Run a workflow of 50 states."""
    template = engine.chain(STATES)
    seconds = [engine.run_once(template, TIMEOUT_S)[0] for _ in range(bench.scale(10, 3))]
    ms = bench.overhead("states_50", statistics.median(seconds), STATES, workers=1)
    yield Figure("states_50.completed", len(seconds), f"{statistics.median(seconds):.2f} s a run")
    yield Figure("states_50.overhead_per_block_ms", ms, at_most=WAIT_LIMIT_MS)
