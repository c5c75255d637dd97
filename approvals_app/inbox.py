"""The inbox: which tab holds which questions, how many each holds, and what changed since a list was made.

Every count and every row comes from what the user may see; the number of queries does not depend on how many
questions there are.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import reduce
from operator import or_

from django.db.models import Case, F, IntegerField, Q, QuerySet, Value, When
from django.db.models.expressions import BaseExpression
from django.utils import timezone
from pydantic import JsonValue

from approvals_app import feed
from approvals_app.assignment import responders_of
from approvals_app.models import Approval, ApprovalEvent
from approvals_app.selectors import awaiting
from workflow_service.accounts.models import User
from workflow_service.badges import tone_of
from workflow_service.engine.definition import JsonObject
from workflow_service.engine.states import ApprovalStatus


class Tab(StrEnum):
    """The views of the inbox, in the order in which they stand."""

    MINE = "mine"
    GROUPS = "groups"
    OVERDUE = "overdue"
    ALL = "all"


LABELS: Mapping[Tab, str] = {
    Tab.MINE: "Mine",
    Tab.GROUPS: "My groups\N{RIGHT SINGLE QUOTATION MARK}",
    Tab.OVERDUE: "Overdue",
    Tab.ALL: "All",
}
# What may bring a question into somebody's list.
ARRIVALS = (feed.REQUESTED, feed.TIMEOUT, "approval_escalated", "approval_delegated")


@dataclass(frozen=True, slots=True)
class TabCount:
    """A tab as a page shows it."""

    tab: Tab
    label: str
    count: int
    chosen: bool


def in_tab(tab: Tab, user: User, approvals: QuerySet[Approval]) -> QuerySet[Approval]:
    """Return those of ``approvals``, which the user may see, that a tab holds."""
    match tab:
        case Tab.MINE:
            return awaiting(user, approvals)
        case Tab.GROUPS:
            return awaiting(user, approvals).filter(_shared_with_others(user))
        case Tab.OVERDUE:
            return approvals.filter(status=ApprovalStatus.PENDING, due_at__lte=timezone.now())
        case Tab.ALL:
            return approvals


def order_of(tab: Tab) -> list[BaseExpression | str]:
    """Return how a tab is ordered: the most urgent first; among all of them the newest that waits."""
    if tab is not Tab.ALL:
        return [F("due_at").asc(nulls_last=True), "id"]
    waits = Case(
        When(status=ApprovalStatus.PENDING, then=Value(0)), default=Value(1), output_field=IntegerField()
    )
    return [waits, "-id"]


def tabs_of(user: User, approvals: QuerySet[Approval], chosen: Tab) -> list[TabCount]:
    """Return every tab with the number of questions it holds for the user."""
    return [TabCount(tab, LABELS[tab], in_tab(tab, user, approvals).count(), tab is chosen) for tab in Tab]


def newest_event(workspace_ids: QuerySet[object] | Collection[int]) -> int:
    """Return the number of the last thing that happened in these workspaces, 0 if nothing did."""
    events = ApprovalEvent.objects.filter(workspace_id__in=workspace_ids)
    return events.order_by("-id").values_list("id", flat=True).first() or 0


def news_since(
    after: int, *, tab: Tab, user: User, approvals: QuerySet[Approval], shown: Collection[int]
) -> JsonObject:
    """Return what a list of this tab, made at event ``after`` and showing these approvals, does not know yet.

    ``new`` counts what has come into the tab since, ``closed`` says of each shown approval that waits no more
    what became of it, and ``counts`` are those of all tabs.
    """
    found = in_tab(tab, user, approvals)
    arrived = found.filter(events__id__gt=after, events__type__in=ARRIVALS).exclude(pk__in=shown)
    closed: dict[str, JsonValue] = {
        str(approval.pk): {"words": outcome_of(approval), "tone": tone_of(approval.status)}
        for approval in approvals.filter(pk__in=shown).exclude(status=ApprovalStatus.PENDING)
    }
    counts: dict[str, JsonValue] = {str(one.tab): one.count for one in tabs_of(user, approvals, tab)}
    return {"new": arrived.distinct().count(), "closed": closed, "counts": counts}


def outcome_of(approval: Approval) -> str:
    """Return what became of an approval in words, with who decided it."""
    by = f" by {approval.responded_by.get_username()}" if approval.responded_by else ""
    match approval.status:
        case ApprovalStatus.PENDING:
            return "Waiting"
        case ApprovalStatus.CANCELLED:
            return "Closed without an answer"
        case ApprovalStatus.EXPIRED:
            return "Expired without an answer"
    return f"{approval.status.capitalize()}{by}"


def asked_of(approval: Approval) -> str:
    """Return who is asked, in words: three names at most."""
    names = [name.removeprefix("user:").replace(":", " ", 1) for name in approval.assignees]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more or "every approver"


def _shared_with_others(user: User) -> Q:
    """Return the condition that somebody else is asked with the user: a group, a role, or every approver."""
    own = {user.get_username(), user.public_id}
    own |= {f"user:{name}" for name in own}
    named = [
        Q(workspace=workspace_id, assignees__overlap=sorted(responder.names - own))
        for workspace_id, responder in responders_of(user).items()
    ]
    return reduce(or_, named, Q(assignees=[]))
