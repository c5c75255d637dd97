"""A settlement in which something breaks: what is at fault fails, and nothing that was decided besides is forgotten."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from executions_app import finishing, running, settlement
from executions_app.aftermath import settle_again
from executions_app.claiming import claim_block
from executions_app.finishing import Result, finish_block
from executions_app.models import BlockExecution, Execution
from executions_app.progress import Claim
from executions_app.selectors import context_of
from executions_app.settlement import UNSETTLED, Settler
from executions_app.sweeper import sweep
from executions_app.transaction import command_transaction
from executions_app.worker_identity import worker_id
from tests.consistency import assert_consistent, assert_rebuilt
from tests.driver import queued_blocks, run_until_quiet
from tests.factories import branch, error_of, make_template, noop, start, statuses
from tests.locks import locked_elsewhere
from tests.restarting import claim_one, finished, ran, restart, work
from workflow_service.engine.states import BlockStatus

pytestmark = pytest.mark.usefixtures("db", "empty_queues")

DONE = Result(BlockStatus.COMPLETED, output={})


def claim_all(execution: Execution) -> dict[str, Claim]:
    claims = (claim_block(execution.pk, row_id, worker_id()).claim for row_id in queued_blocks(execution))
    names = dict(BlockExecution.objects.filter(execution=execution).values_list("id", "block_id"))
    return {names[claim.block_execution_id]: claim for claim in claims if claim}


def finish_unlocked(execution: Execution, claim: Claim) -> None:
    with locked_elsewhere(execution.pk):
        finish_block(claim, DONE)


@pytest.fixture
def poisonous(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the merge of every block named ``poison`` break, as only a bug can."""
    real = Settler._merge

    def merge(self: Settler, row: Any, output: Any) -> Any:
        if row.block_id == "poison":
            raise RuntimeError("a bug \0")
        return real(self, row, output)

    monkeypatch.setattr(Settler, "_merge", merge)


@pytest.mark.usefixtures("poisonous")
def test_a_sub_workflow_that_ends_so_tells_its_parent() -> None:
    child = make_template([work("poison")])
    call = {"blockId": "call", "toolType": "SUBWORKFLOW", "configuration": {"template": child.public_id}}
    execution = run_until_quiet(start(make_template([call], workspace=child.workspace)))
    begun = Execution.objects.get(parent=execution)
    finish_unlocked(begun, claim_one(begun))
    settle_again(begun.pk, begun.public_id)
    assert assert_consistent(begun).status == "FAILED"
    assert assert_consistent(execution).status == "FAILED", "told at once, not by the sweeper"


@pytest.mark.usefixtures("poisonous")
def test_a_block_at_work_does_not_fail_for_another() -> None:
    execution = start(make_template([noop("busy"), noop("poison")]))
    with locked_elsewhere(execution.pk):
        claims = claim_all(execution)
        finish_block(claims["poison"], DONE)
    settle_again(execution.pk, execution.public_id)
    assert statuses(execution) == {"busy": "RUNNING", "poison": "FAILED"}
    finish_block(claims["busy"], DONE)
    assert assert_consistent(execution).status == "FAILED"


def test_a_run_that_cannot_be_concluded_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    execution = start(make_template([noop("one"), noop("busy"), noop("two", dependencies=["one"])]))
    claims = claim_all(execution)
    finish_unlocked(execution, claims["one"])

    def broken(settler: Settler) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(finishing, "undo_next", broken)
    settle_again(execution.pk, execution.public_id)
    execution.refresh_from_db()
    assert execution.error is not None
    assert (execution.error["type"], "a bug" in execution.error["message"]) == ("SETTLEMENT_ERROR", True)
    assert statuses(execution) == {"one": "COMPLETED", "busy": "RUNNING", "two": "CANCELLED"}
    finish_unlocked(execution, claims["busy"])
    settle_again(execution.pk, execution.public_id)
    assert assert_consistent(execution).status == "FAILED"


def test_what_items_made_is_not_read_to_settle_them() -> None:
    each = work("each", name="${item}", gives={"large": 1}, forEach="workflow.input.names")
    execution = start(make_template([each]), {"names": ["a", "b"]})
    running.run_blocks(execution.pk, queued_blocks(execution)[0], "other queue: nothing in place")
    finish_unlocked(execution, claim_one(execution))
    with command_transaction() as tx:
        (row,) = tx.run(UNSETTLED, (execution.pk, settlement.BATCH)).fetchall()
    assert (row.kind, row.output) == (BlockExecution.Kind.ITEM, None)


@pytest.fixture
def poisonous_round(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[int]]:
    """Make the merge of the block ``turn`` break in the rounds that the fixture holds, as only a bug can."""
    rounds = {1}
    real = Settler._merge

    def merge(self: Settler, row: Any, output: Any) -> Any:
        if row.block_id == "turn" and row.item_index in rounds:
            raise RuntimeError("a bug")
        return real(self, row, output)

    monkeypatch.setattr(Settler, "_merge", merge)
    ran.clear()
    yield rounds
    ran.clear()


@pytest.mark.parametrize("policy", ["fail", "continue"])
@pytest.mark.parametrize("concurrent", [False, True])
def test_what_cannot_be_settled_in_a_loop_ends_its_run_and_may_be_restarted(
    poisonous_round: set[int], policy: str, concurrent: bool
) -> None:
    """Also where another block of the same round is at work."""
    again = {"branches": [branch("n < 3", "open"), branch(None, "report")]}
    blocks = [
        work("begin", gives={"n": 0}),
        work("open", "begin"),
        work("turn", "open"),
        work("beside", "open"),
        work("count", "turn", "beside", gives={"n": "${n + 1}"}, conditions=again),
        work("report"),
    ]
    settings = {"onFailure": policy, "maxParallelBlocks": 2}
    execution = start(make_template(blocks, globalSettings=settings))
    while not BlockExecution.objects.filter(execution=execution, block_id="turn", item_index=1).exists():
        running.run_blocks(execution.pk, queued_blocks(execution)[0], "other queue: nothing in place")
    claims = claim_all(execution)
    if concurrent:
        finish_unlocked(execution, claims["beside"])
    finish_unlocked(execution, claims["turn"])
    settle_again(execution.pk, execution.public_id)
    if not concurrent:
        finish_block(claims["beside"], DONE)
    execution = assert_consistent(execution)
    assert (execution.status, error_of(execution)["type"]) == ("FAILED", "SETTLEMENT_ERROR")
    assert_rebuilt(execution)
    sweep()
    assert assert_consistent(execution).event_seq == execution.event_seq, "there is nothing left to do"

    poisonous_round.clear()
    restart(execution)
    execution = finished(execution)
    turns = Counter(ran)
    assert (turns["open"], turns["count"]) == (3, 3)
    assert (turns["turn"], turns["beside"]) == (2, 2), (
        "what could not be settled was done: it is not done again"
    )
    assert context_of(execution)["n"] == 3
