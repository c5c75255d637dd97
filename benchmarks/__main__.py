"""Measure the engine beside bare Celery, scenario by scenario, on a stack that is started for it.

    python -m benchmarks [--only NAME[,NAME]] [--runs 15] [--quick] [--output build/bench.json]

Says how far it is on stderr, prints a table at the end, and writes one figure a key. Exit status 1 if something did
not complete; a missed target is in the table and no error, for targets depend on the machine.
"""

import argparse
import platform
import sys
import time
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.figures import Figure, table, write_json
from benchmarks.scenarios import SCENARIOS, load_scenario
from benchmarks.stack import CONCURRENCY, START_TIMEOUT_S, open_stack, safe_settings

OVERHEAD_LIMIT_MS = 2_000.0


def main() -> int:
    options = read_options()
    names = chosen(options.only)
    figures: list[Figure] = []
    failures: list[str] = []
    with open_stack() as stack:
        safe = safe_settings(stack.services.urls.database_url)
        bench = Bench(stack, options.runs or (5 if options.quick else 15), options.quick)
        start_service(bench)
        for name in names:
            bench.say(name)
            try:
                figures += load_scenario(name)(bench)
                stack.check()
            except Exception as error:
                failures.append(f"{name}: {type(error).__name__}: {error}")
                bench.say(f"FAILED: {failures[-1]}")
    if bench.overheads_ms:
        worst = max(bench.overheads_ms, key=lambda name: bench.overheads_ms[name])
        figures.append(
            Figure(
                "overhead_per_block_max_ms",
                bench.overheads_ms[worst],
                f"worker time a block, in {worst}",
                at_most=OVERHEAD_LIMIT_MS,
            )
        )
    write_json(figures, options.output)
    took = time.monotonic() - bench.begun_at
    print(
        f"{platform.machine()}, Python {platform.python_version()}, {CONCURRENCY} worker processes a side, ",
        end="",
    )
    print(f"{', '.join(f'{name}={value}' for name, value in safe.items())}; {took:.0f} s")
    print(table(figures))
    print(f"written to {options.output}")
    for failure in failures:
        print(f"FAILED: {failure}", file=sys.stderr)
    return 1 if failures else 0


def start_service(bench: Bench) -> None:
    """Start the workers and wait until each has done something."""
    from benchmarks import bare, engine

    bench.say("starting the workers")
    bench.stack.start_service()
    bare.wait_ready(START_TIMEOUT_S)
    one = engine.chain(1)
    for priority in (engine.NORMAL, engine.LOW):
        bench.stack.check()
        engine.run_once(one, START_TIMEOUT_S, priority)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="scenarios to measure, separated by commas (all)")
    parser.add_argument("--runs", type=int, help="measured pairs of a scenario (15; 5 with --quick)")
    parser.add_argument("--quick", action="store_true", help="smaller numbers: a look within three minutes")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("build/bench.json"),
        help="where the figures go (build/bench.json)",
    )
    options = parser.parse_args()
    if options.runs is not None and options.runs < 1:
        parser.error("--runs must be at least 1")
    return options


def chosen(only: str) -> list[str]:
    """Return the names asked for, in the order in which they run; ends the program where one is unknown."""
    asked = [name.strip() for name in only.split(",") if name.strip()]
    unknown = sorted(set(asked) - set(SCENARIOS))
    if unknown:
        raise SystemExit(f"unknown scenario: {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
    return [name for name in SCENARIOS if name in asked or not asked]


if __name__ == "__main__":
    sys.exit(main())
