"""The shapes of suggestions and analyses (document B section 6.7, in camelCase)."""

from typing import Any

from rest_framework import serializers

from templates_app.api.version_serializers import BlockDiff, FieldChangeShape, GateDiff, diff_document
from templates_app.version_diff import VersionDiff
from workflow_service.advisor.models import OptimizationRecord
from workflow_service.advisor.report import Report
from workflow_service.advisor.scoring import Score
from workflow_service.advisor.vocabulary import Effort, Kind, Measure, Source, Status, Type
from workflow_service.api_serializers import CamelSerializer, JsonObjectField, PageQuery
from workflow_service.engine.definition_diff import diff_definitions
from workflow_service.engine.documents import load_definition


def _words(enum: "type[Status | Kind | Type | Measure | Effort | Source]") -> list[str]:
    return [one.value for one in enum]


class SuggestionsQuery(PageQuery):
    status = serializers.ChoiceField(choices=_words(Status), required=False)


class AnalyseBody(CamelSerializer):
    since = serializers.DateTimeField(
        required=False, help_text="Look at runs that began from then on; not given: of the last 30 days."
    )
    use_model = serializers.BooleanField(
        default=True, help_text="Let a language model rank and word, where one is set."
    )


class AcceptBody(CamelSerializer):
    change_note = serializers.CharField(required=False, allow_blank=True, max_length=500)


class RejectBody(CamelSerializer):
    reason = serializers.CharField(required=False, allow_blank=True, max_length=500)


class ScorePartShape(CamelSerializer):
    name = serializers.CharField()
    points = serializers.FloatField()
    maximum = serializers.IntegerField()
    explanation = serializers.CharField()
    known = serializers.BooleanField(help_text="Whether there were runs to judge by.")


class ScoreShape(CamelSerializer):
    total = serializers.IntegerField(min_value=0, max_value=100)
    parts = ScorePartShape(many=True)


class SuggestionShape(CamelSerializer):
    """One suggestion. Improvements are percent by which `measure` falls."""

    suggestion_id = serializers.CharField()
    template_id = serializers.CharField()
    version = serializers.CharField(help_text="The version that it is about.")
    kind = serializers.ChoiceField(choices=_words(Kind))
    type = serializers.ChoiceField(choices=_words(Type))
    title = serializers.CharField()
    description = serializers.CharField()
    reasoning = serializers.CharField(
        allow_blank=True, help_text="Of the language model, where one was asked."
    )
    source = serializers.ChoiceField(choices=_words(Source), help_text="Whose idea it was.")  # type: ignore[assignment]
    worded_by = serializers.CharField(
        allow_blank=True, help_text="The model that found the words; empty: rules."
    )
    blocks = serializers.ListField(child=serializers.CharField())
    measure = serializers.ChoiceField(choices=_words(Measure))
    estimated_improvement = serializers.IntegerField(min_value=1, max_value=100)
    implementation_effort = serializers.ChoiceField(choices=_words(Effort))
    priority = serializers.IntegerField(min_value=1, max_value=5, help_text="1 is the most urgent.")
    proposed_changes = JsonObjectField()
    evidence = JsonObjectField(help_text="The numbers behind it, and what its replay came to under `replay`.")
    status = serializers.ChoiceField(choices=_words(Status))
    created_at = serializers.DateTimeField()
    decided_at = serializers.DateTimeField(allow_null=True)
    decided_by = serializers.CharField(allow_null=True)
    reason = serializers.CharField(allow_blank=True)
    accepted_version = serializers.CharField(allow_null=True)
    implemented_at = serializers.DateTimeField(allow_null=True)
    actual_improvement = serializers.IntegerField(
        allow_null=True,
        help_text="In percent, measured on the runs of the accepted version; below 0: it got worse. null once "
        "measured: the figure was 0 before, and measurement.difference says what became of it.",
    )
    measurement = JsonObjectField(
        allow_null=True, help_text="measure, before, after, difference (after less before), runsBefore, runs."
    )


class SuggestionChanges(CamelSerializer):
    """What accepting it would change in the version that it is about."""

    blocks = BlockDiff()
    gates = GateDiff()
    end_dependencies = FieldChangeShape(many=True)
    global_settings = FieldChangeShape(many=True)


class SuggestionDetail(SuggestionShape):
    definition = JsonObjectField(help_text="The definition that accepting it makes.")
    changes = SuggestionChanges()


class SuggestionList(CamelSerializer):
    template_id = serializers.CharField()
    optimization_score = serializers.IntegerField(allow_null=True, help_text="Of the last analysis.")
    last_optimization_check = serializers.DateTimeField(allow_null=True)
    suggestions = SuggestionShape(many=True)
    total = serializers.IntegerField()
    limit = serializers.IntegerField()
    offset = serializers.IntegerField()


class AnalysisShape(CamelSerializer):
    template_id = serializers.CharField()
    version = serializers.CharField()
    since = serializers.DateTimeField()
    runs = serializers.IntegerField(help_text="How many runs were looked at: the newest, 100 at most.")
    optimization_score = ScoreShape()
    potential_score = serializers.IntegerField(help_text="The score if all that is suggested were done.")
    suggestions = SuggestionShape(many=True)
    model = serializers.CharField(allow_blank=True, help_text="That ranked and worded; empty: rules did.")
    notes = serializers.ListField(child=serializers.CharField())


def suggestion_document(record: OptimizationRecord) -> dict[str, Any]:
    """Return one suggestion."""
    return {
        "suggestion_id": record.public_id,
        "template_id": record.template.public_id,
        "version": record.base_version.label,
        "kind": record.kind,
        "type": record.type,
        "title": record.title,
        "description": record.description,
        "reasoning": record.ai_reasoning,
        "source": record.source,
        "worded_by": record.worded_by,
        "blocks": record.blocks,
        "measure": record.measure,
        "estimated_improvement": record.estimated_improvement,
        "implementation_effort": record.implementation_effort,
        "priority": record.priority,
        "proposed_changes": record.proposed_changes,
        "evidence": record.evidence,
        "status": record.status,
        "created_at": record.created_at,
        "decided_at": record.decided_at,
        "decided_by": record.decided_by.public_id if record.decided_by else None,
        "reason": record.reason,
        "accepted_version": record.accepted_version.label if record.accepted_version else None,
        "implemented_at": record.implemented_at,
        "actual_improvement": record.actual_improvement,
        "measurement": record.measurement,
    }


def suggestion_detail(record: OptimizationRecord) -> dict[str, Any]:
    """Return one suggestion with the definition it makes, and what that changes."""
    before, after = load_definition(record.base_version.definition), load_definition(record.definition)
    changes = diff_document(VersionDiff(diff_definitions(before, after), ()))
    return suggestion_document(record) | {"definition": record.definition, "changes": changes}


def score_document(score: Score) -> dict[str, Any]:
    """Return a score with its parts."""
    return {"total": score.total, "parts": score.parts}


def analysis_document(report: Report) -> dict[str, Any]:
    """Return what an analysis came to."""
    return {
        "template_id": report.template.public_id,
        "version": report.version.label,
        "since": report.since,
        "runs": report.runs,
        "optimization_score": score_document(report.score),
        "potential_score": report.potential_score,
        "suggestions": [suggestion_document(record) for record in report.suggestions],
        "model": report.model,
        "notes": list(report.notes),
    }
