"""Usage and budgets over HTTP and in the admin: sums, who may see and set what, and what is refused."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from prometheus_client.core import Metric

from tests.caller import problem_of
from tests.factories import make_user, make_workspace
from tests.house import House, make_house
from workflow_service.accounts.models import Role
from workflow_service.ai.models import Budget, BudgetAccount, LlmUsage
from workflow_service.operations.ai_metrics import ai_metrics

pytestmark = pytest.mark.django_db

MONTHLY = {"scope": "workspace", "period": "month", "limitUsd": 12.5, "policy": "downgrade"}


@pytest.fixture
def house() -> House:
    return make_house()


def call(house: House, **fields: Any) -> LlmUsage:
    values = {
        "workspace": house.workspace,
        "operation": "decide",
        "provider": "p",
        "model": "m",
        "state": "SETTLED",
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "cost_usd": Decimal("0.25"),
        "created_at": timezone.now() - timedelta(minutes=1),
    }
    return LlmUsage.objects.create(**{**values, **fields})


def test_usage_is_summed_up_by_what_is_asked_for(house: House) -> None:
    call(house, template_id="tpl_1", user=house.developer)
    call(house, operation="block", cost_usd=Decimal(1), state="ASSUMED")
    call(house, cached=True, cost_usd=0)
    call(house, created_at=timezone.now() - timedelta(days=40))
    LlmUsage.objects.filter(pk=call(house).pk).update(workspace=make_workspace())
    caller = house.caller()
    body = caller.get("ai/usage").json()
    assert body["totals"] == {
        "calls": 2,
        "cachedCalls": 1,
        "callsWithoutAnswer": 1,
        "promptTokens": 30,
        "completionTokens": 15,
        "costUsd": 1.25,
    }
    assert [(one["key"], one["costUsd"]) for one in body["groups"]] == [("block", 1.0), ("decide", 0.25)]
    long_ago = {"from": (timezone.now() - timedelta(days=50)).isoformat(), "groupBy": "day"}
    assert len(caller.get("ai/usage", long_ago).json()["groups"]) == 2
    by_user = caller.get("ai/usage", {"groupBy": "user"}).json()["groups"]
    assert {one["key"] for one in by_user} == {"", house.developer.public_id}
    assert [one["key"] for one in caller.get("ai/usage", {"groupBy": "model"}).json()["groups"]] == ["m"]
    assert "tpl_1" in [one["key"] for one in caller.get("ai/usage", {"groupBy": "template"}).json()["groups"]]


def test_a_range_that_ends_before_it_begins_is_refused(house: House) -> None:
    query = {"from": "2030-01-02T00:00:00Z", "to": "2030-01-01T00:00:00Z"}
    problem_of(house.caller().get("ai/usage", query), 400, "INVALID_QUERY")
    problem_of(house.caller().get("ai/usage", {"groupBy": "colour"}), 400, "INVALID_QUERY")


def test_budgets_are_set_as_a_whole_and_keep_what_was_spent(house: House) -> None:
    admin = house.caller(Role.ADMIN)
    each = {"scope": "run", "limitUsd": "0.05"}
    assert admin.put("ai/budgets", {"budgets": [MONTHLY, each]}).status_code == 200
    first, second = Budget.objects.order_by("id")
    assert (second.scope, second.period, second.policy) == ("run", "total", "stop")
    today = timezone.now().date()
    BudgetAccount.objects.create(budget=first, period_start=today.replace(day=1), spent_usd=Decimal(2))
    BudgetAccount.objects.create(budget=first, period_start=today.replace(year=2001), spent_usd=Decimal(9))
    body = admin.put("ai/budgets", {"budgets": [MONTHLY | {"limitUsd": 1}]}).json()
    (kept,) = body["budgets"]
    assert (kept["budgetId"], kept["limitUsd"]) == (first.public_id, 1.0)
    assert kept["accounts"] == [{"subject": "", "spentUsd": 2.0, "reservedUsd": 0.0}]
    assert house.caller(Role.OPERATOR).get("ai/budgets").json() == body


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"scope": "planet"}, "/budgets/1/scope"),
        ({"limitUsd": -1}, "/budgets/1/limitUsd"),
        ({"colour": "red"}, "/budgets/1/colour"),
        ({"subject": "user_1"}, "/budgets/1"),
        ({"scope": "run", "period": "month"}, "/budgets/1"),
        ({}, "/budgets/1"),
    ],
    ids=["scope", "limit", "unknown", "subject", "period", "twice"],
)
def test_budgets_that_cannot_be_are_refused_with_their_place(
    house: House, wrong: dict[str, Any], pointer: str
) -> None:
    answer = house.caller(Role.ADMIN).put("ai/budgets", {"budgets": [MONTHLY, MONTHLY | wrong]})
    assert answer.status_code == 422
    assert pointer in {one["pointer"] for one in answer.json()["errors"]}
    assert not Budget.objects.exists()


def test_who_may_see_and_set(house: House) -> None:
    problem_of(house.caller(Role.VIEWER).get("ai/usage"), 403, "FORBIDDEN")
    problem_of(house.caller(Role.APPROVER).get("ai/budgets"), 403, "FORBIDDEN")
    for role in (Role.DEVELOPER, Role.OPERATOR):
        problem_of(house.caller(role).put("ai/budgets", {"budgets": []}), 403, "FORBIDDEN")


def test_metrics_count_calls_and_their_cost(house: House) -> None:
    call(house, latency_ms=700)
    call(house, latency_ms=70_000, state="ASSUMED")
    call(house, cached=True, cost_usd=0)
    call(house, state="CALLED")
    text = "\n".join(_written(metric) for metric in ai_metrics())
    assert text.splitlines() == [
        "ai_calls_total decide cached 1",
        "ai_calls_total decide failed 1",
        "ai_calls_total decide success 1",
        "ai_cost_usd_total decide 0.5",
        *[f"ai_call_duration_seconds_bucket decide {le} {n}" for le, n in BUCKETS],
        "ai_call_duration_seconds_count decide 2",
        "ai_call_duration_seconds_sum decide 70.7",
    ]


BUCKETS = [
    *[(le, 0) for le in ("0.25", "0.5")],
    *[(le, 1) for le in ("1", "2.5", "5", "10", "30", "60")],
    ("+Inf", 2),
]


def _written(metric: Metric) -> str:
    return "\n".join(f"{one.name} {' '.join(one.labels.values())} {one.value:g}" for one in metric.samples)


def test_the_admin_shows_calls_and_sets_budgets(house: House) -> None:
    call(house, execution_id="exec_1", block_id="judge")
    client = Client()
    client.force_login(make_user(house.workspace, Role.ADMIN, is_staff=True))
    assert b"judge" in client.get("/admin/ai/llmusage/").content
    page = "/admin/ai/budget/"
    fields = {"workspace": house.workspace.pk, "scope": "workspace", "period": "month", "policy": "stop"}
    assert client.post(f"{page}add/", fields | {"limit_usd": "5"}).status_code == 302
    assert client.post(f"{page}add/", fields | {"scope": "run", "limit_usd": "5"}).status_code == 200
    budget = Budget.objects.get()
    assert client.post(f"{page}{budget.pk}/change/", {"limit_usd": "7", "policy": "ask"}).status_code == 302
    budget.refresh_from_db()
    assert (budget.limit_usd, budget.policy, budget.scope) == (7, "ask", "workspace")
    assert b"7.0000" in client.get(page).content


def test_others_see_no_foreign_calls_in_the_admin(house: House) -> None:
    row = call(house, block_id="judge")
    client = Client()
    client.force_login(make_user(make_workspace(), Role.ADMIN, is_staff=True))
    assert b"judge" not in client.get("/admin/ai/llmusage/").content
    assert client.get(f"/admin/ai/llmusage/{row.pk}/change/").status_code == 302
