"""Admin pages of the outbox: what waits, what was given up, and sending that again.

Messages are of all workspaces together, so only superusers see them.
"""

from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from workflow_service.accounts.admin_recording import RecordedAdmin
from workflow_service.accounts.models import User
from workflow_service.accounts.recording import record_by
from workflow_service.outbox.models import Channel, Message


class SuperuserAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Superusers look; nobody adds or changes a row by hand."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return request.user.is_active and bool(getattr(request.user, "is_superuser", False))

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_module_permission(request)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Message)
class MessageAdmin(RecordedAdmin, SuperuserAdmin):
    """Messages that were given up can be sent again, or thrown away."""

    recorded_as = "message"
    list_display = ("subject", "status", "attempts", "last_error", "due_at")
    list_filter = ("channel", "status")
    search_fields = ("subject", "message_id")
    ordering = ("id",)
    actions = ("send_again",)
    # A message may hold what is its receiver's alone, such as a link that answers in their name.
    exclude = ("body",)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_module_permission(request)

    @admin.action(description="Send again what was given up", permissions=["view"])
    def send_again(self, request: HttpRequest, queryset: "QuerySet[Message]") -> None:
        now = timezone.now()
        assert isinstance(request.user, User)  # noqa: S101 - the admin lets nobody else in
        with transaction.atomic():
            done = queryset.filter(status=Message.Status.DEAD).update(
                status=Message.Status.PENDING, attempts=0, due_at=now, created_at=now
            )
            record_by(request.user, "message.send_again", None, "message", "dead", count=done)
        messages.success(request, f"{done} message(s) will be sent again.")


@admin.register(Channel)
class ChannelAdmin(SuperuserAdmin):
    list_display = ("name", "failures", "paused_until", "last_success_at", "last_error")
