"""Analytics over HTTP: documented figures in camelCase, of what one may see, and clear refusals."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from templates_app.models import Template
from tests.caller import Caller, problem_of
from tests.factories import make_template, noop
from tests.house import House, make_house
from tests.past_runs import PastBlock, count_all, past_run

START = datetime(2025, 3, 1, tzinfo=UTC)
DAYS = {"startDate": "2025-03-01T00:00:00Z", "endDate": "2025-03-03T00:00:00Z"}


@pytest.fixture
def house(db: None) -> House:
    return make_house()


@pytest.fixture
def other_house(db: None) -> House:
    return make_house()


@pytest.fixture
def template(house: House) -> Template:
    template = make_template([noop("a"), noop("b", dependencies=["a"])], workspace=house.workspace)
    for _ in range(3):
        past_run(template, START, [PastBlock("a", 100), PastBlock("b", 300)])
    lost = PastBlock("b", 300, "FAILED", "NETWORK_ERROR")
    past_run(template, START + timedelta(days=1), [PastBlock("a", 100), lost], "FAILED")
    count_all()
    return template


def within_1_percent(value: float) -> Any:
    return pytest.approx(value, rel=0.0101)


def test_analytics_of_a_template(developer: Caller, template: Template) -> None:
    found = developer.get(f"templates/{template.public_id}/analytics", DAYS).json()
    assert found["templateId"] == template.public_id
    assert found["version"] is None
    assert found["timeRange"] == {"start": "2025-03-01T00:00:00Z", "end": "2025-03-03T00:00:00Z"}
    assert found["statistics"] == {
        "totalExecutions": 4,
        "runningExecutions": 0,
        "uncountedExecutions": 0,
        "successfulExecutions": 3,
        "failedExecutions": 1,
        "cancelledExecutions": 0,
        "successRate": 75.0,
        "errorRate": 25.0,
        "avgDurationMs": 400.0,
        "p50DurationMs": within_1_percent(400),
        "p95DurationMs": within_1_percent(400),
        "p99DurationMs": within_1_percent(400),
    }
    assert found["errorAnalysis"] == {
        "mostCommonErrors": [{"errorType": "NETWORK_ERROR", "count": 1, "states": ["b"]}],
        "troubledBlocks": 1,
        "recoveredBlocks": 0,
        "retries": 0,
        "autoRecoveryRate": 0.0,
    }
    slow, fast = found["statePerformance"]
    assert (slow["state"], slow["avgDurationMs"], slow["errorRate"], slow["timeShare"]) == (
        "b",
        300,
        25,
        69.23,
    )
    assert (fast["state"], fast["successfulExecutions"], fast["errorRate"]) == ("a", 4, 0)
    assert [point["start"] for point in found["series"]] == ["2025-03-01T00:00:00Z", "2025-03-02T00:00:00Z"]
    assert [point["failedExecutions"] for point in found["series"]] == [0, 1]
    assert found["insights"] == []


def test_one_version_by_its_label(developer: Caller, template: Template) -> None:
    path = f"templates/{template.public_id}/analytics"
    found = developer.get(path, {**DAYS, "version": "1.0.0"}).json()
    assert (found["version"], found["statistics"]["totalExecutions"]) == ("1.0.0", 4)
    problem_of(developer.get(path, {"version": "9.9.9"}), 404, "TEMPLATE_VERSION_NOT_FOUND")


def test_a_workspace_at_a_glance(developer: Caller, template: Template, other_house: House) -> None:
    past_run(make_template([noop("a")], workspace=other_house.workspace), START, [PastBlock("a")])
    count_all()
    found = developer.get("analytics", {**DAYS, "granularity": "hour"}).json()
    assert found["statistics"]["totalExecutions"] == 4
    assert len(found["series"]) == 48
    (line,) = found["templates"]
    assert (line["templateId"], line["name"], line["totalExecutions"], line["p50DurationMs"]) == (
        template.public_id,
        template.name,
        4,
        within_1_percent(400),
    )
    assert found["templatesWithExecutions"] == 1


def test_without_a_range_it_is_the_last_30_days(developer: Caller, template: Template) -> None:
    found = developer.get(f"templates/{template.public_id}/analytics").json()
    assert found["statistics"]["totalExecutions"] == 0
    assert found["statistics"]["successRate"] is None
    assert len(found["series"]) in (31, 32)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"startDate": "2025-03-03T00:00:00Z", "endDate": "2025-03-01T00:00:00Z"}, "INVALID_TIME_RANGE"),
        ({"startDate": "2024-01-01T00:00:00Z", "granularity": "hour"}, "INVALID_TIME_RANGE"),
        ({"endDate": "0001-01-05T00:00:00Z"}, "INVALID_TIME_RANGE"),
        ({"startDate": "9999-12-31T23:30:00Z", "endDate": "9999-12-31T23:59:00Z"}, "INVALID_TIME_RANGE"),
        ({"granularity": "minute"}, "INVALID_QUERY"),
        ({"startDate": "yesterday"}, "INVALID_QUERY"),
        ({"granularty": "day"}, "INVALID_QUERY"),
    ],
    ids=["backwards", "too many points", "before the calendar", "after it", "minutes", "no date", "misspelt"],
)
def test_what_cannot_be_answered_is_refused(
    developer: Caller, template: Template, query: dict[str, str], code: str
) -> None:
    for path in (f"templates/{template.public_id}/analytics", "analytics"):
        problem_of(developer.get(path, query), 400, code)


@pytest.mark.parametrize("name", ["start_date", "end_date"])
def test_document_b_refuses_what_is_before_the_calendar(
    developer: Caller, template: Template, name: str
) -> None:
    answer = developer.get(f"workflows/{template.pk}/analytics", {name: "0001-01-05T00:00:00Z"})
    problem_of(answer, 400, "INVALID_TIME_RANGE")


def test_a_foreign_template_is_not_found(template: Template, other_house: House) -> None:
    stranger = other_house.caller()
    problem_of(stranger.get(f"templates/{template.public_id}/analytics"), 404, "TEMPLATE_NOT_FOUND")
