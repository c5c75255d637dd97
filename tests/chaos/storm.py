"""A storm: hundreds of mixed runs on a real stack while its processes and servers are killed, then the verdict.

    python -m tests.chaos.storm --runs 500 --kills 100 --seed 1

Prints what goes on and writes ``build/chaos.json``; exits with 1 where a promise was not kept. The seed repeats the
order of faults and runs; which block is hit is up to the machine.
"""

import argparse
import importlib
import json
import random
import shutil
import sys
import tempfile
from pathlib import Path

from tests.chaos.stack import BEAT_COMMAND, PROJECT_ROOT, ChaosStack, control_command, worker_command

LEDGER = "tests.chaos.ledger"


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="storm", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=500, help="runs to start at least (%(default)s)")
    parser.add_argument("--kills", type=int, default=100, help="kills of workers (%(default)s)")
    parser.add_argument("--redis", type=int, default=10, help="kills of Redis, its data lost (%(default)s)")
    parser.add_argument("--postgres", type=int, default=10, help="kills of Postgres (%(default)s)")
    parser.add_argument("--others", type=int, default=5, help="other faults, of each kind (%(default)s)")
    parser.add_argument("--seconds", type=float, default=400, help="how long faults go on (%(default)s)")
    parser.add_argument("--active", type=int, default=40, help="runs kept under way (%(default)s)")
    parser.add_argument(
        "--least-active", type=int, default=20, help="runs under way at a fault (%(default)s)"
    )
    parser.add_argument("--rest", type=float, default=8, help="seconds that runs rest (%(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="workers beside the one with a wrong clock")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="repeats a schedule")
    parser.add_argument("--report", type=Path, default=PROJECT_ROOT / "build" / "chaos.json")
    parser.add_argument("--keep", action="store_true", help="keep the logs of all processes")
    return parser.parse_args()


def main() -> int:
    options = read_arguments()
    data_dir = Path(tempfile.mkdtemp(prefix="workflow-service-chaos-"))
    with ChaosStack(data_dir, {"USE_CASE_MODULES": LEDGER}) as stack:
        stack.set_django_up()
        for number in range(options.workers):
            stack.add(f"worker{number}", worker_command(f"worker{number}"))
        skewed = {"USE_CASE_MODULES": f"{LEDGER},tests.chaos.skewed_clock"}
        stack.add("worker-ahead", worker_command("worker-ahead"), **skewed)
        stack.add("control", control_command("control"))
        for number in range(2):
            stack.add(f"beat{number}", BEAT_COMMAND)
        # Only now is there a database for what imports models.
        verdict = importlib.import_module("tests.chaos.campaign").run(stack, options)
    options.report.parent.mkdir(parents=True, exist_ok=True)
    options.report.write_text(json.dumps(verdict.document(), indent=2) + "\n")
    sys.stdout.write(f"{options.report} written.\n")
    if not verdict.holds or options.keep:
        sys.stdout.write(f"The logs are in {data_dir / 'logs'}.\n")
    else:
        shutil.rmtree(data_dir, ignore_errors=True)
    return 0 if verdict.holds else 1


if __name__ == "__main__":
    sys.exit(main())
