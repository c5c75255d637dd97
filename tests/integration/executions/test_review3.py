"""REVIEW 3: tests of a hostile review; each fails where the finding it is named after stands."""

import logging

import pytest

from executions_app.aftermath import settle_again
from executions_app.claiming import claim_block
from executions_app.finishing import Result, finish_block
from executions_app.models import BlockExecution, Execution, ExecutionEvent
from executions_app.progress import Claim
from executions_app.worker_identity import worker_id
from tests.consistency import assert_consistent
from tests.driver import queued_blocks
from tests.factories import make_template, noop, start
from tests.locks import locked_elsewhere
from tests.restarting import failing, finished, ran
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
