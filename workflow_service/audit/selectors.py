"""Reads of the trail, newest first."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet

from workflow_service.audit.models import AuditEntry


def list_entries(
    workspace_id: int | None,
    *,
    action: str = "",
    actor_ids: tuple[int, ...] | None = None,
    target_id: str = "",
    outcome: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
    search: str = "",
) -> QuerySet[AuditEntry]:
    """Return the entries of a workspace (None: those of no workspace) that fit every filter that is given.

    ``action`` is a whole name, or a noun with its point (``template.``) for all of it; ``since`` is included, ``until``
    is not; ``search`` is looked for in names, ids, addresses and paths.
    """
    found = AuditEntry.objects.filter(workspace_id=workspace_id)
    if action:
        found = found.filter(Q(action__startswith=action) if action.endswith(".") else Q(action=action))
    if actor_ids is not None:
        found = found.filter(actor_id__in=actor_ids)
    wanted: Mapping[str, Any] = {
        "target_id": target_id, "outcome": outcome, "at__gte": since, "at__lt": until
    }  # fmt: skip
    found = found.filter(**{name: value for name, value in wanted.items() if value})
    for word in search.split()[:5]:
        found = found.filter(
            Q(actor__icontains=word)
            | Q(action__icontains=word)
            | Q(target_id__icontains=word)
            | Q(address__startswith=word)
            | Q(request_id=word)
        )
    return found
