"""``/ws/approvals``: what happened to approvals after ``?after=ID``, then what happens.

One socket follows every workspace in which the user may read approvals. ``canRespond`` says whether the
question is one for this user.
"""

from collections.abc import Sequence

from approvals_app.assignment import NOBODY, Responder, responders_of
from approvals_app.dispatch import group_of
from approvals_app.models import ApprovalEvent
from approvals_app.selectors import list_feed
from workflow_service.accounts.models import User
from workflow_service.accounts.policies import Action
from workflow_service.accounts.selectors import list_workspaces_allowing
from workflow_service.engine.definition import JsonObject
from workflow_service.engine.states import ApprovalStatus
from workflow_service.live import FORBIDDEN, FollowingConsumer, Positioned, Refused


class ApprovalsConsumer(FollowingConsumer):
    """Sends ``approval_requested``, ``approval_responded``, ``approval_timeout`` and ``approval_closed``."""

    def admit(self, user: User) -> Sequence[str]:
        """Return the groups of the workspaces whose approvals the user may read."""
        found = list_workspaces_allowing(user, Action.APPROVAL_READ).values_list("pk", "public_id")
        self.workspaces = dict(found)
        if not self.workspaces:
            raise Refused(FORBIDDEN)
        return [group_of(pk) for pk in self.workspaces]

    def read(self, user: User, after: int, limit: int) -> Sequence[Positioned]:
        """Return what happened after event ``after``."""
        events = list_feed(frozenset(self.workspaces), after, limit)
        responders = responders_of(user) if events else {}
        return [
            (event.pk, self._message(event, responders.get(event.workspace_id, NOBODY))) for event in events
        ]

    def _message(self, event: ApprovalEvent, responder: Responder) -> JsonObject:
        pending = event.approval.status == ApprovalStatus.PENDING
        return {
            "type": event.type,
            "id": event.pk,
            "timestamp": event.created_at.isoformat(),
            "workspaceId": self.workspaces[event.workspace_id],
            "approvalId": event.data["approvalId"],
            "executionId": event.data["executionId"],
            "blockId": event.data["blockId"],
            "canRespond": pending and responder.objection(event.approval) is None,
            "data": event.data,
        }
