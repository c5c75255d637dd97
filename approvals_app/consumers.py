"""``/ws/approvals``: what happened to approvals after ``?after=ID``, then what happens.

One socket follows every workspace of its user, and is sent what its user may see when it is read: an approval that is
not for them leaves no trace. ``canRespond`` says whether the question waits for this user.
"""

import json
from collections.abc import Mapping, Sequence

from approvals_app.assignment import NOBODY, Responder, responders_among
from approvals_app.dispatch import GROUP
from approvals_app.models import ApprovalEvent
from approvals_app.selectors import list_feed, newest_event_id
from workflow_service.accounts.models import User
from workflow_service.accounts.sockets import list_living_sessions
from workflow_service.accounts.tickets import list_living_keys
from workflow_service.live import FORBIDDEN, UNAUTHENTICATED, Refused
from workflow_service.live_feed import FeedConsumer, Reading, Texts


class ApprovalNews:
    """The events of approvals, as each user may see them."""

    group = GROUP

    def newest(self) -> int:
        """Return the number of the last event there is, 0 if there is none."""
        return newest_event_id()

    def read(self, after: int, limit: int, users: Sequence[User]) -> Reading:
        """Return what happened after event ``after``; who may read approvals nowhere is refused.

        Rights are read after the events: nobody is sent what was written after they had lost the right to it.
        """
        events = list_feed({user.pk for user in users}, after, limit)
        keys = {user.acting_key.pk for user in users if user.acting_key is not None}
        living = set(list_living_keys().filter(pk__in=keys).values_list("pk", flat=True)) if keys else keys
        sessions = list_living_sessions(users)
        texts: list[Texts | Refused] = []
        messages = _Messages(events)
        for user, responders in zip(users, responders_among(users), strict=True):
            key_ended = user.acting_key is not None and user.acting_key.pk not in living
            if key_ended or (user.session is not None and user.session not in sessions):
                texts.append(Refused(UNAUTHENTICATED))
            elif not any(responder.may_read for responder in responders.values()):
                texts.append(Refused(FORBIDDEN))
            else:
                texts.append(messages.seen_by(responders))
        return Reading(events[-1].pk if events else after, len(events) >= limit, texts)


class ApprovalsConsumer(FeedConsumer):
    """Sends the types of event that ``approvals_app.feed`` names."""

    source = ApprovalNews()


class _Messages:
    """What some events are on the wire: one text for those who may answer and one for the others, written once."""

    def __init__(self, events: Sequence[ApprovalEvent]) -> None:
        # An approval that several events are about is looked at once.
        self._approvals = {event.approval_id: event.approval for event in events}
        self._events = events
        self._texts: dict[tuple[int, bool], str] = {}

    def seen_by(self, responders: Mapping[int, Responder]) -> Texts:
        """Return the messages about approvals that a user, given by workspace, may see now."""
        can_respond = {}
        for approval in self._approvals.values():
            responder = responders.get(approval.workspace_id, NOBODY)
            if responder.sees(approval):
                can_respond[approval.pk] = responder.awaits(approval)
        return [
            (event.pk, self._text(event, can_respond[event.approval_id]))
            for event in self._events
            if event.approval_id in can_respond
        ]

    def _text(self, event: ApprovalEvent, can_respond: bool) -> str:
        key = event.pk, can_respond
        if key not in self._texts:
            self._texts[key] = json.dumps(_message(event, can_respond))
        return self._texts[key]


def _message(event: ApprovalEvent, can_respond: bool) -> dict[str, object]:
    return {
        "type": event.type,
        "id": event.pk,
        "timestamp": event.created_at.isoformat(),
        "workspaceId": event.approval.workspace.public_id,
        "approvalId": event.data["approvalId"],
        "executionId": event.data["executionId"],
        "blockId": event.data["blockId"],
        "canRespond": can_respond,
        "data": event.data,
    }
