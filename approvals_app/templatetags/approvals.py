"""What pages of other apps show of approvals."""

from typing import Any

from django import template
from django.contrib import admin
from django.http import HttpRequest

from approvals_app.inbox import order_of
from approvals_app.models import Approval
from executions_app.models import Execution
from workflow_service.engine.states import ApprovalStatus

LANDING_ROWS = 10

register = template.Library()


@register.inclusion_tag("admin/pending_approvals.html")
def pending_approvals(execution: Execution) -> dict[str, Any]:
    """Show what a run asks people now."""
    pending = Approval.objects.filter(execution=execution, status=ApprovalStatus.PENDING)
    return {"approvals": pending.defer("input", "proposed").order_by("id")}


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
