"""Commands about blocks that lie behind undone work: what could not be done is refused, and nothing of it happens."""

from collections.abc import Callable
from typing import Any

import pytest

from executions_app import running
from executions_app.errors import BlockStateForbids
from executions_app.models import BlockExecution, Execution, ExecutionEvent, RecoveryAction
from executions_app.services.blocks import reassign_block, retry_block, skip_block
from tests.driver import queued_blocks, run_until_quiet
from tests.restarting import ADA, failing, finished, ran, restart, run_of, statuses, work

pytestmark = pytest.mark.usefixtures("db", "empty_queues")

UNDO = {"compensate": {"toolType": "NOOP", "configuration": {}}}


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()
    failing.clear()


def undone_run(**fields: Any) -> Execution:
    """A run that failed at ``b`` and in which what ``a`` did was undone; what ``before`` did stands."""
    failing.add("b")
    execution = run_of(work("before"), work("a", "before", recovery=UNDO), work("b", "a", **fields))
    assert execution.status == "FAILED"
    assert BlockExecution.objects.get(execution=execution, kind="undo").status == "COMPLETED"
    ran.clear()
    return execution


def everything(execution: Execution) -> list[list[Any]]:
    """Return all that is kept of a run, to be compared."""
    runs = Execution.objects.filter(pk=execution.pk)
    kept = [
        model.objects.filter(execution_id=execution.pk)
        for model in (BlockExecution, ExecutionEvent, RecoveryAction)
    ]
    return [list(found.order_by("pk").values()) for found in (runs, *kept)]


@pytest.mark.parametrize(
    ("command", "wanted", "mend"),
    [
        (lambda run: skip_block(run.pk, "b", ADA, {"n": 1}), "skipped", "skip 'b' when its turn has come"),
        (lambda run: reassign_block(run.pk, "b", ADA, "spare"), "reassigned", "reassign 'b' when its turn"),
        (lambda run: restart(run, skip_failed=True), "skipped", "in place of 'skipFailedBlocks'"),
        (lambda run: restart(run, reassign=True), "reassigned", "in place of 'reassignAgents'"),
        (lambda run: restart(run, from_block="b", skip_failed=True), "skipped", "'skipFailedBlocks'"),
    ],
)
def test_what_lies_behind_undone_work_is_neither_skipped_nor_reassigned(
    command: Callable[[Execution], object], wanted: str, mend: str
) -> None:
    execution = undone_run(agentId="old", recovery={"agents": ["spare"], "strategies": ["abort"]})
    before = everything(execution)
    with pytest.raises(BlockStateForbids) as refused:
        command(execution)
    (problem,) = refused.value.problems
    assert (
        f"is FAILED and cannot be {wanted}: what was undone before it must run first ('a')" in problem.message
    )
    assert problem.suggestion is not None
    assert problem.suggestion.startswith("restart the run from 'a', and ")
    assert mend in problem.suggestion
    assert problem.blocks == ("b",)
    assert everything(execution) == before
    assert run_until_quiet(execution).status == "FAILED"
    assert ran == []


def test_the_mend_that_is_named_does_what_was_wanted() -> None:
    execution = undone_run()
    restart(execution, from_block="a")
    running.run_blocks(execution.pk, queued_blocks(execution)[0], "other queue: nothing in place")
    assert (ran, statuses(execution)["b"]) == (["a"], "QUEUED")
    skip_block(execution.pk, "b", ADA)
    finished(execution)
    assert ran == ["a"]


def test_a_block_behind_undone_work_may_be_tried_again_after_it() -> None:
    execution = undone_run()
    failing.clear()
    retry_block(execution.pk, "b", ADA)
    finished(execution)
    assert ran == ["a", "b"]
    outcomes = RecoveryAction.objects.filter(execution=execution, strategy="retry").values_list(
        "outcome", flat=True
    )
    assert list(outcomes) == ["superseded"], "the row it was about does not run again"


def test_what_runs_again_as_it_was_asked_to_is_no_failure_to_skip() -> None:
    execution = undone_run()
    failing.clear()
    restart(execution, from_block="before", skip_failed=True)
    finished(execution)
    assert ran == ["before", "a", "b"]


def test_failed_blocks_beside_undone_work_are_skipped() -> None:
    failing.add("b")
    execution = run_of(work("a", recovery=UNDO), work("b"), globalSettings={"maxParallelBlocks": 1})
    assert BlockExecution.objects.get(execution=execution, kind="undo").status == "COMPLETED"
    ran.clear()
    restart(execution, skip_failed=True)
    finished(execution)
    assert ran == ["a"]
