"""Admin pages of users, workspaces, members and API keys.

Users and workspaces are the superuser's. Members and keys are managed by whoever ``policies.py`` says, in
their own workspaces; a key is made through the API alone, which shows it once, and is only looked at and
revoked here.
"""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from workflow_service.accounts import audit_admin  # noqa: F401 - registers its page
from workflow_service.accounts.admin_policies import PolicyAdmin
from workflow_service.accounts.admin_recording import RecordedAdmin
from workflow_service.accounts.api_keys import revoke_api_key
from workflow_service.accounts.models import ApiKey, Membership, User, Workspace
from workflow_service.accounts.policies import Action

# Rights come from roles in workspaces: of Django's groups only their names and members mean anything.
admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(RecordedAdmin, admin.ModelAdmin):  # type: ignore[type-arg]
    """A name for several users, such as ``finance``, that approvals may be assigned to."""

    recorded_as = "group"
    fields = ("name",)
    search_fields = ("name",)


@admin.register(User)
class UserAdmin(RecordedAdmin, DjangoUserAdmin):  # type: ignore[type-arg]
    recorded_as = "user"
    list_display = ("username", "public_id", "email", "is_active", "is_staff", "last_login")
    readonly_fields = ("public_id", "last_login", "date_joined")
    fieldsets = (
        (None, {"fields": ("username", "password", "public_id")}),
        ("Person", {"fields": ("first_name", "last_name", "email")}),
        ("Access", {"fields": ("is_active", "is_staff", "is_superuser", "groups")}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    list_filter = ("is_active", "is_staff")
    filter_horizontal = ()
    autocomplete_fields = ("groups",)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Say what a group is good for here."""
        field = super().formfield_for_manytomany(db_field, request, **kwargs)
        if field is not None:
            field.help_text = (
                "Approvals may be assigned to a group by its name, and templates shared with it."
            )
        return field


class MembershipInline(admin.TabularInline):  # type: ignore[type-arg]
    model = Membership
    extra = 0
    autocomplete_fields = ("user",)


@admin.register(Workspace)
class WorkspaceAdmin(RecordedAdmin, admin.ModelAdmin):  # type: ignore[type-arg]
    recorded_as = "workspace"
    list_display = ("name", "slug", "public_id", "created_at")
    search_fields = ("name", "slug", "public_id")
    readonly_fields = ("public_id", "created_at")
    prepopulated_fields = {"slug": ("name",)}
    inlines = (MembershipInline,)


@admin.register(Membership)
class MembershipAdmin(RecordedAdmin, PolicyAdmin):
    when_empty = "A membership gives a person a role in a workspace. Add one, and it is listed here."
    recorded_as = "member"
    view_action = add_action = change_action = delete_action = Action.MEMBER_MANAGE
    list_display = ("user", "workspace", "role", "created_at")
    list_filter = ("role",)
    list_select_related = ("user", "workspace")
    search_fields = ("user__username",)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer the workspaces whose members the user manages, and no other."""
        if db_field.name == "workspace":
            kwargs["queryset"] = self.workspaces(request, Action.MEMBER_MANAGE)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


@admin.register(ApiKey)
class ApiKeyAdmin(PolicyAdmin):
    when_empty = (
        "An API key lets a program in without a password. Those that were made over the API are listed here."
    )
    view_action = change_action = Action.KEY_MANAGE
    list_display = ("name", "prefix", "user", "workspace", "expires_at", "revoked_at", "last_used_at")
    list_select_related = ("user", "workspace")
    search_fields = ("name", "prefix")
    readonly_fields = (
        "name",
        "prefix",
        "user",
        "workspace",
        "scopes",
        "created_at",
        "expires_at",
        "revoked_at",
        "last_used_at",
    )
    exclude = ("digest",)
    actions = ("revoke",)

    @admin.action(description="Revoke the selected keys", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: "QuerySet[ApiKey]") -> None:
        """End the selected keys at once."""
        for key in queryset:
            revoke_api_key(key, actor=request.user, now=timezone.now())  # type: ignore[arg-type]
        self.message_user(request, f"Revoked {queryset.count()} key(s).")
