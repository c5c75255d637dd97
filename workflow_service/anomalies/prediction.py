"""How probable it is that a run that goes on will fail: told only where such predictions proved to be of worth."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from executions_app.models import Execution
from workflow_service.anomalies.features import NAMES, features_at, is_judgeable
from workflow_service.anomalies.history import Histories
from workflow_service.anomalies.logistic import Model
from workflow_service.anomalies.models import FailurePredictor
from workflow_service.anomalies.reading import read_runs
from workflow_service.anomalies.stored import histories_of

FACTORS_SHOWN = 3
LEAST_FACTOR = 0.25


class Unknown(StrEnum):
    """Why there is no prediction of a run."""

    ENDED = "ENDED"
    TOO_FEW_RUNS = "TOO_FEW_RUNS"
    NO_BETTER_THAN_BASE_RATE = "NO_BETTER_THAN_BASE_RATE"


REASONS = {
    Unknown.ENDED: "The run has ended.",
    Unknown.TOO_FEW_RUNS: "Too few runs of this workflow have ended, or too few of them failed, to predict by.",
    Unknown.NO_BETTER_THAN_BASE_RATE: (
        "On later runs, predictions were no better than the share of runs that fail anyway."
    ),
}


@dataclass(frozen=True, slots=True)
class Factor:
    """What moves a prediction, by how much: ``weight`` is in log-odds, above 0 where it raises the risk."""

    name: str
    meaning: str
    weight: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """The risk of one run, 0 to 1, or why there is none; and how good such predictions were (Brier scores)."""

    risk: float | None
    unknown: Unknown | None
    predictor: FailurePredictor | None
    factors: Sequence[Factor] = ()

    @property
    def reason(self) -> str | None:
        """Why there is no prediction, in words."""
        return None if self.unknown is None else REASONS[self.unknown]


def predict(execution: Execution) -> Prediction:
    """Return how probable it is that a run fails: by what is known of it now."""
    predictor = FailurePredictor.objects.filter(template=execution.template_id).first()
    if execution.completed_at is not None:
        return Prediction(None, Unknown.ENDED, predictor)
    # One that was fitted to other features, before an update, is fitted anew when more runs have ended.
    if predictor is None or predictor.model is None or len(predictor.model["weights"]) != len(NAMES):
        return Prediction(None, Unknown.TOO_FEW_RUNS, predictor)
    if not predictor.useful:
        return Prediction(None, Unknown.NO_BETTER_THAN_BASE_RATE, predictor)
    histories = histories_of(execution.version_id)
    if not is_judgeable(histories):
        return Prediction(None, Unknown.TOO_FEW_RUNS, predictor)
    return _predicted(execution, predictor, Model(**predictor.model), histories)


def failure_risk(execution: Execution) -> float | None:
    """Return how probable it is that a run fails; None where that cannot be told, or no better than by chance."""
    return predict(execution).risk


def _predicted(
    execution: Execution, predictor: FailurePredictor, model: Model, histories: Histories
) -> Prediction:
    (run,) = read_runs([execution.pk])
    features = features_at(run.facts, run.took_ms, histories)
    weighed = zip(NAMES.items(), model.contributions(features), strict=True)
    factors = [Factor(name, meaning, round(weight, 2)) for (name, meaning), weight in weighed]
    told = sorted(factors, key=lambda factor: -abs(factor.weight))[:FACTORS_SHOWN]
    return Prediction(
        round(model.probability(features), 3),
        None,
        predictor,
        [factor for factor in told if abs(factor.weight) >= LEAST_FACTOR],
    )
