"""What runs during a storm: mixed templates, who starts them, and the robot that answers their approvals.

A start bears an ``Idempotency-Key`` and is repeated until it is answered, so an accepted start is known by its key and
must have exactly one run. Both threads outlive the loss of any server.
"""

import contextlib
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import connection

from approvals_app.errors import ApprovalClosed
from approvals_app.models import Approval
from approvals_app.services.approvals import respond_to_approval
from executions_app.errors import ExecutionEnded
from executions_app.models import BlockExecution, Execution
from executions_app.services.executions import start_execution
from executions_app.services.signals import send_signal
from executions_app.transaction import database_now, persistently
from templates_app.models import Template
from tests.factories import branch, make_template, make_user, make_workspace
from workflow_service.accounts.models import Role, User, Workspace
from workflow_service.engine.states import ENDED_EXECUTION_STATUSES, ApprovalStatus

POLL_S = 0.1
SIGNAL = "go"
# The public id of the template that others call.
CHILD = "tpl_storm_child"
BATCH = 10

Block = dict[str, Any]


def work(block_id: str, *needs: str, ms: int = 80, fails: int = 0, dies: int = 0, **fields: Any) -> Block:
    """Return a block that keeps the ledger; see ``ledger.Work``."""
    given: dict[str, Any] = {"ms": ms, "fails": fails, "dies": dies, "output": fields.pop("output", {})}
    return {
        "blockId": block_id,
        "toolType": "USE_CASE",
        "configuration": {"useCase": "chaos.work", "input": given},
        "dependencies": list(needs),
        "retryPolicy": {"maxRetries": 5, "baseDelay": 500},
        **fields,
    }


def nap(block_id: str, *needs: str, ms: int | str = "${workflow.input.restMs}") -> Block:
    """Return a block that waits for ``ms``, so that many runs are under way and few wait for a worker."""
    return {
        "blockId": block_id,
        "toolType": "WAIT",
        "configuration": {"duration": ms},
        "dependencies": list(needs),
    }


def await_signal(block_id: str, *needs: str) -> Block:
    return {**nap(block_id, *needs), "configuration": {"signal": SIGNAL}}


def chain(length: int = 8) -> list[Block]:
    return [work(f"step{n}", *([f"step{n - 1}"] if n else [])) for n in range(length)]


def resting() -> list[Block]:
    return [*chain(4), nap("rest", "step3"), work("on", "rest"), work("done", "on")]


def diamond() -> list[Block]:
    first, last = work("first"), work("last", "left2", "right2", "middle2", "rest")
    sides = [
        (work(f"{side}1", "first"), work(f"{side}2", f"{side}1")) for side in ("left", "right", "middle")
    ]
    return [first, *(block for side in sides for block in side), nap("rest", "first"), last]


def fan_out() -> list[Block]:
    parts = [work(f"part{n}", "split", ms=40 + 20 * n) for n in range(8)]
    return [nap("rest"), work("split", "rest"), *parts, work("join", *(part["blockId"] for part in parts))]


def early() -> list[Block]:
    """Joins that begin before all their predecessors have ended, and are at work while the others end."""
    ways = [work(f"way{n}", "first", ms=40 + 40 * n) for n in range(5)]
    names = [way["blockId"] for way in ways]
    fastest = work("fastest", *names, ms=150, join="any")
    three = work("three", *names, join=3)
    return [work("first"), *ways, fastest, three, nap("rest", "fastest"), work("done", "rest", "three")]


def branches() -> list[Block]:
    chosen = work(
        "choose",
        "before",
        output={"score": 7},
        conditions={"branches": [branch("score > 5", "high1"), branch(None, "low1")]},
    )
    ways = [
        [{**work(f"{way}1"), "dependencies": []}, work(f"{way}2", f"{way}1"), work(f"{way}3", f"{way}2")]
        for way in ("high", "low")
    ]
    merge = work("merge", "high3", "low3")
    after = [nap("rest", "merge"), work("after", "rest"), work("done", "after")]
    return [work("before"), chosen, *ways[0], *ways[1], merge, *after]


def retries() -> list[Block]:
    return [
        work("begin"),
        work("shaky1", "begin", fails=2),
        work("shaky2", "begin", fails=1),
        work("steady", "begin"),
        work("meet", "shaky1", "shaky2", "steady"),
        work("shaky3", "meet", fails=1),
        nap("rest", "shaky3"),
        work("done", "rest"),
    ]


def approval() -> list[Block]:
    asking = {"required": True, "message": "May it go on?"}
    return [
        work("prepare"),
        work("check", "prepare"),
        work("approve", "check", humanInLoop=asking),
        work("beside", "prepare"),
        work("act", "approve", ms=30),
        work("report", "act", "beside"),
        work("archive", "report"),
    ]


def loop() -> list[Block]:
    again = {"branches": [branch("n < 3", "enter"), branch(None, "report")]}
    return [
        work("begin", output={"n": 0}),
        work("enter", "begin", ms=40),
        work("work1", "enter", ms=40),
        work("work2", "enter", ms=40),
        work("count", "work1", "work2", output={"n": "${n + 1}"}, conditions=again),
        {**work("report"), "dependencies": []},
        nap("rest", "report"),
    ]


def mapping(items: int = 6) -> list[Block]:
    return [
        work("give", output={"numbers": list(range(items))}),
        work("each", "give", ms=40, fails=1, forEach="numbers", maxConcurrency=4),
        work("all", "give", ms=40, forEach="numbers"),
        work("report", "each", "all"),
    ]


def mapping_and_rest() -> list[Block]:
    return [*mapping(), nap("rest", "report")]


def signalled() -> list[Block]:
    return [
        *chain(4),
        await_signal("ready", "step3"),
        nap("rest", "step1"),
        work("act", "ready", "rest"),
        work("done", "act"),
    ]


def calling() -> list[Block]:
    call = {
        "toolType": "SUBWORKFLOW",
        "configuration": {"template": CHILD, "input": {"restMs": "${workflow.input.restMs}"}},
    }
    calls = [{"blockId": f"call{n}", "dependencies": ["prepare"], **call} for n in range(2)]
    return [
        work("begin"),
        work("prepare", "begin"),
        *calls,
        work("use", "call0", "call1"),
        *(work(f"then{n}", f"then{n - 1}" if n else "use") for n in range(2)),
    ]


def failing() -> list[Block]:
    return [
        nap("rest"),
        work("step", "rest"),
        *chain(7),
        work("breaks", "step6", fails=-1),
        work("never", "breaks"),
    ]


@dataclass(frozen=True)
class Kind:
    """A template of the storm: how often it is started, and how its runs must end."""

    name: str
    blocks: Callable[[], list[Block]]
    weight: int
    ends: str = "COMPLETED"


KINDS = (
    Kind("chain", resting, 3),
    Kind("diamond", diamond, 3),
    Kind("fan-out", fan_out, 3),
    Kind("early joins", early, 3),
    Kind("branches", branches, 3),
    Kind("retries", retries, 3),
    Kind("approval", approval, 3),
    Kind("loop", loop, 3),
    Kind("map", mapping_and_rest, 3),
    Kind("signal", signalled, 3),
    Kind("sub-workflow", calling, 3),
    Kind("failing", failing, 1, ends="FAILED"),
)


@dataclass
class Workload:
    """Keeps ``active`` runs under way until ``finish`` is called and at least ``runs`` were started.

    Most runs rest for ``rest_ms``, and people take as long to answer at most.
    """

    seed: int
    runs: int
    active: int
    rest_ms: int
    accepted: dict[str, Kind] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._workspace: Workspace = make_workspace()
        self._approver: User = make_user(self._workspace, Role.APPROVER)
        self._templates: dict[str, Template] = {
            kind.name: make_template(kind.blocks(), workspace=self._workspace) for kind in KINDS
        }
        child = make_template([*chain(2), nap("rest", "step1")], workspace=self._workspace)
        Template.objects.filter(pk=child.pk).update(public_id=CHILD)
        self._enough, self._over = threading.Event(), threading.Event()
        self._threads = [
            threading.Thread(target=self._guarded, args=(loop,), daemon=True)
            for loop in (self._start_runs, self._answer_people)
        ]

    def begin(self) -> None:
        for thread in self._threads:
            thread.start()

    def finish(self) -> None:
        """Start no more than ``runs`` from now on."""
        self._enough.set()

    @property
    def all_started(self) -> bool:
        return not self._threads[0].is_alive()

    def end(self) -> None:
        self._enough.set()
        self._over.set()
        for thread in self._threads:
            thread.join(30)

    def _guarded(self, loop: Callable[[], None]) -> None:
        try:
            loop()
        except Exception as error:  # told by the verdict: a thread's exception would go unseen
            self.errors.append(f"{loop.__name__}: {type(error).__name__}: {error}")
            raise
        finally:
            connection.close()

    def _start_runs(self) -> None:
        chance = random.Random(self.seed)
        while not self._over.is_set():
            if self._enough.is_set() and len(self.accepted) >= self.runs:
                return
            missing = self.active - persistently(count_active)
            for _ in range(max(0, min(missing, BATCH))):
                (kind,) = chance.choices(KINDS, [kind.weight for kind in KINDS])
                self._start(f"run-{len(self.accepted)}", kind)
            self._over.wait(POLL_S)

    def _start(self, key: str, kind: Kind) -> None:
        template = self._templates[kind.name]
        start = partial(
            start_execution,
            workspace=self._workspace,
            actor=template.owner,
            template=template,
            input={"restMs": self.rest_ms},
            idempotency_key=key,
            body_sha256=kind.name,
        )
        persistently(start)
        self.accepted[key] = kind

    def _answer_people(self) -> None:
        chance = random.Random(self.seed)
        while not self._over.wait(POLL_S):
            before = persistently(database_now) - timedelta(milliseconds=self.rest_ms * chance.random())
            for approval_id in persistently(partial(pending_approvals, before)):
                persistently(partial(self._approve, approval_id))
            for row in persistently(partial(waiting_for_signal, before)):
                persistently(partial(_signal, row))

    def _approve(self, approval_id: str) -> None:
        # Its run may have ended since it was listed.
        with contextlib.suppress(ApprovalClosed):
            respond_to_approval(approval_id=approval_id, actor=self._approver, approved=True, source="api")


def _signal(row: BlockExecution) -> None:
    with contextlib.suppress(ExecutionEnded):
        send_signal(execution=row.execution, name=SIGNAL, payload=None, idempotency_key=f"answer-{row.pk}")


def count_active() -> int:
    """Return how many runs have not ended, those that others started not counted."""
    return Execution.objects.filter(parent=None).exclude(status__in=ENDED_EXECUTION_STATUSES).count()


def count_blocks() -> tuple[int, int]:
    """Return how many blocks wait for a worker, and how many are at work."""
    found = [BlockExecution.objects.filter(status=status).count() for status in ("QUEUED", "RUNNING")]
    return found[0], found[1]


def waiting_for_signal(asked_before: datetime) -> list[BlockExecution]:
    rows = BlockExecution.objects.filter(status="WAITING", waits_for="signal", started_at__lt=asked_before)
    return list(rows.select_related("execution"))


def pending_approvals(asked_before: datetime) -> list[str]:
    open_ones = Approval.objects.filter(status=ApprovalStatus.PENDING, requested_at__lt=asked_before)
    return list(open_ones.values_list("public_id", flat=True))


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Wait for a condition; False if it did not hold in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True
