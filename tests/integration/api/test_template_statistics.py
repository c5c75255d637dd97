"""How the runs of a template went: counted, timed, and the same for one template as for many."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from executions_app.models import Execution
from executions_app.statistics import TemplateStatistics, template_statistics
from templates_app.models import Template
from tests.caller import Caller, problem_of
from tests.factories import make_template, noop
from tests.house import House, make_house
from workflow_service.accounts.models import Role

START = datetime(2025, 1, 1, tzinfo=UTC)


@pytest.fixture
def house(db: None) -> House:
    return make_house()


def ran(template: Template, status: str, took_ms: int | None = None, day: int = 0) -> None:
    """Write a run down: how long one took cannot be told a service."""
    started = START + timedelta(days=day)
    assert template.current_version is not None
    Execution.objects.create(
        workspace=template.workspace,
        template=template,
        version=template.current_version,
        created_by=template.owner,
        status=status,
        started_at=started,
        completed_at=None if took_ms is None else started + timedelta(milliseconds=took_ms),
    )


@pytest.fixture
def template(house: House) -> Template:
    template = make_template([noop("a")], workspace=house.workspace)
    for day, took in enumerate((100, 200, 300, 400)):
        ran(template, "COMPLETED", took, day)
    ran(template, "FAILED", 9_999_999, 4)
    ran(template, "CANCELLED", 9_999_999, 5)
    ran(template, "RUNNING", day=6)
    return template


def test_runs_are_counted_and_timed(developer: Caller, template: Template) -> None:
    path = f"templates/{template.public_id}/statistics"
    assert developer.get(path).json() == {
        "totalExecutions": 7,
        "runningExecutions": 1,
        "successfulExecutions": 4,
        "failedExecutions": 1,
        "cancelledExecutions": 1,
        "successRate": 80.0,
        "errorRate": 20.0,
        "avgDurationMs": 250,
        "p50DurationMs": 250,
        "p95DurationMs": 385,
        "lastRunAt": "2025-01-07T00:00:00.000000Z",
    }
    some: dict[str, Any] = {"startedFrom": "2025-01-02T00:00:00Z", "startedTo": "2025-01-04T00:00:00Z"}
    within = developer.get(path, some).json()
    assert (within["totalExecutions"], within["avgDurationMs"], within["errorRate"]) == (2, 250, 0.0)


def test_a_template_without_runs_has_no_rates(developer: Caller, house: House, other_house: House) -> None:
    template = make_template([noop("a")], workspace=house.workspace)
    found = developer.get(f"templates/{template.public_id}/statistics").json()
    assert (found["totalExecutions"], found["successRate"], found["avgDurationMs"], found["lastRunAt"]) == (
        0,
        None,
        None,
        None,
    )
    stranger = other_house.caller(Role.ADMIN)
    problem_of(stranger.get(f"templates/{template.public_id}/statistics"), 404, "TEMPLATE_NOT_FOUND")


def test_many_templates_cost_one_query(house: House, template: Template) -> None:
    other = make_template([noop("a")], workspace=house.workspace)
    with CaptureQueriesContext(connection) as captured:
        found = template_statistics([template.pk, other.pk])
    assert len(captured) == 1
    assert found[other.pk] == TemplateStatistics()
    assert found[template.pk].completed == 4
