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
from django.db.models.expressions import Expression
from django.utils import timezone
from pydantic import JsonValue

from approvals_app import feed
from approvals_app.assignment import Responder
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
ARRIVALS = (feed.REQUESTED, feed.TIMEOUT, feed.ESCALATED, feed.DELEGATED)


@dataclass(frozen=True, slots=True)
class TabCount:
    """A tab as a page shows it."""

    tab: Tab
    label: str
    count: int
    chosen: bool


@dataclass(frozen=True, slots=True)
class Inbox:
    """One user's inbox: ``visible`` is what they may see, ``responders`` what they may answer."""

    user: User
    responders: Mapping[int, Responder]
    visible: QuerySet[Approval]

    def holding(self, tab: Tab) -> QuerySet[Approval]:
        """Return the approvals that a tab holds, in no order."""
        match tab:
            case Tab.MINE:
                return awaiting(self.user, self.visible, self.responders)
            case Tab.GROUPS:
                return self.holding(Tab.MINE).filter(self._shared_with_others())
            case Tab.OVERDUE:
                return self.visible.filter(status=ApprovalStatus.PENDING, due_at__lte=timezone.now())
            case Tab.ALL:
                return self.visible

    def tabs(self, chosen: Tab) -> list[TabCount]:
        """Return every tab with the number of questions it holds."""
        return [TabCount(tab, LABELS[tab], self.holding(tab).count(), tab is chosen) for tab in Tab]

    def newest_event(self) -> int:
        """Return the number of the last thing that happened in the user's workspaces, 0 if nothing did."""
        events = ApprovalEvent.objects.filter(workspace_id__in=list(self.responders))
        return events.order_by("-id").values_list("id", flat=True).first() or 0

    def news_since(self, after: int, *, tab: Tab, shown: Collection[int]) -> JsonObject:
        """Return what a list of this tab, made at event ``after`` and showing these approvals, does not know yet.

        ``new`` counts what has come into the tab since, ``closed`` says of each shown approval that waits no more
        what became of it, and ``counts`` are those of all tabs.
        """
        arrived = self.holding(tab).filter(events__id__gt=after, events__type__in=ARRIVALS)
        gone = self.visible.filter(pk__in=shown).exclude(status=ApprovalStatus.PENDING)
        closed: dict[str, JsonValue] = {
            str(approval.pk): {"words": outcome_of(approval), "tone": tone_of(approval.status)}
            for approval in gone
        }
        counts: dict[str, JsonValue] = {str(one.tab): one.count for one in self.tabs(tab)}
        new = arrived.exclude(pk__in=shown).values("pk").distinct().count()
        return {"new": new, "closed": closed, "counts": counts}

    def _shared_with_others(self) -> Q:
        """Return the condition that others are asked with the user: a group, a role, or every approver."""
        own = {self.user.get_username(), self.user.public_id}
        own |= {f"user:{name}" for name in own}
        named = [
            Q(workspace=workspace_id, assignees__overlap=sorted(responder.person.names - own))
            for workspace_id, responder in self.responders.items()
        ]
        return reduce(or_, named, Q(assignees=[]))


def order_of(tab: Tab) -> list[Expression | str]:
    """Return how a tab is ordered: the most urgent first; among all of them the newest that waits."""
    if tab is not Tab.ALL:
        return [F("due_at").asc(nulls_last=True), "id"]
    waits = Case(
        When(status=ApprovalStatus.PENDING, then=Value(0)), default=Value(1), output_field=IntegerField()
    )
    return [waits, "-id"]


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
    return f"{approval.status.capitalize()}{by or ', as nobody answered in time'}"


def asked_of(approval: Approval) -> str:
    """Return who is asked, in words: three names at most."""
    names = [name.removeprefix("user:").replace(":", " ", 1) for name in approval.assignees]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more or "every approver"
