"""How the runs of a template went, over HTTP."""

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from executions_app.statistics import template_statistics
from templates_app.api.requests import readable_template
from workflow_service.accounts.api.requests import current_user
from workflow_service.accounts.policies import Action, require
from workflow_service.api_serializers import CamelSerializer, QuerySerializer, read_query


class StatisticsQuery(QuerySerializer):
    started_from = serializers.DateTimeField(required=False, help_text="Runs started then or later.")
    started_to = serializers.DateTimeField(required=False, help_text="Runs started before.")


class StatisticsShape(CamelSerializer):
    total_executions = serializers.IntegerField(source="total")
    running_executions = serializers.IntegerField(source="running")
    successful_executions = serializers.IntegerField(source="completed")
    failed_executions = serializers.IntegerField(source="failed")
    cancelled_executions = serializers.IntegerField(source="cancelled")
    success_rate = serializers.FloatField(
        allow_null=True, help_text="0 to 100, of those that completed or failed."
    )
    error_rate = serializers.FloatField(allow_null=True, help_text="0 to 100, of the same.")
    avg_duration_ms = serializers.IntegerField(allow_null=True, help_text="Of those that completed.")
    p50_duration_ms = serializers.IntegerField(allow_null=True)
    p95_duration_ms = serializers.IntegerField(allow_null=True)
    last_run_at = serializers.DateTimeField(allow_null=True)


class StatisticsView(APIView):
    """The runs of a template, counted."""

    @extend_schema(
        summary="Read a template's statistics",
        operation_id="templates_statistics",
        tags=["templates"],
        parameters=[StatisticsQuery],
        responses=StatisticsShape,
    )
    def get(self, request: Request, template_id: str) -> Response:
        """Say how many runs the template had, how they ended and how long they took."""
        query = read_query(StatisticsQuery, request)
        template = readable_template(request, template_id)
        require(current_user(request), template.workspace, Action.EXECUTION_READ)
        found = template_statistics(
            [template.pk], since=query.get("started_from"), until=query.get("started_to")
        )[template.pk]
        return Response(StatisticsShape(found).data)
