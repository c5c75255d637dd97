"""How the runs of a workflow went, over HTTP: document B section 7.1, ``GET /workflows/{id}/analytics``."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from executions_app.transaction import database_now
from templates_app.selectors import get_version
from workflow_service.accounts.api.requests import current_user
from workflow_service.accounts.policies import Action, require
from workflow_service.analytics.figures import Durations, Outcomes
from workflow_service.analytics.queries import workflow_analytics
from workflow_service.analytics.reports import WorkflowAnalytics
from workflow_service.analytics.time_ranges import Granularity, TimeRange
from workflow_service.api_serializers import SnakeQuery, read_query
from workflow_service.workflows_api.requests import readable_workflow


class AnalyticsQuery(SnakeQuery):
    start_date = serializers.DateTimeField(
        required=False, help_text="Runs started then or later; not given: 30 days before the end."
    )
    end_date = serializers.DateTimeField(
        required=False, help_text="Runs started before then; not given: now."
    )
    granularity = serializers.ChoiceField(
        choices=[one.value for one in Granularity],
        default=Granularity.DAY.value,
        help_text="How long the points of `series` are.",
    )
    version = serializers.CharField(
        required=False, max_length=32, help_text="A number or a label; not given: all versions."
    )


class WorkflowTimeRange(serializers.Serializer[Any]):
    """What was asked for, widened to whole hours."""

    start = serializers.DateTimeField()
    end = serializers.DateTimeField()


class WorkflowCounts(serializers.Serializer[Any]):
    """Rates are percentages of what completed or failed, durations of what completed; null where nothing did."""

    total_executions = serializers.IntegerField()
    successful_executions = serializers.IntegerField()
    failed_executions = serializers.IntegerField()
    cancelled_executions = serializers.IntegerField()
    success_rate = serializers.FloatField(allow_null=True)
    avg_duration_ms = serializers.IntegerField(allow_null=True)
    p50_duration_ms = serializers.IntegerField(allow_null=True)
    p95_duration_ms = serializers.IntegerField(allow_null=True)
    p99_duration_ms = serializers.IntegerField(allow_null=True)


class AnalyticsStatistics(WorkflowCounts):
    running_executions = serializers.IntegerField()
    uncounted_executions = serializers.IntegerField(
        help_text="Have ended, and are counted within the next seconds; they are in no other figure."
    )


class CommonError(serializers.Serializer[Any]):
    error_type = serializers.CharField()
    count = serializers.IntegerField()
    states = serializers.ListField(child=serializers.CharField(), help_text="Where, most often first.")


class WorkflowErrorAnalysis(serializers.Serializer[Any]):
    most_common_errors = CommonError(many=True)
    auto_recovery_rate = serializers.FloatField(
        allow_null=True,
        help_text="Percent of the executions of states that met an error and completed by themselves.",
    )


class WorkflowStatePerformance(serializers.Serializer[Any]):
    state = serializers.CharField()
    executions = serializers.IntegerField(help_text="That completed or failed.")
    avg_duration_ms = serializers.IntegerField(allow_null=True)
    p50_duration_ms = serializers.IntegerField(allow_null=True)
    p95_duration_ms = serializers.IntegerField(allow_null=True)
    p99_duration_ms = serializers.IntegerField(allow_null=True)
    error_rate = serializers.FloatField(allow_null=True)
    retry_count = serializers.IntegerField()
    time_share = serializers.FloatField(
        allow_null=True, help_text="Percent of the time that all states took."
    )


class WorkflowPoint(WorkflowCounts):
    """One hour, day, week or month."""

    start = serializers.DateTimeField()


class AnalyticsShape(serializers.Serializer[Any]):
    workflow_id = serializers.IntegerField()
    time_range = WorkflowTimeRange()
    granularity = serializers.ChoiceField(choices=[one.value for one in Granularity])
    statistics = AnalyticsStatistics()
    error_analysis = WorkflowErrorAnalysis()
    state_performance = WorkflowStatePerformance(many=True)
    series = WorkflowPoint(many=True)
    ai_insights = serializers.ListField(child=serializers.CharField(), help_text="Written by rules.")


class WorkflowAnalyticsView(APIView):
    """The analytics of a workflow."""

    @extend_schema(
        summary="Read the analytics of a workflow",
        tags=["workflows"],
        parameters=[AnalyticsQuery],
        responses=AnalyticsShape,
        operation_id="workflows_analytics",
    )
    def get(self, request: Request, workflow_id: str) -> Response:
        """Say how the runs of a time range went, what failed, which states took long, and what stands out."""
        query = read_query(AnalyticsQuery, request)
        template = readable_workflow(request, workflow_id)
        require(current_user(request), template.workspace, Action.EXECUTION_READ)
        within = TimeRange.asked(query.get("start_date"), query.get("end_date"), database_now())
        found = workflow_analytics(
            [template.pk],
            within.start,
            within.end,
            Granularity(query["granularity"]),
            get_version(template, query["version"]).pk if "version" in query else None,
        )
        return Response(AnalyticsShape(analytics_document(template.pk, found)).data)


def analytics_document(workflow_id: int, found: WorkflowAnalytics) -> dict[str, Any]:
    """Return analytics in document B's shape."""
    statistics, errors = found.statistics, found.error_analysis
    return {
        "workflow_id": workflow_id,
        "time_range": found.time_range,
        "granularity": found.granularity,
        "statistics": _counts(statistics.outcomes, statistics.durations)
        | {
            "total_executions": statistics.total,
            "running_executions": statistics.running,
            "uncounted_executions": statistics.uncounted,
        },
        "error_analysis": errors,
        "state_performance": [
            {
                "state": each.state,
                "executions": each.outcomes.completed + each.outcomes.failed,
                **_durations(each.durations),
                "error_rate": each.error_rate,
                "retry_count": each.retries,
                "time_share": each.time_share,
            }
            for each in found.state_performance
        ],
        "series": [
            {"start": point.start, **_counts(point.outcomes, point.durations)} for point in found.series
        ],
        "ai_insights": found.ai_insights,
    }


def _counts(outcomes: Outcomes, durations: Durations) -> dict[str, Any]:
    return {
        "total_executions": outcomes.completed + outcomes.failed + outcomes.cancelled,
        "successful_executions": outcomes.completed,
        "failed_executions": outcomes.failed,
        "cancelled_executions": outcomes.cancelled,
        "success_rate": outcomes.success_rate,
        **_durations(durations),
    }


def _durations(durations: Durations) -> dict[str, int | None]:
    figures = {
        "avg": durations.avg_ms,
        "p50": durations.p50_ms,
        "p95": durations.p95_ms,
        "p99": durations.p99_ms,
    }
    return {f"{name}_duration_ms": None if ms is None else round(ms) for name, ms in figures.items()}
