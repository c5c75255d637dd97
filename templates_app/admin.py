"""Admin pages of templates: the list, and one template with its versions, what it says and how it looks."""

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from templates_app.graph import graph_of
from templates_app.graph_layout import GraphTooLarge
from templates_app.graph_svg import render_graph
from templates_app.library_pages import LibraryPages
from templates_app.models import Template, TemplateVersion
from templates_app.services.validation import validate_definition
from workflow_service.accounts.policies import Action
from workflow_service.admin_pages import WordsFilter
from workflow_service.badges import badge
from workflow_service.engine.definition import Definition
from workflow_service.engine.documents import dump_definition, load_definition
from workflow_service.engine.dsl import render_dsl
from workflow_service.engine.errors import InvalidDefinition

VERSIONS_SHOWN = 50


@admin.register(Template)
class TemplateAdmin(LibraryPages):
    view_action = Action.TEMPLATE_READ
    page_template = "admin/template.html"
    list_display = ("title", "state", "category", "version", "run_count", "owner", "changed")
    list_display_links = ("title",)
    list_filter = (("status", WordsFilter), "category", "complexity")
    list_select_related = ("current_version", "owner", "workspace")
    list_per_page = 50
    search_fields = ("name", "description", "public_id", "tags")
    search_help_text = "Name, description, tag or template id"
    show_full_result_count = False
    ordering = ("-id",)

    @admin.display(description="Template", ordering="name")
    def title(self, template: Template) -> SafeString:
        return format_html('{}<br><span class="wf-id wf-quiet">{}</span>', template.name, template.public_id)

    @admin.display(description="Status", ordering="status")
    def state(self, template: Template) -> SafeString:
        return badge(template.status)

    @admin.display(description="Version")
    def version(self, template: Template) -> str:
        return template.current_version.label if template.current_version else "—"

    @admin.display(description="Runs", ordering="run_count")
    def run_count(self, template: Any) -> int:
        return int(template.run_count)

    @admin.display(description="Changed", ordering="updated_at")
    def changed(self, template: Template) -> str:
        return template.updated_at.strftime("%Y-%m-%d %H:%M")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Count the runs too; the definitions are left where they are."""
        found: QuerySet[Any] = super().get_queryset(request).select_related(*self.list_select_related)
        counted: QuerySet[Any] = found.annotate(run_count=Count("executions"))
        return counted.defer("current_version__definition")

    def page_context(self, request: HttpRequest, row: Template) -> dict[str, Any]:
        shown = _version_of(row, request.GET.get("version"))
        versions = row.versions.defer("definition").select_related("created_by").order_by("-ordinal")
        return {
            "title": row.name,
            "template": row,
            "shown": shown,
            "versions": versions[:VERSIONS_SHOWN],
            **(_spellings(shown) if shown else {}),
        }


def _version_of(template: Template, ordinal: str | None) -> TemplateVersion | None:
    """Return the version that is asked for by number, else the current one; raises ``Http404``."""
    if ordinal is None:
        return template.current_version
    number = int(ordinal) if ordinal.isascii() and ordinal.isdigit() and len(ordinal) < 9 else 0
    version = template.versions.filter(ordinal=number).first()
    if version is None:
        raise Http404
    return version


def _spellings(version: TemplateVersion) -> dict[str, Any]:
    """Return a version's definition as JSON, as DSL and as a picture, and what validation says of it."""
    try:
        definition = load_definition(version.definition)
    except InvalidDefinition as error:
        return {"document": version.definition, "findings": error.problems}
    return {
        # Postgres forgets the order of keys; the definition has one that reads well.
        "document": dump_definition(definition),
        "dsl": render_dsl(definition),
        "graph": _picture(definition, version),
        "findings": validate_definition(definition, version.template.workspace, version.template),
    }


def _picture(definition: Definition, version: TemplateVersion) -> SafeString | None:
    try:
        return render_graph(graph_of(definition), title=f"Blocks of version {version.label}")
    except GraphTooLarge:
        return None
