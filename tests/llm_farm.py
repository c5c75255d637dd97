"""Runs that spend one budget in processes of their own, some of which kill themselves in the middle of a call.

    python -m tests.llm_farm WORKSPACE CHILDREN RUNS DEATHS MAX_TOKENS

Each of CHILDREN processes has RUNS threads, and each thread is one run that asks until the budget is spent. The first
DEATHS processes end themselves with SIGKILL: in turn after a reservation and before a settlement. Another process
goes on with their runs. It ends with 0 when every run was refused.
"""

import os
import signal
import sys
import threading

import django

django.setup()

from django.db import connection  # noqa: E402 - Django must be set up first

from tests.llm_server import warm_up  # noqa: E402
from workflow_service.ai import client  # noqa: E402
from workflow_service.ai.client import LlmRequest, UsageContext, ask  # noqa: E402
from workflow_service.ai.errors import BudgetExceeded, LlmUnavailable  # noqa: E402
from workflow_service.ai.prompt_registry import Prompt  # noqa: E402

PROMPT = Prompt("farm", 1, system="", user="Work.", max_tokens=int(sys.argv[5]))


def die_at(place: str) -> None:
    """Have this process end itself at its first call, before ``place``: its other runs may be in theirs."""

    def deadly(*args: object, **kwargs: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(client, place, deadly)


def run(workspace: int, execution_id: str, ends: list[str]) -> None:
    """Ask until the budget has nothing left for another call."""
    context = UsageContext(workspace_id=workspace, execution_id=execution_id)
    try:
        while True:
            try:
                ask(LlmRequest(PROMPT, operation="farm", cache=False), context)
            except BudgetExceeded as refused:
                # Of what others hold, something may come back: a block's retry.
                if not refused.waiting:
                    ends.append(execution_id)
                    return
            except LlmUnavailable:
                continue
    finally:
        connection.close()


def child(number: int, workspace: int, runs: int, dies: bool) -> None:
    if dies:
        die_at("mark_called" if number % 2 else "settle")
    ends: list[str] = []
    threads = [
        threading.Thread(target=run, args=(workspace, f"exec_{number}_{n}", ends)) for n in range(runs)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os._exit(0 if len(ends) == runs else 1)


def fork(number: int, workspace: int, runs: int, dies: bool) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            child(number, workspace, runs, dies)
        finally:
            os._exit(1)
    return pid


def main(workspace: int, children: int, runs: int, deaths: int) -> int:
    # Imported once, and not by each child.
    warm_up()
    connection.close()
    at_work = {fork(number, workspace, runs, number < deaths): number for number in range(children)}
    killed = 0
    while at_work:
        pid, status = os.wait()
        number = at_work.pop(pid)
        if os.WIFSIGNALED(status):
            killed += 1
            at_work[fork(number, workspace, runs, False)] = number
        elif status:
            return 1
    return 0 if killed == deaths else 2


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:5])))
