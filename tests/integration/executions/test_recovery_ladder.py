"""Each rung of the recovery ladder on a real run: its effect, its record and its event are one."""

from typing import Any

import pytest

from approvals_app.models import Approval
from executions_app import parking, running
from executions_app.aftermath import follow_up
from executions_app.claiming import claim_block
from executions_app.models import (
    BlockExecution,
    BlockOutput,
    Execution,
    ExecutionEvent,
    ExecutionLog,
    RecoveryAction,
    RecoveryStatistic,
)
from executions_app.parking import take_back
from executions_app.recovery_patterns import experience_of
from executions_app.settlement import Error
from executions_app.waits import fire_due
from executions_app.worker_identity import worker_id
from tests.consistency import assert_consistent, assert_rebuilt
from tests.driver import queued_blocks, run_until_quiet, wake_all
from tests.factories import event_types, make_template, noop, start, statuses
from tests.failing_work import dying_at, ledger, new_key, unsteady_block, work
from workflow_service.engine.recovery import Failure
from workflow_service.engine.recovery_advice import SuccessRate
from workflow_service.engine.states import ErrorType

pytestmark = pytest.mark.usefixtures("db")

AFTER = noop("after", {"done": True}, dependencies=["shaky"])


def run(*blocks: dict[str, Any], options: dict[str, Any] | None = None, **definition: Any) -> Execution:
    """Start a run and let it go on, retries at once, until nothing is left that runs by itself."""
    return drive(start(make_template(list(blocks), **definition), **(options or {})))


def drive(execution: Execution) -> Execution:
    for _ in range(20):
        assert_rebuilt(run_until_quiet(execution))
        if not BlockExecution.objects.filter(execution=execution, status="RETRYING").exists():
            break
        wake_all(execution)
    return assert_consistent(execution)


def actions(execution: Execution) -> list[tuple[str, str]]:
    found = RecoveryAction.objects.filter(execution=execution).order_by("id")
    return list(found.values_list("strategy", "outcome"))


def shaky(
    key: str, recovery: dict[str, Any] | None = None, *, fields: Any = None, **params: Any
) -> dict[str, Any]:
    return unsteady_block("shaky", key, fields={"recovery": recovery, **(fields or {})}, **params)


def test_a_retry_that_works_is_counted_as_one() -> None:
    execution = run(shaky(new_key(), fails=1), AFTER)
    assert execution.status == "COMPLETED"
    assert actions(execution) == [("retry", "succeeded")]
    (event,) = ExecutionEvent.objects.filter(execution_id=execution.pk, type="recovery_action")
    assert event.data["strategy"] == "retry"
    assert event.data["reason"] == "NETWORK_ERROR: retry 1 of 1"
    assert event.data["errorClass"] == "TRANSIENT"
    assert "recovery_action" in event_types(execution)
    rate = RecoveryStatistic.objects.get(workspace=execution.workspace)
    assert (rate.error_class, rate.strategy, rate.succeeded, rate.failed) == ("TRANSIENT", "retry", 1, 0)
    like = Failure(ErrorType.NETWORK_ERROR, "failure 7", retryable=True)
    known = experience_of(execution.workspace_id, like)
    assert known.of_class == known.of_pattern == {"retry": SuccessRate(1, 0)}


def test_a_block_that_never_works_leaves_its_whole_ladder_behind() -> None:
    execution = run(shaky(new_key(), fails=9), AFTER)
    assert execution.status == "FAILED"
    assert actions(execution) == [("retry", "failed"), ("abort", "failed")]
    row = BlockExecution.objects.get(execution=execution, block_id="shaky")
    assert (row.status, row.retries, row.recoveries) == ("FAILED", 1, 2)
    found = RecoveryAction.objects.filter(execution=execution)
    assert {action.fingerprint for action in found} == {found[0].fingerprint}
    assert [action.attempt for action in found.order_by("id")] == [1, 2]
    assert all(action.finished_at is not None for action in found)


def test_reassigned_work_goes_to_every_declared_agent_once() -> None:
    key = new_key()
    recovery = {"agents": ["one", "two"], "strategies": ["REASSIGN_AGENT"]}
    execution = run(shaky(key, recovery, fails=2, fields={"agentId": "own"}), AFTER)
    assert execution.status == "COMPLETED"
    assert actions(execution) == [("reassign", "failed"), ("reassign", "succeeded")]
    assert BlockExecution.objects.get(execution=execution, block_id="shaky").agent_id == "two"
    started = ExecutionEvent.objects.filter(execution_id=execution.pk, block_id="shaky", type="block_started")
    assert [event.data["agentId"] for event in started.order_by("seq")] == ["own", "one", "two"]
    assert len({entry["key"] for entry in ledger[key]}) == 1, "the same work keeps its idempotency key"


def test_work_waits_for_an_agent_and_is_given_up_at_last() -> None:
    execution = run(shaky(new_key(), {"maxQueued": 2}, fails=9, error="AGENT_UNAVAILABLE"), AFTER)
    assert execution.status == "FAILED"
    assert [strategy for strategy, _ in actions(execution)] == ["retry", "queue", "queue", "abort"]
    row = BlockExecution.objects.get(execution=execution, block_id="shaky")
    assert row.retries == 1, "who waits for an agent did not try"


def test_queued_work_waits_longer_than_a_retry() -> None:
    recovery = {"strategies": ["queue"], "queueDelay": 600_000}
    execution = run_until_quiet(start(make_template([shaky(new_key(), recovery, fails=1)])))
    row = BlockExecution.objects.get(execution=execution)
    assert row.status == "RETRYING"
    assert row.due_at is not None
    assert row.started_at is not None
    assert (row.due_at - row.started_at).total_seconds() > 290


def test_a_fallback_runs_its_own_tool_on_its_own_configuration() -> None:
    key, other = new_key(), new_key()
    fallback = work(other, output={"by": "${workflow.input.who}"}) | {"agentId": "spare"}
    template = make_template([shaky(key, {"fallback": fallback}, fails=9, fields={"agentId": "own"}), AFTER])
    execution = drive(start(template, {"who": "the fallback"}))
    assert execution.status == "COMPLETED"
    assert actions(execution) == [("retry", "failed"), ("fallback", "succeeded")]
    row = BlockExecution.objects.get(execution=execution, block_id="shaky")
    assert (row.agent_id, row.stand_in, row.variant) == ("spare", "fallback", 1)
    assert row.input == work(other, output={"by": "the fallback"})["configuration"]
    assert BlockOutput.objects.get(pk=row.pk).value == {"by": "the fallback"}
    assert ledger[other][0]["key"] == f"{ledger[key][0]['key']}:1"


def test_a_fallback_whose_configuration_cannot_be_read_fails_the_block() -> None:
    fallback = {"toolType": "NOOP", "configuration": {"output": {"v": "${nobody_wrote_this}"}}}
    execution = run(shaky(new_key(), {"fallback": fallback}, fails=9))
    assert execution.status == "FAILED"
    assert execution.error is not None
    assert execution.error["type"] == "CONFIGURATION_ERROR"
    assert [strategy for strategy, _ in actions(execution)] == ["retry", "fallback", "abort"]


@pytest.mark.parametrize(
    ("fields", "output"),
    [
        ({"optional": True, "defaultOutput": {"score": 0}}, {"score": 0}),
        ({"optional": True}, {}),
        ({"recovery": {"strategies": ["skip"]}}, {}),
    ],
)
def test_a_skipped_block_completes_with_its_default_output(fields: dict[str, Any], output: Any) -> None:
    block = unsteady_block("shaky", new_key(), fields=fields, fails=9, error="VALIDATION_ERROR")
    execution = run(block, AFTER)
    assert execution.status == "COMPLETED"
    assert statuses(execution) == {"shaky": "COMPLETED", "after": "COMPLETED"}
    assert actions(execution) == [("skip", "succeeded")]
    assert BlockOutput.objects.get(execution_id=execution.pk, block_id="shaky").value == output


def test_a_run_may_want_nothing_but_retries() -> None:
    block = shaky(new_key(), {"escalate": {}}, fails=9, fields={"optional": True})
    execution = run(block, options={"enableAutoRecovery": False})
    assert execution.status == "FAILED"
    assert [strategy for strategy, _ in actions(execution)] == ["retry", "abort"]


def test_what_worked_in_this_workspace_is_tried_first() -> None:
    fallback = work(new_key())
    template = make_template([shaky(new_key(), {"fallback": fallback}, fails=9)])
    for strategy, succeeded, failed in (("retry", 0, 80), ("fallback", 80, 0)):
        RecoveryStatistic.objects.create(
            workspace=template.workspace,
            error_class="TRANSIENT",
            strategy=strategy,
            succeeded=succeeded,
            failed=failed,
        )
    execution = drive(start(template))
    assert actions(execution) == [("fallback", "succeeded")]
    assert RecoveryStatistic.objects.get(workspace=template.workspace, strategy="fallback").succeeded == 81


# Dying, and hearing it twice


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        pytest.param(running, "recover", id="between the failure and its transaction"),
        pytest.param(parking, "conclude_locked", id="in the transaction, before its commit"),
    ],
)
def test_a_process_that_dies_before_the_commit_leaves_the_block_to_another(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str
) -> None:
    key = new_key()
    execution = start(make_template([shaky(key, {"fallback": work(new_key())}, fails=9), AFTER]))
    (row_id,) = queued_blocks(execution)
    with dying_at(monkeypatch, owner, name), monkeypatch.context() as patched:
        patched.setattr(running, "find_orphans", lambda worker: [])
        running.run_blocks(execution.pk, row_id, "default")
    row = BlockExecution.objects.get(pk=row_id)
    assert (row.status, row.recoveries) == ("RUNNING", 0)
    assert actions(execution) == []
    take_back(execution.pk, [(row_id, row.fence)])
    assert drive(execution).status == "COMPLETED"
    assert actions(execution) == [("retry", "failed"), ("fallback", "succeeded")]
    assert len(ledger[key]) == 3, "the lost try spends no retry"


def test_a_failure_that_is_reported_twice_is_recovered_once() -> None:
    execution = start(make_template([shaky(new_key(), fails=9), noop("other")]))
    row_id = queued_blocks(execution)[0]
    claim = claim_block(execution.pk, row_id, worker_id()).claim
    assert claim is not None
    error: Error = {"type": "NETWORK_ERROR", "message": "gone", "retryable": True}
    assert parking.recover(claim, error, ()).accepted
    assert not parking.recover(claim, error, ()).accepted
    assert actions(execution) == [("retry", "pending")]
    assert running.run_blocks(execution.pk, row_id, "default") == 0, "a late message finds nothing"
    assert_consistent(execution)


def test_a_block_lost_too_often_goes_up_the_ladder() -> None:
    execution = start(make_template([shaky(new_key(), fields={"optional": True}), AFTER]))
    for _ in range(parking.MAX_LOSSES):
        (row_id,) = queued_blocks(execution)
        claim = claim_block(execution.pk, row_id, worker_id()).claim
        assert claim is not None
        follow_up(take_back(execution.pk, [(row_id, claim.fence)]), execution.pk)
    assert drive(execution).status == "COMPLETED"
    assert actions(execution) == [("skip", "succeeded")]


def test_a_block_whose_loss_is_a_failure_fails_at_once() -> None:
    execution = start(make_template([shaky(new_key(), {"escalate": {}}, fields={"onWorkerLost": "fail"})]))
    (row_id,) = queued_blocks(execution)
    claim = claim_block(execution.pk, row_id, worker_id()).claim
    assert claim is not None
    follow_up(take_back(execution.pk, [(row_id, claim.fence)]), execution.pk)
    execution = drive(execution)
    assert execution.status == "FAILED"
    assert execution.error is not None
    assert execution.error["type"] == "WORKER_LOST"
    assert actions(execution) == []


def test_a_claim_of_which_its_worker_never_learned_is_no_loss() -> None:
    key = new_key()
    execution = start(make_template([shaky(key, fields={"onWorkerLost": "fail"})]))
    (row_id,) = queued_blocks(execution)
    # Committed, and the connection is lost before the answer: the worker asks again.
    assert claim_block(execution.pk, row_id, worker_id()).claim
    running.run_blocks(execution.pk, row_id, "default")
    assert drive(execution).status == "COMPLETED"
    assert BlockExecution.objects.get(pk=row_id).losses == 0


def test_a_block_that_a_worker_gives_up_is_lost_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    execution = start(make_template([shaky(new_key(), fields={"onWorkerLost": "fail"})]))
    (row_id,) = queued_blocks(execution)
    with dying_at(monkeypatch, running, "write_outcome"):
        running.run_blocks(execution.pk, row_id, "default")
    execution = drive(execution)
    assert execution.error is not None
    assert execution.error["type"] == "WORKER_LOST"


def test_nothing_is_recovered_in_a_run_that_fails() -> None:
    blocks = [shaky(new_key(), {"fallback": work(new_key())}), noop("broken")]
    execution = start(make_template(blocks))
    claims = {}
    for row_id in queued_blocks(execution):
        claim = claim_block(execution.pk, row_id, worker_id()).claim
        assert claim is not None
        claims[BlockExecution.objects.get(pk=row_id).block_id] = claim
    error: Error = {"type": "AUTHORIZATION_ERROR", "message": "no", "retryable": False}
    for name in ("broken", "shaky"):
        aftermath = parking.recover(claims[name], error, ())
        follow_up(aftermath, execution.pk)
    assert assert_consistent(execution).status == "FAILED"
    assert statuses(execution) == {"shaky": "CANCELLED", "broken": "FAILED"}
    assert [strategy for strategy, _ in actions(execution)] == ["abort"]


# Items of maps


def mapped(key: str, recovery: dict[str, Any], **params: Any) -> dict[str, Any]:
    """Return a map over 1, 2, 3 whose second item fails."""
    params |= {"error": "VALIDATION_ERROR", "fails": "${9 - 9 * (item % 2)}", "output": {"v": "${item}"}}
    block = unsteady_block("shaky", f"{key}-${{item}}", fields={"recovery": recovery}, **params)
    return block | {"forEach": "${workflow.input.items}"}


def results(execution: Execution) -> Any:
    row = BlockExecution.objects.get(execution=execution, block_id="shaky", kind="block")
    return BlockOutput.objects.get(pk=row.pk).value["results"]


@pytest.mark.parametrize(
    ("recovery", "expected"),
    [
        ({"strategies": ["skip"]}, [{"v": 1}, {}, {"v": 3}]),
        (
            {
                "fallback": {
                    "toolType": "NOOP",
                    "configuration": {"output": {"v": "${item}", "at": "${index}"}},
                }
            },
            [{"v": 1}, {"v": 2, "at": 1}, {"v": 3}],
        ),
    ],
)
def test_the_items_of_a_map_are_recovered_one_by_one(recovery: dict[str, Any], expected: Any) -> None:
    execution = drive(start(make_template([mapped(new_key(), recovery), AFTER]), {"items": [1, 2, 3]}))
    assert execution.status == "COMPLETED", execution.error
    assert results(execution) == expected
    (strategy,) = recovery
    assert actions(execution) == [(strategy if strategy == "fallback" else "skip", "succeeded")]


def test_a_map_whose_list_cannot_be_read_has_no_fallback() -> None:
    recovery = {"fallback": {"toolType": "NOOP"}, "agents": ["other"]}
    execution = drive(start(make_template([mapped(new_key(), recovery), AFTER]), {"items": 7}))
    assert execution.status == "FAILED"
    assert [strategy for strategy, _ in actions(execution)] == ["abort"]


# Waits that go wrong


def test_a_wait_that_was_too_long_goes_up_the_ladder() -> None:
    wait = {"blockId": "shaky", "toolType": "WAIT", "configuration": {"signal": "go", "timeout": 1}}
    wait |= {"recovery": {"fallback": {"toolType": "NOOP", "configuration": {"output": {"sent": False}}}}}
    execution = run_until_quiet(start(make_template([wait, AFTER])))
    BlockExecution.objects.filter(execution=execution, status="WAITING").update(due_at=execution.started_at)
    follow_up(fire_due(execution.pk), execution.pk)
    assert drive(execution).status == "COMPLETED"
    assert actions(execution) == [("fallback", "succeeded")]
    assert BlockOutput.objects.get(execution_id=execution.pk, block_id="shaky").value == {"sent": False}


def given_up(execution: Execution) -> tuple[Any, str]:
    """Return whom it concerns that a block was given up, as the event has it and as the log has it."""
    events = ExecutionEvent.objects.filter(execution_id=execution.pk, type="recovery_action").order_by("seq")
    *before, last = events
    assert all("concerns" not in event.data for event in before)
    line = ExecutionLog.objects.get(execution_id=execution.pk, message__contains="this concerns")
    return last.data["concerns"], line.message


def test_who_gives_up_names_whom_that_concerns() -> None:
    execution = run(shaky(new_key(), fails=9))
    starter = execution.created_by.get_username()
    concerned, line = given_up(execution)
    assert concerned == {"startedBy": starter, "assignees": []}
    assert line == f"Recovery of block shaky: abort (all 1 retries are used up); this concerns {starter}"


def test_who_was_to_be_asked_is_concerned_where_nobody_could_be() -> None:
    """The workflow names people for escalations, and its own order leaves these out."""
    recovery = {"strategies": ["retry"], "escalate": {"assignees": ["role:workflow_operator", "bob"]}}
    execution = run(shaky(new_key(), recovery, fails=9))
    assert execution.status == "FAILED"
    concerned, line = given_up(execution)
    assert concerned["assignees"] == ["role:workflow_operator", "bob"]
    assert line.endswith(f"concerns {execution.created_by.get_username()}, role:workflow_operator, bob")


def test_nobody_says_what_becomes_of_a_value_that_does_not_fit_so_a_person_does() -> None:
    execution = run(shaky(new_key(), fails=9, error="VALIDATION_ERROR"), AFTER)
    assert execution.status == "WAITING_FOR_APPROVAL"
    assert actions(execution) == [("escalate", "pending")]
    question = Approval.objects.get(execution=execution)
    assert (question.type, question.assignees) == ("INTERVENTION", [])
    assert "enableAutoRecovery" not in execution.given.options
    without = drive(
        start(make_template([shaky(new_key(), fails=9, error="VALIDATION_ERROR")]), enableAutoRecovery=False)
    )
    assert (without.status, actions(without)) == ("FAILED", [("abort", "failed")])
