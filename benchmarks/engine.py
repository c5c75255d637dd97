"""The engine's side of the benchmark: real executions, started by the service and watched through Postgres."""

import time
from collections.abc import Sequence
from typing import Any

from django.db import connection

from executions_app.models import Execution
from executions_app.services.executions import start_execution
from templates_app.models import Template, TemplateVersion
from workflow_service.accounts.models import Membership, Role, User, Workspace
from workflow_service.engine.documents import dump_definition, load_definition
from workflow_service.engine.states import ENDED_EXECUTION_STATUSES, ExecutionStatus

# Who waits looks again after a hundredth of the time waited so far: exact enough, and no load.
LEAST_POLL_S, MOST_POLL_S = 0.001, 0.05
POLL_SHARE = 0.01
MANY_POLL_S = 0.02
NORMAL, LOW, HIGH = "normal", "low", "high"

Block = dict[str, Any]

# From the end of the first block to the end of the last: what begins and ends a run is not a step.
STEP_MS = """
    SELECT extract(epoch FROM max(finished_at) - min(finished_at)) * 1000 / (count(*) - 1)
    FROM executions_app_blockexecution WHERE execution_id = %s
"""
LEFT = "SELECT count(*) FROM executions_app_execution WHERE id = ANY(%s) AND NOT status = ANY(%s)"
WAITS_MS = """
    SELECT extract(epoch FROM finished_at - created_at) * 1000
    FROM executions_app_blockexecution WHERE execution_id = ANY(%s) AND status = 'COMPLETED'
"""


class NotCompleted(RuntimeError):
    """A run that must complete did not, or not in time."""


def owner() -> User:
    """Return the user whose templates and runs these are, an admin of the one workspace."""
    found = User.objects.filter(username="benchmark").first()
    if found is None:
        found = User.objects.create(username="benchmark")
        workspace = Workspace.objects.create(name="Benchmark", slug="benchmark")
        Membership.objects.create(workspace=workspace, user=found, role=Role.ADMIN)
    return found


def make_template(name: str, blocks: Sequence[Block], **settings: Any) -> Template:
    """Make an active template of these blocks; ``settings`` are its global ones."""
    user = owner()
    definition = load_definition({"blocks": list(blocks), "globalSettings": settings})
    template = Template.objects.create(
        workspace=user.workspaces.get(), owner=user, name=name, status="active"
    )
    template.current_version = TemplateVersion.objects.create(
        template=template,
        ordinal=1,
        label="1.0.0",
        definition=dump_definition(definition),
        definition_sha256="",
        created_by=user,
    )
    template.save()
    return template


def chain(length: int, *, fib: bool = False) -> Template:
    """Make a template of blocks in a row that do nothing, or compute fib(10)."""
    work = {"toolType": "USE_CASE", "configuration": {"useCase": "benchmark.fib", "input": {"n": 10}}}
    blocks = [
        {"blockId": f"step{n}", "dependencies": [f"step{n - 1}"] if n else []}
        | (work if fib else {"toolType": "NOOP"})
        for n in range(length)
    ]
    return make_template(f"{length} in a row", blocks)


def fan(width: int, **settings: Any) -> Template:
    """Make a template of blocks side by side that meet in one more; ``settings`` are its global ones."""
    return make_template(f"{width} side by side", _meeting(width, []), **settings)


def diamond(width: int = 5) -> Template:
    """Make a template of a block, several side by side after it, and one in which they meet."""
    blocks = [{"blockId": "split", "toolType": "NOOP"}, *_meeting(width, ["split"])]
    return make_template(f"diamond of {width}", blocks)


def _meeting(width: int, after: list[str]) -> list[Block]:
    parts = [{"blockId": f"part{n}", "toolType": "NOOP", "dependencies": after} for n in range(width)]
    return [
        *parts,
        {"blockId": "join", "toolType": "NOOP", "dependencies": [part["blockId"] for part in parts]},
    ]


def start(template: Template, priority: str = NORMAL) -> Execution:
    """Start a run as a caller of the service does."""
    return start_execution(
        workspace=template.workspace,
        actor=template.owner,
        template=template,
        input={},
        options={"priority": priority},
    ).execution


def run_once(template: Template, timeout_s: float, priority: str = NORMAL) -> tuple[float, Execution]:
    """Run a template once; returns seconds from the start to the committed end, and the run."""
    begun = time.perf_counter()
    execution = start(template, priority)
    while (status := status_of(execution)) not in ENDED_EXECUTION_STATUSES:
        waited = time.perf_counter() - begun
        if waited > timeout_s:
            raise NotCompleted(f"{execution} is {status} after {timeout_s:.0f} s")
        time.sleep(min(MOST_POLL_S, max(LEAST_POLL_S, waited * POLL_SHARE)))
    took = time.perf_counter() - begun
    if status != ExecutionStatus.COMPLETED:
        raise NotCompleted(f"{execution} is {status}")
    return took, execution


def status_of(execution: Execution) -> str:
    """Return how a run stands now."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT status FROM executions_app_execution WHERE id = %s", [execution.pk])
        return str(cursor.fetchone()[0])


def run_many(template: Template, count: int, timeout_s: float) -> tuple[float, list[int]]:
    """Start runs as fast as one caller can and wait for all; returns seconds and their ids."""
    begun = time.perf_counter()
    ids = [start(template).pk for _ in range(count)]
    wait_for_all(ids, timeout_s)
    return time.perf_counter() - begun, ids


def wait_for_all(ids: Sequence[int], timeout_s: float) -> None:
    """Wait until all these runs have completed; raises ``NotCompleted`` saying what became of the others."""
    wait_for_end(ids, timeout_s)
    completed = Execution.objects.filter(pk__in=ids, status=ExecutionStatus.COMPLETED).count()
    if completed != len(ids):
        raise NotCompleted(f"only {completed} of {len(ids)} runs are COMPLETED")


def wait_for_end(ids: Sequence[int], timeout_s: float) -> None:
    """Wait until all these runs have ended, well or not; raises ``NotCompleted``."""
    deadline = time.monotonic() + timeout_s
    while still := left(ids):
        if time.monotonic() > deadline:
            raise NotCompleted(f"{still} of {len(ids)} runs have not ended after {timeout_s:.0f} s")
        time.sleep(MANY_POLL_S)


def left(ids: Sequence[int]) -> int:
    """Return how many of these runs have not ended."""
    with connection.cursor() as cursor:
        cursor.execute(LEFT, [list(ids), sorted(ENDED_EXECUTION_STATUSES)])
        return int(cursor.fetchone()[0])


def step_ms(execution: Execution) -> float:
    """Return the milliseconds of a step within a finished run of blocks in a row."""
    with connection.cursor() as cursor:
        cursor.execute(STEP_MS, [execution.pk])
        return float(cursor.fetchone()[0])


def block_waits_ms(ids: Sequence[int]) -> list[float]:
    """Return, for each block of these runs, the milliseconds from its row to its end, waiting for workers included."""
    with connection.cursor() as cursor:
        cursor.execute(WAITS_MS, [list(ids)])
        return [float(wait) for (wait,) in cursor.fetchall()]
