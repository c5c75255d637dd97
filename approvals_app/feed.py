"""What happened to approvals, in order: the rows that ``/ws/approvals`` replays.

A reader that has seen event N never misses an earlier one that commits later: events are appended under one
advisory lock held to the end of the transaction, so their numbers appear in order. One for all workspaces, because
one socket follows all that its user is in by a single number. It is the last lock a transaction takes:
execution, block, approval, feed.
"""

from collections.abc import Iterable
from datetime import datetime

from django.db import connection
from pydantic import JsonValue

from approvals_app import notices
from approvals_app.models import Approval, ApprovalEvent
from workflow_service.engine.definition import JsonObject

REQUESTED = "approval_requested"
RESPONDED = "approval_responded"
TIMEOUT = "approval_timeout"
CLOSED = "approval_closed"
VOTED = "approval_voted"
DELEGATED = "approval_delegated"
COMMENTED = "approval_commented"
ESCALATED = "approval_escalated"
REMINDED = "approval_reminded"

_FEED_LOCK = 0x41505256


def append_events(
    kind: str, approvals: Iterable[Approval], *, now: datetime, details: JsonObject | None = None
) -> list[ApprovalEvent]:
    """Append one event for each approval, all of one workspace, in the caller's transaction.

    ``details`` is what the event says besides the approval's summary: ``by`` (a user name, left out where the service
    did it), ``source`` (the door) and what belongs to its kind.
    """
    rows = [
        ApprovalEvent(
            workspace_id=approval.workspace_id,
            approval=approval,
            type=kind,
            data={**summary_of(approval), **(details or {})},
            created_at=now,
        )
        for approval in approvals
    ]
    if not rows:
        return []
    # Before the lock, which others wait for.
    notices.tell_people(kind, [(row.approval, row.data) for row in rows])
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_FEED_LOCK])
    return ApprovalEvent.objects.bulk_create(rows)


def summary_of(approval: Approval) -> JsonObject:
    """Return what a notification shows; the question's input stays behind the API."""
    responder = approval.responded_by
    found: dict[str, JsonValue] = {
        "approvalId": approval.public_id,
        "executionId": approval.execution.public_id,
        "blockId": approval.block_id,
        "blockName": approval.block_name,
        "type": approval.type,
        "level": approval.level,
        "message": approval.message,
        "assignees": list(approval.assignees),
        "status": approval.status,
        "version": approval.version,
        "quorum": approval.quorum,
        "requestedAt": approval.requested_at.isoformat(),
        "dueAt": approval.due_at.isoformat() if approval.due_at else None,
    }
    if responder is not None:
        found |= {"respondedBy": responder.get_username(), "comments": approval.comments}
    return found
