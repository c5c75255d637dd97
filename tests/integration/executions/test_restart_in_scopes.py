"""Restarts inside loops go back to a round; restarts of maps run failed items, or all of them."""

from typing import Any

import pytest
from django.db.models import Q
from django.utils import timezone

from executions_app import running
from executions_app.aftermath import follow_up
from executions_app.claiming import claim_block
from executions_app.errors import RestartFromParent
from executions_app.finishing import Result, finish_block
from executions_app.models import BlockExecution, Execution, Scope
from executions_app.parking import take_back
from executions_app.selectors import context_of
from executions_app.services.control import cancel_execution
from executions_app.sweeper import sweep
from executions_app.worker_identity import worker_id
from templates_app.models import Template
from tests.consistency import assert_consistent
from tests.driver import queued_blocks, run_until_quiet
from tests.factories import branch, error_of, event_types, make_template, noop, start
from tests.restarting import ADA, claim_one, failing, finished, ran, restart, run_of, work
from workflow_service.engine.states import BlockStatus

pytestmark = pytest.mark.usefixtures("db")


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()
    failing.clear()


def counting(until: int = 3, **fields: Any) -> list[dict[str, Any]]:
    """Return a loop of two blocks that counts ``n`` up to ``until``, with a block before and one after."""
    return [
        work("begin", gives={"n": 0}),
        work("turn", "begin", **fields),
        work(
            "count",
            "turn",
            gives={"n": "${n + 1}"},
            conditions={"branches": [branch(f"n < {until}", "turn"), branch(None, "report")]},
        ),
        work("report"),
    ]


def rounds(execution: Execution, block_id: str, **filters: Any) -> list[tuple[int, int, str]]:
    """Return round, generation and status of a block's current rows."""
    found = BlockExecution.objects.filter(execution=execution, block_id=block_id, superseded=False, **filters)
    return list(found.order_by("item_index", "id").values_list("item_index", "generation", "status"))


def test_a_restart_in_a_loop_goes_back_to_the_last_round_of_its_block() -> None:
    execution = run_of(*counting())
    assert execution.status == "COMPLETED"
    ran.clear()
    assert restart(execution, from_block="count").affected == ("count", "report")
    scope = Scope.objects.get(execution=execution)
    assert (scope.round, scope.first_round, scope.ended, scope.open) == (2, 2, False, 1)
    finished(execution)
    assert ran == ["count", "report"]
    assert rounds(execution, "turn") == [(0, 1, "COMPLETED"), (1, 1, "COMPLETED"), (2, 1, "COMPLETED")]
    assert rounds(execution, "count")[2] == (2, 2, "COMPLETED")


def test_rounds_after_the_one_it_goes_back_to_are_dropped() -> None:
    """The entry of a round that was passed over runs in fewer rounds than the rest."""
    execution = run_of(
        work("begin", gives={"n": 0}),
        work("odd", gives={}, dependencies=["begin"]),
        work("even"),
        work(
            "count",
            "odd",
            "even",
            gives={"n": "${n + 1}"},
            conditions={
                "branches": [branch("n == 1", "odd"), branch("n < 4", "even"), branch(None, "report")]
            },
        ),
        work("report"),
    )
    assert execution.status == "COMPLETED", execution.error
    assert ran == ["begin", "odd", "count", "odd", "count", "even", "count", "even", "count", "report"]
    ran.clear()
    restart(execution, from_block="odd", preserve_context=False, reset_state=True)
    assert context_of(execution)["n"] == 1
    finished(execution)
    assert ran == ["odd", "count", "even", "count", "even", "count", "report"]
    assert len(rounds(execution, "count")) == 4


def test_the_bound_of_a_loop_counts_afresh() -> None:
    execution = run_of(*counting(until=100, maxRounds=3))
    assert error_of(execution)["type"] == "LOOP_LIMIT_REACHED"
    assert ran.count("count") == 3
    ran.clear()
    restart(execution, from_block="count")
    execution = run_until_quiet(execution)
    assert_consistent(execution)
    assert ran.count("count") == 3, "the round it went back to, and two more"
    assert error_of(execution)["type"] == "LOOP_LIMIT_REACHED"


def test_a_failure_in_a_loop_is_restarted_where_it_was() -> None:
    execution = start(make_template(counting()))
    failing.add("turn")
    execution = run_until_quiet(execution)
    assert execution.status == "FAILED"
    failing.clear()
    restart(execution)
    finished(execution)
    assert ran == ["begin", "turn", "turn", "count", "turn", "count", "turn", "count", "report"]
    assert context_of(execution)["n"] == 3


def test_what_is_before_a_loop_takes_the_whole_loop_back() -> None:
    execution = run_of(*counting(until=2))
    ran.clear()
    assert restart(execution, from_block="begin").affected == ("begin", "turn", "count", "report")
    finished(execution)
    assert ran == ["begin", "turn", "count", "turn", "count", "report"]
    live = Scope.objects.filter(execution=execution, superseded=False)
    assert [scope.generation for scope in live] == [2]


def test_what_is_behind_a_loop_leaves_it_alone() -> None:
    execution = run_of(*counting(until=2))
    ran.clear()
    assert restart(execution, from_block="report").affected == ("report",)
    finished(execution)
    assert ran == ["report"]


def nested() -> list[dict[str, Any]]:
    """Return a loop of two rounds around a loop of two rounds, with a block before, between and behind."""
    return [
        work("begin", gives={"outer": 0}),
        work("reset", "begin", gives={"inner": 0}),
        work(
            "step",
            "reset",
            gives={"inner": "${inner + 1}"},
            conditions={"branches": [branch("inner < 2", "step"), branch(None, "close")]},
        ),
        work(
            "close",
            gives={"outer": "${outer + 1}"},
            conditions={"branches": [branch("outer < 2", "reset"), branch(None, "report")]},
        ),
        work("report"),
    ]


WHOLE = ["begin", *["reset", "step", "step", "close"] * 2, "report"]


@pytest.mark.parametrize(
    ("block", "again"),
    [
        ("begin", WHOLE),
        ("reset", ["reset", "step", "step", "close", "report"]),
        ("step", ["step", "close", "report"]),
        ("close", ["close", "report"]),
        ("report", ["report"]),
    ],
)
def test_restarts_in_nested_loops(block: str, again: list[str]) -> None:
    execution = run_of(*nested())
    assert ran == WHOLE, execution.error
    ran.clear()
    restart(execution, from_block=block, preserve_context=False, reset_state=True)
    execution = finished(execution)
    assert ran == again
    assert execution.completed_blocks == 5


def test_a_cancelled_loop_goes_on_in_its_round() -> None:
    execution = start(make_template(counting()))
    (first,) = queued_blocks(execution)
    for _ in range(3):
        claim = claim_block(execution.pk, queued_blocks(execution)[0], worker_id()).claim
        assert claim is not None
        finish_block(
            claim, Result(BlockStatus.COMPLETED, output={"n": 0 if claim.block_execution_id == first else 1})
        )
    cancel_execution(execution.pk, ADA)
    restart(execution)
    finished(execution)
    assert ran == ["turn", "count", "turn", "count", "report"]


# -- maps


def mapped(**fields: Any) -> Execution:
    blocks = [
        noop("give", {"names": ["a", "b", "c", "d"]}),
        work("each", "give", name="${item}", forEach="names", **fields),
        work("report", "each"),
    ]
    return run_of(*blocks)


def test_a_failed_map_runs_its_failed_items_again() -> None:
    failing.update({"b", "d"})
    execution = mapped()
    assert execution.status == "FAILED"
    assert sorted(ran[:4]) == ["a", "b", "c", "d"] or len(ran) < 4
    before = set(ran) - failing
    failing.clear()
    ran.clear()
    assert restart(execution).affected == ("each", "report")
    finished(execution)
    assert sorted(ran) == sorted({"a", "b", "c", "d", "report"} - before)
    assert "items_kept" in event_types(execution)
    assert (
        BlockExecution.objects.filter(
            execution=execution, kind="item", superseded=False, status="COMPLETED"
        ).count()
        == 4
    )


def test_a_map_that_is_named_runs_all_its_items_again() -> None:
    failing.add("b")
    execution = mapped(toleratedFailurePercentage=50)
    assert execution.status == "COMPLETED", execution.error
    failing.clear()
    ran.clear()
    restart(execution, from_block="each")
    finished(execution)
    assert sorted(ran) == ["a", "b", "c", "d", "report"]


def test_a_map_that_failed_while_it_was_collected_is_collected_after_a_restart() -> None:
    blocks = [
        work("each", name="${item}", forEach="workflow.input.names", onWorkerLost="fail"),
        work("report", "each"),
    ]
    execution = start(make_template(blocks), {"names": ["a", "b"]})
    # The map hands out its items, and they run; then the worker dies that collects.
    for _ in range(3):
        running.run_blocks(execution.pk, queued_blocks(execution)[0], "other queue: nothing in place")
    claim = claim_one(execution)
    assert not claim.is_item
    follow_up(take_back(execution.pk, [(claim.block_execution_id, claim.fence)]), execution.pk)
    execution.refresh_from_db()
    assert execution.status == "FAILED"
    restart(execution)
    finished(execution)
    assert sorted(ran) == ["a", "b", "report"]


def test_a_resumed_map_keeps_to_its_window() -> None:
    failing.update({"b", "c", "d"})
    execution = mapped(maxConcurrency=1, toleratedFailurePercentage=60)
    assert execution.status == "FAILED"
    failing.clear()
    restart(execution)
    assert len(queued_blocks(execution)) == 1
    finished(execution)


def test_a_cancelled_map_is_run_again_as_a_whole() -> None:
    execution = start(
        make_template([work("each", name="${item}", forEach="workflow.input.names"), work("end_", "each")]),
        {"names": ["a", "b"]},
    )
    claim = claim_block(execution.pk, queued_blocks(execution)[0], worker_id()).claim
    assert claim is not None
    cancel_execution(execution.pk, ADA)
    restart(execution)
    finished(execution)
    assert sorted(ran) == ["a", "b", "end_"]


# -- sub-workflows


def calling(child: Template, **definition: Any) -> Execution:
    blocks = [
        {
            "blockId": "call",
            "toolType": "SUBWORKFLOW",
            "configuration": {"template": child.public_id},
        },
        work("after", "call"),
    ]
    execution = start(make_template(blocks, workspace=child.workspace, **definition))
    run_family(execution)
    execution.refresh_from_db()
    return execution


def run_family(execution: Execution) -> None:
    """Run queued blocks of a run and of its sub-workflows until none is left."""
    family = Execution.objects.filter(Q(pk=execution.pk) | Q(parent=execution))
    while busy := family.filter(block_executions__status="QUEUED").first():
        run_until_quiet(busy)


def to_the_end(execution: Execution, status: str = "COMPLETED") -> Execution:
    run_family(execution)
    return finished(execution, status)


def test_a_failed_sub_workflow_goes_on_from_what_failed_in_it() -> None:
    failing.add("inner2")
    execution = calling(make_template([work("inner1"), work("inner2", "inner1")]))
    assert execution.status == "FAILED", execution.error
    failing.clear()
    ran.clear()
    (child,) = Execution.objects.filter(parent=execution)
    restart(execution)
    to_the_end(execution)
    assert ran == ["inner2", "after"]
    child.refresh_from_db()
    assert (child.status, child.generation) == ("COMPLETED", 2)
    assert_consistent(child)


def test_a_sub_workflow_that_is_named_is_run_anew() -> None:
    execution = calling(make_template([work("inner1"), work("inner2", "inner1")]))
    assert execution.status == "COMPLETED", execution.error
    ran.clear()
    restart(execution, from_block="call")
    to_the_end(execution)
    assert ran == ["inner1", "inner2", "after"]
    assert Execution.objects.filter(parent=execution).count() == 2


def test_a_restart_cancels_the_sub_workflow_of_a_block_that_it_takes_back() -> None:
    template = make_template([work("inner1")])
    execution = start(
        make_template(
            [
                {
                    "blockId": "call",
                    "toolType": "SUBWORKFLOW",
                    "configuration": {"template": template.public_id},
                },
                work("after", "call"),
            ],
            workspace=template.workspace,
        )
    )
    run_until_quiet(execution)
    (child,) = Execution.objects.filter(parent=execution)
    with pytest.raises(RestartFromParent):
        restart(child, force=True, from_block="inner1")
    restart(execution, from_block="call", force=True)
    child.refresh_from_db()
    assert child.status == "CANCELLED"
    to_the_end(execution)
    assert ran == ["inner1", "after"]


def test_a_cancelled_sub_workflow_fails_its_block_and_goes_on_with_it() -> None:
    template = make_template([work("inner1"), work("inner2", "inner1")])
    execution = start(
        make_template(
            [
                {
                    "blockId": "call",
                    "toolType": "SUBWORKFLOW",
                    "configuration": {"template": template.public_id},
                }
            ],
            workspace=template.workspace,
        )
    )
    run_until_quiet(execution)
    (child,) = Execution.objects.filter(parent=execution)
    cancel_execution(child.pk, ADA)
    execution.refresh_from_db()
    assert error_of(execution)["type"] == "CHILD_CANCELLED"
    restart(execution)
    to_the_end(execution)
    assert ran == ["inner1", "inner2"]


def test_a_child_that_its_parent_s_restart_resumed_is_stopped_when_the_parent_fails_again() -> None:
    failing.update({"inner", "other"})
    child_template = make_template([work("inner")])
    call = {
        "blockId": "call",
        "toolType": "SUBWORKFLOW",
        "configuration": {"template": child_template.public_id},
        "onFailure": "continue",
    }
    blocks = [call, work("other", onFailure="continue"), work("late")]
    execution = start(make_template(blocks, workspace=child_template.workspace))
    run_family(execution)
    restart(Execution.objects.get(pk=execution.pk))
    Execution.objects.filter(pk=execution.pk).update(deadline_at=timezone.now(), timeout_ms=1)
    run_until_quiet(execution)
    sweep()
    execution.refresh_from_db()
    child = Execution.objects.get(parent=execution)
    assert (execution.status, child.generation) == ("FAILED", 2)
    sweep()
    child.refresh_from_db()
    assert child.failing or child.status == "FAILED", "nobody waits for it"


def test_a_child_that_was_restarted_on_its_own_after_its_parent_had_ended_goes_on() -> None:
    failing.add("inner")
    execution = calling(make_template([work("inner")]))
    assert execution.status == "FAILED"
    child = Execution.objects.get(parent=execution)
    restart(child)
    sweep()
    failing.clear()
    assert finished(child).generation == 2
