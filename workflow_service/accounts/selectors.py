"""Reads: the workspaces of a user, and which one a request is about.

A workspace the user is no member of is never told apart from one that does not exist.
"""

import re
from collections.abc import Collection

from django.db.models import Model, QuerySet

from workflow_service.accounts.errors import (
    ApiKeyNotFound,
    WorkspaceConflict,
    WorkspaceNotFound,
    WorkspaceRequired,
)
from workflow_service.accounts.models import ApiKey, Membership, Role, User, Workspace
from workflow_service.accounts.policies import Action, allows, key_permits, permits

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


def list_workspaces(user: User) -> QuerySet[Workspace]:
    """Return the workspaces the user is a member of; with an API key, the key's alone."""
    found = Workspace.objects.filter(memberships__user=user).distinct()
    return found if user.acting_key is None else found.filter(pk=user.acting_key.workspace_id)


def list_workspaces_allowing(user: User, action: Action) -> QuerySet[Workspace]:
    """Return the user's workspaces where a role of theirs, and the API key they came with, allow ``action``."""
    held = list_memberships(user) if user.is_active else ()
    allowed = [ws.pk for ws, roles in held if permits(roles, action) and key_permits(user, ws, action)]
    return Workspace.objects.filter(pk__in=allowed)


def list_memberships(user: User) -> list[tuple[Workspace, tuple[Role, ...]]]:
    """Return each of the user's workspaces with the user's roles there, by name of the workspace."""
    rows = Membership.objects.filter(workspace__in=list_workspaces(user), user=user).select_related(
        "workspace"
    )
    found: dict[Workspace, list[Role]] = {}
    for row in rows.order_by("workspace__name", "id"):
        found.setdefault(row.workspace, []).append(Role(row.role))
    return [(workspace, tuple(roles)) for workspace, roles in found.items()]


def get_workspace(user: User, workspace_id: str) -> Workspace:
    """Return the user's workspace of that public id or slug; raises ``WorkspaceNotFound``."""
    if _ID.fullmatch(workspace_id):
        for name in ("public_id", "slug"):
            workspace = list_workspaces(user).filter(**{name: workspace_id}).first()
            if workspace is not None:
                return workspace
    raise WorkspaceNotFound(f"there is no workspace '{workspace_id[:64]}' for you")


def resolve_workspace(
    user: User, named: Collection[str] = (), *, holding: "QuerySet[Model] | None" = None
) -> Workspace:
    """Return the workspace a request is about: the one it names, else the user's only one.

    ``holding`` are rows with a ``workspace``: a user of several workspaces who names none gets the one that
    holds them. Raises ``WorkspaceNotFound``, ``WorkspaceConflict`` or ``WorkspaceRequired``.
    """
    if len(set(named)) > 1:
        raise WorkspaceConflict(
            f"the request names several workspaces: {', '.join(sorted(set(named)))[:200]}"
        )
    for workspace_id in named:
        return get_workspace(user, workspace_id)
    candidates = list(list_workspaces(user)[:2])
    if not candidates:
        raise WorkspaceNotFound("you are no member of any workspace")
    if len(candidates) == 1:
        return candidates[0]
    if holding is None:
        raise WorkspaceRequired(
            "you have several workspaces: name one, as 'workspaceId' or in X-Workspace-Id"
        )
    return list_workspaces(user).filter(pk__in=holding.values("workspace_id")).first() or candidates[0]


def roles_of(user: User, workspace: Workspace) -> tuple[Role, ...]:
    """Return the user's roles in the workspace, in the order they were given."""
    names = Membership.objects.filter(user=user, workspace=workspace).values_list("role", flat=True)
    return tuple(Role(name) for name in names)


def list_api_keys(user: User, workspace: Workspace) -> QuerySet[ApiKey]:
    """Return the user's own keys in the workspace, and everybody's for who manages keys."""
    keys = ApiKey.objects.filter(workspace=workspace).select_related("user", "workspace")
    return keys if allows(user, workspace, Action.KEY_MANAGE) else keys.filter(user=user)


def get_api_key(user: User, workspace: Workspace, prefix: str) -> ApiKey:
    """Return the key of that prefix among those the user may see; raises ``ApiKeyNotFound``."""
    key = list_api_keys(user, workspace).filter(prefix=prefix).first()
    if key is None:
        raise ApiKeyNotFound(f"there is no API key '{prefix[:16]}' for you")
    return key
