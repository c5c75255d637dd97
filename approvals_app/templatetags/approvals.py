"""What pages of other apps show of approvals."""

from typing import Any

from django import template

from approvals_app.models import Approval
from approvals_app.selectors import awaiting
from executions_app.models import Execution
from workflow_service.accounts.models import User
from workflow_service.engine.states import ApprovalStatus

register = template.Library()


@register.inclusion_tag("admin/pending_approvals.html")
def pending_approvals(execution: Execution) -> dict[str, Any]:
    """Show what a run asks people now."""
    pending = Approval.objects.filter(execution=execution, status=ApprovalStatus.PENDING)
    return {"approvals": pending.defer("input").order_by("id")}


@register.inclusion_tag("admin/waiting_for_you.html")
def waiting_for_you(user: User) -> dict[str, Any]:
    """Show how many questions wait for the user."""
    return {"waiting": awaiting(user, Approval.objects.all()).count()}
