"""Waits for a time: when they fire, when they need not wait at all, and what holds them up."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from executions_app.models import BlockExecution, BlockOutput, Execution, ExecutionEvent
from executions_app.sweeper import sweep
from tests.consistency import assert_consistent
from tests.driver import run_until_quiet
from tests.factories import event_types, make_template, noop, start, statuses
from tests.waiting import assert_waits, go_on, let_time_pass, wait_block, waiting_row

pytestmark = pytest.mark.usefixtures("db", "empty_queues")

HOUR_MS = 3_600_000
AFTER = noop("after", {"went": "on"}, dependencies=["wait"])


def run_waiting(**configuration: object) -> Execution:
    return run_until_quiet(start(make_template([wait_block(**configuration), AFTER])))


def output_of(execution: Execution, block_id: str = "wait") -> Any:
    return BlockOutput.objects.get(execution_id=execution.pk, block_id=block_id).value


def test_a_wait_holds_no_slot_and_goes_on_when_its_time_has_come() -> None:
    execution = run_waiting(duration=HOUR_MS)
    row = waiting_row(execution)
    assert row.waits_for == "timer"
    assert row.due_at is not None
    assert timedelta(minutes=59) < row.due_at - timezone.now() <= timedelta(hours=1)
    assert execution.status == "RUNNING"
    assert execution.slots == 0
    assert_consistent(execution)
    sweep()
    assert_waits(execution)
    execution = let_time_pass(execution)
    assert execution.status == "COMPLETED"
    assert output_of(execution).keys() == {"firedAt"}
    assert_consistent(execution)
    waiting = ExecutionEvent.objects.get(execution_id=execution.pk, type="block_waiting")
    assert waiting.data["waitsFor"] == "timer"
    assert waiting.data["dueAt"] == row.due_at.isoformat()


def test_a_wait_until_a_time_that_the_input_names() -> None:
    until = timezone.now() + timedelta(days=2)
    template = make_template([wait_block(until="${workflow.input.at}"), AFTER])
    execution = run_until_quiet(start(template, {"at": until.isoformat()}))
    assert waiting_row(execution).due_at == until
    assert let_time_pass(execution).status == "COMPLETED"


@pytest.mark.parametrize("configuration", [{"duration": 0}, {"until": "2001-01-01T00:00:00Z"}], ids=str)
def test_a_wait_for_nothing_or_the_past_is_over_at_once(configuration: dict[str, object]) -> None:
    execution = run_waiting(**configuration)
    assert execution.status == "COMPLETED"
    assert "block_waiting" not in event_types(execution)
    assert_consistent(execution)


def test_a_time_that_is_none_fails_the_block_with_the_reason() -> None:
    template = make_template([wait_block(until="${workflow.input.at}")])
    execution = run_until_quiet(start(template, {"at": "tomorrow"}))
    assert execution.status == "FAILED"
    assert execution.error is not None
    assert execution.error["type"] == "CONFIGURATION_ERROR"
    assert "/until" in execution.error["message"]
    assert "ISO 8601" in execution.error["message"]


def test_a_paused_run_keeps_its_timers_until_it_goes_on() -> None:
    execution = run_waiting(duration=HOUR_MS)
    Execution.objects.filter(pk=execution.pk).update(status="PAUSED")
    let_time_pass(execution)
    assert_waits(execution)
    Execution.objects.filter(pk=execution.pk).update(status="RUNNING")
    sweep()
    assert go_on(execution).status == "COMPLETED"


def test_what_waits_in_a_failing_run_is_cancelled() -> None:
    given = {"useCase": "json.select", "input": {"value": {}, "paths": {"a": "gone"}}}
    failing = {"blockId": "breaks", "toolType": "USE_CASE", "configuration": given}
    failing["recovery"] = {"strategies": ["retry"]}
    execution = run_until_quiet(start(make_template([wait_block(duration=HOUR_MS), failing])))
    assert execution.status == "FAILED"
    assert statuses(execution) == {"wait": "CANCELLED", "breaks": "FAILED"}
    assert_consistent(execution)


def test_firing_twice_changes_nothing() -> None:
    execution = run_waiting(duration=HOUR_MS)
    let_time_pass(execution)
    sweep()
    assert event_types(execution).count("block_completed") == 2
    assert BlockExecution.objects.filter(execution=execution).count() == 2
