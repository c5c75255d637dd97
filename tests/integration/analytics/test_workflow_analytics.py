"""How the runs of a workflow went: the same from rollups as from the rows themselves, for whatever range is asked."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from executions_app.models import Execution
from executions_app.statistics import template_statistics
from templates_app.models import Template
from tests.factories import make_template, noop
from tests.past_runs import PastBlock, count_all, past_run
from workflow_service.analytics.histogram import RELATIVE_ERROR
from workflow_service.analytics.queries import overview, version_statistics, workflow_analytics
from workflow_service.analytics.time_ranges import Granularity

pytestmark = pytest.mark.usefixtures("db")

RUNS = 36
START = datetime(2025, 3, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)

FROM_ROWS = """
    SELECT b.block_id, count(*) FILTER (WHERE b.status = 'COMPLETED'), count(*) FILTER (WHERE b.status = 'FAILED'),
        sum(b.retries), avg(ms) FILTER (WHERE b.status = 'COMPLETED'),
        percentile_cont(0.95) WITHIN GROUP (ORDER BY ms) FILTER (WHERE b.status = 'COMPLETED')
    FROM executions_app_execution e JOIN (
        SELECT *, extract(epoch FROM finished_at - started_at)::float8 * 1000 AS ms
        FROM executions_app_blockexecution) b ON b.execution_id = e.id
    WHERE e.template_id = %s AND e.started_at >= %s AND e.started_at < %s GROUP BY 1
"""


@pytest.fixture
def template() -> Template:
    """A template with runs at odd moments of four days, some of which failed."""
    chance = random.Random(7)
    template = make_template([noop("a"), noop("b", dependencies=["a"])])
    for _ in range(RUNS):
        blocks = [
            PastBlock("a", chance.lognormvariate(5, 1), failures=chance.random() < 0.3, error="TIMEOUT_ERROR")
        ]
        lost = chance.random() < 0.2
        blocks.append(
            PastBlock("b", chance.lognormvariate(3, 2), "FAILED", "NETWORK_ERROR")
            if lost
            else PastBlock("b", chance.lognormvariate(3, 2))
        )
        at = START + chance.random() * 4 * DAY
        past_run(template, at, blocks, "FAILED" if lost else "COMPLETED")
    count_all()
    return template


RANGES = {
    "all": (START, START + 4 * DAY),
    "with ends by the hour": (START + 5 * HOUR, START + 3 * DAY + 2 * HOUR),
    "one day": (START + DAY, START + 2 * DAY),
    "hours of two days": (START + 20 * HOUR, START + 28 * HOUR),
}


@pytest.mark.parametrize("granularity", [Granularity.HOUR, Granularity.DAY], ids=str)
@pytest.mark.parametrize("name", RANGES)
def test_rollups_say_what_the_rows_say(template: Template, name: str, granularity: Granularity) -> None:
    start, end = RANGES[name]
    found = workflow_analytics([template.pk], start, end, granularity)
    expected = template_statistics([template.pk], since=start, until=end)[template.pk]
    assert expected.total > 1
    statistics = found.statistics
    assert (statistics.total, statistics.outcomes.completed, statistics.outcomes.failed) == (
        expected.total,
        expected.completed,
        expected.failed,
    )
    assert statistics.outcomes.success_rate == expected.success_rate
    assert statistics.durations.avg_ms == pytest.approx(expected.avg_duration_ms, abs=0.5)
    for approximate, exact in (
        (statistics.durations.p50_ms, expected.p50_duration_ms),
        (statistics.durations.p95_ms, expected.p95_duration_ms),
    ):
        # The exact ones are rounded to milliseconds.
        assert exact is not None
        assert approximate == pytest.approx(exact, abs=RELATIVE_ERROR * exact + 0.51)
    with connection.cursor() as cursor:
        cursor.execute(FROM_ROWS, [template.pk, start, end])
        rows = {row[0]: row[1:] for row in cursor.fetchall()}
    assert {state.state for state in found.state_performance} == set(rows)
    for state in found.state_performance:
        completed, failed, retries, average, p95 = rows[state.state]
        assert (state.outcomes.completed, state.outcomes.failed, state.retries) == (
            completed,
            failed,
            retries,
        )
        assert state.durations.avg_ms == pytest.approx(average, rel=1e-3)
        assert state.durations.p95_ms == pytest.approx(p95, rel=RELATIVE_ERROR * 1.001)
    assert sum(point.outcomes.completed for point in found.series) == expected.completed
    assert sum(point.outcomes.failed for point in found.series) == expected.failed


def test_errors_and_what_recovered(template: Template) -> None:
    found = workflow_analytics([template.pk], *RANGES["all"]).error_analysis
    counts = {error.error_type: (error.count, error.states) for error in found.most_common_errors}
    failed = Execution.objects.filter(template=template, status="FAILED").count()
    retried = found.retries
    assert counts == {"NETWORK_ERROR": (failed, ("b",)), "TIMEOUT_ERROR": (retried, ("a",))}
    assert (found.troubled, found.recovered) == (failed + retried, retried)
    assert found.auto_recovery_rate == pytest.approx(100 * retried / (failed + retried), abs=0.01)
    assert [error.count for error in found.most_common_errors] == sorted((failed, retried), reverse=True)


def test_what_runs_and_what_is_yet_to_be_counted(template: Template) -> None:
    past_run(template, START, [PastBlock("a", status="RUNNING")], "RUNNING")
    past_run(template, START, [PastBlock("a")])
    found = workflow_analytics([template.pk], *RANGES["all"]).statistics
    assert (found.total, found.running, found.uncounted) == (RUNS + 1, 1, 1)
    count_all()
    found = workflow_analytics([template.pk], *RANGES["all"]).statistics
    assert (found.total, found.running, found.uncounted) == (RUNS + 2, 1, 0)


def test_a_run_under_way_again_is_one_run(template: Template) -> None:
    failed = Execution.objects.filter(template=template, status="FAILED").first()
    assert failed is not None
    Execution.objects.filter(pk=failed.pk).update(status="RUNNING", completed_at=None, generation=2)
    found = workflow_analytics([template.pk], *RANGES["all"]).statistics
    assert (found.total, found.running, found.reopened) == (RUNS, 1, 1)


def test_one_version_beside_another(template: Template) -> None:
    first = template.current_version
    assert first is not None
    second = template.versions.create(
        ordinal=2, label="2.0.0", definition=first.definition, created_by=template.owner
    )
    for _ in range(3):
        past_run(template, START, [PastBlock("a", 100)], version=second)
    count_all()
    assert workflow_analytics([template.pk], *RANGES["all"]).statistics.total == RUNS + 3
    only = workflow_analytics([template.pk], *RANGES["all"], version=second.pk)
    assert (only.statistics.total, only.statistics.durations.avg_ms) == (3, 100)
    assert [state.state for state in only.state_performance] == ["a"]
    by_version = version_statistics(template.pk, *RANGES["all"])
    assert {pk: each.total for pk, each in by_version.items()} == {first.pk: RUNS, second.pk: 3}


def test_a_workspace_at_a_glance(template: Template) -> None:
    other = make_template([noop("a")], workspace=template.workspace)
    elsewhere = make_template([noop("a")])
    past_run(other, START, [PastBlock("a", 5)])
    past_run(elsewhere, START, [PastBlock("a", 5)])
    count_all()
    past_run(make_template([noop("a")], workspace=template.workspace), START, [], "RUNNING")
    found = overview(template.workspace.pk, *RANGES["all"])
    assert [statistics.total for statistics in found.templates.values()] == [RUNS, 1, 1]
    assert next(iter(found.templates)) == template.pk
    assert (found.statistics.total, found.statistics.running) == (RUNS + 2, 1)
    assert sum(point.outcomes.completed for point in found.series) == found.statistics.outcomes.completed


def test_nothing_is_none_and_not_zero() -> None:
    template = make_template([noop("a")])
    found = workflow_analytics([template.pk], START, START + DAY)
    statistics: Any = found.statistics
    assert (statistics.total, statistics.outcomes.success_rate, statistics.durations.p99_ms) == (
        0,
        None,
        None,
    )
    assert (found.error_analysis.auto_recovery_rate, found.insights, found.state_performance) == (
        None,
        (),
        (),
    )
    assert len(found.series) == 1
