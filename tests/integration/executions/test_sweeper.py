"""What the sweeper repairs, and that nothing which is broken keeps it from repairing the rest."""

from datetime import datetime, timedelta
from multiprocessing import Pipe, get_context
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from celery import Celery, current_app, signals
from django.db import OperationalError, connection
from django.utils import timezone
from pydantic import JsonValue

from executions_app import leases, parking, running, sweeper, work_board, worker_identity
from executions_app.claiming import claim_block
from executions_app.finishing import Result, finish_block
from executions_app.models import BlockExecution, Execution, SweeperState, WorkerLease
from executions_app.parking import MAX_LOSSES
from executions_app.progress import Claim
from executions_app.sweeper import sweep
from executions_app.worker_identity import register_lease, worker_id
from tests.consistency import assert_consistent, assert_rebuilt
from tests.driver import queued_blocks, retry_later, run_until_quiet
from tests.factories import error_of, event_types, make_template, noop, start, statuses
from tests.locks import connect_elsewhere, locked_elsewhere
from workflow_service.engine.states import BlockStatus

pytestmark = pytest.mark.usefixtures("db", "leases_expire", "empty_queues", "idle_process")

ERROR: dict[str, JsonValue] = {"type": "NETWORK_ERROR", "message": "again", "retryable": True}


@pytest.fixture
def leases_expire(db: None) -> None:
    """Say that the last tick was a moment ago: after a gap no lease expires."""
    SweeperState.objects.update_or_create(
        id=1, defaults={"last_tick_at": timezone.now(), "grace_until": None}
    )


@pytest.fixture
def idle_process() -> None:
    """Say that this process is at work on nothing, whatever an earlier test left it at."""
    work_board.note_idle()


def claim_one(execution: Execution, worker: UUID | None = None) -> Claim:
    claim = claim_block(execution.pk, queued_blocks(execution)[0], worker or worker_id()).claim
    assert claim is not None
    return claim


def due_retry() -> Execution:
    execution = start(make_template([noop("once")]))
    retry_later(claim_one(execution), ERROR, 0.0)
    return execution


def make_late(execution: Execution, sends: int) -> None:
    BlockExecution.objects.filter(execution=execution, status="QUEUED").update(
        next_send_at=timezone.now() - timedelta(seconds=1), sends=sends
    )


def lose_messages(queue: str) -> None:
    with current_app.connection_for_write() as broker:
        broker.default_channel.queue_purge(queue)


def sends_of(execution: Execution) -> int:
    return BlockExecution.objects.get(execution=execution, status="QUEUED").sends


def test_a_due_retry_is_queued_again() -> None:
    execution = due_retry()
    assert statuses(execution) == {"once": "RETRYING"}
    assert sweep()
    assert statuses(execution) == {"once": "QUEUED"}
    assert_consistent(execution)
    assert run_until_quiet(execution).status == "COMPLETED"
    assert event_types(execution).count("block_retrying") == 1


def test_what_a_finisher_could_not_settle_is_settled() -> None:
    execution = start(make_template([noop("one"), noop("two", dependencies=["one"])]))
    claim = claim_one(execution)
    with locked_elsewhere(execution.pk):
        finish_block(claim, Result(BlockStatus.COMPLETED, output={}))
    BlockExecution.objects.filter(pk=claim.block_execution_id).update(
        finished_at=timezone.now() - timedelta(seconds=2)
    )
    sweep()
    assert statuses(execution) == {"one": "COMPLETED", "two": "QUEUED"}
    assert_consistent(execution)


def test_a_block_of_a_worker_without_a_lease_is_given_to_others() -> None:
    execution = start(make_template([noop("once")]))
    claim_one(execution, uuid4())
    sweep()
    assert statuses(execution) == {"once": "QUEUED"}
    row = BlockExecution.objects.get(execution=execution)
    assert row.queue == "high", "it had its turn already"
    assert_consistent(execution)
    assert run_until_quiet(execution).status == "COMPLETED"


def test_an_execution_that_is_locked_does_not_keep_others_from_being_swept() -> None:
    stuck, other = due_retry(), due_retry()
    lost_stuck, lost = start(make_template([noop("once")])), start(make_template([noop("once")]))
    claim_one(lost_stuck, uuid4())
    claim_one(lost, uuid4())
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '100ms'")
    try:
        with locked_elsewhere(stuck.pk), locked_elsewhere(lost_stuck.pk):
            sweep()
            assert statuses(other) == {"once": "QUEUED"}
            assert statuses(lost) == {"once": "QUEUED"}
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '5s'")
    sweep()
    assert statuses(stuck) == {"once": "QUEUED"}
    assert statuses(lost_stuck) == {"once": "QUEUED"}


def test_after_a_gap_between_ticks_no_lease_expires_at_once() -> None:
    SweeperState.objects.update(last_tick_at=timezone.now() - timedelta(seconds=10))
    execution = start(make_template([noop("once")]))
    claim_one(execution, uuid4())
    sweep()
    assert statuses(execution) == {"once": "RUNNING"}


def test_leases_expire_where_a_workers_parent_stands_in_for_beat() -> None:
    """The stand-in comes soon enough not to take its own rhythm for an outage of the database."""
    slowest_s = leases.SWEEP_OVERDUE_S + leases.REPAIR_INTERVAL_S
    assert slowest_s < sweeper.GAP_S
    execution = start(make_template([noop("once")]))
    claim_one(execution, uuid4())
    SweeperState.objects.update(last_tick_at=timezone.now() - timedelta(seconds=slowest_s))
    leases.Repairer().look()
    assert statuses(execution) == {"once": "QUEUED"}


def test_a_block_that_is_left_with_an_idle_worker_process_is_handed_back_by_its_parent() -> None:
    register_lease(worker_id())
    execution = start(make_template([noop("once")]))
    work_board.note_busy()
    claim = claim_one(execution)
    leases.Repairer().look()
    assert statuses(execution) == {"once": "RUNNING"}, "it may be about to work on it"
    work_board.note_idle()
    leases.Repairer().look()
    assert statuses(execution) == {"once": "QUEUED"}
    row = BlockExecution.objects.get(execution=execution)
    assert (row.losses, row.fence) == (1, claim.fence + 1), "the parent cannot know that it never ran"
    assert run_until_quiet(execution).status == "COMPLETED"
    assert_consistent(execution)


def test_whether_a_worker_process_is_idle_is_known_to_its_parent() -> None:
    heard, said = Pipe()

    def child() -> None:
        for note in (work_board.note_busy, work_board.note_idle):
            note()
            said.send(True)
            said.recv()

    process = get_context("fork").Process(target=child)
    process.start()
    assert process.pid is not None
    answers = []
    for _ in range(2):
        heard.recv()
        answers.append(work_board.is_idle(process.pid))
        heard.send(True)
    process.join(10)
    assert answers == [False, True]
    assert not work_board.is_idle(process.pid + 1), "of whom nothing is known"


def test_a_claim_is_handed_back_whatever_goes_wrong_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    execution = start(make_template([noop("once")]))
    (row_id,) = queued_blocks(execution)

    def claim_and_break(*arguments: Any) -> None:
        claim_block(*arguments)
        raise RuntimeError("a bug")

    monkeypatch.setattr(running, "claim_block", claim_and_break)
    with pytest.raises(RuntimeError):
        running.run_blocks(execution.pk, row_id, "default")
    assert statuses(execution) == {"once": "QUEUED"}


def test_a_parent_lets_no_block_run_twice_that_may_not() -> None:
    """The child began the block and could not hand it back: its parent knows only that it is idle."""
    register_lease(worker_id())
    execution = start(make_template([noop("once", onWorkerLost="fail")]))
    claim_one(execution)
    leases.Repairer().look()
    execution = assert_consistent(execution)
    assert (execution.status, error_of(execution)["type"]) == ("FAILED", "WORKER_LOST")


def test_a_block_that_is_left_again_and_again_is_given_up() -> None:
    register_lease(worker_id())
    execution = start(make_template([noop("once", retryPolicy={"maxRetries": 0})]))
    for _ in range(MAX_LOSSES):
        claim_one(execution)
        leases.Repairer().look()
    assert_consistent(execution)
    assert BlockExecution.objects.get(execution=execution).status == "FAILED"


def test_a_child_knows_with_its_next_message_what_it_began_and_could_not_hand_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    register_lease(worker_id())
    broken, sound = (
        start(make_template([noop("once", onWorkerLost="fail")])),
        start(make_template([noop("a")])),
    )
    (row_id,) = queued_blocks(broken)

    def refuse(*arguments: Any, **options: Any) -> None:
        raise RuntimeError("a bug")

    with monkeypatch.context() as patched:
        patched.setattr(running, "take_back", refuse)
        patched.setattr(running, "write_outcome", refuse)
        with pytest.raises(RuntimeError):
            running.run_blocks(broken.pk, row_id, "default")
    assert statuses(broken) == {"once": "RUNNING"}
    running.run_blocks(sound.pk, queued_blocks(sound)[0], "default")
    assert error_of(assert_consistent(broken))["type"] == "WORKER_LOST"
    assert assert_consistent(sound).status == "COMPLETED"


def test_a_run_whose_lost_block_cannot_be_taken_back_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its worker lives, so nobody else would ever end it."""
    register_lease(worker_id())
    execution = start(make_template([noop("once"), noop("other")]))
    claim_one(execution)

    def refuse(*arguments: Any, **options: Any) -> None:
        raise RuntimeError("a bug \0")

    with monkeypatch.context() as patched:
        patched.setattr(parking, "conclude_locked", refuse)
        leases.Repairer().look()
    execution = assert_consistent(execution)
    assert_rebuilt(execution)
    assert statuses(execution) == {"once": "CANCELLED", "other": "CANCELLED"}
    assert (execution.status, error_of(execution)["type"]) == ("FAILED", "SETTLEMENT_ERROR")
    assert "a bug" in error_of(execution)["message"]
    assert not leases.find_orphans_of_children()


def test_an_orphan_that_cannot_be_handed_back_does_not_keep_its_worker_from_other_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    register_lease(worker_id())
    broken, sound = start(make_template([noop("once")])), start(make_template([noop("once")]))
    claim_one(broken)
    (row_id,) = queued_blocks(sound)

    def refuse(*arguments: Any, **options: Any) -> None:
        raise RuntimeError("a bug")

    with monkeypatch.context() as patched:
        patched.setattr(running, "take_back", refuse)
        assert running.run_blocks(sound.pk, row_id, "default") == 1
    assert statuses(broken) == {"once": "RUNNING"}
    leases.Repairer().look()
    assert statuses(broken) == {"once": "QUEUED"}


def test_the_stand_in_leaves_the_work_to_a_sweeper_that_is_there() -> None:
    execution = due_retry()
    leases.Repairer().look()
    assert statuses(execution) == {"once": "RETRYING"}


def test_a_message_that_was_lost_long_ago_does_not_stop_the_others_from_being_sent() -> None:
    oldest, other = start(make_template([noop("once")])), start(make_template([noop("once")]))
    make_late(oldest, sends=5_000)
    make_late(other, sends=0)
    lose_messages("default")
    sweep()
    assert (sends_of(oldest), sends_of(other)) == (5_001, 1)


def test_a_late_block_whose_message_still_waits_is_not_sent_again() -> None:
    low = start(make_template([noop("once")]), priority="low")
    high = start(make_template([noop("once")]), priority="high")
    make_late(low, sends=0)
    make_late(high, sends=0)
    lose_messages("high")
    sweep()
    assert (sends_of(low), sends_of(high)) == (0, 1)
    run_until_quiet(low)


def test_of_many_late_blocks_as_many_are_sent_again_as_messages_are_missing() -> None:
    template = make_template([noop("once")])
    late = [start(template, priority="low") for _ in range(2)]
    lose_messages("low")
    waiting = [start(template, priority="low") for _ in range(2)]
    for execution in (*late, *waiting):
        make_late(execution, sends=0)
    sweep()
    assert [sends_of(execution) for execution in (*late, *waiting)] == [1, 1, 0, 0]
    for execution in (*late, *waiting):
        run_until_quiet(execution)


def test_only_one_sweeper_sweeps_at_a_time() -> None:
    with connect_elsewhere() as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [sweeper.SWEEP_LOCK])
        assert not sweep()
    assert sweep()


def test_a_sweeper_recovers_from_a_connection_that_was_closed_under_it() -> None:
    """As when Postgres restarts in the middle of a sweep: the step fails, the next tick must not."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    with connect_elsewhere(autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    with pytest.raises(OperationalError), connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    assert sweep()


def test_a_lease_that_is_gone_is_written_anew() -> None:
    mine = worker_id()
    register_lease(mine)
    keeper = leases.LeaseKeeper(leases.Repairer())
    keeper.look()
    WorkerLease.objects.filter(pk=mine).delete()
    keeper._renew()
    assert WorkerLease.objects.get(pk=mine).expires_at > timezone.now()


def test_a_lease_says_which_queues_its_worker_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_identity, "_queues", ())
    worker = Celery("a worker", set_as_current=False)
    worker.amqp.queues.add("unserved")
    worker.amqp.queues.select(["high", "default"])
    signals.celeryd_after_setup.send(sender="w@h", instance=SimpleNamespace(app=worker), conf=worker.conf)
    mine = worker_id()
    WorkerLease.objects.filter(pk=mine).delete()
    register_lease(mine)
    assert WorkerLease.objects.get(pk=mine).queues == ["high", "default"]

    keeper = leases.LeaseKeeper(leases.Repairer())
    keeper.look()
    WorkerLease.objects.filter(pk=mine).update(queues=[])
    keeper._renew()
    assert WorkerLease.objects.get(pk=mine).queues == ["high", "default"]
    WorkerLease.objects.filter(pk=mine).delete()
    keeper._renew()
    assert WorkerLease.objects.get(pk=mine).queues == ["high", "default"], "written anew"


def test_a_long_sweep_is_no_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    began: list[datetime] = []
    told: list[datetime | None] = []

    def step() -> None:
        told.append(SweeperState.objects.get().last_tick_at)
        began.append(timezone.now())
        SweeperState.objects.update(last_tick_at=began[-1] - timedelta(seconds=2))

    monkeypatch.setattr(sweeper, "PULSE_S", 0.0)
    monkeypatch.setattr(sweeper, "sweep_steps", lambda: (step, step, step))
    assert sweep()
    state = SweeperState.objects.get()
    assert state.grace_until is None
    # Each step ends with a word that the sweeper lives.
    for step_began, tick_at in zip(began, [*told[1:], state.last_tick_at], strict=True):
        assert tick_at is not None
        assert tick_at >= step_began


def test_what_was_left_longest_is_settled_first(monkeypatch: pytest.MonkeyPatch) -> None:
    swept: list[int] = []
    monkeypatch.setattr(sweeper, "settle_again", lambda execution_id, _: swept.append(execution_id))
    oldest: list[int] = []
    for age_s in (30, 90, 60):
        execution = start(make_template([noop("once")]))
        claim = claim_one(execution)
        with locked_elsewhere(execution.pk):
            finish_block(claim, Result(BlockStatus.COMPLETED, output={}))
        left_at = timezone.now() - timedelta(seconds=age_s)
        BlockExecution.objects.filter(pk=claim.block_execution_id).update(finished_at=left_at)
        oldest.append(execution.pk)
    assert sweep()
    assert swept == [oldest[1], oldest[2], oldest[0]]
