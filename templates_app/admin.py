"""Admin pages of templates: the list, one template with its versions and shares, and two versions side by side.

Looking changes nothing; a command is a POST with the CSRF token, and what is grave or asks for words is asked first.
"""

from collections.abc import Mapping
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db.models import CharField, Count, F, Func, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.http import content_disposition_header
from django.utils.safestring import SafeString

from templates_app.admin_commands import Command, command_named, offered_commands
from templates_app.admin_diff import shown_parts, statuses_of
from templates_app.admin_imports import ImportForm
from templates_app.api.sharing_views import share_documents
from templates_app.exports import ExportFormat, export_template
from templates_app.graph import graph_of
from templates_app.graph_layout import GraphTooLarge
from templates_app.graph_svg import render_graph
from templates_app.library_pages import LibraryPages
from templates_app.models import Template, TemplateShare, TemplateVersion
from templates_app.search import search_templates
from templates_app.selectors import etag_of, list_shares, version_before
from templates_app.services.validation import validate_definition
from templates_app.sharing import may, shared_with
from templates_app.version_diff import diff_versions
from workflow_service.accounts.models import User
from workflow_service.accounts.policies import Action, ShareRight
from workflow_service.admin_pages import ValuesFilter, WordsFilter, sentence
from workflow_service.badges import badge
from workflow_service.engine.definition import Definition
from workflow_service.engine.documents import dump_definition, load_definition
from workflow_service.engine.dsl import render_dsl
from workflow_service.engine.errors import InvalidDefinition, WorkflowError
from workflow_service.engine.states import TemplateStatus
from workflow_service.templatetags.workflow_service import moment

VERSIONS_SHOWN = 50
NAMES_OFFERED = 200
TAGS_OFFERED = 30
STARTABLE = (TemplateStatus.ACTIVE, TemplateStatus.DEPRECATED)


class TagFilter(admin.SimpleListFilter):
    """Templates with a tag; offers the tags that are used most where the user may look."""

    title = "tag"
    parameter_name = "tag"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        each = Func("tags", function="unnest", output_field=CharField())
        rows = Template.objects.filter(workspace__in=model_admin.workspaces(request, Action.TEMPLATE_READ))
        counted = rows.order_by().annotate(tag=each).values("tag").annotate(count=Count("pk"))
        names = counted.order_by("-count", "tag").values_list("tag", flat=True)[:TAGS_OFFERED]
        return [(name, name) for name in names]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return queryset.filter(tags__contains=[value]) if value else queryset


class OwnerFilter(admin.SimpleListFilter):
    """One's own templates, and those one was given rights on."""

    title = "owner"
    parameter_name = "of"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("me", "Mine"), ("shared", "Shared with me")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        user = request.user
        assert isinstance(user, User)  # noqa: S101 - the admin lets nobody else in
        match self.value():
            case "me":
                return queryset.filter(owner=user)
            case "shared":
                shares = TemplateShare.objects.filter(shared_with(user))
                return queryset.filter(pk__in=shares.values("template"))
        return queryset


@admin.register(Template)
class TemplateAdmin(LibraryPages):
    when_empty = (
        "Templates are the workflows that can be run. Those that were imported from files, taken from the library "
        "or sent to the API are listed here."
    )
    view_action = Action.TEMPLATE_READ
    add_action = Action.TEMPLATE_CREATE
    page_template = "admin/template.html"
    list_display = ("title", "state", "filed", "run_count", "changed")
    list_display_links = ("title",)
    list_filter = (
        ("status", WordsFilter),
        OwnerFilter,
        ("category", ValuesFilter),
        TagFilter,
        ("complexity", ValuesFilter),
        "created_at",
    )
    list_select_related = ("current_version", "owner", "workspace")
    list_per_page = 50
    # Only names the search box: ``get_search_results`` says what is searched.
    search_fields = ("name",)
    search_help_text = 'Words or parts of words, "a phrase", -without; or a template id'
    show_full_result_count = False
    ordering = ("-id",)

    @admin.display(description="Template", ordering="name")
    def title(self, template: Template) -> SafeString:
        version = template.current_version.label if template.current_version else ""
        return format_html(
            '{} {}<span class="wf-id wf-snippet">{}</span>', template.name, version, template.public_id
        )

    @admin.display(description="Status", ordering="status")
    def state(self, template: Template) -> SafeString:
        return badge(template.status)

    @admin.display(description="Category", ordering="category")
    def filed(self, template: Template) -> SafeString:
        tags = ", ".join(template.tags)
        return format_html('{}<span class="wf-snippet">{}</span>', template.category or "—", tags)

    @admin.display(description="Runs", ordering="run_count")
    def run_count(self, template: Any) -> int:
        return int(template.run_count)

    @admin.display(description="Changed", ordering="updated_at")
    def changed(self, template: Template) -> SafeString:
        owner = template.owner.get_username()
        return format_html('{}<span class="wf-snippet">of {}</span>', moment(template.updated_at), owner)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Count the runs too; the definitions are left where they are."""
        found: QuerySet[Any] = super().get_queryset(request).select_related(*self.list_select_related)
        counted: QuerySet[Any] = found.annotate(run_count=Count("executions"))
        return counted.defer("current_version__definition")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Search as the API does: the best first, unless another order is asked for."""
        text = search_term.replace("\x00", "").strip()
        if not text:
            return queryset, False
        found = search_templates(queryset, text)
        return (found if "o" in request.GET else found.order_by(F("rank").desc(), "-id")), False

    def get_urls(self) -> list[URLPattern]:
        pages = (("command", self.command_view), ("diff", self.diff_view), ("export", self.export_view))
        own = [
            path(
                f"<int:template_id>/{name}/",
                self.admin_site.admin_view(view),
                name=f"templates_app_template_{name}",
            )
            for name, view in pages
        ]
        return [*own, *super().get_urls()]

    def page_context(self, request: HttpRequest, row: Template) -> dict[str, Any]:
        shown = _version_of(row, request.GET.get("version"))
        versions = row.versions.defer("definition").select_related("created_by").order_by("-ordinal")
        offered = offered_commands(_user(request), row)
        return {
            "title": row.name,
            "template": row,
            "etag": etag_of(row),
            "shown": shown,
            "versions": versions[:VERSIONS_SHOWN],
            "commands": {name: one for name, one in offered.items() if not one.is_beside},
            "may_start": row.status in STARTABLE and may(_user(request), row, Action.EXECUTION_START),
            "offered": offered,
            "formats": [kind.value for kind in ExportFormat],
            "shares": share_documents(list_shares(row)),
            **(_names_of(row) if {"share", "transfer"} & offered.keys() else {}),
            **(_spellings(shown) if shown else {}),
        }

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Take a workflow file: a new template, or the next version of one's own of that name."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        workspaces = self.workspaces(request, Action.TEMPLATE_CREATE)
        form = ImportForm(request.POST or None, request.FILES or None, workspaces=workspaces)
        imported = form.import_as(_user(request)) if request.method == "POST" and form.is_valid() else None
        if imported is None:
            frame = {**self.admin_site.each_context(request), "opts": self.opts, "media": self.media}
            context = {"title": "Import a template", "form": form}
            return render(request, "admin/template_import.html", frame | context)
        words = "Imported." if imported.created else "Imported into your template of that name."
        messages.success(request, words)
        return HttpResponseRedirect(
            reverse("admin:templates_app_template_change", args=[imported.template.pk])
        )

    def command_view(self, request: HttpRequest, template_id: int) -> HttpResponse:
        """Give a template a command; POST only. What is grave or needs words is asked for once more."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        template = self._template(request, template_id)
        name = request.POST.get("command", "")
        try:
            command = command_named(name)
            is_offered = name in offered_commands(_user(request), template)
            if command.question and is_offered and "confirmed" not in request.POST:
                return self._ask_first(request, template, name, command)
            template = command.give(template, _user(request), request.POST)
            messages.success(request, command.done)
        except WorkflowError as error:
            messages.error(request, sentence(error.message))
        return HttpResponseRedirect(reverse("admin:templates_app_template_change", args=[template.pk]))

    def diff_view(self, request: HttpRequest, template_id: int) -> HttpResponse:
        """Show what differs between two versions, the last two where none are named."""
        template = self._template(request, template_id)
        newer = _version_of(template, request.GET.get("to") or None)
        if newer is None:
            raise Http404
        older = (
            _version_of(template, request.GET["from"]) if request.GET.get("from") else version_before(newer)
        )
        assert older is not None  # noqa: S101 - a version that is named is there
        context = {
            "title": f"{older.label} → {newer.label}",
            "template": template,
            "older": older,
            "newer": newer,
            "versions": template.versions.defer("definition").order_by("-ordinal")[:VERSIONS_SHOWN],
            **_differences(older, newer),
        }
        return self._page(request, template, "admin/template_diff.html", context)

    def export_view(self, request: HttpRequest, template_id: int) -> HttpResponse:
        """Give a version as a file to download."""
        template = self._template(request, template_id)
        version = _version_of(template, request.GET.get("version"))
        kind = request.GET.get("format", "")
        if version is None or kind not in list(ExportFormat):
            raise Http404
        file = export_template(template, version, ExportFormat(kind))
        return HttpResponse(
            file.text.encode(),
            content_type=f"{file.media_type}; charset=utf-8",
            headers={"Content-Disposition": content_disposition_header(True, file.name) or "attachment"},
        )

    def _ask_first(
        self, request: HttpRequest, template: Template, name: str, command: Command
    ) -> HttpResponse:
        context = {"title": command.question, "template": template, "name": name, "command": command}
        given = {key: request.POST[key] for key in ("etag", "version") if key in request.POST}
        version = _version_of(template, given.get("version")) if "version" in given else None
        return self._page(
            request, template, "admin/template_confirm.html", context | {"given": given, "version": version}
        )

    def _page(
        self, request: HttpRequest, template: Template, name: str, context: dict[str, Any]
    ) -> HttpResponse:
        frame = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": template,
            "media": self.media,
        }
        return render(request, name, frame | context)

    def _template(self, request: HttpRequest, template_id: int) -> Template:
        """Return the template if the user may see it; raises ``Http404``."""
        found = self.get_object(request, str(template_id))
        if not isinstance(found, Template) or not self.has_view_permission(request, found):
            raise Http404
        return found


def _user(request: HttpRequest) -> User:
    user = request.user
    assert isinstance(user, User)  # noqa: S101 - the admin lets nobody else in
    return user


def _names_of(template: Template) -> dict[str, Any]:
    """Return whom the template may be shared with or given to."""
    members = (
        User.objects.filter(is_active=True, workspaces=template.workspace).distinct().order_by("username")
    )
    groups = Group.objects.filter(user__workspaces=template.workspace).distinct().order_by("name")
    return {
        "members": members.values_list("username", flat=True)[:NAMES_OFFERED],
        "groups": groups.values_list("name", flat=True)[:NAMES_OFFERED],
        "rights": [(right.value, right.name.lower()) for right in ShareRight],
    }


def _differences(older: TemplateVersion, newer: TemplateVersion) -> dict[str, Any]:
    try:
        found = diff_versions(older, newer)
    except InvalidDefinition as error:
        return {"problem": error.message}
    return {
        "found": found,
        "parts": shown_parts(found),
        "graph": _picture(load_definition(newer.definition), newer, statuses_of(found.definition)),
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


def _picture(
    definition: Definition, version: TemplateVersion, statuses: Mapping[str, str] | None = None
) -> SafeString | None:
    title = f"Blocks of version {version.label}"
    try:
        return render_graph(graph_of(definition), title=title, statuses=statuses)
    except GraphTooLarge:
        return None
