"""Blocks that overrun their timeout and do not stop: killed by the parent of their process, failed like a timeout."""

import os
import time
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from executions_app import leases
from executions_app.aftermath import follow_up
from executions_app.block_rules import KILL_AFTER_S
from executions_app.claiming import claim_block
from executions_app.finishing import Result, finish_block
from executions_app.models import BlockExecution, Execution, ExecutionEvent, SweeperState, WorkerLease
from executions_app.overruns import ABANDONED_AFTER_S
from executions_app.parking import take_back
from executions_app.progress import Claim
from executions_app.sweeper import sweep
from executions_app.worker_identity import worker_id
from tests.consistency import assert_consistent
from tests.driver import queued_blocks
from tests.factories import event_types, make_template, noop, start, statuses
from tests.farms import live_worker, worker_farm
from workflow_service.engine.states import BlockStatus
from workflow_service.settings.config import get_config

pytestmark = pytest.mark.usefixtures("db", "empty_queues")

ONCE_MORE = {"maxRetries": 1, "baseDelay": 1}


def claimed(**fields: object) -> tuple[Execution, Claim]:
    execution = start(make_template([noop("slow", **fields)]))
    claim = claim_block(execution.pk, queued_blocks(execution)[0], live_worker()).claim
    assert claim is not None
    return execution, claim


def pass_time(execution: Execution, seconds: float) -> None:
    """Let the hard end of what is running be so many seconds ago."""
    running = BlockExecution.objects.filter(execution=execution, status="RUNNING")
    assert running.update(due_at=timezone.now() - timedelta(seconds=seconds))


def worker_of(execution: Execution) -> UUID:
    worker = BlockExecution.objects.values_list("worker_id", flat=True).get(execution=execution)
    assert worker is not None
    return worker


def eventually(holds: Callable[[], bool], within_s: float = 120.0) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


def test_a_claim_says_when_its_process_is_killed() -> None:
    _execution, claim = claimed(timeout=2_000)
    row = BlockExecution.objects.get(pk=claim.block_execution_id)
    assert row.due_at is not None
    assert row.started_at is not None
    assert row.due_at - row.started_at == timedelta(seconds=2 + KILL_AFTER_S)

    two = start(make_template([noop("first"), noop("second", dependencies=["first"])]))
    first = claim_block(two.pk, queued_blocks(two)[0], worker_id()).claim
    assert first is not None
    finish_block(first, Result(BlockStatus.COMPLETED, output={}), continue_as=(worker_id(), "default"))
    row = BlockExecution.objects.get(execution=two, block_id="second", status="RUNNING")
    assert row.due_at is not None
    assert row.started_at is not None
    default_s = get_config().workflow_default_timeout_ms / 1_000
    assert row.due_at - row.started_at == timedelta(seconds=default_s + KILL_AFTER_S)


def test_a_block_that_is_deaf_to_its_timer_is_killed_and_spends_its_retries() -> None:
    execution = start(
        make_template(
            [
                {
                    "blockId": "deaf",
                    "toolType": "USE_CASE",
                    "configuration": {"useCase": "tests.farm_deaf", "input": {}},
                    "timeout": 100,
                    "retryPolicy": ONCE_MORE,
                }
            ]
        )
    )
    with worker_farm(1, children=2, kills_per_s=0.0):
        workers = []
        for retries in (0, 1):
            row = BlockExecution.objects.filter(execution=execution, status="RUNNING", retries=retries)

            def runs() -> bool:
                sweep()
                return row.exists()  # noqa: B023 - called within this round

            eventually(runs)
            workers.append(worker_of(execution))
            pass_time(execution, 0.1)
            eventually(lambda: not row.exists())  # noqa: B023
        eventually(lambda: Execution.objects.get(pk=execution.pk).status == "FAILED")
        eventually(lambda: not WorkerLease.objects.filter(id__in=workers).exists())
    execution = assert_consistent(execution)
    assert execution.error is not None
    assert execution.error["type"] == "TIMEOUT_ERROR"
    failed = BlockExecution.objects.get(execution=execution)
    assert (failed.status, failed.retries, failed.losses) == ("FAILED", 1, 0)
    assert "block_lost" not in event_types(execution)
    assert event_types(execution).count("block_retrying") == 1
    assert workers[0] != workers[1]


def test_what_overran_on_a_machine_that_is_gone_is_a_timeout_too() -> None:
    SweeperState.objects.update_or_create(
        id=1, defaults={"last_tick_at": timezone.now(), "grace_until": None}
    )
    execution = start(make_template([noop("slow", retryPolicy=ONCE_MORE)]))
    assert claim_block(execution.pk, queued_blocks(execution)[0], uuid4()).claim
    pass_time(execution, 0)
    sweep()
    row = BlockExecution.objects.get(execution=execution)
    assert (row.status, row.retries, row.losses) == ("RETRYING", 1, 0)
    assert row.error is not None
    assert row.error["type"] == "TIMEOUT_ERROR"
    assert_consistent(execution)


def test_the_sweeper_ends_what_no_parent_killed_and_its_late_result_is_thrown_away() -> None:
    execution, claim = claimed(retryPolicy={"maxRetries": 0})
    pass_time(execution, 1)
    sweep()
    assert statuses(execution) == {"slow": "RUNNING"}, "its parent comes first"
    pass_time(execution, ABANDONED_AFTER_S + 1)
    sweep()
    assert statuses(execution) == {"slow": "FAILED"}
    assert not finish_block(claim, Result(BlockStatus.COMPLETED, output={})).accepted
    execution = assert_consistent(execution)
    assert execution.status == "FAILED"
    failed = ExecutionEvent.objects.get(execution_id=execution.pk, type="block_failed")
    assert failed.data["error"]["type"] == "TIMEOUT_ERROR"


def test_a_worker_that_dies_in_time_is_lost_and_spends_no_retry() -> None:
    execution, claim = claimed(timeout=2_000)
    follow_up(take_back(execution.pk, [(claim.block_execution_id, claim.fence)]), execution.pk)
    row = BlockExecution.objects.get(execution=execution)
    assert (row.status, row.retries, row.losses) == ("QUEUED", 0, 1)


def test_a_parent_kills_its_own_children_only_and_not_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    pids: dict[UUID, int] = {}
    for pid in (os.getpid(), 1):
        execution, _claim = claimed()
        pass_time(execution, 0)
        pids[worker_of(execution)] = pid
    killed: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, _signal: killed.append(pid))
    keeper = leases.LeaseKeeper(leases.Repairer())
    keeper._children = pids
    keeper._kill_overrun()
    assert killed == [], "this process is the worker, and process 1 is nobody's child"


def test_after_a_silence_of_the_database_nobody_is_killed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    execution, _claim = claimed()
    pass_time(execution, 0)
    killed: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, _signal: killed.append(pid))
    monkeypatch.setattr(leases, "is_running", lambda pid: True)
    keeper = leases.LeaseKeeper(leases.Repairer())
    keeper._children = {worker_of(execution): 4_000_000}
    keeper._searched_at -= leases.SILENCE_S + 1
    keeper._kill_overrun()
    assert killed == []
    keeper._kills_after = 0.0
    keeper._kill_overrun()
    assert killed == [4_000_000]
