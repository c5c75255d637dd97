"""Maps on real rows: a row for each item, never more at once than allowed, results in order, failures tolerated."""

import json
from typing import Any

import pytest

from executions_app import running
from executions_app.models import BlockExecution, BlockOutput, Execution, Scope
from executions_app.selectors import context_of
from tests.consistency import assert_consistent
from tests.driver import queued_blocks, run_until_quiet
from tests.factories import branch, error_of, make_template, noop, start
from tests.rows_read import reading_by_index, rows_read
from workflow_service.settings.config import get_config

pytestmark = pytest.mark.usefixtures("db")


def doubling(items: Any, **fields: Any) -> list[dict[str, Any]]:
    """Return a block that gives a list and a map that doubles each of its items."""
    return [
        noop("give", {"numbers": items}),
        noop("double", "${item * 2}", dependencies=["give"], forEach="numbers", **fields),
        noop("report", {"doubled": "${blocks.double.output.results}"}, dependencies=["double"]),
    ]


def picky(**fields: Any) -> dict[str, Any]:
    """Return a map that fails for items of which no Fibonacci number can be made."""
    return {
        "blockId": "fib",
        "toolType": "USE_CASE",
        "configuration": {"useCase": "math.fib", "input": {"n": "${item}"}},
        "forEach": "workflow.input.numbers",
        **fields,
    }


def items_of(execution: Execution) -> list[BlockExecution]:
    return list(BlockExecution.objects.filter(execution=execution, kind="item").order_by("item_index"))


def test_results_come_in_the_order_of_the_items() -> None:
    execution = run_until_quiet(start(make_template(doubling([3, 1, 2]))))
    assert execution.status == "COMPLETED", execution.error
    assert context_of(execution)["doubled"] == [6, 2, 4]
    assert [(row.item_index, row.item, row.status) for row in items_of(execution)] == [
        (0, 3, "COMPLETED"),
        (1, 1, "COMPLETED"),
        (2, 2, "COMPLETED"),
    ]
    [output] = BlockOutput.objects.filter(execution_id=execution.pk, block_id="double")
    assert output.value == {"results": [6, 2, 4], "succeeded": 3, "failed": 0, "errors": []}
    assert (execution.completed_blocks, execution.active, execution.slots) == (3, 0, 0)
    assert_consistent(execution)


def test_nothing_to_do_is_done_at_once() -> None:
    execution = run_until_quiet(start(make_template(doubling([]))))
    assert execution.status == "COMPLETED", execution.error
    assert context_of(execution)["doubled"] == []
    assert not items_of(execution)


def test_never_more_items_are_active_than_max_concurrency() -> None:
    execution = start(make_template(doubling(list(range(7)), maxConcurrency=2)))
    run_one_by_one(execution, at_most=2)
    execution = assert_consistent(execution)
    assert context_of(execution)["doubled"] == [0, 2, 4, 6, 8, 10, 12]


def test_a_map_holds_no_slot_while_its_items_run() -> None:
    template = make_template(doubling([1, 2, 3]), globalSettings={"maxParallelBlocks": 1})
    execution = run_until_quiet(start(template))
    assert execution.status == "COMPLETED", execution.error


def run_one_by_one(execution: Execution, *, at_most: int) -> None:
    while queued := queued_blocks(execution):
        active = sum(row.status in ("READY", "QUEUED", "RUNNING") for row in items_of(execution))
        assert active <= at_most
        running.run_blocks(execution.pk, queued[0], "default")
        assert_consistent(execution)


@pytest.mark.parametrize(
    ("tolerated", "status"), [(0, "FAILED"), (24, "FAILED"), (25, "COMPLETED"), (100, "COMPLETED")]
)
def test_a_share_of_failures_may_be_tolerated(tolerated: int, status: str) -> None:
    template = make_template([picky(toleratedFailurePercentage=tolerated, retryPolicy={"maxRetries": 0})])
    execution = run_until_quiet(start(template, {"numbers": [1, 2, -1, 4]}))
    assert execution.status == status, execution.error
    if status == "FAILED":
        assert error_of(execution)["type"] == "MAP_FAILED"
        assert "1 of the 4 items of 'fib' failed" in error_of(execution)["message"]
        assert "item 2" in error_of(execution)["message"]
    else:
        [output] = BlockOutput.objects.filter(execution_id=execution.pk, block_id="fib")
        assert output.value["failed"] == 1
        assert output.value["results"][2] is None
        assert output.value["errors"][0]["index"] == 2
    assert_consistent(execution)


def test_after_too_many_failures_no_more_items_begin() -> None:
    template = make_template(
        [picky(maxConcurrency=1, retryPolicy={"maxRetries": 0}, onError=["rescue"]), noop("rescue")]
    )
    execution = run_until_quiet(start(template, {"numbers": [-1, 2, 3]}))
    assert execution.status == "COMPLETED", execution.error
    assert [row.status for row in items_of(execution)] == ["FAILED", "CANCELLED", "CANCELLED"]
    assert_consistent(execution)


@pytest.mark.parametrize("given", [{"a": 1}, "text", 5, None])
def test_what_is_no_list_fails_the_map_and_says_so(given: Any) -> None:
    execution = run_until_quiet(start(make_template([picky()]), {"numbers": given}))
    assert execution.status == "FAILED"
    assert "forEach must give a list" in error_of(execution)["message"]
    assert error_of(execution)["type"] == "CONFIGURATION_ERROR"


def test_a_map_in_a_loop_runs_its_items_anew_in_every_round() -> None:
    blocks = [
        noop("begin", {"n": 0}),
        noop("each", "${n + item}", dependencies=["begin"], forEach="[10, 20]"),
        noop(
            "count",
            {"n": "${n + 1}"},
            dependencies=["each"],
            conditions={"branches": [branch("n < 2", "each"), branch(None, "report")]},
        ),
        noop("report", {"last": "${blocks.each.output.results}"}),
    ]
    execution = run_until_quiet(start(make_template(blocks)))
    assert execution.status == "COMPLETED", execution.error
    assert context_of(execution)["last"] == [11, 21]
    assert len(items_of(execution)) == 4
    assert Scope.objects.filter(execution=execution, kind="map").count() == 2
    assert_consistent(execution)


def test_the_other_spelling_is_the_same_map() -> None:
    spelled = {
        "blockId": "double",
        "toolType": "MAP",
        "forEach": "workflow.input.numbers",
        "configuration": {"toolType": "NOOP", "configuration": {"output": "${item * 2}"}},
    }
    execution = run_until_quiet(start(make_template([spelled]), {"numbers": [1, 2]}))
    assert execution.status == "COMPLETED", execution.error
    assert json.loads(json.dumps(context_of(execution)["results"])) == [2, 4]


def test_more_items_than_allowed_fail_the_map(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(get_config(), "workflow_max_map_items", 2)
    execution = run_until_quiet(start(make_template([picky()]), {"numbers": [1, 2, 3]}))
    assert execution.status == "FAILED"
    assert "3 items; at most 2" in error_of(execution)["message"]


def test_results_that_are_too_large_together_fail_the_map(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(get_config(), "max_output_bytes", 2_000)
    each = noop("each", "${item}", forEach="workflow.input.texts")
    execution = run_until_quiet(start(make_template([each]), {"texts": ["x" * 900] * 3}))
    assert execution.status == "FAILED"
    error = error_of(execution)
    assert (error["type"], error["details"]) == ("VALIDATION_ERROR", {"bytes": 2_706, "maxBytes": 2_000})
    assert not BlockOutput.objects.filter(execution_id=execution.pk, block_id="each").exists()
    assert_consistent(execution)


def test_what_an_item_costs_does_not_grow_with_its_map() -> None:
    execution = start(
        make_template([noop("each", {"n": "${item}"}, forEach="${workflow.input.items}", maxConcurrency=1)]),
        {"items": list(range(1_500))},
    )
    (row_id,) = queued_blocks(execution)
    running.run_blocks(execution.pk, row_id, "other queue: nothing in place")
    # Long after the first items are done, those that are left are still found at once.
    BlockExecution.objects.filter(
        execution=execution, kind="item", status="PENDING", item_index__lt=1_400
    ).update(status="SKIPPED", settled=True)
    spent = []
    with reading_by_index():
        for _ in range(6):
            (row_id,) = queued_blocks(execution)
            before = rows_read()
            running.run_blocks(execution.pk, row_id, "other queue: nothing in place")
            spent.append(rows_read() - before)
    # The first step also meets what the update above left behind.
    # Whoever passed those that are done would read 1,400 more; some are read while a vacuum keeps what the update left.
    assert max(spent[1:]) < 1_000
