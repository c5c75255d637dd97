"""Priorities: a block goes to its own queue, else to its run's, and a worker takes what is urgent first."""

import sys
import time
from typing import Any

import pytest

from executions_app import running
from executions_app.models import BlockExecution, Execution
from tests.driver import queued_blocks, run_until_quiet
from tests.factories import make_template, make_workspace, noop, start, statuses
from tests.farms import processes

pytestmark = pytest.mark.usefixtures("db", "empty_queues")

WAITING_LOW = 100
ENDS_WITHIN_S = 60.0


def queues(execution: Execution) -> dict[str, str]:
    return dict(BlockExecution.objects.filter(execution=execution).values_list("block_id", "queue"))


@pytest.mark.parametrize(
    ("options", "own", "rest"),
    [({}, "high", "default"), ({"priority": "low"}, "high", "low"), ({"priority": "high"}, "high", "high")],
)
def test_a_blocks_own_priority_comes_before_its_runs(options: dict[str, Any], own: str, rest: str) -> None:
    blocks = [noop("first"), noop("urgent", priority="high", dependencies=["first"]), noop("beside")]
    execution = start(make_template(blocks), **options)
    run_until_quiet(execution)
    assert queues(execution) == {"first": rest, "urgent": own, "beside": rest}


def test_a_block_of_normal_priority_leaves_the_queue_of_an_urgent_run() -> None:
    execution = start(make_template([noop("first", priority="normal")]), priority="high")
    assert queues(execution) == {"first": "default"}


def test_a_join_keeps_its_priority_while_it_waits_for_its_edges() -> None:
    blocks = [noop("a"), noop("b"), noop("join", priority="low", dependencies=["a", "b"])]
    execution = start(make_template(blocks))
    running.run_blocks(execution.pk, queued_blocks(execution)[0], "default")
    assert statuses(execution)["join"] == "PENDING"
    run_until_quiet(execution)
    assert queues(execution)["join"] == "low"


def test_a_worker_goes_on_in_place_only_with_blocks_of_its_queue() -> None:
    execution = start(make_template([noop("first"), noop("urgent", priority="high", dependencies=["first"])]))
    assert running.run_blocks(execution.pk, queued_blocks(execution)[0], "default") == 1
    assert statuses(execution) == {"first": "COMPLETED", "urgent": "QUEUED"}
    assert running.run_blocks(execution.pk, queued_blocks(execution)[0], "high") == 1


def test_an_older_ready_sibling_goes_first() -> None:
    blocks = [
        noop("split"),
        noop("old1", dependencies=["split"]),
        noop("old2", dependencies=["split"]),
        noop("young", dependencies=["old1"]),
    ]
    execution = start(make_template(blocks, globalSettings={"maxParallelBlocks": 1}))
    (row_id,) = queued_blocks(execution)
    running.run_blocks(execution.pk, row_id, "default")
    run_until_quiet(execution)
    began = BlockExecution.objects.filter(execution=execution).order_by("started_at")
    assert list(began.values_list("block_id", flat=True)) == ["split", "old1", "old2", "young"]


def test_a_worker_of_all_queues_takes_what_is_urgent_before_a_hundred_that_wait() -> None:
    workspace = make_workspace()
    template = make_template([noop("only")], workspace=workspace)
    low = [start(template, priority="low") for _ in range(WAITING_LOW)]
    normal = [start(template) for _ in range(10)]
    high = [start(template, priority="high") for _ in range(10)]
    worker = (
        *("celery", "-A", "celery_app", "worker", "-n", "priorities@%h", "-Q", "high,default,low"),
        *("-c", "1", "--prefetch-multiplier", "1", "--without-gossip", "--without-mingle", "-l", "CRITICAL"),
    )
    with processes(sys.executable, "-m", *worker):
        wait_ended([*low[:20], *normal, *high])
        late = start(template, priority="high")
        wait_ended([late])
        wait_ended(low)
    began = {
        row.execution_id: row.started_at
        for row in BlockExecution.objects.filter(block_id="only")
        if row.started_at is not None
    }
    last_high = max(began[run.pk] for run in high)
    assert last_high < min(began[run.pk] for run in normal), "round robin would take one of each"
    assert max(began[run.pk] for run in normal) < min(began[run.pk] for run in low)
    overtaken = sum(began[late.pk] < began[run.pk] for run in low)
    assert overtaken > WAITING_LOW / 4, "who comes later overtakes who still waits"


def wait_ended(executions: list[Execution]) -> None:
    deadline = time.monotonic() + ENDS_WITHIN_S
    keys = [execution.pk for execution in executions]
    while Execution.objects.filter(pk__in=keys).exclude(status="COMPLETED").exists():
        assert time.monotonic() < deadline, "the worker did not come to an end"
        time.sleep(0.02)
