"""Loops on real rows: rounds keep theirs, exits count once, and a bound ends a loop with an error."""

from typing import Any

import pytest

from executions_app.models import BlockExecution, Execution, Scope
from executions_app.selectors import context_of
from tests.consistency import assert_consistent
from tests.driver import run_until_quiet
from tests.factories import branch, error_of, event_types, make_template, noop, start

pytestmark = pytest.mark.usefixtures("db")


def counting(**fields: Any) -> list[dict[str, Any]]:
    """Return a loop of two blocks that counts ``n`` up from what it was, until it is 3."""
    return [
        noop("begin", {"n": 0}),
        noop("work", {"seen": "${n}"}, dependencies=["begin"], **fields),
        noop(
            "count",
            {"n": "${n + 1}"},
            dependencies=["work"],
            conditions={"branches": [branch("n < 3", "work"), branch(None, "report")]},
        ),
        noop("report", {"rounds": "${n}"}),
    ]


def rows(execution: Execution, block_id: str) -> list[tuple[int, str]]:
    found = BlockExecution.objects.filter(execution=execution, block_id=block_id).order_by("item_index")
    return list(found.values_list("item_index", "status"))


def test_a_loop_runs_until_its_condition_ends_it() -> None:
    execution = run_until_quiet(start(make_template(counting())))
    assert execution.status == "COMPLETED", execution.error
    assert rows(execution, "work") == [(0, "COMPLETED"), (1, "COMPLETED"), (2, "COMPLETED")]
    assert context_of(execution)["rounds"] == 3
    assert (execution.completed_blocks, execution.active, execution.slots) == (4, 0, 0)
    scope = Scope.objects.get(execution=execution)
    assert (scope.round, scope.ended, scope.closed, scope.open) == (2, True, True, 0)
    assert event_types(execution).count("loop_round_started") == 3
    assert_consistent(execution)


def test_a_loop_that_does_not_end_fails_at_its_bound() -> None:
    execution = run_until_quiet(start(make_template(counting(maxRounds=2))))
    assert execution.status == "FAILED"
    assert error_of(execution)["type"] == "LOOP_LIMIT_REACHED"
    assert "2 rounds" in error_of(execution)["message"]
    assert error_of(execution)["blockId"] == "count"
    assert rows(execution, "work") == [(0, "COMPLETED"), (1, "COMPLETED")]
    assert rows(execution, "report") == [(0, "SKIPPED")]
    assert_consistent(execution)


def test_parallel_blocks_in_a_loop_meet_anew_in_every_round() -> None:
    blocks = [
        noop("begin", {"n": 0}),
        noop("split", {}, dependencies=["begin"]),
        noop("left", {}, dependencies=["split"]),
        noop("right", {}, dependencies=["split"]),
        {
            **counting()[2],
            "dependencies": ["left", "right"],
            "conditions": {"branches": [branch("n < 3", "split"), branch(None, "report")]},
        },
        noop("report", {"rounds": "${n}"}),
    ]
    execution = run_until_quiet(start(make_template(blocks)))
    assert execution.status == "COMPLETED", execution.error
    assert [len(rows(execution, name)) for name in ("split", "left", "right", "count", "report")] == [
        3,
        3,
        3,
        3,
        1,
    ]
    assert_consistent(execution)


def test_an_error_edge_takes_the_run_out_of_its_loop() -> None:
    blocks = counting()
    blocks[1] = {
        "blockId": "work",
        "toolType": "USE_CASE",
        "configuration": {"useCase": "no.such"},
        "dependencies": ["begin"],
        "onError": ["rescue"],
    }
    execution = run_until_quiet(start(make_template([*blocks, noop("rescue", {"saved": True})])))
    assert execution.status == "COMPLETED", execution.error
    assert rows(execution, "rescue") == [(0, "COMPLETED")]
    assert rows(execution, "count") == [(0, "SKIPPED")]
    assert_consistent(execution)
