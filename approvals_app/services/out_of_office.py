"""Writes: who answers for somebody who is away.

One sets that for oneself; who manages the members of a workspace sets it for others too. The deputy answers what the
one who is away is asked, as long as both are members; what a manager may beyond that is not handed on.
"""

from datetime import datetime

from django.db import transaction
from django.db.models import Q, QuerySet

from approvals_app.errors import AbsenceInvalid, AbsenceNotFound
from approvals_app.models import OutOfOffice
from approvals_app.services.delegation import find_approver
from executions_app.transaction import database_now
from workflow_service.accounts.models import User, Workspace
from workflow_service.accounts.policies import Action, allows, require
from workflow_service.accounts.recording import record_by
from workflow_service.engine.json_values import storable_text

MAX_REASON = 200
MAX_AHEAD = 50


def list_absences(user: User, workspace: Workspace) -> QuerySet[OutOfOffice]:
    """Return the absences that concern the user, as the one away or the deputy; all to who manages members."""
    found = OutOfOffice.objects.filter(workspace=workspace).select_related("user", "delegate", "workspace")
    if allows(user, workspace, Action.MEMBER_MANAGE):
        return found
    return found.filter(Q(user=user) | Q(delegate=user))


def set_out_of_office(
    *,
    workspace: Workspace,
    actor: User,
    delegate: str,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
    reason: str = "",
    user: User | None = None,
) -> OutOfOffice:
    """Have ``delegate`` answer for ``user`` (None: the actor) from ``starts_at`` (None: now) until ``ends_at``.

    Raises what ``check_out_of_office`` does.
    """
    absence = check_out_of_office(
        workspace=workspace,
        actor=actor,
        delegate=delegate,
        starts_at=starts_at,
        ends_at=ends_at,
        reason=reason,
        user=user,
    )
    with transaction.atomic():
        absence.save(force_insert=True)
        _record(actor, "absence.set", absence)
    return absence


def check_out_of_office(
    *,
    workspace: Workspace,
    actor: User,
    delegate: str,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
    reason: str = "",
    user: User | None = None,
) -> OutOfOffice:
    """Return what ``set_out_of_office`` would write.

    Raises ``Forbidden``, and ``AbsenceInvalid`` where the delegate does not answer approvals here, or the time is none.
    """
    # Who names themselves comes with the same API key as who names nobody.
    away = actor if user is None or user.pk == actor.pk else user
    if away is not actor:
        require(actor, workspace, Action.MEMBER_MANAGE)
    require(away, workspace, Action.APPROVAL_RESPOND)
    deputy = find_approver(workspace, delegate)
    if deputy is None:
        raise AbsenceInvalid(f"nobody called '{delegate[:150]}' answers approvals in this workspace")
    if deputy.pk == away.pk:
        raise AbsenceInvalid("nobody stands in for themselves: name somebody else")
    now = database_now()
    begins = starts_at or now
    if ends_at is not None and (ends_at <= begins or ends_at <= now):
        raise AbsenceInvalid("it must end after it begins, and not in the past")
    standing = OutOfOffice.objects.filter(workspace=workspace, user=away)
    if standing.exclude(ends_at__lte=now).count() >= MAX_AHEAD:
        raise AbsenceInvalid(f"there are {MAX_AHEAD} absences ahead already: delete one first")
    return OutOfOffice(
        workspace=workspace,
        user=away,
        delegate=deputy,
        starts_at=begins,
        ends_at=ends_at,
        reason=storable_text(reason, MAX_REASON),
    )


def clear_out_of_office(*, workspace: Workspace, actor: User, absence_id: int) -> None:
    """Delete an absence of the actor's, or of anybody as one who manages members. Raises ``AbsenceNotFound``."""
    absence = list_absences(actor, workspace).filter(pk=absence_id).first()
    if absence is None:
        raise AbsenceNotFound(f"there is no absence {absence_id} for you")
    if absence.user_id != actor.pk:
        require(actor, workspace, Action.MEMBER_MANAGE)
    require_key_may_write(actor, workspace)
    with transaction.atomic():
        _record(actor, "absence.clear", absence)
        absence.delete()


def _record(actor: User, action: str, absence: OutOfOffice) -> None:
    told = {
        "user": absence.user.get_username(),
        "delegate": absence.delegate.get_username(),
        "from": absence.starts_at.isoformat(),
        "to": absence.ends_at.isoformat() if absence.ends_at else "",
    }
    record_by(actor, action, absence.workspace_id, "absence", str(absence.pk), **told)


def require_key_may_write(actor: User, workspace: Workspace) -> None:
    """Raise ``Forbidden`` for an API key that may only read."""
    if actor.acting_key is not None:
        require(actor, workspace, Action.APPROVAL_RESPOND)
