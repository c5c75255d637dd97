"""Limits of agents: at most so many blocks are at work on one at once; the oldest waiter is next, none forgotten."""

import random
import time
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone

from executions_app import agent_slots, running
from executions_app.aftermath import follow_up
from executions_app.agent_slots import give_back, hand_on
from executions_app.claiming import ClaimAnswer, claim_block
from executions_app.finishing import Result, finish_block
from executions_app.models import (
    AgentSlot,
    BlockExecution,
    ConcurrencyLimit,
    Execution,
    SweeperState,
    WorkerLease,
)
from executions_app.progress import Claim
from executions_app.services.blocks import reassign_block
from executions_app.services.control import Asked, cancel_execution
from executions_app.services.limits import delete_limit, save_limit
from executions_app.sweeper import sweep, take_back_blocks_of
from executions_app.worker_identity import worker_id
from tests.consistency import assert_consistent
from tests.driver import queued_blocks, run_all_until_quiet, run_until_quiet
from tests.factories import event_types, make_agent, make_template, make_workspace, noop, start, statuses
from tests.farms import diary, live_worker, most_at_once, worker_farm
from tests.locks import connect_elsewhere
from workflow_service.accounts.models import Workspace
from workflow_service.engine.states import ENDED_EXECUTION_STATUSES, BlockStatus

pytestmark = pytest.mark.usefixtures("db", "empty_queues", "leases_expire")

ADA = Asked("ada")
DONE = Result(BlockStatus.COMPLETED, output={})


@pytest.fixture
def leases_expire(db: None) -> None:
    SweeperState.objects.update_or_create(
        id=1, defaults={"last_tick_at": timezone.now(), "grace_until": None}
    )


def limited(most: int, agent: str = "crm") -> Workspace:
    workspace = make_workspace()
    make_agent(workspace, "spare")
    save_limit(ConcurrencyLimit(workspace=workspace, kind="agent", key=agent, max_concurrency=most))
    return workspace


def start_call(workspace: Workspace, **fields: Any) -> Execution:
    return start(make_template([noop("call", agentId="crm", **fields)], workspace=workspace))


def ask_for(execution: Execution, worker: UUID) -> ClaimAnswer:
    """Claim as a worker does: a block that finds no slot is put aside."""
    (row_id,) = queued_blocks(execution)
    answer = claim_block(execution.pk, row_id, worker)
    if answer.no_slot:
        agent_slots.wait_for_slot(execution.pk, row_id, *answer.no_slot)
    return answer


def claim(execution: Execution, worker: UUID | None = None) -> Claim:
    claimed = ask_for(execution, worker or live_worker()).claim
    assert claimed is not None
    return claimed


def assert_waits(execution: Execution) -> None:
    assert ask_for(execution, live_worker()).claim is None
    assert statuses(execution) == {"call": "WAITING"}


def let_go(claimed: Claim) -> None:
    """Do what a worker does when its work has stopped."""
    assert claimed.agent_limit_id is not None
    give_back(claimed.agent_limit_id, claimed.block_execution_id, claimed.fence)
    hand_on(claimed.agent_limit_id)


def finish(claimed: Claim) -> None:
    follow_up(finish_block(claimed, DONE), claimed.execution_id)
    let_go(claimed)


def slots(workspace: Workspace) -> list[int | None]:
    rows = AgentSlot.objects.filter(limit__workspace=workspace).order_by("number")
    return list(rows.values_list("block_execution_id", flat=True))


def test_a_block_that_finds_no_slot_waits_and_is_woken_when_one_is_given_back() -> None:
    workspace = limited(1)
    first, second = start_call(workspace), start_call(workspace)
    claimed = claim(first)
    assert slots(workspace) == [claimed.block_execution_id]
    assert_waits(second)
    assert assert_consistent(second).slots == 0, "who waits for an agent holds no slot of its run"
    assert event_types(second).count("block_waiting") == 1
    sweep()
    assert statuses(second) == {"call": "WAITING"}, "it does not spin"

    finish(claimed)
    assert statuses(second) == {"call": "QUEUED"}
    assert_consistent(second)
    assert run_until_quiet(second).status == "COMPLETED"
    assert slots(workspace) == [None]
    assert assert_consistent(first).status == "COMPLETED"


def test_the_oldest_waiter_is_next_and_newcomers_do_not_overtake() -> None:
    workspace = limited(1)
    holder, oldest, younger, newcomer = (start_call(workspace) for _ in range(4))
    claimed = claim(holder)
    assert_waits(younger)
    assert_waits(oldest)
    follow_up(finish_block(claimed, DONE), claimed.execution_id)
    give_back(claimed.agent_limit_id or 0, claimed.block_execution_id, claimed.fence)
    # The slot is free, and nobody has handed it on yet.
    assert_waits(newcomer)
    assert statuses(oldest) == {"call": "QUEUED"}
    assert statuses(younger) == {"call": "WAITING"}
    for execution in (oldest, younger, newcomer):
        assert run_until_quiet(execution).status == "COMPLETED"


def test_a_wake_up_that_is_lost_is_repeated_by_the_sweeper() -> None:
    workspace = limited(1)
    first, second = start_call(workspace), start_call(workspace)
    claimed = claim(first)
    assert_waits(second)
    finish_block(claimed, DONE)
    give_back(claimed.agent_limit_id or 0, claimed.block_execution_id, claimed.fence)
    assert statuses(second) == {"call": "WAITING"}
    sweep()
    assert statuses(second) == {"call": "QUEUED"}
    assert run_until_quiet(second).status == "COMPLETED"


def test_a_slot_that_was_kept_for_a_block_whose_waking_was_lost_wakes_it_later() -> None:
    workspace = limited(1)
    first, second = start_call(workspace), start_call(workspace)
    claimed = claim(first)
    assert_waits(second)
    give_back(claimed.agent_limit_id or 0, claimed.block_execution_id, claimed.fence)
    assert claimed.agent_limit_id is not None
    assert agent_slots._reserve(claimed.agent_limit_id)
    assert statuses(second) == {"call": "WAITING"}
    sweep()
    assert statuses(second) == {"call": "QUEUED"}


def test_a_slot_is_kept_for_who_was_woken() -> None:
    workspace = limited(1)
    first, second, third = (start_call(workspace) for _ in range(3))
    claimed = claim(first)
    assert_waits(second)
    finish(claimed)
    assert_waits(third)
    assert claim(second).agent_limit_id == claimed.agent_limit_id


def test_who_was_woken_and_cannot_start_leaves_the_slot_to_the_next() -> None:
    workspace = limited(1)
    first, second, third = (start_call(workspace) for _ in range(3))
    claimed = claim(first)
    assert_waits(second)
    assert_waits(third)
    finish(claimed)
    AgentSlot.objects.update(reserved_until=timezone.now())
    sweep()
    assert statuses(third) == {"call": "QUEUED"}
    assert_waits(second)
    assert run_until_quiet(third).status == "COMPLETED"
    assert run_until_quiet(second).status == "COMPLETED"


def test_a_slot_is_held_until_the_work_stops_whatever_became_of_the_block() -> None:
    workspace = limited(1)
    first, second = start_call(workspace), start_call(workspace)
    claimed = claim(first)
    assert_waits(second)
    # As by a cancel: the row is fenced, and its worker goes on.
    BlockExecution.objects.filter(pk=claimed.block_execution_id).update(
        status="CANCELLED", fence=claimed.fence + 1
    )
    sweep()
    assert statuses(second) == {"call": "WAITING"}
    assert not finish_block(claimed, DONE).accepted
    let_go(claimed)
    assert statuses(second) == {"call": "QUEUED"}


def test_the_slots_of_a_dead_worker_are_given_back() -> None:
    workspace = limited(1)
    first, second = start_call(workspace), start_call(workspace)
    worker = live_worker()
    claim(first, worker)
    assert_waits(second)
    WorkerLease.objects.filter(id=worker).delete()
    sweep()
    assert statuses(first) == {"call": "QUEUED"}, "it is run again"
    assert statuses(second) == {"call": "QUEUED"}
    assert_waits(first)
    assert run_until_quiet(second).status == "COMPLETED"
    assert run_until_quiet(first).status == "COMPLETED"


def test_a_block_that_is_retried_gives_its_slot_back_meanwhile() -> None:
    workspace = limited(1)
    broken = start(
        make_template(
            [
                {
                    "blockId": "call",
                    "agentId": "crm",
                    "toolType": "SCRIPT",
                    "configuration": {"script": "missing.py"},
                    "retryPolicy": {"maxRetries": 0},
                }
            ],
            workspace=workspace,
        )
    )
    (row_id,) = queued_blocks(broken)
    running.run_blocks(broken.pk, row_id, "default")
    assert slots(workspace) in ([None], [])
    assert run_until_quiet(start_call(workspace)).status == "COMPLETED"


def test_a_paused_run_leaves_its_turn_to_others() -> None:
    workspace = limited(1)
    first, paused, third = (start_call(workspace) for _ in range(3))
    claimed = claim(first)
    assert_waits(paused)
    assert_waits(third)
    Execution.objects.filter(pk=paused.pk).update(status="PAUSED")
    finish(claimed)
    assert statuses(paused) == {"call": "WAITING"}
    assert run_until_quiet(third).status == "COMPLETED"
    Execution.objects.filter(pk=paused.pk).update(status="RUNNING")
    sweep()
    assert run_until_quiet(paused).status == "COMPLETED"


def test_who_waits_for_an_agent_lets_the_rest_of_its_run_go_on() -> None:
    workspace = limited(1)
    holder = claim(start_call(workspace))
    settings = {"maxParallelBlocks": 1}
    blocks = [noop("call", agentId="crm"), noop("other")]
    execution = start(make_template(blocks, workspace=workspace, globalSettings=settings))
    assert statuses(execution) == {"call": "QUEUED", "other": "READY"}
    (row_id,) = queued_blocks(execution)
    running.run_blocks(execution.pk, row_id, "default")
    assert statuses(execution) == {"call": "WAITING", "other": "QUEUED"}
    assert assert_consistent(execution).status == "RUNNING"
    run_until_quiet(execution)
    assert statuses(execution) == {"call": "WAITING", "other": "COMPLETED"}
    finish(holder)
    assert run_until_quiet(execution).status == "COMPLETED"


def test_a_block_on_an_agent_with_a_limit_does_not_go_on_in_place() -> None:
    workspace = limited(1)
    blocks = [noop("first"), noop("call", agentId="crm", dependencies=["first"])]
    execution = start(make_template(blocks, workspace=workspace))
    (row_id,) = queued_blocks(execution)
    assert running.run_blocks(execution.pk, row_id, "default") == 1
    assert statuses(execution) == {"first": "COMPLETED", "call": "QUEUED"}
    assert run_until_quiet(execution).status == "COMPLETED"


def test_other_agents_and_other_workspaces_are_not_limited() -> None:
    workspace = limited(1)
    claim(start_call(workspace))
    other_agent = start(make_template([noop("call", agentId="erp")], workspace=workspace))
    assert claim(other_agent).agent_limit_id is None
    assert claim(start_call(make_workspace())).agent_limit_id is None


def test_a_limit_may_be_raised_lowered_and_taken_away() -> None:
    workspace = limited(1)
    runs = [start_call(workspace) for _ in range(4)]
    held = [claim(runs[0])]
    assert_waits(runs[1])
    limit = ConcurrencyLimit.objects.get(workspace=workspace)
    limit.max_concurrency = 2
    save_limit(limit)
    held.append(claim(runs[1]))
    limit.max_concurrency = 1
    save_limit(limit)
    assert_waits(runs[2])
    finish(held[0])
    assert statuses(runs[2]) == {"call": "WAITING"}, "the other slot is still above the limit"
    finish(held[1])
    assert statuses(runs[2]) == {"call": "QUEUED"}
    assert_waits(runs[3])
    delete_limit(limit)
    run_all_until_quiet()
    assert {statuses(run)["call"] for run in runs} == {"COMPLETED"}


def test_two_claims_at_once_do_not_share_a_slot() -> None:
    workspace = limited(1)
    first, second = start_call(workspace), start_call(workspace)
    assert run_until_quiet(start_call(workspace)).status == "COMPLETED"
    with connect_elsewhere() as elsewhere:
        elsewhere.execute("SELECT 1 FROM executions_app_agentslot FOR UPDATE")
        assert ask_for(first, live_worker()).claim is None, "the slot is being taken by somebody else"
    sweep()
    claimed = claim(first)
    assert_waits(second)
    finish(claimed)


@pytest.mark.parametrize("kills_per_s", [0.0, 2.0])
def test_many_processes_keep_to_the_limit(kills_per_s: float) -> None:
    workspace = limited(2)
    work = {"toolType": "USE_CASE", "configuration": {"useCase": "tests.farm_work", "input": {"name": "x"}}}
    call = {"toolType": "USE_CASE", "configuration": {"useCase": "tests.farm_diary", "input": {"of": "crm"}}}
    calls = [{"blockId": f"call{n}", "agentId": "crm", **call} for n in range(6)]
    after = [{"blockId": f"after{n}", "dependencies": [f"call{n}"], **work} for n in range(6)]
    executions = [start(make_template([*calls, *after], workspace=workspace)) for _ in range(2)]
    open_runs = Execution.objects.filter(pk__in=[execution.pk for execution in executions]).exclude(
        status__in=ENDED_EXECUTION_STATUSES
    )
    with diary(), worker_farm(random.randrange(10**6), children=5, kills_per_s=kills_per_s):
        deadline = time.monotonic() + 90
        while open_runs.exists():
            assert time.monotonic() < deadline
            sweep()
            time.sleep(0.1)
        # Who lost its lease, killed or starved, lost its slot: its block ran again, beside what it may still have done.
        lost = BlockExecution.objects.filter(execution__in=executions, losses__gt=0).count()
        assert 1 <= most_at_once() <= 2 + lost
    for execution in executions:
        assert assert_consistent(execution).status == "COMPLETED"
    SweeperState.objects.update(grace_until=None)
    WorkerLease.objects.all().delete()
    sweep()
    assert set(slots(workspace)) == {None}


def test_the_items_of_a_map_share_the_slots_and_the_map_itself_takes_none() -> None:
    workspace = limited(1)
    call = noop("call", {"n": "${item}"}, agentId="crm", forEach="[1, 2, 3]")
    execution = start(make_template([call], workspace=workspace))
    (row_id,) = queued_blocks(execution)
    holder = claim(start_call(workspace))
    running.run_blocks(execution.pk, row_id, "default")
    items = BlockExecution.objects.filter(execution=execution, kind="item")
    assert items.count() == 3, "the map needs no slot"
    run_until_quiet(execution)
    assert set(items.values_list("status", "waits_for")) == {("WAITING", "agent")}
    assert_consistent(execution)
    finish(holder)
    run_all_until_quiet()
    execution = assert_consistent(execution)
    assert execution.status == "COMPLETED"
    assert set(items.values_list("status", flat=True)) == {"COMPLETED"}


def test_a_child_that_its_parent_saw_die_gives_its_slots_back_at_once() -> None:
    workspace = limited(1)
    first, second = start_call(workspace), start_call(workspace)
    worker = live_worker()
    claim(first, worker)
    assert_waits(second)
    take_back_blocks_of([worker])
    assert statuses(second) == {"call": "QUEUED"}
    assert statuses(first) == {"call": "QUEUED"}


def test_the_slot_of_a_claim_whose_answer_was_lost_is_given_back() -> None:
    workspace = limited(1)
    execution = start_call(workspace)
    (row_id,) = queued_blocks(execution)
    # Committed, and the connection is lost before the answer: the worker asks again.
    assert claim_block(execution.pk, row_id, worker_id()).claim
    for _ in range(3):
        running.run_blocks(execution.pk, row_id, "default")
        sweep()
    assert run_until_quiet(execution).status == "COMPLETED"
    assert slots(workspace) == [None]
    assert_consistent(execution)


def test_the_slot_of_an_unknown_claim_that_was_cancelled_is_handed_to_who_waits() -> None:
    workspace = limited(1)
    cancelled, waiting = start_call(workspace), start_call(workspace)
    (row_id,) = queued_blocks(cancelled)
    assert claim_block(cancelled.pk, row_id, worker_id()).claim
    assert_waits(waiting)
    cancel_execution(cancelled.pk, ADA)
    running.run_blocks(cancelled.pk, row_id, "default")
    assert run_until_quiet(waiting).status == "COMPLETED"
    assert slots(workspace) == [None]


def test_a_waiter_that_is_given_to_another_agent_leaves_the_queue_of_the_old_one() -> None:
    workspace = limited(1)
    holder, waiting = start_call(workspace), start_call(workspace)
    claim(holder)
    assert_waits(waiting)
    reassign_block(waiting.pk, "call", ADA, "spare")
    assert statuses(waiting) == {"call": "QUEUED"}
    assert_consistent(waiting)
    assert run_until_quiet(waiting).status == "COMPLETED"
    assert BlockExecution.objects.get(execution=waiting).agent_id == "spare"


@pytest.mark.parametrize("begun", [False, True])
def test_a_map_is_given_to_another_agent_with_its_items(begun: bool) -> None:
    workspace = limited(1)
    holder = claim(start_call(workspace))
    execution = start(
        make_template([noop("each", "${item}", agentId="crm", forEach="[1, 2]")], workspace=workspace)
    )
    if begun:
        run_until_quiet(execution)
        assert BlockExecution.objects.filter(execution=execution, kind="item", waits_for="agent").count() == 2
    reassign_block(execution.pk, "each", ADA, "spare")
    assert_consistent(execution)
    assert run_until_quiet(execution).status == "COMPLETED", "the slot of the old agent is still taken"
    items = BlockExecution.objects.filter(execution=execution, kind="item")
    assert set(items.values_list("agent_id", flat=True)) == {"spare"}
    assert slots(workspace) == [holder.block_execution_id]


def test_a_block_that_waits_for_a_busy_agent_begins_at_once_with_another() -> None:
    workspace = limited(1)
    held = start_call(workspace)
    claim(held)
    waiting = start_call(workspace)
    assert_waits(waiting)
    reassign_block(waiting.pk, "call", Asked("ada"), "spare")
    row = BlockExecution.objects.get(execution=waiting)
    assert (row.status, row.agent_id, row.waits_for) == ("QUEUED", "spare", "")
    assert run_until_quiet(waiting).status == "COMPLETED"
    assert_consistent(waiting)
