"""One case of a crash point: runs that pass it until two processes died there, and what must hold of them."""

import contextlib
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from django.db import connection
from django.db.models import Q

from approvals_app.models import Approval
from approvals_app.selectors import awaiting
from approvals_app.services.approvals import respond_to_approval
from executions_app.callback_tokens import Try
from executions_app.crash_points import arm, deaths_of
from executions_app.dispatch import send_settle_hint
from executions_app.errors import CallbackUsed
from executions_app.models import (
    BlockExecution,
    ConcurrencyLimit,
    Execution,
    ExecutionEvent,
    StartRequest,
    WorkerLease,
)
from executions_app.services.blocks import skip_block
from executions_app.services.callbacks import CallbackAnswer, take_callback
from executions_app.services.control import (
    Asked,
    cancel_execution,
    create_recovery_point,
    pause_execution,
    resume_execution,
)
from executions_app.services.executions import start_execution
from executions_app.services.restart import Restart, restart_execution
from executions_app.services.signals import send_signal
from templates_app.models import Template
from tests.chaos import ledger
from tests.chaos.points import POINTS
from tests.chaos.scenarios import ACCEPTS, AGENT, ASKING_CHILD, FAILING_CHILD, SCENARIOS, Scenario
from tests.chaos.stack import CHILDREN, ChaosStack
from tests.chaos.verdict import key_of
from tests.chaos.workload import CHILD, nap, work
from tests.consistency import assert_consistent
from tests.factories import make_template, make_user, make_workspace
from workflow_service.accounts.models import Role
from workflow_service.engine.errors import WorkflowError
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
    SELECT key, count(*), count(*) FILTER (WHERE outcome = 'done') FROM chaos_ledger
    WHERE execution = %s GROUP BY key
"""


ROBOT = Asked("robot")
COMMANDS: dict[str, Callable[[int], object]] = {
    "pause": lambda execution_id: pause_execution(execution_id, ROBOT),
    "resume": lambda execution_id: resume_execution(execution_id, ROBOT),
    "cancel": lambda execution_id: cancel_execution(execution_id, ROBOT),
    "note": lambda execution_id: create_recovery_point(execution_id, ROBOT),
    "restart": lambda execution_id: restart_execution(execution_id, ROBOT, Restart()),
    "skip": lambda execution_id: skip_block(execution_id, "long", ROBOT, {}),
}


class Cases:
    """Tries points on one stack, one after the other."""

    def __init__(self, stack: ChaosStack, armed: Path, agent_url: str) -> None:
        self._stack, self._armed, self._number = stack, armed, 0
        with connection.cursor() as cursor:
            cursor.execute(ledger.SCHEMA)
        workspace = make_workspace()
        self._approvers = [make_user(workspace, Role.APPROVER) for _ in range(2)]
        ACCEPTS["configuration"]["endpoint"] = agent_url
        self._templates = {
            name: make_template(scenario.blocks, workspace=workspace, globalSettings=dict(scenario.settings))
            for name, scenario in SCENARIOS.items()
        }
        children = {
            CHILD: nap("rest", ms=600_000),
            FAILING_CHILD: work("breaks", ms=20, fails=-1),
            ASKING_CHILD: work("asks", ms=20, humanInLoop={"required": True}),
        }
        for public_id, block in children.items():
            child = make_template([block], workspace=workspace)
            Template.objects.filter(pk=child.pk).update(public_id=public_id)
        for name, scenario in SCENARIOS.items():
            if scenario.limit:
                key = AGENT if scenario.limit == "agent" else self._templates[name].public_id
                ConcurrencyLimit.objects.create(
                    workspace=workspace, kind=scenario.limit, key=key, max_concurrency=1
                )

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
        keys = [f"{key}-{number}" for number in range(scenario.together)]
        for one in keys:
            self._call(
                partial(
                    start_execution,
                    workspace=template.workspace,
                    actor=template.owner,
                    template=template,
                    input={},
                    idempotency_key=one,
                )
            )
        started = StartRequest.objects.select_related("execution").filter(key__in=keys)
        executions = [request.execution for request in started]
        if scenario.signal:
            give = partial(send_signal, execution=executions[0], name=scenario.signal, payload=None)
            self._call(partial(give, idempotency_key=key))
        try:
            for command in scenario.commands:
                if command == "restart":
                    self._wait(lambda: _have_all_ended(executions), RUN_TIMEOUT_S, f"the first end of {key}")
                self._call(partial(_command, command, executions[0].pk))
            ends = f"the end of {key}"
            self._wait(lambda: self._have_ended(executions, scenario, case), RUN_TIMEOUT_S, ends)
        except TimeoutError as error:
            blocks = BlockExecution.objects.filter(execution__in=executions)
            return [f"{error}: {list(blocks.values_list('execution_id', 'block_id', 'status'))}"]
        return [problem for execution in executions for problem in _problems_of(execution, scenario)]

    def _have_ended(self, executions: list[Execution], scenario: Scenario, case: str) -> bool:
        for approver in self._approvers:
            for approval in awaiting(approver, Approval.objects.all()):
                answer = partial(respond_to_approval, approval_id=approval.public_id, actor=approver)
                self._call(partial(answer, approved=True, source="api"))
        for row in BlockExecution.objects.filter(status="WAITING", waits_for="callback"):
            token = Try(row.pk, row.retries).token(row.execution.public_id)
            self._call(partial(_call_back, token))
        ended = _have_all_ended(executions)
        if scenario.poked and not (ended and deaths_of(self._armed, case) == DEATHS):
            # A run that has ended may be settled again like any other.
            self._call(partial(send_settle_hint, executions[0].pk, executions[0].public_id))
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


def _have_all_ended(executions: list[Execution]) -> bool:
    """Tell whether runs have ended, and with them those that they started."""
    ids = [execution.pk for execution in executions]
    family = Execution.objects.filter(Q(pk__in=ids) | Q(parent__in=ids))
    return not family.exclude(status__in=ENDED_EXECUTION_STATUSES).exists()


def _command(name: str, execution_id: int) -> None:
    # Who was killed after the commit asks again, and may be told that there is nothing left to do.
    with contextlib.suppress(WorkflowError):
        COMMANDS[name](execution_id)


def _call_back(token: str) -> None:
    # One that was killed after its commit is told, when it calls again, that it has called.
    with contextlib.suppress(CallbackUsed):
        take_callback(token, CallbackAnswer(output={}))


def _problems_of(execution: Execution, scenario: Scenario | None) -> list[str]:
    """Return what is wrong with a run that has ended, and with those that it started; these may end in any way."""
    try:
        execution = assert_consistent(execution)
    except AssertionError as error:
        return [f"inconsistent: {error}"]
    problems = [problem for child in execution.children.all() for problem in _problems_of(child, None)]
    if scenario is not None and execution.status != scenario.ends:
        problems.append(f"ended {execution.status}, not {scenario.ends}: {execution.error}")
    told = ExecutionEvent.objects.filter(execution_id=execution.pk).values_list("block_execution_id", "type")
    events = Counter(told)
    with connection.cursor() as cursor:
        cursor.execute(TRIES, [execution.public_id])
        counts = {key: (tries, done) for key, tries, done in cursor.fetchall()}
    for row in BlockExecution.objects.filter(execution=execution).select_related("execution"):
        tries, done = counts.get(key_of(row), (0, 0))
        allowed = 1 + events[row.pk, "block_retrying"] + events[row.pk, "block_lost"]
        completed = events[row.pk, "block_completed"]
        if tries > allowed:
            problems.append(f"{row} was tried {tries} times; {allowed} are explained")
        if completed > 1 or (completed and tries and not done):
            problems.append(f"{row} was done {done} times and completed {completed}")
    return problems
