"""How runs went, over HTTP: of one template, and of a workspace."""

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from executions_app.transaction import database_now
from templates_app.api.requests import readable_template
from templates_app.models import Template
from templates_app.selectors import get_version
from workflow_service.accounts.api.requests import current_user, workspace_of
from workflow_service.accounts.policies import Action, require
from workflow_service.analytics.api.serializers import (
    OverviewQuery,
    OverviewShape,
    TemplateAnalyticsQuery,
    TemplateAnalyticsShape,
)
from workflow_service.analytics.figures import Statistics
from workflow_service.analytics.queries import overview, workflow_analytics
from workflow_service.analytics.reports import Overview, WorkflowAnalytics
from workflow_service.analytics.time_ranges import Granularity, TimeRange
from workflow_service.api_serializers import read_query


class TemplateAnalyticsView(APIView):
    """How the runs of a template went."""

    @extend_schema(
        summary="Analyse a template's runs",
        operation_id="templates_analytics",
        tags=["analytics"],
        parameters=[TemplateAnalyticsQuery],
        responses=TemplateAnalyticsShape,
    )
    def get(self, request: Request, template_id: str) -> Response:
        """Say how runs ended and how long they took, over time and by block, what failed and what stands out."""
        query = read_query(TemplateAnalyticsQuery, request)
        template = readable_template(request, template_id)
        require(current_user(request), template.workspace, Action.EXECUTION_READ)
        version = get_version(template, query["version"]) if query.get("version") else None
        found = workflow_analytics(
            [template.pk],
            *_range_of(query),
            Granularity(query["granularity"]),
            version.pk if version else None,
        )
        shown = {"template_id": template.public_id, "version": version.label if version else None}
        return Response(TemplateAnalyticsShape({**shown, **_values(found)}).data)


class OverviewView(APIView):
    """How the runs of a workspace went."""

    @extend_schema(
        summary="Analyse a workspace's runs",
        operation_id="analytics",
        tags=["analytics"],
        parameters=[OverviewQuery],
        responses=OverviewShape,
    )
    def get(self, request: Request) -> Response:
        """Say how the runs of all templates ended and how long they took, in all, over time and by template."""
        query = read_query(OverviewQuery, request)
        workspace = workspace_of(request)
        require(current_user(request), workspace, Action.EXECUTION_READ)
        found = overview(workspace.pk, *_range_of(query), Granularity(query["granularity"]))
        busiest = list(found.templates.items())[: query["limit"]]
        names = Template.objects.only("public_id", "name").in_bulk([pk for pk, _ in busiest])
        shown = {
            "workspace_id": workspace.public_id,
            "templates": [
                {"template": names[pk], "total": statistics.total, **_values(statistics)}
                for pk, statistics in busiest
            ],
            "templates_with_executions": len(found.templates),
        }
        return Response(OverviewShape({**_values(found), **shown}).data)


def _values(report: WorkflowAnalytics | Overview | Statistics) -> dict[str, Any]:
    """Return the parts of an answer by name, as they are."""
    return {part.name: getattr(report, part.name) for part in fields(report)}


def _range_of(query: Mapping[str, Any]) -> tuple[datetime, datetime]:
    asked = TimeRange.asked(query.get("start_date"), query.get("end_date"), database_now())
    return asked.start, asked.end
