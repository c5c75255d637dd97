"""Django admin under ``policies.py``: rights come from roles in workspaces, not from Django permissions.

Every list is narrowed to the workspaces in which the user may look; every permission question about one row
is asked of that row's workspace. A page names the action behind each of its doors; a door without one stays
shut. A superuser may look into every workspace, and act in those of their own.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse

from workflow_service.accounts.models import Membership, Role, User, Workspace
from workflow_service.accounts.policies import READ, Action, permits


class PolicyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """An admin page of rows that have a ``workspace``, guarded by role and action."""

    view_action: ClassVar[Action | None] = None
    add_action: ClassVar[Action | None] = None
    change_action: ClassVar[Action | None] = None
    delete_action: ClassVar[Action | None] = None
    # What an empty list says: what would be in it, and how it comes to be there.
    when_empty: ClassVar[str] = ""

    def workspaces(self, request: HttpRequest, action: Action | None) -> "QuerySet[Workspace]":
        """Return the workspaces in which the user's role allows ``action``; a superuser may read in all."""
        if _reads_everywhere(request, action):
            return Workspace.objects.all()
        if action is None:
            return Workspace.objects.none()
        held = _roles_by_workspace(request)
        return Workspace.objects.filter(pk__in=[pk for pk, roles in held.items() if permits(roles, action)])

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the list under its own name, not as a place to select from."""
        title = str(self.opts.verbose_name_plural)
        return super().changelist_view(
            request, {"title": f"{title[:1].upper()}{title[1:]}", **(extra_context or {})}
        )

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        """Narrow every list, and every look-up by key, to what the user may see."""
        found: QuerySet[Any] = super().get_queryset(request)
        if _reads_everywhere(request, self.view_action):
            return found
        return found.filter(workspace__in=self.workspaces(request, self.view_action))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self._may(request, self.view_action, None)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self._may(request, self.view_action, obj)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, self.add_action, None)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self._may(request, self.change_action, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self._may(request, self.delete_action, obj)

    def _may(self, request: HttpRequest, action: Action | None, row: Model | None) -> bool:
        if action is None:
            return False
        if _reads_everywhere(request, action):
            return True
        held = _roles_by_workspace(request)
        if row is not None:
            return permits(held.get(row.workspace_id, ()), action)  # type: ignore[attr-defined]
        return any(permits(roles, action) for roles in held.values())


def _reads_everywhere(request: HttpRequest, action: Action | None) -> bool:
    user = request.user
    return user.is_active and user.is_superuser and action in READ


def _roles_by_workspace(request: HttpRequest) -> Mapping[int, Sequence[Role]]:
    """Return the user's roles by key of the workspace, read once for a request: pages ask dozens of times."""
    found: dict[int, list[Role]] | None = getattr(request, "_roles_by_workspace", None)
    if found is None:
        found = {}
        user = request.user
        if isinstance(user, User) and user.is_active and user.is_staff:
            for pk, role in Membership.objects.filter(user=user).values_list("workspace_id", "role"):
                found.setdefault(pk, []).append(Role(role))
        request._roles_by_workspace = found  # type: ignore[attr-defined]
    return found
