"""What language models were asked and what it cost, summed up: document B section 8.4."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db.models import Count, F, Q, Sum, Value
from django.db.models.functions import Coalesce, TruncDate
from django.utils import timezone

from workflow_service.accounts.models import Workspace
from workflow_service.ai.budgets import period_start
from workflow_service.ai.models import Budget, BudgetAccount, LlmUsage

GROUPS: Mapping[str, Any] = {
    "operation": F("operation"),
    "template": F("template_id"),
    "user": Coalesce(F("user__public_id"), Value("")),
    "model": F("model"),
    "day": TruncDate("created_at"),
}
MAX_GROUPS = 1_000
MAX_ACCOUNTS = 100

_SUMS = {
    "calls": Count("id", filter=Q(cached=False)),
    "cached_calls": Count("id", filter=Q(cached=True)),
    "calls_without_answer": Count(
        "id", filter=Q(state__in=(LlmUsage.State.RELEASED, LlmUsage.State.ASSUMED))
    ),
    "prompt_tokens": Coalesce(Sum("prompt_tokens"), 0),
    "completion_tokens": Coalesce(Sum("completion_tokens"), 0),
    "cost_usd": Sum("cost_usd", default=0),
}


def get_usage_summary(
    workspace: Workspace, *, start: datetime, end: datetime, group_by: str = "operation"
) -> dict[str, Any]:
    """Return the calls from ``start`` until before ``end``: sums of all, and of each group, the dearest first."""
    rows = LlmUsage.objects.filter(workspace=workspace, created_at__gte=start, created_at__lt=end)
    grouped = rows.order_by().annotate(key=GROUPS[group_by]).values("key").annotate(**_SUMS)
    order = ("key",) if group_by == "day" else ("-cost_usd", "key")
    return {"totals": rows.aggregate(**_SUMS), "groups": list(grouped.order_by(*order)[:MAX_GROUPS])}


def list_budgets(workspace: Workspace) -> list[dict[str, Any]]:
    """Return the workspace's budgets with what is spent and reserved in their present periods, by subject."""
    today = timezone.now().date()
    return [_state_of(budget, today) for budget in Budget.objects.filter(workspace=workspace)]


def _state_of(budget: Budget, today: Any) -> dict[str, Any]:
    start = period_start(budget.period, today)
    accounts = BudgetAccount.objects.filter(budget=budget, period_start=start).order_by(
        "-spent_usd", "subject"
    )
    return {
        "budget_id": budget.public_id,
        "scope": budget.scope,
        "subject": budget.subject,
        "period": budget.period,
        "limit_usd": budget.limit_usd,
        "policy": budget.policy,
        "accounts": list(accounts.values("subject", "spent_usd", "reserved_usd")[:MAX_ACCOUNTS]),
    }
