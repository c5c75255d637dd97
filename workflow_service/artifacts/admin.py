"""The admin page of artifacts: a list to look at and download from."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from workflow_service.accounts.admin_policies import PolicyAdmin
from workflow_service.accounts.policies import Action
from workflow_service.artifacts.api.serializers import content_url
from workflow_service.artifacts.models import Artifact
from workflow_service.artifacts.selectors import readable
from workflow_service.templatetags.workflow_service import moment


@admin.register(Artifact)
class ArtifactAdmin(PolicyAdmin):
    when_empty = (
        "Files that runs work with and leave behind are listed here. A block that writes a file, or "
        "an upload over the API, makes one."
    )
    view_action = Action.ARTIFACT_READ
    list_display = ("file", "kind", "length", "origin", "kept", "until")
    list_display_links = None
    list_select_related = ("created_by", "workspace")
    list_per_page = 50
    search_fields = ("public_id", "name", "execution_id")
    search_help_text = "Name, artifact id or execution id"
    show_full_result_count = False
    ordering = ("-id",)

    class Media:
        css = {"all": ("workflow_service/admin.css",)}

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        return super().get_queryset(request).filter(pk__in=readable(timezone.now()))

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """Show the list under its own name."""
        return super().changelist_view(request, {"title": "Artifacts", **(extra_context or {})})  # type: ignore[return-value]

    @admin.display(description="File", ordering="name")
    def file(self, artifact: Artifact) -> SafeString:
        return format_html(
            '<a href="{}">{}</a><span class="wf-id wf-snippet">{}</span>',
            content_url(artifact),
            artifact.name,
            artifact.public_id,
        )

    @admin.display(description="Type", ordering="content_type")
    def kind(self, artifact: Artifact) -> str:
        return artifact.content_type

    @admin.display(description="Size", ordering="size")
    def length(self, artifact: Artifact) -> SafeString:
        return format_html('<span class="wf-nowrap">{}</span>', filesizeformat(artifact.size))

    @admin.display(description="From")
    def origin(self, artifact: Artifact) -> SafeString:
        if artifact.execution_id:
            return format_html(
                '{}<a class="wf-id wf-snippet" href="{}">{}</a>',
                artifact.block_id,
                # By name: the app that has the page lies above this one.
                reverse("admin:executions_app_execution_change", args=[artifact.execution_id]),
                artifact.execution_id,
            )
        uploader = artifact.created_by.get_username() if artifact.created_by else "the service"
        return format_html("uploaded by {}", uploader)

    @admin.display(description="Made", ordering="created_at")
    def kept(self, artifact: Artifact) -> str:
        return moment(artifact.created_at)

    @admin.display(description="Kept until", ordering="expires_at")
    def until(self, artifact: Artifact) -> str:
        return moment(artifact.expires_at) if artifact.expires_at else "—"
