"""Tries crash points one by one on one stack: reads points from standard input, answers each with a line of JSON.

What a client does (start, answer) is done in a process of its own, which is killed like a worker where its transaction
or message has the point, and done again, as a client would.
"""

import importlib
import shutil
import sys
import tempfile
from pathlib import Path

from tests.chaos.stack import BEAT_COMMAND, ChaosStack, control_command, worker_command
from tests.misbehaving_server import misbehaving_server

MODULES = "tests.chaos.ledger,tests.chaos.poison"


def main() -> None:
    data_dir = Path(tempfile.mkdtemp(prefix="workflow-service-points-"))
    armed = data_dir / "points" / "armed"
    armed.parent.mkdir()
    environment = {"USE_CASE_MODULES": MODULES, "CRASH_POINTS": str(armed), "EGRESS_ALLOW": "127.0.0.1"}
    with misbehaving_server() as agent, ChaosStack(data_dir, environment) as stack:
        stack.set_django_up()
        stack.add("worker", worker_command("worker"))
        stack.add("control", control_command("control"))
        stack.add("beat", BEAT_COMMAND)
        # Only now is there a database for what imports models.
        cases = importlib.import_module("tests.chaos.point_cases").Cases(
            stack, armed, agent.url("/status/202")
        )
        cases.wait_ready()
        for line in sys.stdin:
            sys.stdout.write(cases.try_point(line.strip()) + "\n")
            sys.stdout.flush()
    shutil.rmtree(data_dir, ignore_errors=True)


if __name__ == "__main__":
    main()
