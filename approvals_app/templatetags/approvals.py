"""What pages of other apps show of approvals."""

from typing import Any

from django import template
from django.contrib import admin
from django.http import HttpRequest

from approvals_app.inbox import Tab, in_tab, newest_event, order_of, tabs_of
from approvals_app.models import Approval
from executions_app.models import Execution
from workflow_service.accounts.models import User
from workflow_service.accounts.policies import Action
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
    user = request.user
    if not isinstance(user, User) or not pages.has_view_permission(request):
        return {"offered": False}
    answers = pages.has_respond_permission(request)
    tab = Tab.MINE if answers else Tab.ALL
    visible = pages.get_queryset(request)
    tabs = tabs_of(user, visible, tab)
    return {
        "offered": True,
        "answers": answers,
        "tab": tab,
        "tabs": tabs,
        "rows": in_tab(tab, user, visible).order_by(*order_of(tab))[:LANDING_ROWS],
        "rest": max(0, next(one.count for one in tabs if one.chosen) - LANDING_ROWS),
        "newest_event": newest_event(pages.workspaces(request, Action.APPROVAL_READ).values("pk")),
    }
