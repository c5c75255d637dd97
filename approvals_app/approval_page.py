"""One question as its page shows it: what is asked, what to know for it, the form, and the run so far."""

from collections.abc import Mapping
from typing import Any

from django.utils import timezone
from django.utils.safestring import SafeString

from approvals_app.assignment import responder_of
from approvals_app.inbox import asked_of, newest_event, outcome_of
from approvals_app.models import Approval
from approvals_app.response_form import read_response, response_fields
from approvals_app.services.approvals import respond_to_approval
from executions_app.admin import picture_of
from executions_app.timeline import timeline_of
from workflow_service.accounts.models import User
from workflow_service.badges import WAIT, badge
from workflow_service.engine.errors import WorkflowError
from workflow_service.engine.states import ApprovalStatus


class UnknownDecision(WorkflowError):
    """A form was sent that neither approves nor rejects."""

    code = "UNKNOWN_DECISION"

    def __init__(self) -> None:
        super().__init__("the answer must be to approve or to reject")


def page_of(
    approval: Approval, user: User, *, typed: Mapping[str, str], problems: Mapping[str, str]
) -> dict[str, Any]:
    """Return what the page of an approval shows ``user``, with what was typed and what is wrong with it."""
    pending = approval.status == ApprovalStatus.PENDING
    now = timezone.now()
    timeline = timeline_of(approval.execution)
    return {
        "title": approval.block_name or approval.block_id,
        "approval": approval,
        "execution": approval.execution,
        "pending": pending,
        "state": approval_badge(approval),
        "outcome": outcome_of(approval),
        "objection": responder_of(user, approval.workspace).objection(approval) if pending else None,
        "fields": response_fields(approval.response_schema, typed, problems) if pending else [],
        "buttons": [("approve", "Approve", "approve", True), ("reject", "Reject", "reject", False)],
        "general_problem": problems.get("", ""),
        "comments": typed.get("comments", ""),
        "asked_of": asked_of(approval),
        "version": approval.version,
        "newest_event": newest_event([approval.workspace_id]),
        "fields_title": "What is to be filled in",
        "figures": figures_of(approval.input),
        "lines": [(line, line.duration(now)) for line in timeline.lines],
        "graph": picture_of(approval.execution, timeline),
    }


def answer(approval: Approval, user: User, typed: Mapping[str, str], *, comments: str) -> Approval:
    """Give the answer that was typed; raises what ``respond_to_approval`` does, and ``ResponseUnreadable``."""
    match typed.get("decision"):
        case "approve":
            approved, response = True, read_response(approval.response_schema, typed)
        case "reject":
            approved, response = False, None
        case _:
            raise UnknownDecision
    return respond_to_approval(
        approval_id=approval.public_id,
        actor=user,
        approved=approved,
        response=response,
        comments=comments,
        source="admin",
    )


def approval_badge(approval: Approval) -> SafeString:
    """Return an approval's status as a badge; one that waits stands out."""
    if approval.status == ApprovalStatus.PENDING:
        return badge("WAITING", tone=WAIT, words="Waiting")
    return badge(approval.status, words="Closed" if approval.status == ApprovalStatus.CANCELLED else None)


def figures_of(given: Any) -> Any:
    """Return what a block was given; where that is its ``input`` alone, what is in there."""
    if isinstance(given, dict) and given.keys() == {"input"}:
        return given["input"]
    return given
