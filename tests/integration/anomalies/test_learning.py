"""Ended runs are judged by those before them: rows, the mark, the event and the notice, each once."""

import random
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from executions_app.digest import digest_ended_runs
from executions_app.models import Execution, ExecutionEvent
from tests.consistency import assert_consistent, assert_rebuilt
from tests.copied_runs import Past, copy_run
from tests.driver import run_until_quiet
from tests.factories import event_types, make_template, noop, start
from workflow_service.anomalies.models import Anomaly, BlockHistory
from workflow_service.notifications.models import Notification

pytestmark = pytest.mark.usefixtures("db")

NOW = timedelta(seconds=1)
BLOCKS: list[dict[str, Any]] = [noop("load", {"rows": [1, 2, 3]}), noop("check", dependencies=["load"])]


def seconds(chance: random.Random) -> int:
    """Return how many milliseconds a healthy run takes: around five seconds."""
    return round(5_000 * chance.lognormvariate(0, 0.1))


def completed_run() -> Execution:
    """Return a run that really ran and is digested: what copies are made of."""
    run = run_until_quiet(start(make_template(BLOCKS)))
    digest_ended_runs(500)
    return run


def with_history(runs: int = 60) -> Execution:
    """Return a completed run whose version has a history of healthy runs."""
    run, chance = completed_run(), random.Random(11)
    copy_run(run, [Past(seconds(chance)) for _ in range(runs)])
    digest_ended_runs(500)
    return run


def found_in(original: Execution) -> set[tuple[str, str]]:
    """Return what was found in any run of the template: kinds and blocks."""
    return set(Anomaly.objects.filter(template=original.template).values_list("kind", "block_id"))


def histories_of(run: Execution) -> list[tuple[object, ...]]:
    rows = BlockHistory.objects.filter(version=run.version).order_by("block_id")
    return list(rows.values_list("block_id", "runs", "durations_ms", "outcomes"))


def test_a_run_ten_times_as_slow_is_flagged_and_told() -> None:
    original = with_history()
    (slow,) = copy_run(original, [Past(50_000, ago=NOW)])
    digest_ended_runs(500)
    slow.refresh_from_db()
    assert slow.anomaly_detected
    found = {(one.kind, one.block_id): one for one in Anomaly.objects.filter(execution=slow)}
    assert set(found) == {("duration", ""), ("duration", "load"), ("duration", "check")}
    assert found["duration", ""].value == 50_000
    assert 5_000 < found["duration", ""].high < 50_000
    assert "took 50 s" in found["duration", "load"].explanation
    (event,) = ExecutionEvent.objects.filter(execution_id=slow.pk, type="anomaly_detected")
    assert event.seq == slow.event_seq
    assert {one["kind"] for one in event.data["anomalies"]} == {"duration"}
    (notice,) = Notification.objects.filter(user=original.template.owner, topic="anomaly_detected")
    assert slow.public_id in notice.text


def test_of_healthy_runs_none_is_flagged() -> None:
    original, chance = with_history(), random.Random(12)
    copy_run(original, [Past(seconds(chance)) for _ in range(200)])
    digest_ended_runs(500)
    assert not found_in(original)
    assert not Execution.objects.filter(template=original.template, anomaly_detected=True).exists()


def test_what_ended_long_ago_is_recorded_and_told_to_nobody() -> None:
    (slow,) = copy_run(with_history(), [Past(50_000)])
    digest_ended_runs(500)
    assert Anomaly.objects.filter(execution=slow).exists()
    assert not ExecutionEvent.objects.filter(execution_id=slow.pk).exists()
    assert not Notification.objects.filter(user=slow.template.owner).exists()


def test_people_are_told_of_a_template_once_an_hour() -> None:
    original = with_history()
    copy_run(original, [Past(50_000, ago=NOW)] * 3)
    digest_ended_runs(500)
    assert Anomaly.objects.filter(template=original.template).values("execution").distinct().count() == 3
    (notice,) = Notification.objects.filter(user=original.template.owner)
    assert "2 other executions" in notice.text


def test_a_flagged_run_stays_whole_and_can_be_rebuilt() -> None:
    original = with_history()
    BlockHistory.objects.filter(template=original.template, block_id="load").update(sizes_bytes=[90_000] * 60)
    run = run_until_quiet(start(original.template))
    digest_ended_runs(500)
    assert ("output_size", "load") in Anomaly.objects.filter(execution=run).values_list("kind", "block_id")
    assert event_types(run)[-2:] == ["execution_completed", "anomaly_detected"]
    assert_consistent(run)
    assert_rebuilt(run)


def test_a_run_is_learned_from_once_and_judged_anew_after_a_restart() -> None:
    (slow,) = copy_run(with_history(), [Past(50_000)])
    digest_ended_runs(500)
    learned = histories_of(slow)
    # As a restart that mended it leaves it: the next generation, with other times.
    Execution.objects.filter(pk=slow.pk).update(generation=2)
    connection.cursor().execute(
        "UPDATE executions_app_blockexecution SET finished_at = started_at + interval '5 s' WHERE execution_id = %s",
        [slow.pk],
    )
    digest_ended_runs(500)
    assert not Anomaly.objects.filter(execution=slow).exists()
    slow.refresh_from_db()
    assert not slow.anomaly_detected
    assert histories_of(slow) == learned


def test_a_new_version_is_judged_by_the_one_before_it() -> None:
    original = with_history()
    version = original.template.current_version
    assert version is not None
    version.pk, version.ordinal, version.label = None, 2, "2.0.0"
    version.save()
    Execution.objects.filter(pk=original.pk).update(version=version)
    (slow,) = copy_run(original, [Past(50_000, ago=NOW)])
    digest_ended_runs(500)
    assert Anomaly.objects.filter(execution=slow, version=version, kind="duration").count() == 3


def test_failures_in_a_row_are_found() -> None:
    original = with_history()
    copy_run(original, [Past(5_000, ago=NOW, failed=True)] * 8, failing_block="check")
    digest_ended_runs(500)
    assert found_in(original) == {("error_rate", ""), ("error_rate", "check")}


def test_a_batch_costs_a_fixed_number_of_statements() -> None:
    original, chance = with_history(), random.Random(13)
    costs = []
    for runs in (2, 60):
        copy_run(original, [Past(seconds(chance)) for _ in range(runs)])
        with CaptureQueriesContext(connection) as queries:
            digest_ended_runs(500)
        mine = [one for one in queries if "anomalies" in one["sql"] or "advisory" in one["sql"]]
        costs.append(len(mine))
    assert costs[0] == costs[1] <= 8, costs
