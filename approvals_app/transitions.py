"""The only writer of an approval's status: PENDING becomes one of the others once, and its event goes with it."""

from collections.abc import Iterable
from datetime import datetime

from approvals_app import feed
from approvals_app.models import Approval, ApprovalEvent
from workflow_service.accounts.models import User
from workflow_service.engine.definition import JsonObject
from workflow_service.engine.errors import IllegalTransition
from workflow_service.engine.states import ApprovalStatus


def decide(
    approval: Approval,
    status: ApprovalStatus,
    *,
    actor: User | None,
    response: JsonObject | None = None,
    comments: str = "",
    source: str,
    now: datetime,
) -> ApprovalEvent:
    """Write the decision on a pending approval; return its event. Without ``actor`` its time decided.

    Raises ``IllegalTransition`` where it is not pending any more.
    """
    approval.status = status
    approval.responded_by, approval.responded_at = actor, now
    approval.response, approval.comments, approval.source = response, comments, source
    written = Approval.objects.filter(pk=approval.pk, status=ApprovalStatus.PENDING).update(
        status=status,
        responded_by=actor,
        responded_at=now,
        response=response,
        comments=comments,
        source=source,
        next_timer_at=None,
        version=approval.version,
        involved_ids=approval.involved_ids,
    )
    if not written:
        raise IllegalTransition(f"approval {approval.public_id} is not pending and cannot become {status}")
    kind = feed.TIMEOUT if status == ApprovalStatus.EXPIRED else feed.RESPONDED
    details: JsonObject = {"source": source}
    if actor is not None:
        details["by"] = actor.get_username()
    (event,) = feed.append_events(kind, [approval], now=now, details=details)
    return event


def close(approvals: Iterable[Approval], *, now: datetime) -> list[ApprovalEvent]:
    """Cancel those of ``approvals``, all of one workspace, that still wait; return their events."""
    found = {approval.pk: approval for approval in approvals}
    pending = Approval.objects.filter(pk__in=found, status=ApprovalStatus.PENDING)
    closed = [found[pk] for pk in pending.select_for_update().order_by("pk").values_list("pk", flat=True)]
    Approval.objects.filter(pk__in=[approval.pk for approval in closed]).update(
        status=ApprovalStatus.CANCELLED, next_timer_at=None
    )
    for approval in closed:
        approval.status = ApprovalStatus.CANCELLED
    return feed.append_events(feed.CLOSED, closed, now=now)
