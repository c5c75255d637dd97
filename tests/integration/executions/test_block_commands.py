"""What operators do about single blocks: the work of a block that is skipped is not done, whatever became of it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from approvals_app.models import Approval
from executions_app.api.documents import read_run, workflow_execution_document
from executions_app.errors import BlockStateForbids, OutputRejected
from executions_app.models import (
    BlockExecution,
    BlockOutput,
    Execution,
    ExecutionEvent,
    RecoveryAction,
    RecoveryStatistic,
)
from executions_app.selectors import get_execution
from executions_app.services.blocks import reassign_block, retry_block, skip_block
from executions_app.services.control import Asked, cancel_execution
from tests.driver import run_until_quiet, wake_all
from tests.factories import branch, make_agent, make_template, start
from tests.failing_work import new_key, unsteady_block
from tests.restarting import ADA, claim_one, failing, finished, ran, statuses, work
from workflow_service.engine.definition import JsonObject
from workflow_service.settings.config import get_config

NOW = datetime(2026, 11, 22, tzinfo=UTC)

pytestmark = pytest.mark.usefixtures("db")


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()
    failing.clear()


def test_a_cancelled_block_that_is_skipped_does_not_run() -> None:
    execution = start(make_template([work("charge"), work("after", "charge")]))
    cancel_execution(execution.pk, ADA)
    skip_block(execution.pk, "charge", ADA, {"n": 5})
    finished(execution)
    assert ran == ["after"]
    assert BlockOutput.objects.get(execution_id=execution.pk, block_id="charge").value == {"n": 5}


def test_a_block_whose_way_on_failed_may_be_skipped() -> None:
    ways = {"branches": [branch("chosen == 1", "two")]}
    execution = start(make_template([work("one", conditions=ways, recovery={"escalate": {}}), work("two")]))
    run_until_quiet(execution)
    assert statuses(execution)["one"] == "WAITING"
    skip_block(execution.pk, "one", ADA, {"chosen": 1})
    finished(execution)
    assert ran == ["one", "two"]
    assert BlockOutput.objects.get(execution_id=execution.pk, block_id="one").value == {"chosen": 1}


def noted(execution: Execution) -> list[tuple[str, str, str, str]]:
    found = RecoveryAction.objects.filter(execution=execution).order_by("id")
    return list(found.values_list("strategy", "suggested_by", "error_class", "outcome"))


def rates(execution: Execution) -> dict[tuple[str, str], tuple[int, int]]:
    rows = RecoveryStatistic.objects.filter(workspace=execution.workspace)
    return {(row.error_class, row.strategy): (row.succeeded, row.failed) for row in rows}


def unsteady(key: str = "", **options: Any) -> Execution:
    """Start a run whose one block fails as often as it is told to, and let it come to its first stop."""
    execution = start(make_template([unsteady_block("shaky", key or new_key(), **options)]))
    return run_until_quiet(execution)


def test_a_retry_at_once_takes_the_place_of_the_one_that_was_due() -> None:
    execution = unsteady(fails=1)
    assert noted(execution) == [("retry", "rules", "TRANSIENT", "pending")]
    retry_block(execution.pk, "shaky", Asked("ada", "the network is back"))
    finished(execution)
    assert noted(execution) == [
        ("retry", "rules", "TRANSIENT", "superseded"),
        ("retry", "person", "TRANSIENT", "succeeded"),
    ]
    assert rates(execution) == {("TRANSIENT", "retry"): (1, 0)}, "one try is counted once"
    action = RecoveryAction.objects.filter(execution=execution).latest("id")
    assert (action.reason, action.attempt) == ("retried by ada: the network is back", 2)
    event = ExecutionEvent.objects.filter(execution_id=execution.pk, type="recovery_action").latest("seq")
    assert (event.data["actor"], event.data["reason"]) == ("ada", "the network is back")
    assert event.data["errorClass"] == "TRANSIENT"


def test_a_retry_that_fails_again_counts_as_failed_and_leaves_the_ladder_its_rungs() -> None:
    execution = unsteady(fails=9)
    retry_block(execution.pk, "shaky", ADA)
    finished(execution, "FAILED")
    assert [outcome for *_, outcome in noted(execution)] == ["superseded", "failed", "failed"]
    assert rates(execution) == {("TRANSIENT", "retry"): (0, 1), ("TRANSIENT", "abort"): (0, 1)}


@pytest.mark.parametrize(
    ("command", "strategy", "reason"),
    [
        (lambda run: retry_block(run, "shaky", ADA), "retry", "retried by ada"),
        (lambda run: reassign_block(run, "shaky", ADA, "spare"), "reassign", "reassigned by ada"),
        (lambda run: skip_block(run, "shaky", ADA), "skip", "skipped by ada"),
    ],
)
def test_commands_on_a_failed_block_are_actions_of_the_row_that_comes_in_its_place(
    command: Any, strategy: str, reason: str
) -> None:
    execution = unsteady(fails=2)
    make_agent(execution.workspace, "spare")
    wake_all(execution)
    finished(execution, "FAILED")
    command(execution.pk)
    action = RecoveryAction.objects.filter(execution=execution).latest("id")
    row = BlockExecution.objects.get(execution=execution, superseded=False)
    assert (action.block_execution_id, action.attempt) == (row.pk, 1)
    assert (action.strategy, action.suggested_by, action.reason) == (strategy, "person", reason)
    assert (action.error_class, action.error_message) == ("TRANSIENT", "failure 2")
    assert action.agent_id == ("spare" if strategy == "reassign" else "")
    finished(execution)
    action.refresh_from_db()
    assert (action.outcome, action.finished_at is not None) == ("succeeded", True)
    assert rates(execution)["TRANSIENT", strategy][0] == 1


def test_an_escalation_that_an_operator_skips_is_not_counted() -> None:
    execution = unsteady(fails=9, error="AUTHORIZATION_ERROR", fields={"recovery": {"escalate": {}}})
    assert noted(execution) == [("escalate", "rules", "AUTHORIZATION", "pending")]
    skip_block(execution.pk, "shaky", Asked("ada", "not needed"), {"n": 1})
    finished(execution)
    assert noted(execution) == [
        ("escalate", "rules", "AUTHORIZATION", "superseded"),
        ("skip", "person", "AUTHORIZATION", "succeeded"),
    ]
    assert rates(execution) == {("AUTHORIZATION", "skip"): (1, 0)}
    shown = workflow_execution_document(
        read_run(get_execution(execution.workspace, execution.public_id), NOW)
    )
    told = [(each["recovery_strategy"], each["success"]) for each in shown["recovery_actions"]]
    assert told == [("escalate", None), ("skip", True)]
    row = BlockExecution.objects.get(execution=execution)
    assert (row.status, row.stand_in, row.error) == ("COMPLETED", "default", None)


def test_what_is_done_about_a_block_that_has_not_failed_is_of_no_class_and_in_no_rate() -> None:
    execution = start(make_template([work("one")]))
    make_agent(execution.workspace, "spare")
    reassign_block(execution.pk, "one", Asked("ada", "nearer"), "spare")
    finished(execution)
    assert noted(execution) == [("reassign", "person", "", "succeeded")]
    assert rates(execution) == {}
    skipped = start(make_template([work("one")]))
    skip_block(skipped.pk, "one", ADA)
    finished(skipped)
    assert (noted(skipped), rates(skipped)) == ([("skip", "person", "", "succeeded")], {})


def refusal(command: Any) -> Any:
    with pytest.raises(BlockStateForbids) as refused:
        command()
    (problem,) = refused.value.problems
    return problem


def test_a_block_that_a_person_was_asked_about_is_not_retried_and_the_question_is_named() -> None:
    execution = unsteady(fails=9, error="AUTHORIZATION_ERROR", fields={"recovery": {"escalate": {}}})
    question = Approval.objects.get(execution=execution)
    problem = refusal(lambda: retry_block(execution.pk, "shaky", ADA))
    place = f"block 'shaky' of {execution.public_id} is WAITING and cannot be retried"
    assert problem.message == f"{place}: a person was asked to recover it"
    assert problem.suggestion == (
        f"answer {question.public_id} with the action 'retry' "
        f"(POST /api/v1/approvals/{question.public_id}/respond), or skip the block"
    )
    assert problem.blocks == ("shaky",)


def test_other_blocks_that_are_not_to_be_retried_say_why() -> None:
    waits = {"toolType": "WAIT", "configuration": {"signal": "paid"}, "blockId": "wait"}
    execution = run_until_quiet(start(make_template([waits])))
    problem = refusal(lambda: retry_block(execution.pk, "wait", ADA))
    assert problem.message.endswith("it has not failed: it waits for a signal")
    ready = start(make_template([work("one")]))
    assert refusal(lambda: retry_block(ready.pk, "one", ADA)).message.endswith("is about to run")
    claim_one(ready)
    assert "cancel the run" in refusal(lambda: skip_block(ready.pk, "one", ADA)).suggestion


def test_an_output_that_could_not_be_one_is_refused_with_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    execution = start(make_template([work("one")]))
    monkeypatch.setattr(get_config(), "max_output_bytes", 1_024)
    unfit: list[tuple[JsonObject, str, str]] = [
        ({"a": "x" * 1_024}, "JSON_TOO_LARGE", "/output"),
        ({"a": {"b": float("nan")}}, "JSON_VALUE", "/output/a/b"),
    ]
    for output, kind, pointer in unfit:
        with pytest.raises(OutputRejected) as refused:
            skip_block(execution.pk, "one", ADA, output)
        (problem,) = refused.value.problems
        assert (problem.code, problem.pointer) == (kind, pointer)
    assert statuses(execution)["one"] == "QUEUED"
