"""Admin pages of advice: the list, one suggestion with its numbers and what it changes, and a template's score.

Looking changes nothing; an analysis and a decision are POSTs with the CSRF token.
"""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from templates_app.admin_diff import shown_parts, statuses_of
from templates_app.graph import graph_of
from templates_app.graph_layout import GraphTooLarge
from templates_app.graph_svg import render_graph
from templates_app.models import Template
from templates_app.sharing import may
from templates_app.version_diff import VersionDiff
from workflow_service.accounts.models import User
from workflow_service.accounts.policies import Action
from workflow_service.admin_pages import PageAdmin, WordsFilter, sentence
from workflow_service.advisor.figures import comparisons_of, evidence_of, measured_in_words
from workflow_service.advisor.models import OptimizationRecord
from workflow_service.advisor.selectors import SHOWN, list_suggestions
from workflow_service.advisor.services.analysis import analyse, score
from workflow_service.advisor.services.suggestions import accept, reject
from workflow_service.advisor.vocabulary import Status
from workflow_service.badges import badge
from workflow_service.engine.definition import Definition
from workflow_service.engine.definition_diff import DefinitionDiff, diff_definitions
from workflow_service.engine.documents import load_definition
from workflow_service.engine.errors import InvalidDefinition, WorkflowError
from workflow_service.plurals import counted

SUGGESTIONS_SHOWN = 50
MAX_REASON = 500


@admin.register(OptimizationRecord)
class SuggestionAdmin(PageAdmin):
    when_empty = (
        "What would make a workflow faster, cheaper or safer is suggested here. Open a template, "
        "choose its advice and have its runs looked at."
    )
    view_action = Action.TEMPLATE_READ
    page_template = "admin/suggestion.html"
    list_display = ("what", "state", "about", "estimated", "measured")
    list_display_links = ("what",)
    list_filter = (("status", WordsFilter), ("type", WordsFilter), ("kind", WordsFilter))
    list_select_related = SHOWN
    list_per_page = 50
    search_fields = ("public_id", "title", "template__name", "template__public_id")
    search_help_text = "Words of a suggestion, or a template's name or id"
    show_full_result_count = False
    ordering = ("-id",)

    @admin.display(description="Suggestion", ordering="title")
    def what(self, record: OptimizationRecord) -> SafeString:
        return format_html(
            '{}<span class="wf-snippet">{}</span>', record.title, record.kind.replace("_", " ").capitalize()
        )

    @admin.display(description="Status", ordering="status")
    def state(self, record: OptimizationRecord) -> SafeString:
        return badge(record.status)

    @admin.display(description="Template", ordering="template__name")
    def about(self, record: OptimizationRecord) -> SafeString:
        return format_html("{} {}", record.template.name, record.base_version.label)

    @admin.display(description="Estimated", ordering="estimated_improvement")
    def estimated(self, record: OptimizationRecord) -> str:
        return f"{record.estimated_improvement} % less {record.measure}"

    @admin.display(description="Measured", ordering="actual_improvement")
    def measured(self, record: OptimizationRecord) -> str:
        return measured_in_words(record)

    def get_urls(self) -> list[URLPattern]:
        views = (
            ("of/<int:template_id>/", self.template_view, "template"),
            ("of/<int:template_id>/analyse/", self.analyse_view, "analyse"),
            ("<int:record_id>/decide/", self.decide_view, "decide"),
        )
        own = [
            path(address, self.admin_site.admin_view(view), name=f"advisor_optimizationrecord_{name}")
            for address, view, name in views
        ]
        return [*own, *super().get_urls()]

    def page_context(self, request: HttpRequest, row: OptimizationRecord) -> dict[str, Any]:
        changes, graph = _changes(row)
        return {
            "title": row.title,
            "record": row,
            "comparisons": comparisons_of(row),
            "evidence": evidence_of(row),
            "parts": shown_parts(VersionDiff(changes, ())) if changes else (),
            "graph": graph,
            "may_decide": row.status == Status.SUGGESTED
            and may(_user(request), row.template, Action.TEMPLATE_UPDATE),
        }

    def template_view(self, request: HttpRequest, template_id: int) -> HttpResponse:
        """Show a template's score with its parts, and the suggestions about it."""
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        template = self._template(request, template_id)
        records = list(list_suggestions(template)[:SUGGESTIONS_SHOWN])
        context = {
            "title": f"Advice on {template.name}",
            "template": template,
            "open_records": [record for record in records if record.status == Status.SUGGESTED],
            "other_records": [record for record in records if record.status != Status.SUGGESTED],
            "score": score(template),
            "may_analyse": may(_user(request), template, Action.TEMPLATE_UPDATE),
        }
        return self._page(request, None, "admin/advice.html", context)

    def analyse_view(self, request: HttpRequest, template_id: int) -> HttpResponse:
        """Analyse a template; POST only."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        template = self._template(request, template_id)
        user = _user(request)
        if not may(user, template, Action.TEMPLATE_UPDATE):
            raise PermissionDenied
        report = analyse(template, actor=user)
        found = len(report.suggestions)
        suggestions = counted(found, "suggestion") if found else "no suggestions"
        told = f"{counted(report.runs, 'run')} looked at: {suggestions}."
        messages.success(request, " ".join((told, *report.notes)))
        return HttpResponseRedirect(reverse("admin:advisor_optimizationrecord_template", args=[template.pk]))

    def decide_view(self, request: HttpRequest, record_id: int) -> HttpResponse:
        """Accept or reject a suggestion; POST only."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        record = self.get_object(request, str(record_id))
        if not isinstance(record, OptimizationRecord) or not self.has_view_permission(request, record):
            raise Http404
        said = request.POST.get("reason", "").replace("\x00", "").strip()[:MAX_REASON]
        back = HttpResponseRedirect(reverse("admin:advisor_optimizationrecord_change", args=[record.pk]))
        try:
            match request.POST.get("decision"):
                case "accept":
                    taken = accept(record, _user(request), said)
                    label = taken.accepted_version.label if taken.accepted_version else ""
                    messages.success(request, f"Accepted: the template has version {label} now.")
                case "reject":
                    reject(record, _user(request), said)
                    messages.success(request, "Rejected: it is not suggested again.")
        except WorkflowError as error:
            messages.error(request, sentence(error.message))
        return back

    def _template(self, request: HttpRequest, template_id: int) -> Template:
        rows = Template.objects.filter(workspace__in=self.workspaces(request, Action.TEMPLATE_READ))
        template = rows.select_related("workspace", "current_version", "owner").filter(pk=template_id).first()
        if template is None or template.current_version is None:
            raise Http404
        return template

    def _page(
        self, request: HttpRequest, row: OptimizationRecord | None, name: str, context: dict[str, Any]
    ) -> HttpResponse:
        frame = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": row,
            "media": self.media,
        }
        return render(request, name, frame | context)


def _changes(record: OptimizationRecord) -> tuple[DefinitionDiff | None, SafeString | None]:
    try:
        before, after = load_definition(record.base_version.definition), load_definition(record.definition)
    except InvalidDefinition:
        return None, None
    found = diff_definitions(before, after)
    return found, _graph(after, statuses_of(found))


def _graph(definition: Definition, statuses: dict[str, str]) -> SafeString | None:
    try:
        return render_graph(graph_of(definition), title="Blocks as they would be", statuses=statuses)
    except GraphTooLarge:
        return None


def _user(request: HttpRequest) -> User:
    user = request.user
    assert isinstance(user, User)  # noqa: S101 - the admin lets nobody else in
    return user
