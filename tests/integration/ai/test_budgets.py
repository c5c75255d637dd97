"""Budgets: what is reserved, what becomes of it, and what happens when there is too little."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from tests.factories import make_user, make_workspace
from tests.llm_server import LlmServer, asking, fail, half_body, llm_server, say
from workflow_service.accounts.models import Workspace
from workflow_service.ai import budgets
from workflow_service.ai.budgets import UsageContext, check_budget_limit, settle_expired
from workflow_service.ai.client import LlmAnswer, LlmRequest, ask
from workflow_service.ai.errors import BudgetExceeded, LlmUnavailable
from workflow_service.ai.models import Budget, BudgetAccount, LlmUsage, ModelOverrun
from workflow_service.ai.prompt_registry import Prompt
from workflow_service.ai.providers import candidates, configured_providers

pytestmark = pytest.mark.django_db

# Without a prompt's own tokens a call of 1,000 tokens at 1,000 USD per million is estimated at 1 USD.
MODELS = [
    {"name": "dear", "outputUsdPerMTok": "1000", "tier": "premium"},
    {"name": "middling", "outputUsdPerMTok": "500", "tier": "standard"},
    {"name": "cheap", "outputUsdPerMTok": "100", "tier": "economy"},
]
PROMPT = Prompt("test", 1, system="", user="Work.", max_tokens=1_000)


@pytest.fixture(scope="module")
def running() -> Iterator[LlmServer]:
    with llm_server() as described:
        yield described


@pytest.fixture
def server(running: LlmServer) -> Iterator[LlmServer]:
    running.requests.clear()
    running.script.clear()
    running.otherwise = say("done", tokens=(0, 500))
    with asking(running, models=MODELS, llm_budget_wait_ms=0):
        yield running


@pytest.fixture
def workspace() -> Workspace:
    return make_workspace()


def spend(workspace: Workspace, model: str | None = "dear", **of: Any) -> LlmAnswer:
    how = {name: of.pop(name) for name in ("max_cost_usd", "tier") if name in of}
    request = LlmRequest(PROMPT, operation="test", cache=False, model=model, **how)
    return ask(request, UsageContext(workspace_id=workspace.pk, **of))


def make_budget(workspace: Workspace, limit: str, **how: Any) -> Budget:
    values = {"scope": "workspace", "period": "total", **how}
    return Budget.objects.create(workspace=workspace, limit_usd=Decimal(limit), **values)


def sums(budget: Budget) -> list[tuple[str, Decimal, Decimal]]:
    rows = budget.accounts.order_by("subject").values_list("subject", "spent_usd", "reserved_usd")
    return list(rows)


def test_what_was_billed_takes_the_place_of_what_was_reserved(
    server: LlmServer, workspace: Workspace
) -> None:
    budget = make_budget(workspace, "3")
    assert spend(workspace).cost_usd == Decimal("0.5")
    assert sums(budget) == [("", Decimal("0.5"), Decimal(0))]
    usage = LlmUsage.objects.get()
    assert (usage.estimated_usd, usage.reserved_usd, usage.cost_usd) == (1, 2, Decimal("0.5"))
    assert check_budget_limit(UsageContext(workspace_id=workspace.pk))


def test_a_call_that_may_cost_too_much_is_not_made(server: LlmServer, workspace: Workspace) -> None:
    make_budget(workspace, "1.99")
    with pytest.raises(BudgetExceeded, match="too little is left of the budget"):
        spend(workspace)
    assert server.calls == 0
    assert not LlmUsage.objects.exists()


@pytest.mark.parametrize(
    ("scope", "of", "subject"),
    [
        ("run", {"execution_id": "exec_1"}, "exec_1"),
        ("workflow", {"template_id": "tpl_1"}, "tpl_1"),
        ("workspace", {}, ""),
    ],
)
def test_each_subject_of_a_scope_has_the_limit(
    server: LlmServer, workspace: Workspace, scope: str, of: dict[str, str], subject: str
) -> None:
    budget = make_budget(workspace, "2.1", scope=scope)
    spend(workspace, **of)
    assert sums(budget) == [(subject, Decimal("0.5"), Decimal(0))]
    with pytest.raises(BudgetExceeded):
        spend(workspace, **of)
    spend(make_workspace(), **of)
    if of:
        spend(workspace, **dict.fromkeys(of, "another"))


def test_a_budget_of_a_user_is_of_that_user_and_month(
    server: LlmServer, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, ben = make_user(workspace), make_user(workspace)
    make_budget(workspace, "2.1", scope="user", subject=anna.public_id, period="month")
    spend(workspace, user_id=anna.pk)
    spend(workspace, user_id=ben.pk)
    spend(workspace)
    with pytest.raises(BudgetExceeded) as caught:
        spend(workspace, user_id=anna.pk)
    assert caught.value.scope == "user"
    later = timezone.now() + timedelta(days=32)
    monkeypatch.setattr("workflow_service.ai.budgets.timezone.now", lambda: later)
    spend(workspace, user_id=anna.pk)
    assert BudgetAccount.objects.count() == 2


@pytest.mark.parametrize("given", [{"max_cost_usd": Decimal("1.9")}, {}])
def test_a_single_call_is_bounded(server: LlmServer, workspace: Workspace, given: dict[str, Any]) -> None:
    if not given:
        make_budget(workspace, "1.9", scope="call")
    with pytest.raises(BudgetExceeded):
        spend(workspace, **given)
    assert server.calls == 0


def test_a_cheaper_model_is_taken_where_the_budget_says_so(server: LlmServer, workspace: Workspace) -> None:
    make_budget(workspace, "1.2", policy="downgrade")
    assert spend(workspace, model=None, tier="premium").model == "middling"
    assert spend(workspace, model=None, tier="premium").model == "cheap"
    while Budget.objects.get().accounts.get().spent_usd <= 1:
        assert spend(workspace, model=None, tier="premium").model == "cheap"
    with pytest.raises(BudgetExceeded):
        spend(workspace, model=None, tier="premium")


def test_a_model_that_is_named_is_not_replaced(server: LlmServer, workspace: Workspace) -> None:
    make_budget(workspace, "1.2", policy="downgrade")
    with pytest.raises(BudgetExceeded):
        spend(workspace, model="dear")


def test_a_person_is_asked_where_the_budget_says_so(server: LlmServer, workspace: Workspace) -> None:
    make_budget(workspace, "1", policy="ask")
    with pytest.raises(BudgetExceeded) as caught:
        spend(workspace)
    assert caught.value.ask


@pytest.mark.parametrize(
    ("answer", "state", "spent"),
    [
        (fail(401), "RELEASED", "0"),
        (half_body(), "ASSUMED", "2"),
        (say("done", usage=False), "ASSUMED", "2"),
    ],
    ids=["refused", "half", "no usage"],
)
def test_what_nobody_bills_counts_in_full_if_work_may_have_been_done(
    server: LlmServer, workspace: Workspace, answer: Any, state: str, spent: str
) -> None:
    budget = make_budget(workspace, "100")
    server.then(answer, fail(401))
    with suppress(LlmUnavailable):
        spend(workspace)
    usage = LlmUsage.objects.earliest("id")
    assert usage.state == state
    ((_, booked, reserved),) = sums(budget)
    assert int(booked) == int(spent)
    assert (booked, reserved) == (usage.cost_usd, Decimal(0))


def test_a_bill_above_the_reservation_is_booked_in_full_and_learned(
    server: LlmServer, workspace: Workspace
) -> None:
    budget = make_budget(workspace, "12")
    server.otherwise = say("done", tokens=(0, 5_000))
    spend(workspace)
    assert sums(budget) == [("", Decimal(5), Decimal(0))]
    assert ModelOverrun.objects.get(model="dear").factor == 5
    # What is left is more than one honest call may cost, and less than two of what this model bills.
    spend(workspace)
    with pytest.raises(BudgetExceeded):
        spend(workspace)
    assert sums(budget) == [("", Decimal(10), Decimal(0))]


@pytest.mark.parametrize(("called", "left"), [(False, Decimal(0)), (True, Decimal(2))])
def test_what_a_dead_worker_reserved_is_settled_when_its_lease_runs_out(
    server: LlmServer, workspace: Workspace, called: bool, left: Decimal
) -> None:
    budget = make_budget(workspace, "3")
    usage = reserved(workspace)
    if called:
        assert budgets.mark_called(usage)
    with pytest.raises(BudgetExceeded) as caught:
        spend(workspace)
    assert caught.value.waiting
    assert settle_expired() == 0
    expire(usage)
    assert settle_expired() == 1
    assert sums(budget) == [("", left, Decimal(0))]
    assert not budgets.mark_called(usage)
    assert settle_expired() == 0


def test_a_bill_that_comes_late_replaces_what_was_assumed(server: LlmServer, workspace: Workspace) -> None:
    budget = make_budget(workspace, "3")
    usage = reserved(workspace)
    budgets.mark_called(usage)
    expire(usage)
    settle_expired()
    candidate = dear()
    budgets.settle(usage, candidate, prompt_tokens=0, completion_tokens=100, outcome="stop", latency_ms=1)
    budgets.settle(usage, candidate, prompt_tokens=0, completion_tokens=900, outcome="stop", latency_ms=1)
    assert sums(budget) == [("", Decimal("0.1"), Decimal(0))]


def test_others_wait_for_what_may_be_given_back(server: LlmServer, workspace: Workspace) -> None:
    budget = make_budget(workspace, "3")
    expire(reserved(workspace))
    assert spend(workspace).cost_usd == Decimal("0.5")
    assert sums(budget) == [("", Decimal("0.5"), Decimal(0))]


def reserved(workspace: Workspace) -> LlmUsage:
    context, purpose = UsageContext(workspace_id=workspace.pk), budgets.Purpose("test")
    return budgets.reserve(context, purpose, dear(), Decimal(1), timeout_s=1, wait_s=0)


def dear() -> Any:
    return candidates(configured_providers(), model="dear")[0]


def expire(usage: LlmUsage) -> None:
    LlmUsage.objects.filter(pk=usage.pk).update(lease_expires_at=timezone.now() - timedelta(hours=1))
