"""Shapes of decisions on the wire."""

from typing import Any

from rest_framework import serializers

from workflow_service.api_serializers import CamelSerializer, JsonObjectField, PageQuery
from workflow_service.decisions.models import Decision
from workflow_service.decisions.services.override import MAX_REASON

SOURCES = [source.value for source in Decision.Source]


class OptionShape(CamelSerializer):
    key = serializers.CharField(help_text="What it is called: where it leads, or `else`.")
    text = serializers.CharField(help_text="Its question, or the condition that held; empty for the default.")
    targets = serializers.ListField(child=serializers.CharField())


class OverrideShape(CamelSerializer):
    choice = serializers.ListField(child=serializers.CharField())
    by = serializers.CharField()
    at = serializers.DateTimeField()
    reason = serializers.CharField()
    rerouted = serializers.BooleanField(help_text="Whether the run took that way.")


class DecisionShape(CamelSerializer):
    decision_id = serializers.CharField()
    execution_id = serializers.CharField()
    block_id = serializers.CharField(help_text="The block, or the join, that the question stands behind.")
    question = serializers.CharField()
    options = OptionShape(many=True)
    chosen = serializers.ListField(child=serializers.CharField(), help_text="Keys of the options.")
    source = serializers.ChoiceField(choices=SOURCES, help_text="Who decided.")  # type: ignore[assignment]
    reasoning = serializers.CharField()
    confidence = serializers.FloatField(allow_null=True, help_text="0 to 100.")
    model = serializers.CharField(help_text="The model that was asked; empty where none was.")
    prompt = serializers.CharField(help_text="Name and version of the prompt.")
    cost_usd = serializers.DecimalField(max_digits=16, decimal_places=8)
    tokens = serializers.IntegerField()
    cached = serializers.BooleanField()
    shown = JsonObjectField(help_text="The values that it was decided by.")
    case_sha256 = serializers.CharField(help_text="The same for like cases.")
    decided_by = serializers.CharField(help_text="The person, where one chose.")
    created_at = serializers.DateTimeField()
    override = OverrideShape(allow_null=True, help_text="What a person called right since.")


class DecisionList(CamelSerializer):
    decisions = DecisionShape(many=True)
    total = serializers.IntegerField()
    limit = serializers.IntegerField()
    offset = serializers.IntegerField()


class DecisionListQuery(PageQuery):
    template_id = serializers.CharField(required=False, max_length=64)
    block_id = serializers.CharField(required=False, max_length=1_000)
    source = serializers.ChoiceField(choices=SOURCES, required=False)  # type: ignore[assignment]
    max_confidence = serializers.FloatField(
        required=False, min_value=0, max_value=100, help_text="Those at most so sure."
    )
    overridden = serializers.BooleanField(required=False, allow_null=True, default=None)
    search = serializers.CharField(
        required=False, max_length=200, help_text="Words of the question or of the reasoning."
    )
    since = serializers.DateTimeField(required=False)
    until = serializers.DateTimeField(required=False, help_text="Exclusive.")


class OverrideBody(CamelSerializer):
    choice = serializers.ListField(
        child=serializers.CharField(max_length=8_000),
        min_length=1,
        max_length=1_000,
        help_text="The keys of the options that are right; several where the branches are inclusive.",
    )
    reason = serializers.CharField(required=False, allow_blank=True, max_length=MAX_REASON, default="")


def decision_document(decision: Decision) -> dict[str, Any]:
    """Return a decision as its shape has it."""
    override = None
    if decision.override is not None:
        override = {
            "choice": decision.override,
            "by": decision.overridden_by.get_username() if decision.overridden_by else "",
            "at": decision.overridden_at,
            "reason": decision.override_reason,
            "rerouted": decision.rerouted,
        }
    own = (
        "block_id", "question", "options", "chosen", "source", "reasoning", "confidence", "model", "prompt",
        "cost_usd", "tokens", "cached", "shown", "case_sha256", "decided_by", "created_at",
    )  # fmt: skip
    return {
        "decision_id": decision.public_id,
        "execution_id": decision.execution.public_id,
        **{name: getattr(decision, name) for name in own},
        "override": override,
    }
