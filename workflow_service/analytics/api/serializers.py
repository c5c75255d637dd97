"""How analytics travel: the figures of document B section 7.1, in camelCase, and what they are made of."""

from datetime import UTC, datetime
from typing import Any

from rest_framework import serializers

from workflow_service.analytics.insights import InsightKind
from workflow_service.analytics.time_ranges import Granularity
from workflow_service.api_serializers import CamelSerializer, JsonObjectField, QuerySerializer


class MillisecondsField(serializers.FloatField):
    """Milliseconds, to a tenth; null where nothing completed."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_null": True, **options})

    def to_representation(self, value: float) -> float:  # type: ignore[override]
        return round(float(value), 1)


class MomentField(serializers.DateTimeField):
    """A moment that begins or ends an hour, in UTC."""

    def to_representation(self, value: datetime | str | None) -> str | None:  # type: ignore[override]
        return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if isinstance(value, datetime) else value


class AnalyticsQuery(QuerySerializer):
    start_date = serializers.DateTimeField(
        required=False, help_text="Runs started then or later, from that hour on; without it 30 days."
    )
    end_date = serializers.DateTimeField(
        required=False, help_text="Runs started before, to the end of that hour; without it now."
    )
    granularity = serializers.ChoiceField(
        choices=[each.value for each in Granularity],
        default=Granularity.DAY.value,
        help_text="How long the points of the series are: in UTC, weeks from Monday; 1,000 points at most.",
    )


class TemplateAnalyticsQuery(AnalyticsQuery):
    version = serializers.CharField(
        required=False, max_length=32, help_text="Only this version, by label (1.2.0) or ordinal (3)."
    )


class OverviewQuery(AnalyticsQuery):
    limit = serializers.IntegerField(
        default=20, min_value=1, max_value=100, help_text="Templates listed, the busiest first."
    )


class TimeRangeShape(CamelSerializer):
    start = MomentField()
    end = MomentField()


class OutcomesShape(CamelSerializer):
    successful_executions = serializers.IntegerField(source="outcomes.completed")
    failed_executions = serializers.IntegerField(source="outcomes.failed")
    cancelled_executions = serializers.IntegerField(source="outcomes.cancelled")
    success_rate = serializers.FloatField(
        source="outcomes.success_rate",
        allow_null=True,
        help_text="0 to 100, of those that completed or failed.",
    )
    error_rate = serializers.FloatField(
        source="outcomes.error_rate", allow_null=True, help_text="0 to 100, of the same."
    )
    avg_duration_ms = MillisecondsField(source="durations.avg_ms", help_text="Of those that completed.")
    p50_duration_ms = MillisecondsField(source="durations.p50_ms", help_text="Within 1 %.")
    p95_duration_ms = MillisecondsField(source="durations.p95_ms", help_text="Within 1 %.")
    p99_duration_ms = MillisecondsField(source="durations.p99_ms", help_text="Within 1 %.")


class AnalyticsStatisticsShape(OutcomesShape):
    total_executions = serializers.IntegerField(source="total")
    running_executions = serializers.IntegerField(source="running")
    uncounted_executions = serializers.IntegerField(
        source="uncounted",
        help_text="Ended, and not in the figures yet: a moment's, or an upgrade's backlog.",
    )


class ErrorCountShape(CamelSerializer):
    error_type = serializers.CharField()
    count = serializers.IntegerField(help_text="Failures of work, those that were recovered among them.")
    states = serializers.ListField(child=serializers.CharField(), help_text="Blocks, most often first.")


class ErrorAnalysisShape(CamelSerializer):
    most_common_errors = ErrorCountShape(many=True)
    troubled_blocks = serializers.IntegerField(
        source="troubled", help_text="Block executions in which work failed, once or more."
    )
    recovered_blocks = serializers.IntegerField(
        source="recovered", help_text="Those of them that completed without a person."
    )
    retries = serializers.IntegerField()
    auto_recovery_rate = serializers.FloatField(allow_null=True, help_text="0 to 100.")


class StatePerformanceShape(OutcomesShape):
    state = serializers.CharField()
    rejected_executions = serializers.IntegerField(source="outcomes.rejected")
    skipped_executions = serializers.IntegerField(source="outcomes.skipped")
    retries = serializers.IntegerField()
    troubled_executions = serializers.IntegerField(source="troubled")
    recovered_executions = serializers.IntegerField(source="recovered")
    time_share = serializers.FloatField(allow_null=True, help_text="0 to 100, of the time of all blocks.")


class PointShape(OutcomesShape):
    start = MomentField(help_text="When the hour, day, week or month begins; it may begin before the range.")


class InsightShape(CamelSerializer):
    kind = serializers.ChoiceField(choices=[kind.value for kind in InsightKind])
    text = serializers.CharField()
    state = serializers.CharField(help_text="The block it is about, or empty.")
    figures = JsonObjectField(help_text="The numbers in the text, by name.")
    source = serializers.SerializerMethodField(help_text="Who says so: rules.")  # type: ignore[assignment]

    def get_source(self, insight: object) -> str:
        return "rules"


class AnalyticsShape(CamelSerializer):
    time_range = TimeRangeShape()
    granularity = serializers.ChoiceField(choices=[each.value for each in Granularity])
    statistics = AnalyticsStatisticsShape()
    error_analysis = ErrorAnalysisShape()
    series = PointShape(many=True)


class TemplateAnalyticsShape(AnalyticsShape):
    template_id = serializers.CharField()
    version = serializers.CharField(allow_null=True, help_text="Its label, where one was asked for.")
    state_performance = StatePerformanceShape(many=True, help_text="What took the most time comes first.")
    insights = InsightShape(many=True)


class TemplateLineShape(AnalyticsStatisticsShape):
    template_id = serializers.CharField(source="template.public_id")
    name = serializers.CharField(source="template.name")


class OverviewShape(AnalyticsShape):
    workspace_id = serializers.CharField()
    templates = TemplateLineShape(many=True, help_text="The busiest first.")
    templates_with_executions = serializers.IntegerField(help_text="How many there are in all.")
