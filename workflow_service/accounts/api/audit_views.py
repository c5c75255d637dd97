"""The audit trail over HTTP: read, and nothing else."""

from collections.abc import Iterable

from django.db.models import Q
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from workflow_service.accounts.api.audit_serializers import (
    SERVICE,
    AuditEntryList,
    AuditQuery,
)
from workflow_service.accounts.api.requests import current_user, workspace_of
from workflow_service.accounts.errors import Forbidden
from workflow_service.accounts.models import User
from workflow_service.accounts.policies import Action, require
from workflow_service.api_serializers import page_of, read_query
from workflow_service.audit.models import AuditEntry
from workflow_service.audit.selectors import list_entries


class AuditView(APIView):
    """Who did what."""

    @extend_schema(
        summary="Read the audit trail",
        operation_id="audit_list",
        tags=["audit"],
        parameters=[AuditQuery],
        responses=AuditEntryList,
    )
    def get(self, request: Request) -> Response:
        """List what was done in the workspace, newest first, for who may read it."""
        query = read_query(AuditQuery, request)
        entries = list_entries(
            _workspace_id(request, query["scope"]),
            action=query.get("action", ""),
            actor_ids=_ids_of(query["user"]) if "user" in query else None,
            target_id=query.get("resource_id", ""),
            outcome=query.get("outcome", ""),
            since=query.get("since"),
            until=query.get("until"),
            search=query.get("search", ""),
        )
        return Response(AuditEntryList(page_of("entries", entries, query, _with_users)).data)


def _workspace_id(request: Request, scope: str) -> int | None:
    user = current_user(request)
    if scope == SERVICE:
        if not user.is_superuser or user.acting_key is not None:
            raise Forbidden("what belongs to no workspace is read by superusers, and not with an API key")
        return None
    workspace = workspace_of(request)
    require(user, workspace, Action.AUDIT_READ)
    return workspace.pk


def _ids_of(name: str) -> tuple[int, ...]:
    return tuple(User.objects.filter(Q(username=name) | Q(public_id=name)).values_list("pk", flat=True))


def _with_users(entries: Iterable[AuditEntry]) -> list[AuditEntry]:
    """Return entries with the public ids of those who did it, read at once."""
    page = list(entries)
    users = User.objects.filter(pk__in={entry.actor_id for entry in page if entry.actor_id})
    public_ids = dict(users.values_list("pk", "public_id"))
    for entry in page:
        entry.user_id = public_ids.get(entry.actor_id or 0)  # type: ignore[attr-defined]
    return page
