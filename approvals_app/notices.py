"""Who is told what about approvals: e-mail, the service's own list, and the workspace's webhooks.

What happened is kept as a message in the transaction in which it happens, with its feed event; whom it concerns is
found out beside the sweeper (``announce``), for that takes longer than a lock should be held. The same message always
makes the same notices, so nothing is lost, and nobody is told twice, whenever a process dies.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

from django.db import transaction
from django.urls import reverse
from django.utils import timezone
from pydantic import JsonValue

from approvals_app import mail_links
from approvals_app.assignment import receivers_of as find_asked
from approvals_app.models import Approval
from workflow_service.accounts.models import User
from workflow_service.engine.definition import JsonObject
from workflow_service.engine.states import ApprovalStatus, HumanStepType
from workflow_service.notifications.models import Topic
from workflow_service.notifications.service import Link, Notice, Receiver, Way, notify, one_line
from workflow_service.outbox.delivery import enqueue_all
from workflow_service.settings.config import get_config

CHANNEL = "approval-notices"
MAX_MESSAGE_CHARACTERS = 2_000

TOPICS: Mapping[str, Topic] = {topic.value: topic for topic in Topic if topic.value.startswith("approval_")}
# The words of a title, and what is asked of its reader.
NEEDED: Mapping[str, str] = {
    HumanStepType.APPROVAL: "Approval needed",
    HumanStepType.REVIEW: "Review needed",
    HumanStepType.INPUT: "Input needed",
    HumanStepType.INTERVENTION: "Help needed",
    HumanStepType.CHOICE: "Decision needed",
}
# Told to those who are asked, and pointless once somebody answered.
ASKING = frozenset(
    {
        Topic.APPROVAL_REQUESTED,
        Topic.APPROVAL_REMINDED,
        Topic.APPROVAL_ESCALATED,
        Topic.APPROVAL_DELEGATED,
        Topic.APPROVAL_TIMEOUT,
    }
)
ANSWERS: Mapping[str, str] = {
    ApprovalStatus.APPROVED: "approved",
    ApprovalStatus.REJECTED: "rejected",
    ApprovalStatus.EXPIRED: "not answered in time",
}
_LEADS: Mapping[Topic, str] = {
    Topic.APPROVAL_REMINDED: "Reminder",
    Topic.APPROVAL_ESCALATED: "Escalated",
    Topic.APPROVAL_DELEGATED: "Handed to you",
    Topic.APPROVAL_TIMEOUT: "Overdue",
}


def tell_people(kind: str, told: Iterable[tuple[Approval, JsonObject]]) -> None:
    """Have people told that ``kind`` (an event type of the feed) happened to approvals, in the open transaction.

    With each approval comes what the feed says of it, which is what webhooks get.
    """
    if kind not in TOPICS:
        return
    messages: list[tuple[str, JsonValue, UUID]] = []
    for approval, data in told:
        message_id = uuid4()
        key = f"{approval.public_id}:{kind}:{message_id.hex}"
        body: JsonObject = {"kind": kind, "approval": approval.pk, "key": key, "data": data}
        messages.append((approval.public_id, body, message_id))
    enqueue_all(CHANNEL, messages)


def announce(body: dict[str, Any]) -> None:
    """Tell whom it concerns what a message of ``tell_people`` says; repeated, it changes nothing."""
    approvals = Approval.objects.select_related(
        "workspace", "execution__template", "execution__created_by", "responded_by"
    )
    with transaction.atomic():
        approval = approvals.filter(pk=body["approval"]).first()
        if approval is None:
            return
        topic = TOPICS[body["kind"]]
        notice = Notice(
            topic=topic,
            title=title_of(topic, approval),
            text=text_of(topic, approval),
            path=_page_of(approval),
            data=body["data"],
            key=body["key"],
        )
        receivers = receivers_of(topic, approval, body["data"])
        notify(approval.workspace_id, notice, receivers, channels=_channels())


def receivers_of(topic: Topic, approval: Approval, said: JsonObject) -> Sequence[Receiver]:
    """Return who is told: those who are asked, with their links, and who started the run where it concerns them.

    ``said`` is what the feed says of it: whom it was handed to, for by now it may have been handed on.
    """
    starter = approval.execution.created_by
    if topic is Topic.APPROVAL_RESPONDED:
        concerned = dict.fromkeys([starter.pk, *approval.involved_ids, *approval.delegate_ids])
        return [Receiver(user_id) for user_id in concerned if user_id != approval.responded_by_id]
    if approval.status != ApprovalStatus.PENDING:
        return []
    asked = _still_asked(approval)
    if topic is Topic.APPROVAL_DELEGATED:
        asked = [user for user in asked if user.get_username() == said.get("to")]
    receivers = [Receiver(user.pk, links_of(approval, user)) for user in asked]
    if topic is Topic.APPROVAL_TIMEOUT and starter.pk not in {user.pk for user in asked}:
        receivers.append(Receiver(starter.pk))
    return receivers


def renew_link(approval: Approval, user: User) -> None:
    """Send somebody a link to a question as it now stands: once for each version, however often they ask."""
    notice = Notice(
        topic=Topic.APPROVAL_REMINDED,
        title=title_of(Topic.APPROVAL_REQUESTED, approval),
        text=text_of(Topic.APPROVAL_REQUESTED, approval),
        path=_page_of(approval),
        data={},
        key=f"{approval.public_id}:link:{approval.version}",
    )
    receiver = Receiver(user.pk, links_of(approval, user))
    with transaction.atomic():
        notify(approval.workspace_id, notice, [receiver], channels=[Way.EMAIL], asked_for=True)


def links_of(approval: Approval, user: User) -> tuple[Link, ...]:
    """Return what somebody's e-mail offers: a page that asks once more, and decides nothing by being opened."""
    label = "Answer now" if approval.type == HumanStepType.APPROVAL else "Open the form"
    return (Link(label, get_config().own_url() + mail_links.sign(approval, user)),)


def title_of(topic: Topic, approval: Approval) -> str:
    """Return one line that says what happened to which question."""
    what = approval.block_name or approval.block_id
    needed = NEEDED.get(approval.type, "Answer needed")
    if topic is Topic.APPROVAL_RESPONDED:
        return one_line(f"{what}: {ANSWERS.get(approval.status, approval.status.lower())}")
    lead = _LEADS.get(topic)
    return one_line(f"{lead}: {needed[0].lower()}{needed[1:]}: {what}" if lead else f"{needed}: {what}")


def text_of(topic: Topic, approval: Approval) -> str:
    """Return what is told: the question as its workflow words it, and the facts; no input or output of the run."""
    facts = [
        ("Workflow", one_line(approval.execution.template.name)),
        ("Execution", approval.execution.public_id),
        ("Block", one_line(approval.block_name or approval.block_id)),
        ("Level", one_line(approval.level)),
    ]
    opening = approval.message[:MAX_MESSAGE_CHARACTERS]
    if topic is Topic.APPROVAL_RESPONDED:
        who = approval.responded_by.get_username() if approval.responded_by else "nobody"
        opening = f"{who}: {ANSWERS.get(approval.status, approval.status.lower())}."
        facts.append(("Comment", approval.comments[:MAX_MESSAGE_CHARACTERS]))
    elif approval.due_at is not None:
        overdue = approval.due_at <= timezone.now()
        facts.append(("Was due" if overdue else "Due", f"{approval.due_at:%Y-%m-%d %H:%M} UTC"))
    lines = "\n".join(f"{name}: {value}" for name, value in facts if value)
    return f"{opening}\n\n{lines}" if opening else lines


def _still_asked(approval: Approval) -> list[User]:
    """Return those whom a pending approval asks and who have not answered, for themselves or by another."""
    answered = {
        user_id
        for vote in approval.votes.all()
        for user_id in (vote.user_id, vote.on_behalf_of_id)
        if user_id is not None
    }
    asked = find_asked([approval])[approval.pk] - answered
    return list(User.objects.filter(pk__in=asked, is_active=True).order_by("pk"))


def _page_of(approval: Approval) -> str:
    return reverse("admin:approvals_app_approval_change", args=[approval.public_id])


def _channels() -> frozenset[str]:
    """Return the ways that the operator lets approvals be told in."""
    names: Mapping[str, JsonValue] = {"websocket": Way.IN_APP.value}
    return frozenset(str(names.get(name, name)) for name in get_config().human_in_loop_notification_channels)
