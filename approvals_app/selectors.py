"""Reads: which approvals a user may see, and which wait for them.

Whoever may read approvals in a workspace sees all of them; ``awaiting`` narrows that to those the user may
answer.
"""

from collections import defaultdict
from functools import reduce
from operator import or_

from django.db.models import Q, QuerySet

from approvals_app.assignment import responders_of
from approvals_app.errors import ApprovalNotFound
from approvals_app.models import Approval, ApprovalEvent
from executions_app.handlers import BlockWork
from executions_app.interactions import HumanInteraction
from executions_app.selectors import places_in_run
from workflow_service.accounts.models import User, Workspace
from workflow_service.accounts.policies import Action
from workflow_service.accounts.selectors import list_workspaces_allowing
from workflow_service.engine.states import ApprovalStatus, HumanStepType

# Of the places of items and rounds there may be many.
MAX_STANDING = 1_000


def list_approvals(user: User) -> QuerySet[Approval]:
    """Return every approval in the workspaces where the user may read approvals, newest first."""
    workspaces = list_workspaces_allowing(user, Action.APPROVAL_READ)
    return Approval.objects.filter(workspace__in=workspaces).select_related(
        "workspace", "execution", "execution__template", "execution__created_by", "responded_by"
    )


def get_approval(user: User, approval_id: str, workspace: Workspace | None = None) -> Approval:
    """Return the approval of that public id, of ``workspace`` if one is given.

    Raises ``ApprovalNotFound`` also for one that the user may not see.
    """
    found = list_approvals(user).filter(public_id=approval_id)
    approval = (found if workspace is None else found.filter(workspace=workspace)).first()
    if approval is None:
        raise ApprovalNotFound(approval_id[:40])
    return approval


def find_standing_approval(work: BlockWork, *, proposed_sha256: str = "") -> Approval | None:
    """Return the yes that still holds for a block of a run: one given to exactly this input, and this output if any.

    It holds for the block itself, and for what a restart has in its place; every item and round asks for itself.
    """
    same = Approval.objects.filter(
        execution_id=work.execution_id,
        block_id=work.block.block_id,
        input_sha256=work.input_sha256,
        proposed_sha256=proposed_sha256,
        status=ApprovalStatus.APPROVED,
    ).exclude(type=HumanStepType.INTERVENTION)
    mine = Q(block_execution=work.block_execution_id)
    standing = same.filter(mine | Q(block_execution__superseded=True)).order_by("-id")
    found = list(standing.values_list("pk", "block_execution_id")[:MAX_STANDING])
    places = places_in_run({row for _, row in found} | {work.block_execution_id}) if found else {}
    place = places.get(work.block_execution_id)
    for approval_id, row in found:
        if row == work.block_execution_id or places.get(row) == place:
            return standing.select_related("responded_by").get(pk=approval_id)
    return None


def awaiting(user: User, approvals: QuerySet[Approval]) -> QuerySet[Approval]:
    """Return those of ``approvals`` that are pending and that the user may answer."""
    conditions = [
        Q(workspace=workspace_id) & responder.condition()
        for workspace_id, responder in responders_of(user).items()
    ]
    return approvals.filter(reduce(or_, conditions, Q(pk__in=())), status=ApprovalStatus.PENDING)


def list_pending(
    user: User,
    workspace: Workspace,
    *,
    execution_id: str | None = None,
    block_id: str | None = None,
    step_type: str | None = None,
    level: str | None = None,
) -> QuerySet[Approval]:
    """Return the workspace's approvals that wait for the user, newest first (document A section 5.3)."""
    wanted = {
        "execution__public_id": execution_id,
        "block_id": block_id,
        "type": step_type,
        "level": level,
    }
    given = {field: value for field, value in wanted.items() if value is not None}
    return awaiting(user, list_approvals(user).filter(workspace=workspace)).filter(**given)


def list_feed(workspace_ids: frozenset[int], after: int, limit: int) -> list[ApprovalEvent]:
    """Return what happened to approvals of these workspaces after event ``after``, oldest first."""
    events = ApprovalEvent.objects.filter(workspace_id__in=workspace_ids, id__gt=after)
    return list(events.select_related("approval__execution").order_by("id")[:limit])


def interactions_by_block(execution_id: int) -> dict[int, list[HumanInteraction]]:
    """Return what was asked in a run and answered, by block execution, oldest first."""
    found: dict[int, list[HumanInteraction]] = defaultdict(list)
    approvals = Approval.objects.filter(execution=execution_id).select_related("responded_by").defer("input")
    for approval in approvals.order_by("id"):
        found[approval.block_execution_id].append(
            HumanInteraction(
                type=approval.type,
                requested_at=approval.requested_at,
                responded_at=approval.responded_at,
                response=approval.response,
                approver=approval.responded_by.get_username() if approval.responded_by else None,
            )
        )
    return found
