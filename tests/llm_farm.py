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
from workflow_service.ai import budgets, client  # noqa: E402
from workflow_service.ai.client import LlmRequest, UsageContext, ask  # noqa: E402
from workflow_service.ai.errors import BudgetExceeded, LlmUnavailable  # noqa: E402
from workflow_service.ai.models import LlmUsage  # noqa: E402
from workflow_service.ai.prompt_registry import Prompt  # noqa: E402

PROMPT = Prompt("farm", 1, system="", user="Work.", max_tokens=int(sys.argv[5]))


def die(number: int, begun: int) -> None:
    """Have this process end itself in its first call: before the provider is called, or before the bill is booked."""
    real = budgets.mark_called

    def end(*args: object, **kwargs: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def begin(usage: LlmUsage) -> bool:
        os.write(begun, bytes([number]))
        if number % 2:
            end()
        return real(usage)

    for name, replacement in (
        ("mark_called", begin),
        ("settle", end),
        ("assume_spent", end),
        ("release", end),
    ):
        setattr(client, name, replacement)


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


def child(number: int, workspace: int, runs: int) -> None:
    """Have the process's runs ask; it ends with 0 if each of them was refused in the end."""
    ends: list[str] = []
    threads = [
        threading.Thread(target=run, args=(workspace, f"exec_{number}_{n}", ends)) for n in range(runs)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os._exit(0 if len(ends) == runs else 1)


def main(workspace: int, children: int, runs: int, deaths: int) -> int:
    warm_up()
    connection.close()
    # The others wait until each of those that will die has something reserved: on a busy machine they may come late.
    begun, beginning = os.pipe()
    gate, opening = os.pipe()
    opened = False

    def fork(number: int, dies: bool) -> int:
        pid = os.fork()
        if pid == 0:
            try:
                if not opened:
                    os.close(opening)
                if dies:
                    die(number, beginning)
                else:
                    os.read(gate, 1)
                child(number, workspace, runs)
            finally:
                os._exit(1)
        return pid

    at_work = {fork(number, number < deaths): number for number in range(children)}
    reserved: set[int] = set()
    while len(reserved) < deaths:
        reserved.update(os.read(begun, 1))
    os.close(opening)
    opened = True
    killed = 0
    while at_work:
        pid, status = os.wait()
        number = at_work.pop(pid)
        if os.WIFSIGNALED(status):
            killed += 1
            at_work[fork(number, False)] = number
        elif status:
            return 1
    return 0 if killed == deaths else 2


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:5])))
