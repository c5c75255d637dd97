"""A question is handed to somebody else, or talked about. Neither decides anything.

Who handed it on may still answer; of the two of them one vote counts.
"""

from django.db import transaction
from django.db.models import Q

from approvals_app import dispatch, feed
from approvals_app.assignment import responder_of
from approvals_app.errors import ApprovalClosed, CannotDelegate, NotYourApproval
from approvals_app.models import Approval, ApprovalComment, ApprovalDelegation
from approvals_app.recording import record_deed
from approvals_app.selectors import get_approval
from approvals_app.services.approvals import MAX_COMMENTS
from approvals_app.services.decisions import lock_row
from executions_app.transaction import database_now
from workflow_service.accounts.models import User, Workspace
from workflow_service.accounts.policies import Action, key_permits, permits, require
from workflow_service.accounts.selectors import roles_of
from workflow_service.engine.definition import JsonObject
from workflow_service.engine.json_values import storable_text
from workflow_service.engine.states import ApprovalStatus


def delegate_approval(*, approval_id: str, actor: User, to: str, comments: str = "", source: str) -> Approval:
    """Hand a pending approval to ``to``, the name or public id of another who answers approvals here; return it.

    Handing it to the same person again changes nothing. Raises ``ApprovalNotFound``, ``Forbidden``,
    ``NotYourApproval``, ``CannotDelegate`` and ``ApprovalClosed``.
    """
    comments = storable_text(comments, MAX_COMMENTS)
    seen = get_approval(actor, approval_id)
    require(actor, seen.workspace, Action.APPROVAL_RESPOND)
    with transaction.atomic(durable=True):
        approval = lock_row(seen)
        responder = responder_of(actor, approval.workspace)
        objection = responder.objection(approval)
        if objection:
            raise NotYourApproval(approval_id, objection)
        if approval.status != ApprovalStatus.PENDING:
            raise ApprovalClosed(approval_id)
        if not approval.allow_delegation:
            raise CannotDelegate("the workflow does not let this approval be handed to others")
        if responder.has_voted(approval):
            raise CannotDelegate("your answer is given: there is nothing left to hand on")
        deputy = _find_deputy(approval, actor, to)
        now = database_now()
        _, new = ApprovalDelegation.objects.get_or_create(
            approval=approval,
            from_user=actor,
            to_user=deputy,
            defaults={"comments": comments, "created_at": now},
        )
        if new:
            approval.delegate_ids = sorted({*approval.delegate_ids, deputy.pk})
            approval.involved_ids = sorted({*approval.involved_ids, actor.pk, deputy.pk})
            approval.version += 1
            approval.save(update_fields=("delegate_ids", "involved_ids", "version"))
            details: JsonObject = {
                "by": actor.get_username(),
                "source": source,
                "to": deputy.get_username(),
                "comments": comments,
            }
            record_deed(
                actor, "approval.delegate", approval, version=approval.version, to=deputy.get_username()
            )
            events = feed.append_events(feed.DELEGATED, [approval], now=now, details=details)
            dispatch.tell_after_commit(events)
    return approval


def comment_on_approval(*, approval_id: str, actor: User, text: str, source: str) -> ApprovalComment:
    """Say something about an approval that the actor sees, decided or not; return it.

    Raises ``ApprovalNotFound``, and ``Forbidden`` for an API key that may only read.
    """
    seen = get_approval(actor, approval_id)
    if not key_permits(actor, seen.workspace, Action.APPROVAL_RESPOND):
        require(actor, seen.workspace, Action.APPROVAL_RESPOND)
    with transaction.atomic(durable=True):
        approval = lock_row(seen)
        now = database_now()
        said = ApprovalComment.objects.create(
            approval=approval, user=actor, text=storable_text(text, MAX_COMMENTS), created_at=now
        )
        if actor.pk not in approval.involved_ids:
            approval.involved_ids = sorted({*approval.involved_ids, actor.pk})
            approval.save(update_fields=("involved_ids",))
        record_deed(actor, "approval.comment", approval, version=approval.version, comment=said.pk)
        details: JsonObject = {"by": actor.get_username(), "source": source, "comments": said.text}
        dispatch.tell_after_commit(feed.append_events(feed.COMMENTED, [approval], now=now, details=details))
    return said


def find_member(workspace: Workspace, name: str) -> User | None:
    """Return the active member of that name or public id."""
    name = name.removeprefix("user:")
    if not name or "\x00" in name:
        return None
    members = User.objects.filter(is_active=True, workspaces=workspace)
    return members.filter(Q(username=name) | Q(public_id=name)).order_by("pk").first()


def find_approver(workspace: Workspace, name: str) -> User | None:
    """Return the active member of that name or public id whose role answers approvals in the workspace."""
    user = find_member(workspace, name)
    return user if user is not None and permits(roles_of(user, workspace), Action.APPROVAL_RESPOND) else None


def _find_deputy(approval: Approval, actor: User, to: str) -> User:
    deputy = find_approver(approval.workspace, to)
    if deputy is None:
        raise CannotDelegate(f"nobody called '{to[:150]}' answers approvals in this workspace")
    if deputy.pk == actor.pk:
        raise CannotDelegate("it is yours already: name somebody else")
    if approval.four_eyes and approval.execution.created_by_id == deputy.pk:
        raise CannotDelegate(f"'{deputy.get_username()}' started this run, so somebody else has to decide")
    return deputy
