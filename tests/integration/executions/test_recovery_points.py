"""Recovery points come with the settlements of a run, and a restart from one takes back what came after it."""

import pytest

from executions_app import recovery_points
from executions_app.errors import TooManyRecoveryPoints
from executions_app.finishing import Result, finish_block
from executions_app.models import BlockExecution, Execution, ExecutionEvent, ExecutionLog, RecoveryPoint
from executions_app.recovery_points import point_documents
from executions_app.services.control import create_recovery_point, pause_execution, resume_execution
from tests.consistency import assert_consistent
from tests.driver import queued_blocks, run_until_quiet
from tests.factories import branch, make_template, start
from tests.people import People, asking, make_people
from tests.restarting import ADA, claim_one, failing, finished, ran, restart, run_of, work
from workflow_service.engine.states import BlockStatus
from workflow_service.settings.config import get_config

pytestmark = pytest.mark.usefixtures("db")


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()
    failing.clear()


@pytest.fixture
def always_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(get_config(), "workflow_recovery_point_interval_ms", 0)


def points(execution: Execution) -> list[RecoveryPoint]:
    return list(RecoveryPoint.objects.filter(execution=execution).order_by("pk"))


def test_a_short_run_makes_none() -> None:
    assert points(run_of(work("one"), work("two", "one"))) == []


@pytest.mark.usefixtures("always_due")
def test_one_is_made_at_a_boundary_when_the_interval_is_over() -> None:
    execution = run_of(work("one"), work("two", "one"), work("three", "two"))
    made = points(execution)
    assert [(point.block_id, point.reason) for point in made] == [("one", "interval"), ("two", "interval")]
    for point in made:
        event = ExecutionEvent.objects.get(execution_id=execution.pk, seq=point.seq)
        assert (event.type, event.block_id) == ("recovery_point_created", point.block_id)
    line = ExecutionLog.objects.filter(
        execution_id=execution.pk, message__startswith="Recovery point"
    ).first()
    assert line is not None
    assert line.message == f"Recovery point created for execution {execution.public_id} at block one"
    shown = point_documents(execution, made)
    assert [each["completed_blocks"] for each in shown] == [["one"], ["one", "two"]]
    assert shown[1]["state"] == {"globalContext": {"one_runs": 1, "two_runs": 1}}
    assert_consistent(execution)


def test_the_interval_counts_from_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    execution = start(make_template([work("one"), work("two", "one"), work("three", "two")]))
    monkeypatch.setattr(get_config(), "workflow_recovery_point_interval_ms", 3_600_000)
    create_recovery_point(execution.pk, ADA)
    run_until_quiet(execution)
    assert [point.reason for point in points(execution)] == ["manual"]


def test_one_is_made_before_people_are_waited_for(db: None) -> None:
    people: People = make_people()
    template = make_template(
        [work("a"), asking("b", fields={"dependencies": ["a"]})], workspace=people.workspace
    )
    execution = run_until_quiet(start(template))
    assert [(point.block_id, point.reason) for point in points(execution)] == [("b", "block")]


@pytest.mark.usefixtures("always_due")
def test_a_restart_takes_back_what_was_settled_after_it() -> None:
    execution = run_of(work("one"), work("two", "one"), work("beside"), work("three", "two", "beside"))
    after_one = next(point for point in points(execution) if point.block_id == "one")
    settled_before = set(point_documents(execution, [after_one])[0]["completed_blocks"])
    ran.clear()
    restarted = restart(execution, after_seq=after_one.seq)
    assert set(restarted.affected) == {"one", "two", "beside", "three"} - settled_before
    finished(execution)
    assert set(ran) == set(restarted.affected)


@pytest.mark.usefixtures("always_due")
def test_a_restart_may_go_back_to_a_round_of_a_loop() -> None:
    execution = run_of(
        work("begin", gives={"n": 0}),
        work(
            "count",
            "begin",
            gives={"n": "${n + 1}"},
            conditions={"branches": [branch("n < 4", "count"), branch(None, "report")]},
        ),
        work("report"),
    )
    assert ran == ["begin", *["count"] * 4, "report"]
    second = [point for point in points(execution) if point.block_id == "count"][1]
    ran.clear()
    restart(execution, after_seq=second.seq, preserve_context=False, reset_state=True)
    finished(execution)
    assert ran == ["count", "count", "report"], "two of the four rounds were before it"


@pytest.mark.usefixtures("always_due")
def test_blocks_that_a_restart_took_back_do_not_count_in_later_points() -> None:
    failing.add("two")
    execution = run_of(work("one"), work("two", "one"), work("three", "two"))
    failing.clear()
    restart(execution, from_block="one")
    finished(execution)
    shown = point_documents(execution, points(execution))
    assert [each["completed_blocks"] for each in shown] == [["one"], ["one"], ["one", "two"]]


def test_a_point_in_the_middle_keeps_what_was_at_work_out() -> None:
    execution = start(make_template([work("one"), work("two"), work("join", "one", "two")]))
    first = claim_one(execution)
    finish_block(first, Result(BlockStatus.COMPLETED, output={}))
    point = create_recovery_point(execution.pk, ADA)
    assert len(queued_blocks(execution)) == 1
    run_until_quiet(execution)
    ran.clear()
    assert restart(execution, after_seq=point.seq).affected == ("two", "join")
    finished(execution)
    assert ran == ["two", "join"]


def test_a_point_with_failures_to_skip_takes_items_of_maps_for_items() -> None:
    execution = start(
        make_template(
            [
                work("each", name="${item}", forEach="workflow.input.names", toleratedFailurePercentage=50),
                work("report", "each"),
            ]
        ),
        {"names": ["a", "b"]},
    )
    create_recovery_point(execution.pk, ADA)
    failing.add("b")
    run_until_quiet(execution)
    failing.clear()
    point = RecoveryPoint.objects.get(execution=execution)
    restart(execution, after_seq=point.seq, skip_failed=True)
    kinds = BlockExecution.objects.filter(execution=execution, superseded=False, scope_id=0)
    assert set(kinds.values_list("kind", flat=True)) <= {"block"}
    finished(execution)


def test_a_run_takes_only_so_many_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery_points, "MAX_MANUAL", 2)
    execution = start(make_template([work("one")]))
    for _ in range(2):
        create_recovery_point(execution.pk, ADA)
    with pytest.raises(TooManyRecoveryPoints, match="was given 2 recovery points already") as refused:
        create_recovery_point(execution.pk, ADA)
    assert "recovery-points" in refused.value.problems[0].suggestion
    assert len(points(execution)) == 2
    finished(execution)


def test_a_run_that_is_resumed_and_waits_for_people_again_makes_no_other() -> None:
    execution = run_until_quiet(start(make_template([asking("b")])))
    for _ in range(2):
        pause_execution(execution.pk, ADA)
        resume_execution(execution.pk, ADA)
    assert [(point.block_id, point.reason) for point in points(execution)] == [("b", "block")]
