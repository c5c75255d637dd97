"""Anomalies and predictions as the API shows them."""

from typing import Any

from rest_framework import serializers

from executions_app.models import Execution
from workflow_service.anomalies.detection import UNITS, Kind
from workflow_service.anomalies.models import Anomaly, FailurePredictor
from workflow_service.anomalies.prediction import Prediction, Unknown
from workflow_service.api_serializers import CamelSerializer, PageQuery

KINDS = [kind.value for kind in Kind]


class AnomalyListQuery(PageQuery):
    template_id = serializers.CharField(required=False, max_length=64)
    execution_id = serializers.CharField(required=False, max_length=64)
    kind = serializers.ChoiceField(required=False, choices=KINDS)


class ExpectedShape(CamelSerializer):
    low = serializers.FloatField()
    high = serializers.FloatField()


class AnomalyShape(CamelSerializer):
    execution_id = serializers.CharField()
    template_id = serializers.CharField()
    template_name = serializers.CharField()
    template_version = serializers.CharField()
    kind = serializers.ChoiceField(choices=KINDS)
    block_id = serializers.CharField(allow_null=True, help_text="null: it is about the run as a whole.")
    value = serializers.FloatField()
    expected = ExpectedShape()
    unit = serializers.ChoiceField(choices=sorted(UNITS.values()))
    score = serializers.FloatField(help_text="How surprising it is: 3 is one in a thousand.")
    runs = serializers.IntegerField(help_text="How many runs it was judged by.")
    while_running = serializers.BooleanField(help_text="It was found before the block had ended.")
    explanation = serializers.CharField()
    detected_at = serializers.DateTimeField()


class AnomalyList(CamelSerializer):
    anomalies = AnomalyShape(many=True)
    total = serializers.IntegerField()
    limit = serializers.IntegerField()
    offset = serializers.IntegerField()


class FactorShape(CamelSerializer):
    name = serializers.CharField()
    meaning = serializers.CharField()
    weight = serializers.FloatField(
        help_text="In log-odds, beside an average run: above 0 it raises the risk."
    )


class PredictorShape(CamelSerializer):
    useful = serializers.BooleanField(help_text="It was better than the base rate on later runs.")
    fitted_on = serializers.IntegerField(help_text="Runs that it was fitted on.")
    judged_on = serializers.IntegerField(help_text="Later runs that it was judged on.")
    base_rate = serializers.FloatField(allow_null=True, help_text="Share of the former that failed, 0 to 1.")
    brier_score = serializers.FloatField(allow_null=True, help_text="0 is perfect.")
    base_rate_brier_score = serializers.FloatField(allow_null=True)
    fitted_at = serializers.DateTimeField(allow_null=True)


class PredictionShape(CamelSerializer):
    execution_id = serializers.CharField()
    failure_risk = serializers.FloatField(allow_null=True, help_text="0 to 1.")
    reason_code = serializers.ChoiceField(choices=[one.value for one in Unknown], allow_null=True)
    reason = serializers.CharField(allow_null=True, help_text="Why there is no prediction.")
    factors = FactorShape(many=True)
    predictor = PredictorShape(allow_null=True)


def anomaly_document(anomaly: Anomaly) -> dict[str, Any]:
    """Return an anomaly; its run, template and version are loaded."""
    return {
        "execution_id": anomaly.execution.public_id,
        "template_id": anomaly.template.public_id,
        "template_name": anomaly.template.name,
        "template_version": anomaly.version.label,
        "kind": anomaly.kind,
        "block_id": anomaly.block_id or None,
        "value": anomaly.value,
        "expected": {"low": anomaly.low, "high": anomaly.high},
        "unit": anomaly.unit,
        "score": anomaly.score,
        "runs": anomaly.runs,
        "while_running": anomaly.while_running,
        "explanation": anomaly.explanation,
        "detected_at": anomaly.detected_at,
    }


def prediction_document(execution: Execution, prediction: Prediction) -> dict[str, Any]:
    """Return a prediction of a run."""
    return {
        "execution_id": execution.public_id,
        "failure_risk": prediction.risk,
        "reason_code": prediction.unknown,
        "reason": prediction.reason,
        "factors": prediction.factors,
        "predictor": _predictor(prediction.predictor),
    }


def _predictor(predictor: FailurePredictor | None) -> dict[str, Any] | None:
    if predictor is None or predictor.model is None:
        return None
    return {
        "useful": predictor.useful,
        "fitted_on": predictor.fitted_on,
        "judged_on": predictor.judged_on,
        "base_rate": predictor.base_rate,
        "brier_score": predictor.brier,
        "base_rate_brier_score": predictor.base_brier,
        "fitted_at": predictor.fitted_at,
    }
