"""What helped against which errors, over HTTP."""

from functools import partial

from django.db.models import Max, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from executions_app.models import RecoveryPattern
from executions_app.recovery_patterns import Pattern, describe_classes, describe_patterns
from workflow_service.accounts.api.requests import current_user, workspace_of
from workflow_service.accounts.policies import Action, require
from workflow_service.api_serializers import CamelSerializer, PageQuery, QuerySerializer, page_of, read_query
from workflow_service.engine.states import ErrorClass

TAGS = ["recovery"]


class PercentField(serializers.FloatField):
    """A rate, told in percent."""

    def to_representation(self, value: float) -> float:  # type: ignore[override]
        return round(100 * value, 1)


class StrategyRecordShape(CamelSerializer):
    strategy = serializers.CharField()
    succeeded = serializers.IntegerField(help_text="How often the block completed after it.")
    failed = serializers.IntegerField(help_text="How often it did not.")
    expected_rate = PercentField(
        source="expected",
        allow_null=True,
        help_text="0 to 100; null for what does no work again, as abort, skip and escalate.",
    )
    lowest_rate = PercentField(
        source="low", allow_null=True, help_text="90 % sure that the true rate lies above; 0 to 100."
    )
    highest_rate = PercentField(source="high", allow_null=True, help_text="And below.")


class PatternShape(CamelSerializer):
    fingerprint = serializers.CharField()
    error_class = serializers.CharField()
    error_type = serializers.CharField()
    example = serializers.CharField(help_text="The message of the latest one.")
    last_seen_at = serializers.DateTimeField()
    strategies = StrategyRecordShape(many=True, help_text="The best expected first.")


class PatternList(CamelSerializer):
    patterns = PatternShape(many=True)
    total = serializers.IntegerField()
    limit = serializers.IntegerField()
    offset = serializers.IntegerField()


class PatternQuery(PageQuery):
    error_class = serializers.ChoiceField(
        choices=[(one.value, one.value) for one in ErrorClass], required=False
    )
    fingerprint = serializers.CharField(required=False, max_length=16)


class ClassRecordShape(CamelSerializer):
    error_class = serializers.CharField()
    strategies = StrategyRecordShape(many=True, help_text="The best expected first.")


class ClassList(CamelSerializer):
    classes = ClassRecordShape(many=True)


class PatternsView(APIView):
    """Errors that are alike, and what helped against them."""

    @extend_schema(
        summary="List error patterns",
        operation_id="recovery_patterns",
        tags=TAGS,
        parameters=[PatternQuery],
        responses=PatternList,
    )
    def get(self, request: Request) -> Response:
        """List the patterns of errors of the workspace, the latest first, with how each strategy fared."""
        query = read_query(PatternQuery, request)
        workspace = workspace_of(request)
        require(current_user(request), workspace, Action.EXECUTION_READ)
        rows = RecoveryPattern.objects.filter(workspace=workspace)
        if "error_class" in query:
            rows = rows.filter(error_class=query["error_class"])
        if "fingerprint" in query:
            rows = rows.filter(fingerprint=query["fingerprint"])
        names = (
            rows.values("fingerprint").annotate(latest=Max("last_seen_at")).order_by("-latest", "fingerprint")
        )
        page = page_of(
            "patterns", names.values_list("fingerprint", flat=True), query, partial(_patterns, rows)
        )
        return Response(PatternList(page).data)


def _patterns(rows: QuerySet[RecoveryPattern], names: list[str]) -> list[Pattern]:
    found = describe_patterns(list(rows.filter(fingerprint__in=names)))
    return sorted(found, key=lambda one: names.index(one.fingerprint))


class StrategiesView(APIView):
    """How the strategies fare, by class of error."""

    @extend_schema(
        summary="Read how recovery strategies fare",
        operation_id="recovery_strategies",
        tags=TAGS,
        parameters=[QuerySerializer],
        responses=ClassList,
    )
    def get(self, request: Request) -> Response:
        """Say, for each class of error, how often each strategy worked in the workspace."""
        read_query(QuerySerializer, request)
        workspace = workspace_of(request)
        require(current_user(request), workspace, Action.EXECUTION_READ)
        return Response(ClassList({"classes": describe_classes(workspace.pk)}).data)
