"""Blocks that run for longer than is usual are told of while they run, once, and judged again when they have ended."""

from datetime import timedelta

import pytest
from django.utils import timezone

from executions_app.claiming import claim_block
from executions_app.digest import digest_ended_runs
from executions_app.late_events import LateEvent, append_events
from executions_app.models import BlockExecution, Execution
from executions_app.worker_identity import worker_id
from tests.consistency import assert_consistent
from tests.copied_runs import Past, copy_run
from tests.driver import queued_blocks, run_until_quiet
from tests.factories import event_types, make_template, noop, start
from workflow_service.anomalies import telling
from workflow_service.anomalies.models import Anomaly
from workflow_service.anomalies.watching import find_long_running

pytestmark = pytest.mark.usefixtures("db")


def begun(ran_s: float, past_ms: int = 5_000) -> Execution:
    """Return a run whose one block has been at work for so long, with a history of 60 that took ``past_ms``."""
    run = run_until_quiet(start(make_template([noop("load")])))
    digest_ended_runs()
    copy_run(run, [Past(past_ms + number) for number in range(60)])
    digest_ended_runs()
    going = start(run.template)
    (row,) = queued_blocks(going)
    assert claim_block(going.pk, row, worker_id()).claim is not None
    since = timezone.now() - timedelta(seconds=ran_s)
    BlockExecution.objects.filter(pk=row).update(started_at=since)
    return going


def told(execution: Execution) -> int:
    return event_types(execution).count("anomaly_detected")


def test_a_block_that_runs_for_too_long_is_told_of_once_while_it_runs() -> None:
    run = begun(ran_s=120)
    assert find_long_running() == 1
    (found,) = Anomaly.objects.filter(execution=run)
    assert (found.kind, found.block_id, found.while_running) == ("duration", "load", True)
    assert found.value == pytest.approx(120_000, rel=0.2)
    assert "has been running for 2 min" in found.explanation
    run.refresh_from_db()
    assert run.anomaly_detected
    assert find_long_running() == 0
    assert told(run) == 1
    assert_consistent(run)


def test_a_block_that_runs_as_long_as_usual_is_not() -> None:
    run = begun(ran_s=5)
    assert find_long_running() == 0
    assert told(run) == 0


def test_a_run_that_somebody_has_locked_is_left_for_the_next_look(monkeypatch: pytest.MonkeyPatch) -> None:
    run = begun(ran_s=120)
    monkeypatch.setattr("workflow_service.anomalies.watching.try_lock_run", lambda tx, execution_id: None)
    assert find_long_running() == 0
    monkeypatch.undo()
    assert find_long_running() == 1
    assert told(run) == 1


def test_what_was_found_is_written_down_with_its_event_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    run = begun(ran_s=120)

    def die(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(telling, "append_events", die)
    with pytest.raises(KeyboardInterrupt):
        find_long_running()
    monkeypatch.undo()
    assert not Anomaly.objects.filter(execution=run).exists()
    assert find_long_running() == 1
    assert told(run) == 1


def test_two_events_of_one_run_at_once_are_refused() -> None:
    event = LateEvent(1, "anomaly_detected", {}, timezone.now())
    with pytest.raises(ValueError, match="one event"):
        append_events([event, event])
