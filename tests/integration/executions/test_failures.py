"""Runs in which something fails while something else is under way: all of them end, and their counters agree."""

import pytest

from executions_app.aftermath import follow_up
from executions_app.claiming import claim_block
from executions_app.finishing import Result, finish_block
from executions_app.models import BlockExecution, Execution
from executions_app.parking import retry_later, take_back, wait_for_person, wake_retries
from executions_app.settlement import Claim
from executions_app.worker_identity import worker_id
from tests.consistency import assert_consistent
from tests.driver import queued_blocks, run_until_quiet
from tests.factories import event_types, make_template, noop, start, statuses
from tests.locks import locked_elsewhere
from workflow_service.engine.states import BlockStatus

pytestmark = pytest.mark.usefixtures("db")

FAILED = Result(BlockStatus.FAILED, error={"type": "SYSTEM_ERROR", "message": "broken", "retryable": False})
DONE = Result(BlockStatus.COMPLETED, output={})


def claim_all(execution: Execution) -> dict[str, Claim]:
    """Claim every queued block of a run, by block id."""
    claims = {}
    for block in queued_blocks(execution):
        claim = claim_block(execution.pk, block, worker_id()).claim
        assert claim is not None
        claims[BlockExecution.objects.get(pk=block).block_id] = claim
    return claims


def two_at_work() -> tuple[Execution, Claim, Claim]:
    execution = start(make_template([noop("one"), noop("two"), noop("after", dependencies=["one", "two"])]))
    claims = claim_all(execution)
    return execution, claims["one"], claims["two"]


def test_a_retry_of_a_failing_run_does_not_keep_it_from_ending() -> None:
    execution, one, two = two_at_work()
    finish_block(one, FAILED)
    retry_later(two, {"type": "NETWORK_ERROR", "message": "again"}, (), 0.0)
    wake_retries(execution.pk)
    assert assert_consistent(execution).status == "FAILED"
    assert statuses(execution)["two"] == "CANCELLED"


def test_a_question_of_a_failing_run_is_not_asked() -> None:
    execution, one, two = two_at_work()
    finish_block(one, FAILED)
    asked: list[str] = []
    wait_for_person(two, lambda: asked.append("asked"))
    assert assert_consistent(execution).status == "FAILED"
    assert statuses(execution)["two"] == "CANCELLED"
    assert not asked


def test_a_root_whose_guard_cannot_be_read_ends_the_run() -> None:
    execution = start(
        make_template([noop("guarded", conditions={"expression": "nobody_wrote_this"}), noop("other")])
    )
    assert assert_consistent(execution).status == "FAILED"
    assert statuses(execution) == {"guarded": "FAILED", "other": "CANCELLED"}


def finish_without_lock(claim: Claim, result: Result) -> None:
    """Finish a block while somebody else holds its run's lock."""
    with locked_elsewhere(claim.execution_id):
        assert finish_block(claim, result).accepted


@pytest.mark.parametrize("outcome", [DONE, FAILED])
def test_a_block_taken_back_settles_what_others_finished_once(outcome: Result) -> None:
    execution, one, two = two_at_work()
    finish_without_lock(one, outcome)
    follow_up(take_back(execution.pk, [(two.block_execution_id, two.fence)]), execution.pk)
    assert_consistent(run_until_quiet(execution))
    assert event_types(execution).count("block_completed") == 3 if outcome is DONE else 1
