"""REVIEW 3: tests of a hostile review; each fails where the finding it is named after stands."""

import logging

import pytest

from executions_app.aftermath import settle_again
from executions_app.claiming import claim_block
from executions_app.finishing import Result, finish_block
from executions_app.models import BlockExecution, Execution, ExecutionEvent, RecoveryAction
from executions_app.progress import Claim
from executions_app.services.blocks import reassign_block, skip_block
from executions_app.services.control import cancel_execution
from executions_app.worker_identity import worker_id
from tests.consistency import assert_consistent
from tests.driver import queued_blocks, run_until_quiet
from tests.factories import make_template, noop, start
from tests.locks import locked_elsewhere
from tests.restarting import ADA, failing, finished, ran, restart, run_of, work
from workflow_service.engine.states import BlockStatus

pytestmark = pytest.mark.usefixtures("db", "empty_queues")

DONE = Result(BlockStatus.COMPLETED, output={})


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()
    failing.clear()


def claim_all(execution: Execution) -> dict[str, Claim]:
    claims = (claim_block(execution.pk, row_id, worker_id()).claim for row_id in queued_blocks(execution))
    names = dict(BlockExecution.objects.filter(execution=execution).values_list("id", "block_id"))
    return {names[claim.block_execution_id]: claim for claim in claims if claim}


def any_join() -> Execution:
    return start(
        make_template([noop("a"), noop("b"), noop("d"), noop("c", dependencies=["a", "b", "d"], join="any")])
    )


def broken_settlements(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "settle" in record.getMessage()]


def test_review3_started_join_and_its_late_predecessor(caplog: pytest.LogCaptureFixture) -> None:
    """RECORDED and COUNTERS write one row in one statement."""
    execution = any_join()
    claims = claim_all(execution)
    finish_block(claims["a"], DONE)
    with locked_elsewhere(execution.pk):
        claims |= claim_all(execution)
        finish_block(claims["b"], DONE)
    assert "c" in claims
    c = BlockExecution.objects.get(execution=execution, block_id="c")
    assert c.unrecorded_start
    with caplog.at_level(logging.ERROR):
        settle_again(execution.pk, execution.public_id)
    c.refresh_from_db()
    started = ExecutionEvent.objects.filter(execution_id=execution.pk, type="block_started", block_id="c")
    assert started.count() == 1
    assert (c.taken, c.unrecorded_start) == (2, False)
    assert broken_settlements(caplog) == []
    finish_block(claims["c"], DONE)
    finish_block(claims["d"], DONE)
    assert_consistent(finished(execution))


def test_review3_finished_join_and_its_late_predecessor(caplog: pytest.LogCaptureFixture) -> None:
    """SETTLED and COUNTERS write one row in one statement."""
    execution = any_join()
    claims = claim_all(execution)
    finish_block(claims["a"], DONE)
    claims |= claim_all(execution)
    with locked_elsewhere(execution.pk):
        finish_block(claims["b"], DONE)
    with caplog.at_level(logging.ERROR):
        finish_block(claims["c"], DONE)
        settle_again(execution.pk, execution.public_id)
    row = BlockExecution.objects.get(execution=execution, block_id="c")
    execution.refresh_from_db()
    assert execution.active == 1, "d is yet to be done"
    assert (row.taken, row.settled) == (2, True)
    assert broken_settlements(caplog) == []
    finish_block(claims["d"], DONE)
    assert_consistent(finished(execution))


def test_review3_settled_twice_counts_twice_for_what_follows() -> None:
    """What a block leads to is counted twice: a join of all begins with one of its two predecessors done."""
    blocks = [
        noop("a"),
        noop("b"),
        noop("d"),
        noop("c", dependencies=["a", "b", "d"], join="any"),
        noop("slow"),
        noop("both", dependencies=["c", "slow"]),
    ]
    execution = start(make_template(blocks))
    claims = claim_all(execution)
    finish_block(claims["a"], DONE)
    claims |= claim_all(execution)
    with locked_elsewhere(execution.pk):
        finish_block(claims["b"], DONE)
    finish_block(claims["c"], DONE)
    settle_again(execution.pk, execution.public_id)
    status = BlockExecution.objects.get(execution=execution, block_id="both").status
    assert status == "PENDING", "'slow' has not finished"
    told = ExecutionEvent.objects.filter(execution_id=execution.pk, type="block_completed", block_id="c")
    assert told.count() == 1


def undone_run() -> Execution:
    """A run that failed at ``b`` and in which what ``a`` did was undone."""
    undo = {"toolType": "NOOP", "configuration": {}}
    failing.add("b")
    execution = run_of(work("a", recovery={"compensate": undo}), work("b", "a"))
    assert execution.status == "FAILED"
    assert BlockExecution.objects.get(execution=execution, kind="undo").status == "COMPLETED"
    return execution


def test_review3_skip_of_a_block_behind_undone_work() -> None:
    """The operator's skip is lost: what was undone runs again first, and then the block runs after all."""
    execution = undone_run()
    ran.clear()
    skip_block(execution.pk, "b", ADA, {"skipped": True})
    execution = run_until_quiet(execution)
    assert ran == ["a"]
    assert execution.status == "COMPLETED"


def test_review3_skip_failed_blocks_behind_undone_work() -> None:
    """``skipFailedBlocks`` of document A's restart is lost in the same way."""
    execution = undone_run()
    ran.clear()
    restart(execution, skip_failed=True)
    execution = run_until_quiet(execution)
    assert ran == ["a"]
    assert execution.status == "COMPLETED"


def test_review3_reassignment_of_a_block_behind_undone_work() -> None:
    """The operator's agent is lost: the block's new row is given to the old one."""
    execution = undone_run()
    failing.clear()
    reassign_block(execution.pk, "b", ADA, "other")
    execution = finished(execution)
    assert BlockExecution.objects.get(execution=execution, block_id="b", superseded=False).agent_id == "other"


def test_review3_claimed_in_place_while_something_arrives() -> None:
    """CLAIMS and COUNTERS write one row in one statement: no hard end, and no stored input, of the block claimed."""
    blocks = [noop(name) for name in "abde"]
    blocks.append(noop("c", dependencies=["a", "b", "d"], join="any"))
    execution = start(make_template(blocks, globalSettings={"maxParallelBlocks": 3}))
    claims = claim_all(execution)
    finish_block(claims["a"], DONE)
    assert BlockExecution.objects.get(execution=execution, block_id="c").status == "READY"
    aftermath = finish_block(claims["b"], DONE, continue_as=(worker_id(), "default"))
    assert aftermath.claim is not None
    c = BlockExecution.objects.get(execution=execution, block_id="c")
    assert c.status == "RUNNING"
    assert c.taken == 2
    assert c.due_at is not None
    assert c.input is not None


def test_review3_actions_of_a_cancelled_run_are_pending_for_ever() -> None:
    """A recovery that is under way when its run is cancelled is shown as under way from then on."""
    failing.add("a")
    execution = run_of(work("a", recovery={"strategies": ["escalate"], "escalate": {}}))
    assert execution.status == "WAITING_FOR_APPROVAL"
    cancel_execution(execution.pk, ADA)
    outcomes = set(RecoveryAction.objects.filter(execution=execution).values_list("outcome", flat=True))
    assert "pending" not in outcomes
