"""Setting budgets. A budget that stays keeps what was spent of it; one that goes takes that along."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.db import transaction

from workflow_service.accounts.models import User, Workspace
from workflow_service.accounts.policies import Action, require
from workflow_service.accounts.recording import record_by
from workflow_service.ai.errors import BudgetsInvalid
from workflow_service.ai.models import Budget
from workflow_service.engine.errors import Problem
from workflow_service.engine.json_values import json_pointer

MAX_BUDGETS = 500


@dataclass(frozen=True, slots=True)
class BudgetDraft:
    """A budget as somebody wants it; the fields are those of ``Budget``."""

    scope: str
    subject: str
    period: str
    limit_usd: Decimal
    policy: str

    @property
    def key(self) -> tuple[str, str, str]:
        return self.scope, self.subject, self.period


def draft_problem(scope: str, subject: str, period: str) -> str | None:
    """Return what is wrong with a budget's scope, subject and period taken together."""
    if subject and scope in (Budget.Scope.CALL, Budget.Scope.WORKSPACE):
        return f"a budget of the scope '{scope}' has no subject"
    if scope in (Budget.Scope.CALL, Budget.Scope.RUN) and period != Budget.Period.TOTAL:
        return f"a budget of the scope '{scope}' is one in all: its period is 'total'"
    return None


def replace_budgets(*, workspace: Workspace, actor: User, drafts: Sequence[BudgetDraft]) -> None:
    """Make these the workspace's budgets; raises ``BudgetsInvalid`` with every problem, or ``Forbidden``."""
    require(actor, workspace, Action.BUDGET_MANAGE)
    problems = _problems(drafts)
    if problems:
        raise BudgetsInvalid(
            f"the budgets are not valid: {problems[0].pointer}: {problems[0].message}", problems
        )
    with transaction.atomic():
        # Two who replace them at once do so one after the other.
        Workspace.objects.select_for_update().get(pk=workspace.pk)
        kept = {one.key for one in drafts}
        for budget in Budget.objects.filter(workspace=workspace):
            if (budget.scope, budget.subject, budget.period) not in kept:
                budget.delete()
        for one in drafts:
            Budget.objects.update_or_create(
                workspace=workspace,
                scope=one.scope,
                subject=one.subject,
                period=one.period,
                defaults={"limit_usd": one.limit_usd, "policy": one.policy},
            )
        told = [
            {"scope": one.scope, "subject": one.subject, "period": one.period, "limitUsd": str(one.limit_usd)}
            for one in drafts
        ]
        record_by(actor, "budget.replace", workspace, "workspace", workspace.public_id, budgets=told)


def _problems(drafts: Sequence[BudgetDraft]) -> list[Problem]:
    problems: list[Problem] = []
    if len(drafts) > MAX_BUDGETS:
        problems.append(Problem("TOO_MANY", f"at most {MAX_BUDGETS} budgets are kept", "/budgets"))
    seen: set[tuple[str, str, str]] = set()
    for index, one in enumerate(drafts):
        place = json_pointer("budgets", index)
        if one.key in seen:
            problems.append(
                Problem("BUDGET_TWICE", "there is another of this scope, subject and period", place)
            )
        seen.add(one.key)
        wrong = draft_problem(one.scope, one.subject, one.period)
        if wrong:
            problems.append(Problem("BUDGET_INVALID", wrong, place))
    return problems
