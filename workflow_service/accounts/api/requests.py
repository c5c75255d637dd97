"""What every API view asks of its request first: who it is, and which workspace it is about."""

from typing import Any

from django.db.models import Model, QuerySet
from rest_framework.exceptions import NotAuthenticated
from rest_framework.request import Request

from workflow_service.accounts.models import User, Workspace
from workflow_service.accounts.selectors import resolve_workspace


def current_user(request: Request) -> User:
    """Return the user who asks; raises ``NotAuthenticated`` for nobody."""
    if not isinstance(request.user, User):
        raise NotAuthenticated
    return request.user


def workspace_of(
    request: Request, *, body: dict[str, Any] | None = None, holding: QuerySet[Any, Model] | None = None
) -> Workspace:
    """Return the workspace of the request: from its body, its query or ``X-Workspace-Id``, else the only one.

    ``holding``: rows with a ``workspace`` that the request is about; see ``resolve_workspace``.
    """
    given = (
        (body or {}).get("workspace_id"),
        request.query_params.get("workspaceId") or request.query_params.get("workspace_id"),
        request.headers.get("X-Workspace-Id"),
    )
    return resolve_workspace(current_user(request), [str(name) for name in given if name], holding=holding)
