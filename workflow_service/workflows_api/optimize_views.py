"""What would make a workflow better, over HTTP: document B section 7.1, ``POST /workflows/{id}/optimize``."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from templates_app.sharing import require_on
from workflow_service.accounts.api.requests import current_user
from workflow_service.accounts.policies import Action
from workflow_service.accounts.throttles import LlmThrottle
from workflow_service.advisor.models import OptimizationRecord
from workflow_service.advisor.report import Report
from workflow_service.advisor.services.analysis import analyse
from workflow_service.advisor.vocabulary import Effort, Source, Status, Type
from workflow_service.api_serializers import (
    JsonObjectField,
    SnakeQuery,
    SnakeSerializer,
    read_body,
    read_query,
)
from workflow_service.workflows_api.requests import readable_workflow


class OptimizeBody(SnakeSerializer):
    since = serializers.DateTimeField(
        required=False, help_text="Runs started then or later are looked at; not given: of the last 30 days."
    )


class OptimizationShape(serializers.Serializer[Any]):
    """One suggestion, with what a replay of recorded runs says it is worth."""

    id = serializers.CharField()
    type = serializers.ChoiceField(choices=[one.value for one in Type])
    title = serializers.CharField()
    description = serializers.CharField()
    ai_reasoning = serializers.CharField(allow_blank=True)
    estimated_improvement = serializers.IntegerField(help_text="Percent.")
    implementation_effort = serializers.ChoiceField(choices=[one.value for one in Effort])
    priority = serializers.IntegerField(help_text="1 to 5; 1 is the most urgent.")
    proposed_changes = JsonObjectField()
    evidence = JsonObjectField(help_text="The numbers behind it.")
    status = serializers.ChoiceField(choices=[one.value for one in Status])
    source = serializers.ChoiceField(  # type: ignore[assignment]
        choices=[one.value for one in Source],
        help_text="Whose idea it was.",
    )
    created_at = serializers.DateTimeField()


class WorkflowScorePart(serializers.Serializer[Any]):
    name = serializers.CharField()
    points = serializers.FloatField()
    maximum = serializers.IntegerField()
    explanation = serializers.CharField()


class OptimizationReportShape(serializers.Serializer[Any]):
    workflow_id = serializers.IntegerField()
    current_optimization_score = serializers.IntegerField(help_text="0 to 100.")
    score_parts = WorkflowScorePart(many=True, help_text="What the score is the sum of.")
    suggested_optimizations = OptimizationShape(many=True)
    potential_score = serializers.IntegerField(help_text="The score with all of that done.")
    analyzed_executions = serializers.IntegerField()
    model = serializers.CharField(
        allow_null=True, help_text="The language model that helped; null: rules alone."
    )
    notes = serializers.ListField(child=serializers.CharField())


class OptimizeView(APIView):
    """The analysis of a workflow."""

    throttle_classes = (LlmThrottle,)
    # Runs are replayed, and a language model may be asked, before what was found is written.
    commits_itself = True

    @extend_schema(
        summary="Suggest optimizations",
        tags=["workflows"],
        parameters=[SnakeQuery],
        request=OptimizeBody,
        responses=OptimizationReportShape,
        operation_id="workflows_optimize",
    )
    def post(self, request: Request, workflow_id: str) -> Response:
        """Analyse the current version by its recorded runs and say what would make it better, and by how much.

        What was open before and holds no longer is put aside; what was rejected is not suggested again.
        """
        read_query(SnakeQuery, request)
        body = read_body(OptimizeBody, request)
        template = readable_workflow(request, workflow_id)
        user = current_user(request)
        require_on(template, user, Action.TEMPLATE_UPDATE)
        report = analyse(template, body.get("since"), actor=user)
        return Response(OptimizationReportShape(report_document(report)).data)


def report_document(report: Report) -> dict[str, Any]:
    """Return an analysis in document B's shape."""
    return {
        "workflow_id": report.template.pk,
        "current_optimization_score": report.score.total,
        "score_parts": report.score.parts,
        "suggested_optimizations": [optimization_document(record) for record in report.suggestions],
        "potential_score": report.potential_score,
        "analyzed_executions": report.runs,
        "model": report.model or None,
        "notes": list(report.notes),
    }


def optimization_document(record: OptimizationRecord) -> dict[str, Any]:
    """Return a suggestion in document B's shape (sections 6.7 and 7.1)."""
    return {
        "id": record.public_id,
        "type": record.type,
        "title": record.title,
        "description": record.description,
        "ai_reasoning": record.ai_reasoning,
        "estimated_improvement": record.estimated_improvement,
        "implementation_effort": record.implementation_effort,
        "priority": record.priority,
        "proposed_changes": record.proposed_changes,
        "evidence": record.evidence,
        "status": record.status,
        "source": record.source,
        "created_at": record.created_at,
    }
