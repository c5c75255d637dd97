"""What a worker process weighs after 10,000 blocks, and by how much it has grown since it was warm."""

from collections.abc import Iterator
from pathlib import Path

from benchmarks import engine
from benchmarks.bench import Bench
from benchmarks.figures import Figure

CHAIN = 100
WARM_UP_RUNS = 10
TIMEOUT_S = 240.0


def measure(bench: Bench) -> Iterator[Figure]:
    """Measure the resident memory of the worker's processes, the largest of them."""
    blocks = bench.scale(10_000, 2_000)
    template = engine.chain(CHAIN)
    engine.run_many(template, WARM_UP_RUNS, TIMEOUT_S)
    before = _resident_mb(bench)
    seconds, _ = engine.run_many(template, blocks // CHAIN, TIMEOUT_S)
    after = _resident_mb(bench)
    bench.overhead("worker_memory", seconds, blocks)
    yield Figure(f"worker_memory.mb_after_{blocks}", after, f"{before:.1f} MB before them")
    yield Figure("worker_memory.growth_mb", after - before)
    yield Figure("worker_memory.blocks_per_s", blocks / seconds)


def _resident_mb(bench: Bench) -> float:
    return max(_kilobytes(pid) for pid in bench.stack.children("worker")) / 1_024


def _kilobytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise ValueError(f"process {pid} has no resident memory")
