"""What a failed run did is undone: the last first, each once, whatever dies in between."""

from typing import Any

import pytest
from django.db import connection

from executions_app import running
from executions_app.models import BlockExecution, BlockOutput, Execution, ExecutionEvent, RecoveryAction
from executions_app.parking import take_back
from executions_app.services.blocks import skip_block
from executions_app.services.control import Asked
from executions_app.services.restart import Restart, restart_execution
from tests.consistency import assert_consistent, assert_rebuilt
from tests.driver import queued_blocks, run_until_quiet, wake_all
from tests.factories import event_types, make_template, noop, start
from tests.failing_work import dying_at, ledger, new_key, unsteady_block, work
from tests.rows_read import reading_by_index, rows_read

pytestmark = pytest.mark.usefixtures("db")


def booked(block_id: str, key: str, *, undo: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """Return a block that gives an id, and what undoes it: work under ``key`` that is handed the id."""
    handed = work(key, undoes="${output.id}", given="${input}", **(undo or {}))
    output = {"id": f"{block_id}-7"}
    return noop(block_id, output, recovery={"compensate": handed}, **fields)


def broken(**fields: Any) -> dict[str, Any]:
    return unsteady_block("broken", new_key(), fields=fields, fails=9, error="VALIDATION_ERROR")


def drive(execution: Execution) -> Execution:
    for _ in range(20):
        assert_rebuilt(run_until_quiet(execution))
        if not BlockExecution.objects.filter(execution=execution, status="RETRYING").exists():
            break
        wake_all(execution)
    return assert_consistent(execution)


def undone(key: str) -> list[str]:
    return [entry["params"]["undoes"] for entry in ledger[key]]


def three_then_broken(key: str, **options: Any) -> Execution:
    blocks = [
        booked("hotel", key, **options),
        booked("flight", key, dependencies=["hotel"]),
        noop("nothing_to_undo", {}, dependencies=["flight"]),
        booked("car", key, dependencies=["nothing_to_undo"]),
        broken(dependencies=["car"]),
    ]
    return start(make_template(blocks))


def test_what_was_done_is_undone_in_reverse() -> None:
    key = new_key()
    execution = drive(three_then_broken(key))
    assert execution.status == "FAILED"
    assert undone(key) == ["car-7", "flight-7", "hotel-7"]
    assert len({entry["key"] for entry in ledger[key]}) == 3
    assert all(entry["key"].endswith(":undo") for entry in ledger[key])
    end = ExecutionEvent.objects.get(execution_id=execution.pk, type="execution_failed")
    assert end.data["compensation"] == {"undone": ["car", "flight", "hotel"], "failed": []}
    found = RecoveryAction.objects.filter(execution=execution, strategy="compensate")
    assert [action.outcome for action in found] == ["succeeded"] * 3
    assert not execution.compensating
    assert BlockExecution.objects.filter(execution=execution, kind="undo", settled=True).count() == 3


def test_the_output_of_a_block_is_not_that_of_its_undo() -> None:
    key = new_key()
    first = booked("first", key, undo={"output": {"id": "gone"}})
    handed = work(key, undoes="${blocks.first.output.id}")
    second = noop("second", {}, dependencies=["first"], recovery={"compensate": handed})
    # What undoes the first is done last, and what undoes the second reads what the first gave.
    execution = drive(start(make_template([first, second, broken(dependencies=["second"])])))
    assert execution.status == "FAILED"
    assert undone(key) == ["first-7", "first-7"]
    assert BlockOutput.objects.get(execution_id=execution.pk, block_id="first").value == {"id": "first-7"}


def test_a_run_that_undoes_is_recovering_and_starts_nothing_else() -> None:
    key = new_key()
    execution = three_then_broken(key)
    while not BlockExecution.objects.filter(execution=execution, kind="undo").exists():
        for row_id in queued_blocks(execution):
            running.run_blocks(execution.pk, row_id, "default")
    execution = assert_consistent(execution)
    assert (execution.status, execution.active, execution.compensating) == ("RECOVERING", 1, True)
    assert_rebuilt(execution)
    assert drive(execution).status == "FAILED"


def test_an_undo_that_fails_is_tried_again_and_then_passed_over() -> None:
    key = new_key()
    blocks = [booked("hotel", key), booked("flight", new_key(), undo={"fails": 99}, dependencies=["hotel"])]
    settings = {"defaultRetryPolicy": {"maxRetries": 2, "baseDelay": 0}}
    execution = drive(
        start(make_template([*blocks, broken(dependencies=["flight"])], globalSettings=settings))
    )
    assert execution.status == "FAILED"
    assert undone(key) == ["hotel-7"]
    end = ExecutionEvent.objects.get(execution_id=execution.pk, type="execution_failed")
    assert end.data["compensation"] == {"undone": ["hotel"], "failed": ["flight"]}
    assert end.data["error"]["blockId"] == "broken", "the run failed for what it failed for"
    tries = RecoveryAction.objects.filter(execution=execution, block_id="flight:undo").order_by("id")
    assert [(action.strategy, action.outcome) for action in tries] == [
        ("compensate", "failed"),
        ("retry", "failed"),
        ("retry", "failed"),
        ("abort", "failed"),
    ]


def test_nothing_is_undone_of_a_run_that_completes() -> None:
    key = new_key()
    blocks = [booked("hotel", key), broken(dependencies=["hotel"], onError=["mend"]), noop("mend")]
    assert drive(start(make_template(blocks))).status == "COMPLETED"
    assert undone(key) == []


def test_a_skipped_block_did_nothing_to_undo() -> None:
    key = new_key()
    skipped = booked("hotel", key) | work(new_key(), fails=9, error="VALIDATION_ERROR")
    skipped |= {"optional": True, "defaultOutput": {"id": "none"}}
    execution = drive(start(make_template([skipped, broken(dependencies=["hotel"])])))
    assert execution.status == "FAILED"
    assert undone(key) == []


def test_a_block_that_an_operator_skipped_did_nothing_to_undo() -> None:
    key = new_key()
    execution = start(make_template([booked("hotel", key), broken(dependencies=["hotel"])]))
    skip_block(execution.pk, "hotel", Asked("ada"), {"id": "none"})
    execution = drive(execution)
    assert execution.status == "FAILED"
    assert undone(key) == []


def test_a_failed_block_that_a_restart_skipped_did_nothing_to_undo() -> None:
    key = new_key()
    hotel = booked("hotel", key, defaultOutput={"id": "none"})
    hotel |= work(new_key(), fails=9, error="VALIDATION_ERROR")
    execution = drive(start(make_template([hotel, broken(dependencies=["hotel"])])))
    restart_execution(execution.pk, Asked("ada"), Restart(skip_failed=True))
    execution = drive(execution)
    assert execution.status == "FAILED"
    assert undone(key) == []


def test_a_run_that_goes_on_after_a_failure_is_undone_when_it_has_ended() -> None:
    key = new_key()
    blocks = [broken(onFailure="continue"), booked("hotel", key), booked("car", key, dependencies=["hotel"])]
    assert drive(start(make_template(blocks))).status == "FAILED"
    assert undone(key) == ["car-7", "hotel-7"]


def test_giving_up_to_undo_fails_a_run_that_would_have_gone_on() -> None:
    key = new_key()
    gives_up = broken(onFailure="continue", recovery={"strategies": ["COMPENSATE"]}, dependencies=["hotel"])
    side = noop("side", dependencies=["slow"])
    blocks = [booked("hotel", key), gives_up, noop("slow", dependencies=["hotel"]), side]
    execution = start(make_template(blocks, globalSettings={"maxParallelBlocks": 1}))
    assert drive(execution).status == "FAILED"
    assert undone(key) == ["hotel-7"]
    assert "execution_failed" in event_types(execution)
    assert BlockExecution.objects.get(execution=execution, block_id="slow").status == "CANCELLED"


@pytest.mark.parametrize("place", ["finish_block", "_invoke"])
def test_a_worker_that_dies_undoing_leaves_it_to_another(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    key = new_key()
    execution = start(make_template([booked("hotel", key), broken(dependencies=["hotel"])]))
    while not BlockExecution.objects.filter(execution=execution, kind="undo").exists():
        for row_id in queued_blocks(execution):
            running.run_blocks(execution.pk, row_id, "default")
    (row_id,) = queued_blocks(execution)
    with dying_at(monkeypatch, running, place), monkeypatch.context() as patched:
        patched.setattr(running, "find_orphans", lambda worker: [])
        running.run_blocks(execution.pk, row_id, "default")
    row = BlockExecution.objects.get(pk=row_id)
    assert row.status == "RUNNING"
    take_back(execution.pk, [(row_id, row.fence)])
    assert running.run_blocks(execution.pk, row_id, "default") == 1
    assert running.run_blocks(execution.pk, row_id, "default") == 0, "a second message finds nothing"
    assert assert_consistent(execution).status == "FAILED"
    assert set(undone(key)) == {"hotel-7"}
    assert len({entry["key"] for entry in ledger[key]}) == 1, "at least once, under one key"


def test_the_items_of_a_map_and_the_rounds_of_a_loop_are_undone_one_by_one() -> None:
    key = new_key()
    handed = {"compensate": work(key, undoes="${output.id}")}
    rooms = noop("rooms", {"id": "${item}"}, forEach="${workflow.input.rooms}", recovery=handed)
    rooms["maxConcurrency"] = 1
    again = {"branches": [{"condition": "n < 2", "nextBlocks": ["night"]}, {"nextBlocks": ["broken"]}]}
    night = noop("night", {"n": "${default(n, 0) + 1}", "id": "night"}, recovery=handed)
    night |= {"dependencies": ["rooms"], "conditions": again}
    execution = drive(start(make_template([rooms, night, broken()]), {"rooms": ["a", "b"]}))
    assert execution.status == "FAILED", execution.error
    assert undone(key) == ["night", "night", "b", "a"]


COPY_BLOCK = (
    "INSERT INTO {table} ({columns}) SELECT {values} FROM {table}, generate_series(%s, %s) AS n WHERE id = %s"
)
COPY_OUTPUT = """
    INSERT INTO executions_app_blockoutput (block_execution_id, execution_id, block_id, value, superseded, created_at)
    SELECT b.id, o.execution_id, o.block_id, o.value, false, o.created_at
    FROM executions_app_blockexecution b, executions_app_blockoutput o
    WHERE b.execution_id = %s AND b.item_index >= %s AND o.block_execution_id = %s
"""
# Read from indexes and from end to end, in every table of the runs.


def with_many_items(execution: Execution, total: int) -> None:
    """Let the map of a run have had so many items, each like its first."""
    first = BlockExecution.objects.get(execution=execution, kind="item", item_index=0)
    fields = BlockExecution._meta.concrete_fields
    columns = [str(field.column) for field in fields if not field.primary_key]
    values = ["n" if column == "item_index" else column for column in columns]
    table = BlockExecution._meta.db_table
    with connection.cursor() as cursor:
        statement = COPY_BLOCK.format(table=table, columns=", ".join(columns), values=", ".join(values))
        cursor.execute(statement, [1, total - 1, first.pk])
        cursor.execute(COPY_OUTPUT, [execution.pk, 1, first.pk])
        cursor.execute(f"ANALYZE {table}, executions_app_blockoutput, executions_app_executionevent")


def test_what_is_to_be_undone_is_looked_for_once() -> None:
    key, total, steps = new_key(), 3_000, 20
    rooms = booked("rooms", key, forEach="${workflow.input.rooms}")
    execution = start(make_template([rooms, broken(dependencies=["rooms"])]), {"rooms": ["a"]})
    while not BlockExecution.objects.filter(execution=execution, block_id="broken").exists():
        (row_id,) = queued_blocks(execution)
        running.run_blocks(execution.pk, row_id, "other queue: nothing in place")
    with_many_items(execution, total)
    spent = []
    with reading_by_index():
        while len(undone(key)) < steps:
            (row_id,) = queued_blocks(execution)
            before = rows_read()
            running.run_blocks(execution.pk, row_id, "other queue: nothing in place")
            spent.append(rows_read() - before)
    assert spent[0] > total, "the failure that ends the run looks at them all"
    assert max(spent[1:]) < 100
