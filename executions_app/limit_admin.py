"""Admin page of concurrency limits: whoever controls the runs of a workspace sets them, and they hold at once."""

from typing import Any

from django.contrib import admin
from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest

from executions_app.models import ConcurrencyLimit
from executions_app.services.limits import delete_limit, save_limit
from workflow_service.accounts.admin_policies import PolicyAdmin
from workflow_service.accounts.admin_recording import RecordedAdmin
from workflow_service.accounts.policies import Action


@admin.register(ConcurrencyLimit)
class ConcurrencyLimitAdmin(RecordedAdmin, PolicyAdmin):
    """Of a limit that stands only the number may change: slots and waiters belong to its agent."""

    when_empty = (
        "A limit says how much of one kind of work runs at the same time. None is set, so only the "
        "workers bound it."
    )
    recorded_as = "limit"
    view_action = Action.EXECUTION_READ
    add_action = change_action = delete_action = Action.EXECUTION_CONTROL
    list_display = ("key", "kind", "workspace", "max_concurrency", "at_work")
    list_filter = ("kind",)
    list_select_related = ("workspace",)
    search_fields = ("key",)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        held = Count("slots", filter=Q(slots__block_execution_id__isnull=False))
        limits: QuerySet[Any] = super().get_queryset(request).annotate(held=held)
        return limits

    @admin.display(description="Slots held", empty_value="")
    def at_work(self, limit: Any) -> int | None:
        return limit.held if limit.kind == ConcurrencyLimit.Kind.AGENT else None

    def get_readonly_fields(
        self, request: HttpRequest, obj: ConcurrencyLimit | None = None
    ) -> tuple[str, ...]:
        return () if obj is None else ("workspace", "kind", "key")

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer the workspaces whose runs the user controls, and no other."""
        if db_field.name == "workspace":
            kwargs["queryset"] = self.workspaces(request, Action.EXECUTION_CONTROL)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: ConcurrencyLimit, form: Any, change: bool) -> None:
        save_limit(obj)

    @transaction.atomic
    def delete_model(self, request: HttpRequest, obj: ConcurrencyLimit) -> None:
        self.record_row(request, "delete", obj)
        delete_limit(obj)

    def delete_queryset(self, request: HttpRequest, queryset: "QuerySet[ConcurrencyLimit]") -> None:
        for limit in queryset:
            self.delete_model(request, limit)
