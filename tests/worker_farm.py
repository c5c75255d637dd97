"""A worker without a broker, to be run as a process: children that run queued blocks, and a parent that kills them.

The children take blocks from Postgres in random order, by the worker's real code; the parent keeps their leases as a
Celery worker does, sends SIGKILL to one of them every now and then, and forks another in its place.

    python -m tests.worker_farm SEED CHILDREN KILLS_PER_S
"""

import os
import random
import signal
import sys
import time

import django

django.setup()

from django.db import connection  # noqa: E402 - Django must be set up first
from pydantic import JsonValue  # noqa: E402

from executions_app import running  # noqa: E402
from executions_app.leases import LeaseKeeper, Repairer  # noqa: E402
from executions_app.worker_identity import worker_id  # noqa: E402
from workflow_service.agents.errors import ToolError  # noqa: E402
from workflow_service.agents.use_cases import use_case  # noqa: E402
from workflow_service.engine.states import ErrorType  # noqa: E402

QUEUED = """
    SELECT execution_id, id FROM executions_app_blockexecution WHERE status = 'QUEUED' ORDER BY random() LIMIT 1
"""


@use_case("tests.farm_work")
def farm_work(params: dict[str, JsonValue]) -> dict[str, JsonValue]:
    time.sleep(random.random() * 0.005)
    if params.get("fails") == "always":
        raise ToolError(ErrorType.AUTHORIZATION_ERROR, "always fails")
    if params.get("fails") == "sometimes" and random.random() < 0.3:
        raise ToolError(ErrorType.NETWORK_ERROR, "failed this time")
    return {"by": params.get("name")}


@use_case("tests.farm_diary")
def diary(params: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Work for a moment, and write down from when to when."""
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO farm_diary (of) VALUES (%s) RETURNING id", [str(params["of"])])
        (page,) = cursor.fetchone()
        time.sleep(random.random() * 0.02)
        cursor.execute("UPDATE farm_diary SET ended_at = clock_timestamp() WHERE id = %s", [page])
    return {}


@use_case("tests.farm_deaf")
def deaf(params: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Work on and on, and be deaf to the timer that would end it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    while True:
        time.sleep(1)


def work(seed: int) -> None:
    """Run queued blocks until killed."""
    random.seed(seed)
    worker_id()
    while True:
        with connection.cursor() as cursor:
            cursor.execute(QUEUED)
            found = cursor.fetchone()
        if found is None:
            time.sleep(0.02)
            continue
        running.run_blocks(found[0], found[1], "default")


def fork_worker(seed: int) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            work(seed)
        finally:
            os._exit(1)
    return pid


def main(seed: int, children: int, kills_per_s: float) -> None:
    chance = random.Random(seed)
    connection.close()
    pids = [fork_worker(seed + n) for n in range(children)]
    repairer = Repairer()
    for watch in (LeaseKeeper(repairer), repairer):
        watch.start()
    while sys.stdin.readable() and os.getppid() != 1:
        time.sleep(1 / kills_per_s if kills_per_s else 0.2)
        # The parent's lease keeper kills too.
        for pid in [pid for pid in pids if os.waitpid(pid, os.WNOHANG)[0]]:
            pids.remove(pid)
            pids.append(fork_worker(chance.randrange(10**9)))
        if kills_per_s:
            pid = pids.pop(chance.randrange(len(pids)))
            os.kill(pid, signal.SIGKILL)
            # Later, as by a pool that maintains itself: until then the child is a zombie of the operating system.
            time.sleep(0.05)
            os.waitpid(pid, 0)
            pids.append(fork_worker(chance.randrange(10**9)))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
