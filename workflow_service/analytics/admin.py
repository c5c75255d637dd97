"""Admin pages of how runs went: a workspace at a glance, and one template; they read rollups and change nothing."""

from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from executions_app.transaction import database_now
from templates_app.models import Template, TemplateVersion
from workflow_service.accounts.admin_policies import PolicyAdmin
from workflow_service.accounts.models import Workspace
from workflow_service.accounts.policies import Action
from workflow_service.analytics.charts import duration_chart, outcome_chart
from workflow_service.analytics.models import Rollup
from workflow_service.analytics.queries import overview, version_statistics, workflow_analytics
from workflow_service.analytics.reports import Overview, WorkflowAnalytics
from workflow_service.analytics.time_ranges import Granularity

TEMPLATES_SHOWN = 50
ERRORS_SHOWN = 10
# What may be looked at: by its name in the address, how far back and how long the points are.
PERIODS: dict[str, tuple[str, timedelta, Granularity]] = {
    "24h": ("24 hours", timedelta(hours=24), Granularity.HOUR),
    "7d": ("7 days", timedelta(days=7), Granularity.DAY),
    "30d": ("30 days", timedelta(days=30), Granularity.DAY),
    "90d": ("90 days", timedelta(days=90), Granularity.WEEK),
    "1y": ("a year", timedelta(days=365), Granularity.MONTH),
}
USUAL = "30d"


@admin.register(Rollup)
class AnalyticsAdmin(PolicyAdmin):
    """The list is a workspace at a glance; the page of a rollup is that of its template."""

    view_action = Action.EXECUTION_READ

    def get_urls(self) -> list[URLPattern]:
        own = path(
            "template/<int:template_id>/",
            self.admin_site.admin_view(self.template_view),
            name="analytics_template",
        )
        return [own, *super().get_urls()]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """Show how the runs of a workspace went; raises ``PermissionDenied``, ``Http404``."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        workspaces = list(self.workspaces(request, self.view_action).order_by("name", "pk"))
        workspace = _chosen(workspaces, request.GET.get("workspace"))
        period, (start, end), granularity = _period(request)
        found = overview(workspace.pk, start, end, granularity)
        shown = list(found.templates.items())[:TEMPLATES_SHOWN]
        templates = Template.objects.only("name", "public_id", "status").in_bulk([pk for pk, _ in shown])
        context = {
            "title": "How runs went",
            "workspace": workspace,
            "kept": f"workspace={workspace.public_id}&",
            "workspaces": workspaces,
            "templates": [(templates[pk], statistics) for pk, statistics in shown],
            "templates_in_all": len(found.templates),
            **_shared(found, period),
        }
        return self._page(request, "admin/analytics_workspace.html", context)

    def template_view(self, request: HttpRequest, template_id: int) -> HttpResponse:
        """Show how the runs of a template went, or of one version; raises ``Http404``."""
        readable = self.workspaces(request, self.view_action)
        template = get_object_or_404(Template.objects.filter(workspace__in=readable), pk=template_id)
        version = _version_of(template, request.GET.get("version"))
        period, (start, end), granularity = _period(request)
        found = workflow_analytics([template.pk], start, end, granularity, version.pk if version else None)
        by_version = version_statistics(template.pk, start, end)
        versions = template.versions.filter(pk__in=by_version).only("ordinal", "label").order_by("-ordinal")
        context = {
            "title": f"How {template.name} ran",
            "template": template,
            "version": version,
            "kept": f"version={version.ordinal}&" if version else "",
            "versions": [(each, by_version[each.pk]) for each in versions],
            "insights": found.insights,
            "states": found.state_performance,
            **_shared(found, period),
        }
        return self._page(request, "admin/analytics_template.html", context)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Lead on to the page of the rollup's template."""
        row = self.get_object(request, object_id) if object_id.isascii() and object_id.isdigit() else None
        if row is None:
            raise Http404
        return HttpResponseRedirect(reverse("admin:analytics_template", args=(row.template_id,)))

    def _page(self, request: HttpRequest, template: str, context: dict[str, Any]) -> TemplateResponse:
        frame = {**self.admin_site.each_context(request), "opts": self.opts}
        return TemplateResponse(request, template, {**frame, **context})


def _shared(found: WorkflowAnalytics | Overview, period: str) -> dict[str, Any]:
    """Return what both pages show."""
    errors = found.error_analysis.most_common_errors
    return {
        "period": period,
        "periods": [(name, words) for name, (words, _, _) in PERIODS.items()],
        "granularity": found.granularity,
        "range": found.time_range,
        "statistics": found.statistics,
        "analysis": found.error_analysis,
        "errors": errors[:ERRORS_SHOWN],
        "more_errors": max(0, len(errors) - ERRORS_SHOWN),
        "points": list(reversed(found.series)),
        "outcomes": outcome_chart(found.series, found.granularity),
        "durations": duration_chart(found.series, found.granularity),
    }


def _period(request: HttpRequest) -> tuple[str, tuple[datetime, datetime], Granularity]:
    name = request.GET.get("period", USUAL)
    if name not in PERIODS:
        name = USUAL
    _, length, granularity = PERIODS[name]
    now = database_now()
    return name, (now - length, now), granularity


def _chosen(workspaces: list[Workspace], wanted: str | None) -> Workspace:
    if wanted is None and workspaces:
        return workspaces[0]
    for workspace in workspaces:
        if workspace.public_id == wanted:
            return workspace
    raise Http404


def _version_of(template: Template, ordinal: str | None) -> TemplateVersion | None:
    if not ordinal:
        return None
    if not (ordinal.isascii() and ordinal.isdigit() and len(ordinal) < 10):
        raise Http404
    return get_object_or_404(template.versions.only("ordinal", "label"), ordinal=int(ordinal))
