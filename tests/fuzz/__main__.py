"""``python -m tests.fuzz``: the full run; figures in build/fuzz.json, exit status 1 where anything went wrong."""

import argparse
import json
import sys
import time
from pathlib import Path

from tests.fuzz.run import Report, fuzz_dsl, fuzz_expressions

EXPRESSIONS, TEXTS = 1_000_000, 100_000


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz")
    parser.add_argument("--expressions", type=int, default=EXPRESSIONS)
    parser.add_argument("--texts", type=int, default=TEXTS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("build/fuzz.json"))
    options = parser.parse_args()
    reports: list[Report] = []
    for what, run, count in (
        ("expressions", fuzz_expressions, options.expressions),
        ("DSL texts", fuzz_dsl, options.texts),
    ):
        began = time.perf_counter()
        report = run(count, options.seed)
        reports.append(report)
        took = time.perf_counter() - began
        sys.stdout.write(f"{what}: {report.summary()} ({took:.0f} s)\n")
        sys.stdout.flush()
        for fault in report.faults[:10]:
            sys.stdout.write(f"  {fault}\n")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    figures = {report.what: report.figures() for report in reports}
    options.out.write_text(json.dumps({"seed": options.seed, **figures}, indent=2) + "\n")
    return 1 if any(report.faults for report in reports) else 0


if __name__ == "__main__":
    sys.exit(main())
