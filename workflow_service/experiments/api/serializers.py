"""The shapes of experiments and their results."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from rest_framework import serializers

from workflow_service.api_serializers import CamelSerializer, PageQuery
from workflow_service.experiments.cautions import Caution, cautions_of
from workflow_service.experiments.models import Arm, Experiment, Metric

STATUSES = Experiment.Status.values
WINNERS = Arm.values


class ExperimentListQuery(PageQuery):
    status = serializers.ChoiceField(choices=STATUSES, required=False)
    template_id = serializers.CharField(required=False, max_length=40)


class ExperimentFields(CamelSerializer):
    """What people set; all of it has a default but the name."""

    name = serializers.CharField(max_length=200)
    hypothesis = serializers.CharField(max_length=2_000, required=False, allow_blank=True)
    control = serializers.CharField(
        required=False,
        max_length=32,
        help_text="Label or ordinal. Not given: the template's current version.",
    )
    treatment = serializers.CharField(max_length=32, help_text="Label or ordinal of the version to try.")
    treatment_share = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=99,
        help_text="Percent of the units that get the treatment; 50.",
    )
    sticky_by = serializers.ChoiceField(
        choices=Experiment.StickyBy.values,
        required=False,
        help_text="What goes the same way each time: run (nothing), starter, or input (what stickyExpression reads). "
        "With fewer than 20 starters, or values, an arm nothing is rolled back by itself.",
    )
    sticky_expression = serializers.CharField(
        required=False, max_length=500, allow_blank=True, help_text="Such as workflow.input.customerId."
    )
    metric = serializers.ChoiceField(
        choices=Metric.values, required=False, help_text="success_rate if not given."
    )
    alpha = serializers.DecimalField(
        max_digits=4,
        decimal_places=3,
        min_value=Decimal("0.001"),
        max_value=Decimal("0.5"),
        required=False,
        coerce_to_string=False,
        help_text="The chance of naming a winner where there is no difference, over all looks; 0.05.",
    )
    min_units = serializers.IntegerField(
        required=False,
        min_value=20,
        max_value=1_000_000,
        help_text="Units an arm before anything is decided; 30.",
    )
    max_error_increase = serializers.DecimalField(
        max_digits=5,
        decimal_places=2,
        min_value=Decimal(0),
        max_value=Decimal(100),
        required=False,
        allow_null=True,
        coerce_to_string=False,
        help_text="Rolled back above this many percentage points more failures; 5. null: not watched.",
    )
    max_duration_ratio = serializers.DecimalField(
        max_digits=5,
        decimal_places=2,
        min_value=Decimal(1),
        max_value=Decimal(100),
        required=False,
        allow_null=True,
        coerce_to_string=False,
        help_text="Rolled back above this factor of the control's duration; 1.5. null: not watched.",
    )
    ends_at = serializers.DateTimeField(
        required=False,
        allow_null=True,
        help_text="When it is stopped, decided or not. null: when it is decided.",
    )


class NewExperiment(ExperimentFields):
    template_id = serializers.CharField(max_length=40)
    workspace_id = serializers.CharField(required=False, max_length=64)


class ExperimentChange(ExperimentFields):
    name = serializers.CharField(max_length=200, required=False)
    treatment = serializers.CharField(max_length=32, required=False)


class StopBody(CamelSerializer):
    reason = serializers.CharField(required=False, max_length=500, allow_blank=True)


class ExperimentWarningShape(CamelSerializer):
    code = serializers.CharField(
        help_text="REPEATED: others with the same figure of this workflow came before. FEW_UNITS: no guardrail "
        "watches before both arms have 20 units."
    )
    message = serializers.CharField()


class ExperimentShape(CamelSerializer):
    experiment_id = serializers.CharField(source="public_id")
    template_id = serializers.CharField(source="template.public_id")
    template_name = serializers.CharField(source="template.name")
    name = serializers.CharField()
    hypothesis = serializers.CharField(allow_blank=True)
    control = serializers.CharField(source="control.label")
    treatment = serializers.CharField(source="treatment.label")
    treatment_share = serializers.IntegerField()
    sticky_by = serializers.ChoiceField(choices=Experiment.StickyBy.values)
    sticky_expression = serializers.CharField(allow_blank=True)
    metric = serializers.ChoiceField(choices=Metric.values)
    alpha = serializers.FloatField()
    min_units = serializers.IntegerField()
    max_error_increase = serializers.FloatField(allow_null=True)
    max_duration_ratio = serializers.FloatField(allow_null=True)
    ends_at = serializers.DateTimeField(allow_null=True)
    status = serializers.ChoiceField(choices=STATUSES)
    winner = serializers.ChoiceField(choices=WINNERS, allow_null=True)
    ended_because = serializers.CharField(allow_blank=True)
    promoted_version = serializers.CharField(allow_null=True)
    created_by = serializers.CharField(source="created_by.username")
    created_at = serializers.DateTimeField()
    started_by = serializers.CharField(allow_null=True)
    started_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)
    warnings = ExperimentWarningShape(many=True, help_text="What to know before believing it.")


class ExperimentList(CamelSerializer):
    experiments = ExperimentShape(many=True)
    total = serializers.IntegerField()
    limit = serializers.IntegerField()
    offset = serializers.IntegerField()


class ExperimentArmShape(CamelSerializer):
    assigned = serializers.IntegerField(help_text="Runs that began.")
    units = serializers.IntegerField(help_text="Of how many that go the same way each time.")
    completed = serializers.IntegerField()
    failed = serializers.IntegerField()
    cancelled = serializers.IntegerField(help_text="Not counted.")
    success_rate = serializers.FloatField(
        allow_null=True, help_text="0 to 100, of completed and failed runs."
    )
    duration_ms = serializers.FloatField(
        allow_null=True, help_text="Geometric mean of the active time of completed runs."
    )
    cost_usd = serializers.FloatField(allow_null=True, help_text="Mean cost of language models a run.")


class ExperimentEffectShape(CamelSerializer):
    difference = serializers.FloatField(
        help_text="Treatment minus control: percentage points of the success rate, percent of the duration, or USD."
    )
    lower = serializers.FloatField(help_text="Where the confidence sequence begins; it holds at every look.")
    upper = serializers.FloatField()
    p_value = serializers.FloatField(help_text="Valid at every look.")
    is_better = serializers.BooleanField()


class ExperimentGuardrailShape(CamelSerializer):
    name = serializers.CharField(help_text="error_rate or duration.")
    limit = serializers.FloatField()
    increase = serializers.FloatField(help_text="Percentage points, or the ratio of durations.")
    p_value = serializers.FloatField()
    tripped = serializers.BooleanField()


class ExperimentResults(CamelSerializer):
    experiment_id = serializers.CharField()
    status = serializers.ChoiceField(choices=STATUSES)
    metric = serializers.ChoiceField(choices=Metric.values)
    evaluated_at = serializers.DateTimeField()
    control = ExperimentArmShape()
    treatment = ExperimentArmShape()
    effect = ExperimentEffectShape(
        allow_null=True, help_text="null while an arm has fewer units than minUnits."
    )
    guardrails = ExperimentGuardrailShape(many=True)
    sample_ratio_p_value = serializers.FloatField(
        help_text="Below 0.001 an arm lost or doubled units: nothing is concluded."
    )
    sample_ratio_mismatch = serializers.BooleanField()
    winner = serializers.ChoiceField(choices=WINNERS, allow_null=True)


def experiment_documents(experiments: Iterable[Experiment]) -> list[dict[str, Any]]:
    """Return experiments as the API shows them."""
    cautions = cautions_of(experiments := list(experiments))
    return [_document(experiment, cautions[experiment.pk]) for experiment in experiments]


def _document(experiment: Experiment, cautions: Sequence[Caution]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        name: getattr(experiment, name)
        for name in (
            "public_id", "template", "name", "hypothesis", "control", "treatment", "treatment_share", "sticky_by",
            "sticky_expression", "metric", "alpha", "min_units", "max_error_increase", "max_duration_ratio", "ends_at",
            "status", "ended_because", "created_by", "created_at", "started_at", "ended_at",
        )
    }  # fmt: skip
    return shown | {
        "template_name": experiment.template.name,
        "winner": experiment.winner or None,
        "warnings": cautions,
        "promoted_version": experiment.promoted_version.label if experiment.promoted_version else None,
        "started_by": experiment.started_by.get_username() if experiment.started_by else None,
    }
