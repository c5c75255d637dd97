"""What becomes of a recovery action whose block is cancelled or taken back before the action led to anything."""

import pytest
from pydantic import JsonValue

from executions_app.aftermath import settle_again
from executions_app.claiming import claim_block
from executions_app.finishing import Result, finish_block
from executions_app.models import BlockExecution, Execution, RecoveryAction, RecoveryStatistic
from executions_app.services.control import cancel_execution
from executions_app.worker_identity import worker_id
from tests.driver import queued_blocks, run_until_quiet
from tests.factories import branch, make_template, noop, start
from tests.failing_work import new_key, unsteady_block
from tests.locks import locked_elsewhere
from tests.restarting import ADA, failing, finished, ran, restart, run_of, statuses, work
from workflow_service.engine.states import BlockStatus, ErrorType

pytestmark = pytest.mark.usefixtures("db", "empty_queues")

BROKEN: dict[str, JsonValue] = {"type": ErrorType.SYSTEM_ERROR, "message": "it is broken", "retryable": False}


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()
    failing.clear()


def asking() -> Execution:
    """A run that waits for a person to recover its block."""
    failing.add("a")
    execution = run_of(work("a", recovery={"strategies": ["escalate"], "escalate": {}}))
    assert execution.status == "WAITING_FOR_APPROVAL"
    return execution


def outcomes(execution: Execution) -> list[tuple[str, str, bool]]:
    actions = RecoveryAction.objects.filter(execution=execution).order_by("id")
    return [(action.block_id, action.outcome, action.finished_at is not None) for action in actions]


def test_nothing_comes_of_an_action_whose_run_is_cancelled() -> None:
    execution = asking()
    assert outcomes(execution) == [("a", "pending", False)]
    cancel_execution(execution.pk, ADA)
    assert outcomes(execution) == [("a", "superseded", True)]
    assert not RecoveryStatistic.objects.filter(workspace_id=execution.workspace_id).exists()


def test_nothing_comes_of_an_action_whose_block_is_taken_back() -> None:
    execution = asking()
    failing.clear()
    restart(execution, from_block="a", force=True)
    assert outcomes(execution) == [("a", "superseded", True)]
    finished(execution)
    assert outcomes(execution) == [("a", "superseded", True)]


def test_nothing_comes_of_a_retry_that_is_due_when_its_run_fails() -> None:
    failing.add("bad")
    shaky = unsteady_block(
        "shaky", new_key(), fails=1, fields={"retryPolicy": {"maxRetries": 1, "jitter": False}}
    )
    execution = start(make_template([shaky, work("first"), work("bad", "first")]))
    execution = run_until_quiet(execution)
    assert (execution.status, statuses(execution)["shaky"]) == ("FAILED", "CANCELLED")
    assert outcomes(execution) == [("shaky", "superseded", True), ("bad", "failed", True)]


def test_nothing_comes_of_a_question_about_a_way_on_that_is_cancelled_as_it_is_noted() -> None:
    """The block whose way on failed, and the one that fails the run, are settled in one transaction."""
    ways = {"branches": [branch("n == 1", "end")]}
    lost = noop("lost", {"n": 2}, conditions=ways, recovery={"escalate": {}})
    execution = start(make_template([lost, noop("bad")]))
    claims = {}
    for row_id in queued_blocks(execution):
        claim = claim_block(execution.pk, row_id, worker_id()).claim
        assert claim is not None
        claims[BlockExecution.objects.get(pk=row_id).block_id] = claim
    with locked_elsewhere(execution.pk):
        finish_block(claims["lost"], Result(BlockStatus.COMPLETED, output={"n": 2}))
    finish_block(claims["bad"], Result(BlockStatus.FAILED, error=BROKEN))
    settle_again(execution.pk, execution.public_id)
    execution.refresh_from_db()
    assert (execution.status, statuses(execution)["lost"]) == ("FAILED", "CANCELLED")
    assert outcomes(execution) == [("lost", "superseded", True)]
