"""Reads: which approvals a user may see, and which wait for them.

One sees what one may answer or could have, what the runs asked that one started, and what one has a part in; who may
read all approvals of a workspace sees all of them. ``awaiting`` narrows that to what one may answer now.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import or_

from django.db.models import F, Q, QuerySet
from django.db.models.expressions import RawSQL

from approvals_app.assignment import NONE, Responder, responders_of
from approvals_app.errors import ApprovalNotFound
from approvals_app.models import Approval, ApprovalEvent
from executions_app.handlers import BlockWork
from executions_app.interactions import HumanInteraction
from executions_app.selectors import places_in_run
from workflow_service.accounts.models import User, Workspace
from workflow_service.engine.definition import JsonObject
from workflow_service.engine.states import ApprovalStatus, HumanStepType

# Of the places of items and rounds there may be many.
MAX_STANDING = 1_000
# What an approval shows and nobody's right to it depends on.
_LARGE = ("input", "proposed", "response", "response_schema")
# By name: the ways to sort a list; the id settles what is equal.
SORTS = {
    "newest": ("-id",),
    "oldest": ("id",),
    "due": (F("due_at").asc(nulls_last=True), "id"),
}


def visible_to(
    user: User, approvals: QuerySet[Approval], responders: Mapping[int, Responder] | None = None
) -> QuerySet[Approval]:
    """Return those of ``approvals`` that the user may see; ``responders`` are the user's, where they are known."""
    known = responders_of(user) if responders is None else responders
    conditions = (Q(workspace=workspace_id) & responder.seen() for workspace_id, responder in known.items())
    return approvals.filter(reduce(or_, conditions, NONE))


def awaiting(
    user: User, approvals: QuerySet[Approval], responders: Mapping[int, Responder] | None = None
) -> QuerySet[Approval]:
    """Return those of ``approvals`` that are pending and that the user may answer and has not yet."""
    known = responders_of(user) if responders is None else responders
    conditions = (
        Q(workspace=workspace_id) & responder.awaited() for workspace_id, responder in known.items()
    )
    return approvals.filter(reduce(or_, conditions, NONE), status=ApprovalStatus.PENDING)


def list_approvals(user: User) -> QuerySet[Approval]:
    """Return every approval that the user may see, newest first, with all that a list shows of it."""
    return with_relations(visible_to(user, Approval.objects.all()))


def with_relations(approvals: QuerySet[Approval]) -> QuerySet[Approval]:
    """Return ``approvals`` with what is shown beside them, in a fixed number of queries."""
    related = ("workspace", "execution", "execution__template", "execution__created_by", "responded_by")
    return approvals.select_related(*related).prefetch_related("votes")


def get_approval(user: User, approval_id: str, workspace: Workspace | None = None) -> Approval:
    """Return the approval of that public id, of ``workspace`` if one is given.

    Raises ``ApprovalNotFound`` also for one that the user may not see.
    """
    found = list_approvals(user).filter(public_id=approval_id)
    approval = (found if workspace is None else found.filter(workspace=workspace)).first()
    if approval is None:
        raise ApprovalNotFound(approval_id[:40])
    return approval


def find_standing_approval(
    work: BlockWork, message: Callable[[], str], *, proposed_sha256: str = ""
) -> Approval | None:
    """Return the yes that still holds for a block of a run: one given to exactly this input, and this output if any.

    It holds for the block itself, and for what a restart has in its place; every item and round asks for itself. Of
    what a restart took back it holds where the question, the ``message``, is the same too: its figures need not be
    among the block's input.
    """
    same = Approval.objects.filter(
        execution_id=work.execution_id,
        block_id=work.block.block_id,
        input_sha256=work.input_sha256,
        proposed_sha256=proposed_sha256,
        status=ApprovalStatus.APPROVED,
    ).exclude(type__in=(HumanStepType.INTERVENTION, HumanStepType.CHOICE))
    mine = Q(block_execution=work.block_execution_id)
    standing = same.filter(mine | Q(block_execution__superseded=True)).order_by("-id")
    found = list(standing.values_list("pk", "block_execution_id", "message")[:MAX_STANDING])
    places = places_in_run({row for _, row, _ in found} | {work.block_execution_id}) if found else {}
    place = places.get(work.block_execution_id)
    asked: str | None = None
    for approval_id, row, said in found:
        if row != work.block_execution_id:
            if places.get(row) != place:
                continue
            asked = message() if asked is None else asked
            if said != asked:
                continue
        return standing.select_related("responded_by").get(pk=approval_id)
    return None


def list_pending(user: User, workspace: Workspace) -> QuerySet[Approval]:
    """Return the workspace's approvals that wait for the user, newest first (document A section 5.3)."""
    return with_relations(awaiting(user, Approval.objects.filter(workspace=workspace)))


def narrow(
    approvals: QuerySet[Approval],
    *,
    execution_id: str | None = None,
    block_id: str | None = None,
    step_type: str | None = None,
    level: str | None = None,
    search: str | None = None,
    overdue_at: datetime | None = None,
    sort: str = "newest",
) -> QuerySet[Approval]:
    """Return those of ``approvals`` that are asked for, in the order of ``SORTS[sort]``.

    ``search``: each of its words is in the message, or in the name of the block, its workflow or its starter;
    ``overdue_at``: those still pending whose time was over then.
    """
    wanted = {"execution__public_id": execution_id, "block_id": block_id, "type": step_type, "level": level}
    found = approvals.filter(**{field: value for field, value in wanted.items() if value is not None})
    for word in (search or "").split():
        found = found.filter(reduce(or_, (Q(**{f"{field}__icontains": word}) for field in _SEARCHED)))
    if overdue_at is not None:
        found = found.filter(status=ApprovalStatus.PENDING, due_at__lte=overdue_at)
    return found.order_by(*SORTS[sort])


_SEARCHED = (
    "message",
    "block_name",
    "block_id",
    "public_id",
    "execution__public_id",
    "execution__template__name",
    "execution__created_by__username",
)


def list_feed(user_ids: Collection[int], after: int, limit: int) -> list[ApprovalEvent]:
    """Return what happened to approvals after event ``after`` in the workspaces of these users, oldest first."""
    theirs = RawSQL("SELECT workspace_id FROM accounts_membership WHERE user_id = ANY(%s)", [list(user_ids)])
    events = ApprovalEvent.objects.filter(workspace_id__in=theirs, id__gt=after)
    related = events.select_related("approval__execution", "approval__workspace")
    small = related.defer(*(f"approval__{field}" for field in _LARGE)).prefetch_related("approval__votes")
    return list(small.order_by("id")[:limit])


def newest_event_id() -> int:
    """Return the number of the last thing that happened to any approval, 0 if nothing did."""
    return ApprovalEvent.objects.order_by("-id").values_list("id", flat=True).first() or 0


def interactions_by_block(execution_id: int) -> dict[int, list[HumanInteraction]]:
    """Return what was asked in a run and answered, by block execution, oldest first."""
    found: dict[int, list[HumanInteraction]] = defaultdict(list)
    approvals = (
        Approval.objects.filter(execution=execution_id)
        .select_related("responded_by")
        .defer("input", "proposed")
    )
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


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One thing that happened to an approval. ``who`` is a user name, empty where the service did it; ``source`` the
    door; ``details`` what belongs to its kind, as ``approved`` of a vote and ``to`` of a delegation.
    """

    what: str
    who: str
    at: datetime
    source: str
    comments: str
    details: JsonObject


def history_of(approval: Approval) -> list[HistoryEntry]:
    """Return what happened to an approval, oldest first, in one query."""
    return [_entry(event) for event in approval.events.order_by("id")]


def _entry(event: ApprovalEvent) -> HistoryEntry:
    data = event.data
    own = {
        name: data[name] for name in ("approved", "to", "step", "added", "level", "status") if name in data
    }
    # Older events name who answered, and no door.
    by_whom = data.get("by") or data.get("respondedBy") or ""
    return HistoryEntry(
        what=event.type,
        who=by_whom,
        at=event.created_at,
        source=data.get("source", ""),
        comments=data.get("comments", ""),
        details=own,
    )
