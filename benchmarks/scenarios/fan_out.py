"""100 and 1,000 blocks side by side that meet in one, beside a Celery chord as wide."""

from collections.abc import Iterator

from benchmarks import bare, engine
from benchmarks.bench import Bench
from benchmarks.figures import Figure, medians, ratio_of_pairs

TIMEOUT_S = 120.0


def measure(bench: Bench) -> Iterator[Figure]:
    """Measure both widths, the workflow and the chord in turns, after a pair that does not count."""
    for width, runs, at_most in (
        (100, bench.scale(bench.runs, 5), 1.3),
        (1_000, bench.scale(max(3, bench.runs // 3), 2), 1.5),
    ):
        template = engine.fan(width)
        pairs = []
        for n in range(runs + 1):
            ours, _ = engine.run_once(template, TIMEOUT_S)
            theirs = bare.run_chord(width, TIMEOUT_S)
            if n:
                pairs.append((ours, theirs))
                bench.say(f"fan-out {width}: {ours:.2f} s, chord {theirs:.2f} s")
        ours, theirs = medians(pairs)
        bench.overhead(f"fan_out {width}", ours, width + 1)
        yield Figure(
            f"fanout_{width}.ratio",
            ratio_of_pairs(pairs),
            f"{ours:.3f} s",
            f"{theirs:.3f} s",
            at_most=at_most,
        )
