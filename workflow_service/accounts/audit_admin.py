"""Admin page of the audit trail: looked at by who may, searched and filtered, never changed.

Superusers see all of it, and they alone what belongs to no workspace.
"""

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from workflow_service.accounts.models import User, Workspace
from workflow_service.accounts.policies import Action
from workflow_service.admin_pages import PageAdmin, WordsFilter
from workflow_service.audit.actions import ACTIONS
from workflow_service.audit.models import AuditEntry, Seal
from workflow_service.badges import badge
from workflow_service.templatetags.workflow_service import moment

TARGET_SHOWN = 40


class SourceFilter(admin.SimpleListFilter):
    """Through which door it was done; the doors are few and known, and are not looked for in the rows."""

    title = "source"
    parameter_name = "source"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("api", "API"),
            ("admin", "Admin"),
            ("page", "Other pages"),
            ("service", "The service itself"),
        ]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        return queryset.filter(source=self.value()) if self.value() else queryset


class NounFilter(admin.SimpleListFilter):
    """What was done to one kind of thing."""

    title = "what it was done to"
    parameter_name = "noun"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        nouns = dict.fromkeys(action.partition(".")[0] for action in ACTIONS)
        return [(noun, noun.replace("_", " ").capitalize()) for noun in sorted(nouns)]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        value = self.value()
        return queryset.filter(action__startswith=f"{value}.") if value else queryset


@admin.register(AuditEntry)
class AuditEntryAdmin(PageAdmin):
    when_empty = "Who changed what is recorded here by itself; nothing has been changed yet."
    view_action = Action.AUDIT_READ
    page_template = "admin/audit_entry.html"
    list_display = ("when", "who", "action", "target", "result", "address")
    list_display_links = ("when",)
    list_filter = (("outcome", WordsFilter), "at", SourceFilter, NounFilter)
    search_fields = ("actor", "action", "target_id", "=address", "=request_id")
    search_help_text = "Name, action, id, path; a whole address or request id"
    list_per_page = 50
    show_full_result_count = False
    ordering = ("-id",)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """Show the list under its own name."""
        return super().changelist_view(request, {"title": "Audit trail", **(extra_context or {})})

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        # Workspaces are plain ids here: an entry outlives what it is about.
        found = AuditEntry.objects.all()
        if _sees_all(request):
            return found
        held = self.workspaces(request, self.view_action).values_list("pk", flat=True)
        return found.filter(workspace_id__in=list(held))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return _sees_all(request) or super().has_view_permission(request, obj)

    @admin.display(description="When", ordering="id")
    def when(self, entry: AuditEntry) -> SafeString | str:
        return moment(entry.at)

    @admin.display(description="Who")
    def who(self, entry: AuditEntry) -> str:
        return entry.actor

    @admin.display(description="To what")
    def target(self, entry: AuditEntry) -> SafeString:
        shown = Truncator(entry.target_id).chars(TARGET_SHOWN)
        return format_html('<span class="wf-id wf-nowrap">{}</span>', shown)

    @admin.display(description="Outcome")
    def result(self, entry: AuditEntry) -> SafeString:
        return badge(entry.outcome)

    def page_context(self, request: HttpRequest, row: AuditEntry) -> dict[str, Any]:
        """Return what the page of an entry shows, with the seal that covers it."""
        return {
            "entry": row,
            "title": f"{row.action} by {row.actor}",
            "words": ACTIONS.get(row.action, ""),
            "person": User.objects.filter(pk=row.actor_id).first() if row.actor_id else None,
            "workspace": Workspace.objects.filter(pk=row.workspace_id).first() if row.workspace_id else None,
            "seal": _seal_of(row),
        }


def _seal_of(entry: AuditEntry) -> Seal | None:
    """Return the seal that covers an entry, sought around the time at which it was written."""
    sealed = (entry.at - timedelta(minutes=5), entry.at + timedelta(days=1))
    return Seal.objects.filter(sealed_at__range=sealed, entry_ids__contains=[entry.pk]).first()


def _sees_all(request: HttpRequest) -> bool:
    user = request.user
    return bool(user.is_active and user.is_staff and user.is_superuser)
