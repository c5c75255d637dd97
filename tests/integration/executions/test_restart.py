"""Restarts: what is affected runs again, everything else stays as it is, and is evaluated no second time."""

from typing import Any

import pytest

from approvals_app.services.approvals import respond_to_approval
from executions_app import running
from executions_app.errors import (
    BlockNotReached,
    ExecutionUnderWay,
    NothingToRestart,
    UnknownBlock,
)
from executions_app.finishing import Result, finish_block
from executions_app.models import BlockExecution, Execution, ExecutionEvent
from executions_app.selectors import context_of
from executions_app.services.control import cancel_execution, pause_execution, resume_execution
from executions_app.services.restart import Restart, Restarted, restart_execution
from executions_app.settlement import Settler
from executions_app.worker_identity import worker_id
from tests.consistency import assert_consistent
from tests.driver import queued_blocks, run_until_quiet
from tests.factories import branch, error_of, event_types, make_template, start
from tests.people import People, make_people, question_of, run_asking
from tests.restarting import ADA, claim_one, failing, finished, ran, restart, run_of, statuses, work
from workflow_service.engine.states import BlockStatus

pytestmark = pytest.mark.usefixtures("db")


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()
    failing.clear()


@pytest.fixture(scope="module")
def people(db: None) -> People:
    return make_people()


def test_a_failed_run_goes_on_from_what_failed() -> None:
    failing.add("two")
    execution = run_of(work("one"), work("two", "one"), work("three", "two"))
    assert (execution.status, execution.failed_blocks) == ("FAILED", 1)
    failing.clear()
    restarted = restart(execution)
    assert restarted.affected == ("two", "three")
    assert (restarted.from_block, restarted.generation, restarted.status) == ("two", 2, "RUNNING")
    assert statuses(execution) == {"one": "COMPLETED", "two": "QUEUED"}
    execution = finished(execution)
    assert ran == ["one", "two", "two", "three"]
    assert (execution.completed_blocks, execution.failed_blocks, execution.error) == (3, 0, None)
    generations = BlockExecution.objects.filter(execution=execution).order_by("id")
    assert list(generations.values_list("block_id", "generation", "superseded")) == [
        ("one", 1, False),
        ("two", 1, True),
        ("three", 1, True),
        ("two", 2, False),
        ("three", 2, False),
    ]


def test_what_ran_beside_the_failure_does_not_run_again() -> None:
    failing.add("left")
    execution = run_of(
        work("first"),
        work("left", "first"),
        work("right", "first"),
        work("join", "left", "right"),
        globalSettings={"onFailure": "continue"},
    )
    assert execution.status == "FAILED"
    failing.clear()
    ran.clear()
    assert restart(execution).affected == ("left", "join")
    finished(execution)
    assert ran == ["left", "join"]


def test_any_block_that_ran_may_be_where_it_begins() -> None:
    execution = run_of(work("one"), work("two", "one"), work("other", "one"), work("three", "two", "other"))
    assert execution.status == "COMPLETED"
    ran.clear()
    assert restart(execution, from_block="two").affected == ("two", "three")
    finished(execution)
    assert ran == ["two", "three"]
    assert restart(execution, from_block="one").affected == ("one", "two", "other", "three")
    execution = finished(execution)
    assert execution.generation == 3
    assert event_types(execution).count("execution_completed") == 3


def test_conditions_of_what_stays_are_not_evaluated_again() -> None:
    execution = run_of(
        work(
            "pick", gives={"n": 1}, conditions={"branches": [branch("n == 1", "low"), branch(None, "high")]}
        ),
        work("low", gives={"n": 5}),
        work("high"),
        work("end_", "low", "high"),
    )
    assert execution.status == "COMPLETED"
    ran.clear()
    restart(execution, from_block="low")
    finished(execution)
    assert ran == ["low", "end_"], "n is 5 now, and the branch was chosen when it was 1"
    assert statuses(execution)["high"] == "SKIPPED"


def test_gates_whose_sources_run_again_are_passed_again_and_others_replayed() -> None:
    blocks = [work("a"), work("b"), work("c"), work("d", "c")]
    gates = [{"sources": ["a", "b"], "nextBlocks": ["c"], "set": {"both": "blocks.a.output.a_runs * 10"}}]
    execution = run_of(*blocks, gates=gates)
    assert execution.status == "COMPLETED"
    assert context_of(execution)["both"] == 10
    ran.clear()
    restart(execution, from_block="c")
    finished(execution)
    assert ran == ["c", "d"]
    restart(execution, from_block="a")
    finished(execution)
    assert ran == ["c", "d", "a", "c", "d"]
    assert context_of(execution)["both"] == 20 - 10


def test_a_failed_gate_is_asked_again_without_its_sources() -> None:
    blocks = [work("a", gives={"x": 1}), work("b"), work("c")]
    gates = [{"sources": ["a", "b"], "branches": [branch("x == 2", "c")]}]
    execution = run_of(*blocks, gates=gates)
    assert execution.status == "FAILED"
    ran.clear()
    restart(execution)
    assert error_of(finished(execution, "FAILED"))["type"] == "NO_BRANCH_MATCHED"
    assert ran == []
    assert_consistent(execution)


def test_work_whose_routing_failed_is_routed_again_and_not_done_again() -> None:
    execution = run_of(work("a", conditions={"branches": [branch("missing == 1", "b")]}), work("b"))
    assert execution.status == "FAILED"
    ran.clear()
    restart(execution)
    assert "block_rerouted" in event_types(execution)
    execution = run_until_quiet(execution)
    assert (execution.status, ran) == ("FAILED", [])
    restart(execution, reset_state=True, preserve_context=False)
    run_until_quiet(execution)
    assert ran == ["a"], "its state was to be dropped: it does its work again"


def test_failures_that_an_error_edge_handled_stay() -> None:
    failing.update({"a", "b"})
    execution = run_of(
        work("a", onError=["mend"]), work("mend"), work("b"), globalSettings={"onFailure": "continue"}
    )
    assert execution.status == "FAILED"
    failing.clear()
    ran.clear()
    assert restart(execution).affected == ("b",)
    execution = finished(execution)
    assert ran == ["b"]
    assert (execution.failed_blocks, execution.unhandled_failures) == (1, 0)


def test_another_failure_stays_a_failure() -> None:
    failing.add("a")
    execution = run_of(work("a"), work("b"), globalSettings={"onFailure": "continue"})
    ran.clear()
    restart(execution, from_block="b")
    execution = finished(execution, "FAILED")
    assert ran == ["b"]
    assert error_of(execution)["blockId"] == "a"


def test_failed_blocks_may_be_skipped_with_their_default_output() -> None:
    failing.add("a")
    execution = run_of(work("a", defaultOutput={"n": 7}), work("b", "a", reads={"seen": "${n}"}))
    assert execution.status == "FAILED"
    ran.clear()
    restart(execution, skip_failed=True)
    execution = finished(execution)
    assert ran == ["b"]
    assert context_of(execution)["n"] == 7
    assert (execution.completed_blocks, execution.failed_blocks) == (2, 0)


def test_outputs_and_context_are_kept_or_dropped_as_asked() -> None:
    def context_after(**options: bool) -> tuple[Any, set[str]]:
        ran.clear()
        execution = run_of(work("one"), work("two", "one", gives={"only_two": 1}), work("three", "two"))
        restarted = restart(execution, from_block="two", **options)
        outputs = BlockExecution.objects.filter(execution=execution, result__superseded=False)
        kept = set(outputs.values_list("block_id", flat=True))
        finished(execution)
        return restarted.context, kept

    everything = {"one_runs": 1, "two_runs": 1, "only_two": 1, "three_runs": 1}
    assert context_after() == (everything, {"one", "two", "three"})
    assert context_after(reset_state=True) == (everything, {"one"})
    assert context_after(preserve_context=False) == ({"one_runs": 1}, {"one", "two", "three"})
    assert context_after(reset_state=True, preserve_context=False) == ({"one_runs": 1}, {"one"})


def test_what_stays_and_has_not_begun_does_not_see_what_was_dropped_from_the_context() -> None:
    execution = start(
        make_template(
            [
                work("one", gives={"x": "of one"}),
                work("two", "one", gives={"x": "of two"}),
                work("other"),
                work("beside", "other", reads={"seen": "${x}"}),
            ]
        )
    )

    def run_one(block_id: str) -> None:
        row = BlockExecution.objects.get(execution=execution, block_id=block_id, status="QUEUED")
        running.run_blocks(execution.pk, row.pk, "other queue: nothing in place")

    for block_id in ("one", "two", "other"):
        run_one(block_id)
    beside = BlockExecution.objects.get(execution=execution, block_id="beside")
    assert beside.input is not None
    assert beside.input["input"]["seen"] == "of two"
    restart(execution, from_block="two", force=True, preserve_context=False)
    run_one("beside")
    beside.refresh_from_db()
    assert beside.input is not None
    assert beside.input["input"]["seen"] == "of one"
    assert not beside.superseded
    finished(execution)


def test_a_cancelled_run_goes_on_with_what_was_cancelled() -> None:
    execution = start(make_template([work("one"), work("two", "one"), work("other")]))
    claim = claim_one(execution)
    finish_block(claim, Result(BlockStatus.COMPLETED, output={}))
    late = claim_one(execution)
    cancel_execution(execution.pk, ADA)
    restarted = restart(execution)
    assert set(restarted.affected) == {"two", "other"}
    assert not finish_block(late, Result(BlockStatus.COMPLETED, output={})).accepted
    finished(execution)
    assert sorted(ran) == ["other", "two"]


def test_a_paused_run_may_be_restarted_and_blocks_at_work_stay_at_it() -> None:
    execution = start(make_template([work("one"), work("two", "one"), work("beside")]))
    by_block = {}
    for _ in range(2):
        claim = claim_one(execution)
        by_block[BlockExecution.objects.get(pk=claim.block_execution_id).block_id] = claim
    with pytest.raises(ExecutionUnderWay):
        restart(execution, from_block="one")
    pause_execution(execution.pk, ADA)
    assert restart(execution, from_block="one").affected == ("one", "two")
    assert statuses(execution) == {"one": "QUEUED", "beside": "RUNNING"}
    assert not finish_block(by_block["one"], Result(BlockStatus.COMPLETED, output={})).accepted
    assert finish_block(by_block["beside"], Result(BlockStatus.COMPLETED, output={})).accepted
    finished(execution)
    assert ran == ["one", "two"]


def test_an_operator_may_restart_a_run_under_way() -> None:
    execution = start(make_template([work("one"), work("two", "one")]))
    claim = claim_one(execution)
    restarted = restart(execution, from_block="one", force=True)
    assert restarted.affected == ("one", "two")
    assert not finish_block(claim, Result(BlockStatus.COMPLETED, output={})).accepted
    assert BlockExecution.objects.get(pk=claim.block_execution_id).worker_id == worker_id()
    finished(execution)
    assert ran == ["one", "two"]


def test_what_cannot_be_restarted_says_why() -> None:
    execution = run_of(
        work("one", conditions={"branches": [branch("one_runs == 1", "two"), branch(None, "never")]}),
        work("two"),
        work("never"),
        work("after", "never"),
    )
    with pytest.raises(NothingToRestart):
        restart(execution)
    with pytest.raises(UnknownBlock) as unknown:
        restart(execution, from_block="tow")
    assert "did you mean 'two'" in unknown.value.message
    for block in ("never", "after"):
        with pytest.raises(BlockNotReached) as unreached:
            restart(execution, from_block=block)
        assert "was skipped" in unreached.value.message
    assert execution.generation == 1


def test_an_approval_stands_across_a_restart_while_its_input_is_the_same(people: People) -> None:
    execution = run_asking(people)
    respond_to_approval(
        approval_id=question_of(execution).public_id, actor=people.alice, approved=True, source="api"
    )
    finished(execution)
    restart(execution, from_block="load")
    finished(execution)
    assert event_types(execution).count("approval_requested") == 1


def test_a_restart_is_one_event_and_all_or_nothing() -> None:
    failing.add("one")
    execution = run_of(work("one"), work("two", "one"))
    before = statuses(execution)
    for _ in range(2):
        with pytest.raises(SystemExit):
            restart_execution(execution.pk, ADA, Restart(), confirm=_die)
        assert statuses(execution) == before
        assert_consistent(execution)
    restart(execution)
    event = ExecutionEvent.objects.get(execution_id=execution.pk, type="execution_restarted")
    assert (event.data["actor"], event.data["affected"]) == ("ada", ["one", "two"])


def test_a_join_of_any_that_had_run_runs_again_at_once() -> None:
    execution = run_of(work("a"), work("b"), work("first", "a", "b", join="any"), work("end_", "first"))
    assert execution.status == "COMPLETED"
    ran.clear()
    assert restart(execution, from_block="b").affected == ("b", "first", "end_")
    finished(execution)
    assert sorted(ran) == ["b", "end_", "first"]


def test_a_resumed_run_can_be_restarted_later() -> None:
    execution = start(make_template([work("one"), work("two", "one")]))
    pause_execution(execution.pk, ADA)
    resume_execution(execution.pk, ADA)
    finished(execution)
    restart(execution, from_block="two")
    finished(execution)
    assert ran == ["one", "two", "two"]


def _die(restarted: Restarted) -> None:
    raise SystemExit(1)


@pytest.mark.parametrize("from_block", [None, "other"])
def test_a_block_that_could_not_be_settled_was_not_handled_by_its_error_edge(
    monkeypatch: pytest.MonkeyPatch, from_block: str | None
) -> None:
    merge = Settler._merge

    def poisoned(self: Settler, row: Any, output: Any) -> Any:
        if row.block_id == "odd":
            raise ValueError("poison")
        return merge(self, row, output)

    with monkeypatch.context() as patched:
        patched.setattr(Settler, "_merge", poisoned)
        execution = run_of(work("other"), work("odd", onError=["mend"]), work("mend"), work("after", "odd"))
    assert execution.status == "FAILED"
    if from_block:
        restart(execution, from_block=from_block)
        finished(execution, "FAILED")
    restart(execution)
    finished(execution)
    assert statuses(execution)["after"] == "COMPLETED"


UNDO = {"toolType": "USE_CASE", "configuration": {"useCase": "tests.restart_work", "input": {"name": "undo"}}}


def run_until_first_undo(*blocks: dict[str, Any]) -> Execution:
    failing.add("broken")
    execution = start(make_template([*blocks, work("broken", blocks[-1]["blockId"])]))
    while not BlockExecution.objects.filter(execution=execution, kind="undo").exists():
        running.run_blocks(execution.pk, queued_blocks(execution)[0], "other")
    failing.clear()
    return execution


def test_work_whose_undo_was_under_way_is_done_again() -> None:
    execution = run_until_first_undo(work("hotel", recovery={"compensate": UNDO}))
    running.work_on(claim_one(execution))
    assert ran == ["hotel", "broken", "undo"], "it is undone, and the answer is on its way"
    cancel_execution(execution.pk, ADA)
    assert restart(execution).affected == ("hotel", "broken")
    finished(execution)
    assert ran == ["hotel", "broken", "undo", "hotel", "broken"]


def test_a_forced_restart_while_work_is_undone_does_it_again() -> None:
    execution = run_until_first_undo(work("hotel", recovery={"compensate": UNDO}))
    claim = claim_one(execution)
    outcome = running.work_on(claim)
    restart(execution, force=True)
    assert not running.write_outcome(claim, outcome, None).accepted
    finished(execution)
    assert ran == ["hotel", "broken", "undo", "hotel", "broken"]


def test_work_whose_undo_had_not_begun_stands() -> None:
    execution = run_until_first_undo(work("hotel", recovery={"compensate": UNDO}))
    cancel_execution(execution.pk, ADA)
    restart(execution)
    finished(execution)
    assert ran == ["hotel", "broken", "broken"]


def test_work_that_was_undone_as_its_way_on_failed_is_done_again() -> None:
    ways = {"branches": [branch("missing == 1", "two")]}
    execution = run_of(work("one", conditions=ways, recovery={"compensate": UNDO}), work("two"))
    assert (execution.status, ran) == ("FAILED", ["one", "undo"])
    restart(execution)
    finished(execution, "FAILED")
    assert ran == ["one", "undo", "one", "undo"]
