"""One question as its page shows it: what is asked, what to know for it, the form, and the run so far."""

import json
from collections.abc import Mapping
from typing import Any

from django.utils import timezone
from django.utils.safestring import SafeString
from pydantic import JsonValue

from approvals_app.assignment import responder_of
from approvals_app.inbox import asked_of, newest_event, outcome_of
from approvals_app.models import Approval
from approvals_app.response_form import DECISION, answer_form, read_answer
from approvals_app.services.approvals import respond_to_approval
from executions_app.admin import picture_of
from executions_app.timeline import timeline_of
from templates_app.admin_diff import Line, compared
from workflow_service.accounts.models import User
from workflow_service.badges import WAIT, badge
from workflow_service.engine.states import ApprovalStatus, HumanStepType
from workflow_service.schema_forms import FormUnreadable

# Shows what was typed beside what was proposed; decides nothing.
PREVIEW = "preview"
CHANGE = "change"

FIELDS_TITLES: Mapping[str, str] = {
    HumanStepType.INPUT: "What is to be filled in",
    HumanStepType.REVIEW: "Change it before you approve",
    HumanStepType.INTERVENTION: "Mend what went wrong",
    HumanStepType.APPROVAL: "What goes with your answer",
}


def page_of(
    approval: Approval,
    user: User,
    typed: Mapping[str, str] | None = None,
    problems: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return what the page of an approval shows ``user``, with what was typed and what is wrong with it."""
    typed, problems = typed or {}, problems or {}
    pending = approval.status == ApprovalStatus.PENDING
    objection = responder_of(user, approval.workspace).objection(approval) if pending else None
    now = timezone.now()
    timeline = timeline_of(approval.execution)
    return {
        "title": approval.block_name or approval.block_id,
        "approval": approval,
        "execution": approval.execution,
        "pending": pending,
        "answerable": pending and not objection,
        "state": approval_badge(approval),
        "outcome": outcome_of(approval),
        "objection": objection,
        **_answering(approval, typed, problems),
        "fields_title": FIELDS_TITLES[approval.type],
        "general_problem": problems.get("", ""),
        "comments": typed.get("comments", ""),
        "asked_of": asked_of(approval),
        "newest_event": newest_event([approval.workspace_id]),
        "figures": figures_of(approval.input),
        "lines": [(line, line.duration(now)) for line in timeline.lines],
        "graph": picture_of(approval.execution, timeline),
    }


def answer(approval: Approval, user: User, typed: Mapping[str, str], *, comments: str) -> Approval:
    """Give the answer that was typed; raises what ``respond_to_approval`` does, and ``FormUnreadable``."""
    given = read_answer(approval, typed)
    return respond_to_approval(
        approval_id=approval.public_id,
        actor=user,
        approved=given.approved,
        response=given.response,
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


def changes_of(proposed: JsonValue, changed: JsonValue) -> tuple[Line, ...]:
    """Return what an edit makes of a proposed output, line by line; the order of names says nothing."""
    return compared(_in_order(proposed), _in_order(changed))


def _answering(approval: Approval, typed: Mapping[str, str], problems: Mapping[str, str]) -> dict[str, Any]:
    """Return the form of a question that waits, and of a review what an edit changes or has changed."""
    reviewed = approval.type == HumanStepType.REVIEW
    found: dict[str, Any] = {
        "reviewed": reviewed,
        "form": None,
        "changes": None,
        "response": approval.response,
    }
    if approval.status != ApprovalStatus.PENDING:
        if reviewed and approval.response and "output" in approval.response:
            found |= {"changes": changes_of(approval.proposed, approval.response["output"]), "response": None}
        return found
    found["form"] = answer_form(approval, typed, problems)
    found["editing"] = bool(typed) or not reviewed
    if reviewed and typed.get(DECISION) == PREVIEW:
        found |= _preview(approval, typed)
    return found


def _preview(approval: Approval, typed: Mapping[str, str]) -> dict[str, Any]:
    try:
        response = read_answer(approval, {**typed, DECISION: CHANGE}).response or {}
    except FormUnreadable as error:
        return {"form": answer_form(approval, typed, error.problems)}
    return {"changes": changes_of(approval.proposed, response.get("output")), "previewed": True}


def _in_order(value: JsonValue) -> JsonValue:
    ordered: JsonValue = json.loads(json.dumps(value, sort_keys=True))
    return ordered
