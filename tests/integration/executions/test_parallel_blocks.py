"""``maxParallelBlocks`` holds whoever works on a run, and who waits holds none of it."""

import random
import time

import pytest

from executions_app import running
from executions_app.models import BlockExecution, Execution
from executions_app.sweeper import sweep
from tests.consistency import assert_consistent
from tests.driver import queued_blocks
from tests.factories import make_template, noop, start, statuses
from tests.farms import diary, most_at_once, worker_farm

pytestmark = pytest.mark.usefixtures("db", "empty_queues")

WORK = {"toolType": "USE_CASE", "configuration": {"useCase": "tests.farm_diary", "input": {"of": "x"}}}


def test_many_processes_keep_to_the_limit_of_one_run() -> None:
    blocks = [{"blockId": f"part{n}", **WORK} for n in range(20)]
    blocks += [{"blockId": f"after{n}", "dependencies": [f"part{n}"], **WORK} for n in range(20)]
    execution = start(make_template(blocks, globalSettings={"maxParallelBlocks": 3}))
    with diary(), worker_farm(random.randrange(10**6), children=5, kills_per_s=0.0):
        deadline = time.monotonic() + 60
        while Execution.objects.get(pk=execution.pk).completed_at is None:
            assert time.monotonic() < deadline
            sweep()
            time.sleep(0.1)
        lost = BlockExecution.objects.filter(execution=execution, losses__gt=0).count()
        assert 1 < most_at_once() <= 3 + lost
    assert assert_consistent(execution).status == "COMPLETED"


def test_a_block_that_waits_for_a_person_holds_no_place() -> None:
    ask = noop("ask", humanInLoop={"required": True, "type": "APPROVAL"})
    execution = start(make_template([ask, noop("other")], globalSettings={"maxParallelBlocks": 1}))
    assert statuses(execution) == {"ask": "QUEUED", "other": "READY"}
    (row_id,) = queued_blocks(execution)
    running.run_blocks(execution.pk, row_id, "default")
    assert statuses(execution) == {"ask": "WAITING", "other": "QUEUED"}
    assert assert_consistent(execution).slots == 1
