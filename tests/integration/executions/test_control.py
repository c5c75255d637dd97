"""Pause, resume and cancel: what they answer holds, whoever is at work meanwhile."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar
from uuid import uuid4

import pytest
from django.db import connection
from django.utils import timezone
from pydantic import JsonValue

from approvals_app.models import Approval
from approvals_app.services.approvals import respond_to_approval
from executions_app import running
from executions_app.claiming import claim_block
from executions_app.errors import ExecutionEnded
from executions_app.finishing import Result, finish_block
from executions_app.models import BlockExecution, Execution, ExecutionEvent, SweeperState
from executions_app.progress import Claim
from executions_app.services.control import (
    Asked,
    Standing,
    cancel_execution,
    pause_execution,
    resume_execution,
)
from executions_app.sweeper import sweep
from executions_app.worker_identity import worker_id
from tests.consistency import assert_consistent
from tests.driver import queued_blocks, retry_later, run_until_quiet
from tests.factories import event_types, make_template, noop, start, statuses
from tests.locks import connect_elsewhere, locked_elsewhere
from tests.people import People, make_people, question_of, run_asking
from tests.restarting import assert_told
from workflow_service.agents.use_cases import RunContext, use_case
from workflow_service.engine.states import BlockStatus

pytestmark = pytest.mark.usefixtures("db")

T = TypeVar("T")
ADA = Asked("ada", "the supplier is down")
ERROR: dict[str, JsonValue] = {"type": "NETWORK_ERROR", "message": "again", "retryable": True}
DONE = Result(BlockStatus.COMPLETED, output={"done": True})


@pytest.fixture(scope="module")
def people(db: None) -> People:
    return make_people()


def start_chain() -> Execution:
    return start(make_template([noop("one"), noop("two", dependencies=["one"])]))


def start_parallel(width: int = 3) -> Execution:
    """Start a run of ``width`` blocks at once, and one that waits for all of them."""
    parts = [noop(f"part{n}") for n in range(width)]
    return start(make_template([*parts, noop("join", dependencies=[part["blockId"] for part in parts])]))


def claim_one(execution: Execution) -> Claim:
    claim = claim_block(execution.pk, queued_blocks(execution)[0], worker_id()).claim
    assert claim is not None
    return claim


def check(execution: Execution) -> None:
    """Check a run's rows among themselves, and that its events tell the same."""
    assert_consistent(execution)
    assert_told(execution)


def status_of(execution: Execution) -> str:
    return str(Execution.objects.values_list("status", flat=True).get(pk=execution.pk))


def data_of(execution: Execution, event_type: str) -> JsonValue:
    value: JsonValue = ExecutionEvent.objects.get(execution_id=execution.pk, type=event_type).data
    return value


# -- pause and resume


def test_after_a_pause_nothing_starts_and_what_runs_is_recorded() -> None:
    execution = start_parallel()
    late = queued_blocks(execution)[1]
    claim = claim_one(execution)
    standing = pause_execution(execution.pk, ADA)
    assert (standing.status, standing.changed, standing.at_work) == ("PAUSED", True, ("part0",))
    assert statuses(execution) == {"part0": "RUNNING", "part1": "READY", "part2": "READY"}
    check(execution)
    assert claim_block(execution.pk, late, worker_id()).claim is None, "its message comes too late"
    aftermath = finish_block(claim, DONE, continue_as=(worker_id(), "default"))
    assert (aftermath.accepted, aftermath.claim, aftermath.queued) == (True, None, [])
    assert statuses(execution)["part0"] == "COMPLETED"
    assert status_of(execution) == "PAUSED"
    check(execution)
    assert data_of(execution, "execution_paused") == {"actor": "ada", "reason": "the supplier is down"}


def test_a_resumed_run_goes_on_to_its_end() -> None:
    execution = start_parallel()
    pause_execution(execution.pk, ADA)
    assert queued_blocks(execution) == []
    standing = resume_execution(execution.pk, Asked("bob"))
    assert (standing.status, standing.changed) == ("RUNNING", True)
    assert len(queued_blocks(execution)) == 3
    check(execution)
    assert run_until_quiet(execution).status == "COMPLETED"
    check(execution)
    assert data_of(execution, "execution_resumed") == {"actor": "bob", "status": "RUNNING"}


def test_commands_are_idempotent() -> None:
    execution = start_chain()
    for command, event in (
        (pause_execution, "execution_paused"),
        (resume_execution, "execution_resumed"),
        (cancel_execution, "execution_cancelled"),
    ):
        first, second = command(execution.pk, ADA), command(execution.pk, Asked("bob"))
        assert (first.changed, second.changed) == (True, False)
        assert (first.status, first.at) == (second.status, second.at)
        assert event_types(execution).count(event) == 1
        check(execution)


def test_a_run_that_was_never_paused_may_be_resumed_without_effect() -> None:
    execution = start_chain()
    standing = resume_execution(execution.pk, ADA)
    assert (standing.status, standing.changed, standing.at) == ("STARTING", False, None)
    assert "execution_resumed" not in event_types(execution)


def test_a_retry_that_falls_due_waits_for_the_resumption() -> None:
    execution = start_chain()
    retry_later(claim_one(execution), ERROR, 0.0)
    pause_execution(execution.pk, ADA)
    sweep()
    assert statuses(execution) == {"one": "RETRYING"}
    resume_execution(execution.pk, ADA)
    assert statuses(execution) == {"one": "QUEUED"}
    check(execution)
    assert run_until_quiet(execution).status == "COMPLETED"


def test_a_decision_while_paused_is_recorded_and_carried_out_after_the_resumption(people: People) -> None:
    execution = run_asking(people)
    pause_execution(execution.pk, ADA)
    respond_to_approval(
        approval_id=question_of(execution).public_id, actor=people.alice, approved=True, source="api"
    )
    assert statuses(execution) == {"load": "READY"}
    assert status_of(execution) == "PAUSED"
    check(execution)
    resume_execution(execution.pk, ADA)
    assert run_until_quiet(execution).status == "COMPLETED"


def test_a_run_that_waits_for_people_waits_again_after_a_pause(people: People) -> None:
    execution = run_asking(people)
    pause_execution(execution.pk, ADA)
    assert resume_execution(execution.pk, ADA).status == "WAITING_FOR_APPROVAL"
    check(execution)


def test_the_last_block_of_a_paused_run_ends_it() -> None:
    execution = start(make_template([noop("one")]))
    claim = claim_one(execution)
    pause_execution(execution.pk, ADA)
    finish_block(claim, DONE)
    assert status_of(execution) == "COMPLETED"
    check(execution)


# -- cancel


def test_a_cancelled_run_is_over_and_late_results_are_dropped() -> None:
    execution = start_parallel()
    claim = claim_one(execution)
    standing = cancel_execution(execution.pk, ADA)
    assert (standing.status, standing.at_work, standing.last_state) == ("CANCELLED", ("part0",), "part0")
    assert set(statuses(execution).values()) == {"CANCELLED"}
    check(execution)
    assert not finish_block(claim, DONE).accepted
    assert not retry_later(claim, ERROR, 0.0).accepted
    assert set(statuses(execution).values()) == {"CANCELLED"}
    assert event_types(execution)[-1] == "execution_cancelled"
    check(execution)


def test_a_worker_lets_go_of_what_was_cancelled_under_it() -> None:
    execution = start(make_template([{**noop("slow"), **_use_case("tests.control_cancelled_under")}]))
    (queued,) = queued_blocks(execution)
    seen: list[Standing] = []

    @use_case("tests.control_cancelled_under")
    def cancelled_under(params: dict[str, JsonValue], run: RunContext) -> dict[str, JsonValue]:
        seen.append(_elsewhere(lambda: cancel_execution(execution.pk, ADA)))
        return {}

    running.run_blocks(execution.pk, queued, "default")
    assert seen[0].at_work == ("slow",)
    assert cancel_execution(execution.pk, ADA).at_work == ()
    assert statuses(execution) == {"slow": "CANCELLED"}
    check(execution)


def test_a_use_case_learns_that_its_run_was_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "STOP_CHECK_INTERVAL_S", 0.0)
    execution = start(make_template([{**noop("slow"), **_use_case("tests.control_asks")}]))
    (queued,) = queued_blocks(execution)
    told: list[bool] = []

    @use_case("tests.control_asks")
    def asks(params: dict[str, JsonValue], run: RunContext) -> dict[str, JsonValue]:
        told.append(run.cancelled())
        _elsewhere(lambda: cancel_execution(execution.pk, ADA))
        told.append(run.cancelled())
        return {}

    running.run_blocks(execution.pk, queued, "default")
    assert told == [False, True]


def test_a_script_is_ended_when_its_run_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "STOP_CHECK_INTERVAL_S", 0.0)
    code = "import time\ntime.sleep(60)\nprint('{}')"
    execution = start(
        make_template([{"blockId": "slow", "toolType": "SCRIPT", "configuration": {"code": code}}])
    )
    (queued,) = queued_blocks(execution)
    with ThreadPoolExecutor(1) as pool:
        cancelled = pool.submit(_cancel_once_running, execution.pk)
        before = timezone.now()
        running.run_blocks(execution.pk, queued, "default")
        assert cancelled.result().at_work == ("slow",)
    assert (timezone.now() - before).total_seconds() < 30
    assert cancel_execution(execution.pk, ADA).at_work == ()


def test_the_blocks_of_a_dead_worker_no_longer_hold_up_the_cleanup() -> None:
    SweeperState.objects.update_or_create(
        id=1, defaults={"last_tick_at": timezone.now(), "grace_until": None}
    )
    execution = start_chain()
    claim = claim_block(execution.pk, queued_blocks(execution)[0], uuid4()).claim
    assert claim is not None
    assert cancel_execution(execution.pk, ADA).at_work == ("one",)
    sweep()
    assert cancel_execution(execution.pk, ADA).at_work == ()
    assert statuses(execution) == {"one": "CANCELLED"}


def test_a_result_that_waits_to_be_settled_is_kept_and_starts_nothing() -> None:
    execution = start_chain()
    claim = claim_one(execution)
    with locked_elsewhere(execution.pk):
        assert finish_block(claim, DONE).event_seq is None, "it could not be settled"
    cancel_execution(execution.pk, ADA)
    assert statuses(execution) == {"one": "COMPLETED", "two": "CANCELLED"}
    check(execution)


def test_open_questions_are_closed_with_the_run(people: People) -> None:
    execution = run_asking(people)
    cancel_execution(execution.pk, ADA)
    assert Approval.objects.get(execution=execution).status == "CANCELLED"
    check(execution)


def test_what_has_ended_cannot_be_commanded() -> None:
    execution = run_until_quiet(start_chain())
    for command in (pause_execution, resume_execution, cancel_execution):
        with pytest.raises(ExecutionEnded) as refusal:
            command(execution.pk, ADA)
        assert "COMPLETED" in refusal.value.message
    check(execution)


def test_a_command_takes_the_runs_under_it_along() -> None:
    parent, child, grandchild = start_chain(), start_chain(), start_chain()
    ended = run_until_quiet(start_chain())
    for run, above in ((child, parent), (grandchild, child), (ended, parent)):
        Execution.objects.filter(pk=run.pk).update(parent=above)
    claim = claim_one(grandchild)
    assert pause_execution(parent.pk, ADA).at_work == ("one",)
    assert [status_of(run) for run in (parent, child, grandchild, ended)] == ["PAUSED"] * 3 + ["COMPLETED"]
    resume_execution(parent.pk, ADA)
    assert [status_of(run) for run in (parent, child, grandchild)] == ["RUNNING"] * 3
    standing = cancel_execution(parent.pk, ADA)
    assert standing.at_work == ("one",), "the grandchild's block is still at work"
    assert [status_of(run) for run in (parent, child, grandchild, ended)] == ["CANCELLED"] * 3 + ["COMPLETED"]
    assert not finish_block(claim, DONE).accepted
    for run in (parent, child, grandchild, ended):
        check(run)


# -- races


def test_a_claim_that_is_just_being_made_when_the_pause_comes_is_one_or_the_other() -> None:
    for _ in range(20):
        execution = start_parallel(4)
        queued = queued_blocks(execution)
        with ThreadPoolExecutor(5) as pool:
            claims = [pool.submit(_in_thread, claim_block, execution.pk, row, uuid4()) for row in queued]
            paused = pool.submit(_in_thread, pause_execution, execution.pk, ADA)
            standing = paused.result()
            claimed = [claim.result().claim for claim in claims]
        running_ids = {claim.block_execution_id for claim in claimed if claim is not None}
        assert len(running_ids) == len(standing.at_work), "nothing started after the answer"
        rows = BlockExecution.objects.filter(execution=execution)
        assert set(rows.filter(status="RUNNING").values_list("pk", flat=True)) == running_ids
        assert rows.filter(status="READY").count() == 4 - len(running_ids)
        check(execution)


def test_of_a_finish_and_a_cancel_one_comes_first() -> None:
    for _ in range(20):
        execution = start_chain()
        claim = claim_one(execution)
        with ThreadPoolExecutor(2) as pool:
            finished = pool.submit(_in_thread, finish_block, claim, DONE)
            cancelled = pool.submit(_in_thread, cancel_execution, execution.pk, ADA)
            accepted = finished.result().accepted
            cancelled.result()
        assert statuses(execution)["one"] == ("COMPLETED" if accepted else "CANCELLED")
        assert status_of(execution) == "CANCELLED"
        check(execution)


@pytest.mark.parametrize("command", [pause_execution, resume_execution, cancel_execution])
def test_a_process_that_dies_in_a_command_leaves_nothing_of_it(command: object) -> None:
    assert callable(command)
    execution = start_parallel()
    claim_one(execution)
    if command is resume_execution:
        pause_execution(execution.pk, ADA)
    before, told = statuses(execution), event_types(execution)
    for _ in range(2):
        with pytest.raises(SystemExit):
            command(execution.pk, ADA, confirm=_die)
        assert (statuses(execution), event_types(execution)) == (before, told)
        check(execution)
    command(execution.pk, ADA)
    assert statuses(execution) != before
    check(execution)


def _die(standing: Standing) -> None:
    raise SystemExit(1)


def _use_case(name: str) -> dict[str, JsonValue]:
    return {"toolType": "USE_CASE", "configuration": {"useCase": name}}


def _in_thread(function: Callable[..., T], *arguments: object) -> T:
    try:
        return function(*arguments)
    finally:
        connection.close()


def _elsewhere(command: Callable[[], T]) -> T:
    """Give a command on another connection, as another process would."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(_in_thread, command).result()


def _cancel_once_running(execution_id: int) -> Standing:
    with connect_elsewhere(autocommit=True) as watcher:
        while not watcher.execute(
            "SELECT 1 FROM executions_app_blockexecution WHERE execution_id = %s AND status = 'RUNNING'",
            [execution_id],
        ).fetchone():
            pass
    return _in_thread(cancel_execution, execution_id, ADA)
