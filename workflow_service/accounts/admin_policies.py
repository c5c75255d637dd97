"""Django admin under ``policies.py``: rights come from roles in workspaces, not from Django permissions.

Every list is narrowed to the workspaces in which the user may look; every permission question about one row
is asked of that row's workspace. A page names the action behind each of its doors; a door without one stays
shut.
"""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from workflow_service.accounts.models import Membership, User, Workspace
from workflow_service.accounts.policies import ROLE_ACTIONS, Action, allows


class PolicyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """An admin page of rows that have a ``workspace``, guarded by role and action."""

    view_action: ClassVar[Action | None] = None
    add_action: ClassVar[Action | None] = None
    change_action: ClassVar[Action | None] = None
    delete_action: ClassVar[Action | None] = None

    def workspaces(self, request: HttpRequest, action: Action | None) -> "QuerySet[Workspace]":
        """Return the workspaces in which the user's role allows ``action``."""
        user = request.user
        if action is None or not isinstance(user, User) or not user.is_active or not user.is_staff:
            return Workspace.objects.none()
        roles = [role for role, actions in ROLE_ACTIONS.items() if action in actions]
        memberships = Membership.objects.filter(user=user, role__in=roles)
        return Workspace.objects.filter(pk__in=memberships.values("workspace_id"))

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        """Narrow every list, and every look-up by key, to what the user may see."""
        found: QuerySet[Any] = super().get_queryset(request)
        return found.filter(workspace__in=self.workspaces(request, self.view_action))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.workspaces(request, self.view_action).exists()

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self._may(request, self.view_action, obj)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, self.add_action, None)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self._may(request, self.change_action, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self._may(request, self.delete_action, obj)

    def _may(self, request: HttpRequest, action: Action | None, row: Model | None) -> bool:
        if row is None:
            return self.workspaces(request, action).exists()
        user = request.user
        workspace: Workspace = row.workspace  # type: ignore[attr-defined]
        return (
            action is not None
            and isinstance(user, User)
            and user.is_staff
            and allows(user, workspace, action)
        )
