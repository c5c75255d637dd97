"""Whether predictions of failure are better than none: fitted on earlier runs, judged on later ones. Pure.

A predictor is judged by its Brier score beside that of the base rate, which always says how often the earlier runs
failed. It is used only where it is better by more than chance would have it: the runs' mean gain must lie ``SURE``
standard errors above zero. Where there is nothing to learn the gain is below zero rather than about it, as what was
fitted to chance does harm later: simulated, that is passed much more rarely than by one in forty. Between two fits
it is dropped as soon as the runs since speak against it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from workflow_service.anomalies.logistic import Model, Vector, brier, fit

FITTED_SHARE = 0.7
MIN_RUNS = 60
MIN_FAILED_FITTED = 8
MIN_FAILED_JUDGED = 4
SURE = 2.0
# Fewer runs since say nothing against a predictor: a single failure that nobody could foresee would.
LEAST_SINCE = 8


@dataclass(frozen=True, slots=True)
class ObservedRun:
    """What was known of a run at several moments, and how it ended."""

    moments: Sequence[Vector]
    failed: bool


@dataclass(frozen=True, slots=True)
class Judged:
    """A model with what it is worth. The Brier scores are means over the runs it was judged on; 0 is perfect."""

    model: Model
    fitted_on: int
    judged_on: int
    base_rate: float
    brier: float
    base_brier: float
    useful: bool


def fit_and_judge(runs: Sequence[ObservedRun]) -> Judged | None:
    """Fit on the first of ``runs``, oldest first, and judge on the last; None where there are too few."""
    runs = [run for run in runs if run.moments]
    split = round(FITTED_SHARE * len(runs))
    earlier, later = runs[:split], runs[split:]
    failed = sum(run.failed for run in earlier)
    if len(runs) < MIN_RUNS or failed < MIN_FAILED_FITTED or failed == len(earlier):
        return None
    if sum(run.failed for run in later) < MIN_FAILED_JUDGED:
        return None
    model = _fit(earlier)
    base_rate = failed / len(earlier)
    errors = [_error(model, run) for run in later]
    base_errors = [brier([base_rate], [run.failed]) for run in later]
    gains = [base - error for base, error in zip(base_errors, errors, strict=True)]
    gain = _mean(gains)
    deviation = sqrt(_mean([(each - gain) ** 2 for each in gains]) / len(gains))
    return Judged(
        model,
        len(earlier),
        len(later),
        base_rate,
        _mean(errors),
        _mean(base_errors),
        gain > SURE * deviation,
    )


def has_failed_since(model: Model, base_rate: float, runs: Sequence[ObservedRun]) -> bool:
    """Tell whether a model was no better than the base rate on runs that ended since it was judged."""
    runs = [run for run in runs if run.moments]
    if len(runs) < LEAST_SINCE:
        return False
    base_error = _mean([brier([base_rate], [run.failed]) for run in runs])
    return _mean([_error(model, run) for run in runs]) >= base_error


def _fit(runs: Sequence[ObservedRun]) -> Model:
    """Fit a model in which each run counts as one, however many moments of it are known."""
    rows = [moment for run in runs for moment in run.moments]
    outcomes = [run.failed for run in runs for _ in run.moments]
    importances = [1 / len(run.moments) for run in runs for _ in run.moments]
    return fit(rows, outcomes, importances)


def _error(model: Model, run: ObservedRun) -> float:
    predicted = [model.probability(moment) for moment in run.moments]
    return brier(predicted, [run.failed] * len(predicted))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
