"""One question as its page shows it: what is asked, what to know for it, the form, and the run so far."""

import json
from collections.abc import Mapping
from typing import Any

from django.utils import timezone
from django.utils.safestring import SafeString
from pydantic import JsonValue

from approvals_app import feed
from approvals_app.assignment import NOBODY, Responder, people_of
from approvals_app.inbox import Inbox, Tab, asked_of, order_of, outcome_of
from approvals_app.mending import open_to
from approvals_app.models import Approval
from approvals_app.response_form import DECISION, answer_form, read_answer
from approvals_app.selectors import HistoryEntry, history_of
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
MAX_DELEGATES = 200
NOT_SENT = "Your answer has not been sent: see what is marked below."

FIELDS_TITLES: Mapping[str, str] = {
    HumanStepType.INPUT: "What is to be filled in",
    HumanStepType.REVIEW: "Change it before you approve",
    HumanStepType.INTERVENTION: "Mend what went wrong",
    HumanStepType.APPROVAL: "What goes with your answer",
    HumanStepType.CHOICE: "Which way the workflow goes",
}


def page_of(
    approval: Approval,
    inbox: Inbox,
    typed: Mapping[str, str] | None = None,
    problems: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return what the page of an approval shows the owner of ``inbox``: what is asked, the form, the run so far.

    ``typed`` is what was sent and could not be taken, ``problems`` what is wrong with it by the name of the field.
    """
    typed, problems = typed or {}, problems or {}
    timeline = timeline_of(approval.execution)
    now = timezone.now()
    return {
        "title": approval.block_name or approval.block_id,
        "approval": approval,
        "execution": approval.execution,
        "state": approval_badge(approval),
        "outcome": outcome_of(approval),
        **_standing(approval, inbox),
        **_answering(approval, inbox.user, typed, problems),
        "fields_title": FIELDS_TITLES[approval.type],
        "general_problem": problems.get("") or (problems and NOT_SENT),
        "comments": typed.get("comments", ""),
        "asked_of": asked_of(approval),
        "newest_event": inbox.newest_event(),
        "figures": figures_of(approval.input),
        "lines": [(line, line.duration(now)) for line in timeline.lines],
        "graph": picture_of(approval.execution, timeline),
        "history": [(entry, told(entry), door_of(entry)) for entry in history_of(approval)],
    }


def answer(
    approval: Approval, user: User, typed: Mapping[str, str], *, comments: str, version: int | None
) -> Approval:
    """Give the answer that was typed, to the approval as it was seen.

    Raises what ``respond_to_approval`` does, and ``FormUnreadable``.
    """
    given = read_answer(approval, typed, mendable=open_to(approval, user))
    return respond_to_approval(
        approval_id=approval.public_id,
        actor=user,
        approved=given.approved,
        response=given.response,
        comments=comments,
        source="admin",
        version=version,
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


def told(entry: HistoryEntry) -> str:
    """Return one thing that happened in words; who did it and what they said stands beside."""
    details = entry.details
    match entry.what:
        case feed.REQUESTED:
            return "asked"
        case feed.VOTED:
            return "approved" if details.get("approved") else "rejected"
        case feed.RESPONDED:
            return str(details.get("status") or "answered").lower()
        case feed.DELEGATED:
            return f"handed it to {details.get('to', 'somebody')}"
        case feed.COMMENTED:
            return "commented"
        case feed.ESCALATED:
            added = details.get("added")
            return (
                "asked also " + ", ".join(map(str, added))
                if isinstance(added, list) and added
                else "escalated"
            )
        case feed.REMINDED:
            return "sent a reminder"
        case feed.TIMEOUT:
            return "said that the time is over"
        case feed.CLOSED:
            return "closed it: nobody waits for it any more"
    return entry.what.removeprefix("approval_").replace("_", " ")


def door_of(entry: HistoryEntry) -> str:
    """Return where something was done, in words."""
    return {"admin": "here", "api": "through the API", "email": "from an e-mail"}.get(entry.source, "")


def _standing(approval: Approval, inbox: Inbox) -> dict[str, Any]:
    """Return whether the user may answer, hand on, or has answered, and what waits for them next."""
    responder = inbox.responders.get(approval.workspace_id, NOBODY)
    pending = approval.status == ApprovalStatus.PENDING
    objection = responder.objection(approval) if pending else None
    voted = pending and responder.has_voted(approval)
    answerable = pending and not objection and not voted
    waits = inbox.holding(Tab.MINE).exclude(pk=approval.pk).order_by(*order_of(Tab.MINE))
    handed_on = answerable and approval.allow_delegation
    return {
        "pending": pending,
        "objection": objection,
        "voted": voted,
        "answerable": answerable,
        "tally": sum(vote.approved for vote in approval.votes.all()) if approval.quorum > 1 else None,
        "delegates": _delegates(approval, responder) if handed_on else None,
        "next": None if answerable else waits.first(),
    }


def _delegates(approval: Approval, responder: Responder) -> list[str]:
    """Return the names of those to whom the user may hand an approval on."""
    people = people_of([approval.workspace_id]).get(approval.workspace_id, {})
    fit = [
        person.user_id
        for person in people.values()
        if person.is_approver and not person.is_bound(approval) and person.user_id != responder.person.user_id
    ]
    names = User.objects.filter(pk__in=fit).order_by("username").values_list("username", flat=True)
    return list(names[:MAX_DELEGATES])


def _answering(
    approval: Approval, user: User, typed: Mapping[str, str], problems: Mapping[str, str]
) -> dict[str, Any]:
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
    found["form"] = answer_form(approval, typed, problems, mendable=open_to(approval, user))
    found["editing"] = bool(typed) or not reviewed
    if reviewed and typed.get(DECISION) == PREVIEW:
        found |= _preview(approval, typed)
    return found


def _preview(approval: Approval, typed: Mapping[str, str]) -> dict[str, Any]:
    try:
        response = read_answer(approval, {**typed, DECISION: CHANGE}).response or {}
    except FormUnreadable as error:
        return {"form": answer_form(approval, typed, error.problems)}
    return {
        "changes": changes_of(approval.proposed, response.get("output", approval.proposed)),
        "previewed": True,
    }


def _in_order(value: JsonValue) -> JsonValue:
    ordered: JsonValue = json.loads(json.dumps(value, sort_keys=True))
    return ordered
