"""100 and 1,000 blocks side by side that meet in one, beside a Celery chord as wide."""

from collections.abc import Iterator

from benchmarks import bare, engine
from benchmarks.bench import Bench
from benchmarks.figures import Figure, medians, ratio_of_pairs

TIMEOUT_S = 120.0


def measure(bench: Bench) -> Iterator[Figure]:
    """Measure both widths: the workflow, with every block queued at once, and the chord, in turns."""
    for width, runs, at_most in (
        (100, bench.scale(bench.runs, 5), 1.3),
        (1_000, bench.scale(max(3, bench.runs // 3), 2), 1.5),
    ):
        template, all_queued = engine.fan(width), engine.fan(width, maxParallelBlocks=width)
        rounds = []
        for n in range(runs + 1):
            ours, _ = engine.run_once(template, TIMEOUT_S)
            theirs = bare.run_chord(width, TIMEOUT_S)
            queued, _ = engine.run_once(all_queued, TIMEOUT_S)
            if n:  # the first round does not count
                rounds.append((ours, theirs, queued))
                bench.say(f"fan-out {width}: {ours:.2f} s, chord {theirs:.2f} s, all queued {queued:.2f} s")
        pairs = [(ours, theirs) for ours, theirs, _ in rounds]
        queued_pairs = [(queued, theirs) for _, theirs, queued in rounds]
        ours, theirs = medians(pairs)
        bench.overhead(f"fan_out {width}", ours, width + 1)
        floor = f"{theirs:.3f} s"
        yield Figure(f"fanout_{width}.ratio", ratio_of_pairs(pairs), f"{ours:.3f} s", floor, at_most=at_most)
        yield Figure(
            f"fanout_{width}.all_queued_ratio",
            ratio_of_pairs(queued_pairs),
            f"{medians(queued_pairs)[0]:.3f} s",
            floor,
        )
