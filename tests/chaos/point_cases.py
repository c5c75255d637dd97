"""One case of a crash point: runs that pass it until two processes died there, and what must hold of them."""

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from django.db import connection
from django.utils import timezone

from approvals_app.services.approvals import respond_to_approval
from executions_app.crash_points import arm, deaths_of
from executions_app.dispatch import send_settle_hint
from executions_app.models import BlockExecution, Execution, ExecutionEvent, StartRequest, WorkerLease
from executions_app.services.executions import start_execution
from tests.chaos import ledger
from tests.chaos.points import POINTS
from tests.chaos.scenarios import SCENARIOS, Scenario
from tests.chaos.stack import CHILDREN, ChaosStack
from tests.chaos.workload import pending_approvals
from tests.consistency import assert_consistent
from tests.factories import make_template, make_user, make_workspace
from workflow_service.accounts.models import Role
from workflow_service.engine.states import ENDED_EXECUTION_STATUSES

READY_TIMEOUT_S = 120.0
RUN_TIMEOUT_S = 60.0
DEATHS = 2
# A point that is passed once a run kills one process a run.
RUNS = 4
POLL_S = 0.05
# Longer than it takes the thread that tells listeners.
LINGER_S = 0.1
TRIES = """
    SELECT block, count(*), count(*) FILTER (WHERE outcome = 'done') FROM chaos_ledger
    WHERE execution = %s GROUP BY block
"""


class Cases:
    """Tries points on one stack, one after the other."""

    def __init__(self, stack: ChaosStack, armed: Path) -> None:
        self._stack, self._armed, self._number = stack, armed, 0
        with connection.cursor() as cursor:
            cursor.execute(ledger.SCHEMA)
        workspace = make_workspace()
        self._approver = make_user(workspace, Role.APPROVER)
        self._templates = {
            name: make_template(scenario.blocks, workspace=workspace) for name, scenario in SCENARIOS.items()
        }

    def wait_ready(self) -> None:
        self._wait(lambda: WorkerLease.objects.count() > CHILDREN, READY_TIMEOUT_S, "the workers")

    def try_point(self, point: str) -> str:
        """Have processes die at a point, twice; return what came of it as JSON."""
        began = time.monotonic()
        self._number += 1
        case = f"case-{self._number}"
        scenario = POINTS[point]
        problems: list[str] = []
        for run in range(RUNS):
            arm(self._armed, case=case, point=point, deaths=DEATHS)
            problems += self._run(scenario, case, f"{case}-run-{run}")
            if problems or deaths_of(self._armed, case) == DEATHS:
                break
        self._armed.unlink(missing_ok=True)
        deaths = deaths_of(self._armed, case)
        if deaths < DEATHS:
            problems.append(f"the point was reached {deaths} times in {RUNS} runs")
        took = round(time.monotonic() - began, 1)
        return json.dumps({"point": point, "deaths": deaths, "seconds": took, "problems": problems})

    def _run(self, name: str, case: str, key: str) -> list[str]:
        scenario, template = SCENARIOS[name], self._templates[name]
        start = partial(
            start_execution,
            workspace=template.workspace,
            actor=template.owner,
            template=template,
            input={},
            idempotency_key=key,
        )
        self._call(start)
        execution = StartRequest.objects.select_related("execution").get(key=key).execution
        try:
            ends = f"the end of {execution}"
            self._wait(lambda: self._has_ended(execution, scenario, case), RUN_TIMEOUT_S, ends)
        except TimeoutError as error:
            blocks = BlockExecution.objects.filter(execution=execution).values_list("block_id", "status")
            return [f"{error}: {dict(blocks)}"]
        return _problems_of(execution, scenario)

    def _has_ended(self, execution: Execution, scenario: Scenario, case: str) -> bool:
        for approval_id in pending_approvals(timezone.now()):
            answer = partial(
                respond_to_approval, approval_id=approval_id, actor=self._approver, approved=True
            )
            self._call(partial(answer, source="api"))
        execution.refresh_from_db()
        ended = execution.status in ENDED_EXECUTION_STATUSES
        if scenario.poked and not (ended and deaths_of(self._armed, case) == DEATHS):
            # A run that has ended may be settled again like any other.
            self._call(partial(send_settle_hint, execution.pk, execution.public_id))
            return False
        return ended

    def _call(self, operation: Callable[[], object]) -> None:
        """Do something in another process, again each time that it is killed."""
        for _ in range(DEATHS + 1):
            connection.close()
            pid = os.fork()
            if pid == 0:
                try:
                    operation()
                    time.sleep(LINGER_S)
                except BaseException:
                    os._exit(1)
                os._exit(0)
            _, status = os.waitpid(pid, 0)
            if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
                break
        if status != 0:
            raise RuntimeError(f"{operation} ended with status {status}")

    def _wait(self, condition: Callable[[], bool], timeout_s: float, what: str) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} did not come within {timeout_s:.0f} s")
            self._stack.mend()
            time.sleep(POLL_S)


def _problems_of(execution: Execution, scenario: Scenario) -> list[str]:
    """Return what is wrong with a run that has ended."""
    try:
        execution = assert_consistent(execution)
    except AssertionError as error:
        return [f"inconsistent: {error}"]
    problems = []
    if execution.status != scenario.ends:
        problems.append(f"ended {execution.status}, not {scenario.ends}: {execution.error}")
    told = ExecutionEvent.objects.filter(execution_id=execution.pk).values_list("block_id", "type")
    events = Counter(told)
    with connection.cursor() as cursor:
        cursor.execute(TRIES, [execution.public_id])
        for block, tries, done in cursor.fetchall():
            allowed = 1 + events[block, "block_retrying"] + events[block, "block_lost"]
            if tries > allowed:
                problems.append(f"{block} was tried {tries} times; {allowed} are explained")
            if events[block, "block_completed"] > 1 or (events[block, "block_completed"] and not done):
                problems.append(
                    f"{block} was done {done} times and completed {events[block, 'block_completed']}"
                )
    return problems
