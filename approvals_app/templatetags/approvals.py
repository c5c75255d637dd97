"""What pages of other apps show of approvals."""

from typing import Any

from django import template
from django.contrib import admin
from django.http import HttpRequest

from approvals_app.inbox import order_of
from approvals_app.models import Approval
from approvals_app.selectors import visible_to
from executions_app.models import Execution
from workflow_service.accounts.models import User
from workflow_service.engine.states import ApprovalStatus

LANDING_ROWS = 10
QUESTIONS_SHOWN = 5

register = template.Library()


@register.inclusion_tag("admin/pending_approvals.html")
def pending_approvals(execution: Execution, user: User) -> dict[str, Any]:
    """Show what a run asks people now: to those whom a question does not concern only that there is one."""
    pending = Approval.objects.filter(execution=execution, status=ApprovalStatus.PENDING)
    visible = visible_to(user, pending).defer("input", "proposed").order_by("id")
    shown = list(visible[:QUESTIONS_SHOWN])
    total = pending.count()
    seen = visible.count() if len(shown) == QUESTIONS_SHOWN else len(shown)
    return {"execution": execution, "approvals": shown, "more": seen - len(shown), "others": total - seen}


@register.inclusion_tag("admin/inbox_landing.html")
def inbox(request: HttpRequest) -> dict[str, Any]:
    """Show the most urgent of what waits for the user, and the way to the rest."""
    pages: Any = admin.site.get_model_admin(Approval)
    if not pages.has_view_permission(request):
        return {"offered": False}
    mine, tab = pages.inbox(request), pages.tab(request)
    tabs = mine.tabs(tab)
    return {
        "offered": True,
        "tab": tab,
        "tabs": tabs,
        "rows": mine.holding(tab).order_by(*order_of(tab))[:LANDING_ROWS],
        "rest": max(0, next(one.count for one in tabs if one.chosen) - LANDING_ROWS),
        "newest_event": mine.newest_event(),
    }
