"""How often an experiment without a difference names a winner, with a look after every run; how soon one with one.

    python -m benchmarks.experiment_errors [--experiments 1000] [--output build/experiment_errors.json]

Simulated from fixed seeds, so always the same; needs no server. Exit status 1 if a share of false winners is above
alpha.
"""

import argparse
import statistics
import sys
from pathlib import Path

from benchmarks.figures import Figure, table, write_json
from tests.simulated_arms import A_A, SOON_FOUND


def main() -> int:
    parser = argparse.ArgumentParser(description="False winners of experiments, simulated.")
    parser.add_argument("--experiments", type=int, default=1_000)
    parser.add_argument("--output", type=Path, default=Path("build/experiment_errors.json"))
    options = parser.parse_args()
    figures, is_kept = [], True
    for name, scenario in A_A.items():
        found = len(scenario.rejections(options.experiments)) / options.experiments
        is_kept = is_kept and found <= scenario.alpha
        words = f"percent of false winners within {scenario.runs} runs: {name}"
        figures.append(
            Figure(f"false_winners_{_key(name)}", 100 * found, words, at_most=100 * scenario.alpha)
        )
        print(f"{name}: {100 * found:.1f} %", file=sys.stderr)
    for name, (scenario, soon) in SOON_FOUND.items():
        ends = scenario.rejections(max(options.experiments // 10, 20))
        half = statistics.median(ends) if ends else float("inf")
        figures.append(
            Figure(f"runs_to_find_{_key(name)}", half, f"runs in which half found it: {name}", at_most=soon)
        )
        print(f"{name}: {half:.0f} runs", file=sys.stderr)
    write_json(figures, options.output)
    print(table(figures))
    return 0 if is_kept else 1


def _key(name: str) -> str:
    return "".join(one if one.isalnum() else "_" for one in name.lower())


if __name__ == "__main__":
    sys.exit(main())
