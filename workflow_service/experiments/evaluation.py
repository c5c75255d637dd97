"""What an experiment's runs say: both arms, their comparison, the guardrails. Decides, and writes nothing.

A winner is named when the metric's confidence sequence leaves zero out. A guardrail trips when the treatment is worse
beyond its limit *and* a confidence sequence says that it is worse at all; each of them at the experiment's alpha, valid
at every look. Nothing is concluded from arms that were divided otherwise than by the share.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from workflow_service.engine.definition import JsonObject
from workflow_service.experiments.measures import MEASURES, ArmRuns
from workflow_service.experiments.models import Arm, Experiment, Metric
from workflow_service.experiments.sequential_test import ArmTotals, Comparison, compare, sample_ratio_p_value

# A treatment that fails always is to be noticed sooner than one that is a little better.
GUARDRAIL_MIN_UNITS = 20
# The usual threshold for a mismatch, below those of effects: it says that the experiment is broken.
MISMATCH_P = 0.001


@dataclass(frozen=True, slots=True)
class ArmReading:
    """One arm in figures for people: ``success_rate`` in percent, the typical duration (geometric mean) in ms, the mean
    cost in USD; None where no run says it."""

    assigned: int
    units: int
    completed: int
    failed: int
    cancelled: int
    success_rate: float | None
    duration_ms: float | None
    cost_usd: float | None


@dataclass(frozen=True, slots=True)
class Effect:
    """What the treatment changes: percentage points of the success rate, percent of the duration, USD of the cost.

    The confidence sequence holds at every look at once, with the chance 1 - alpha. ``is_better``: of the difference.
    """

    difference: float
    lower: float
    upper: float
    p_value: float
    is_better: bool


@dataclass(frozen=True, slots=True)
class Guardrail:
    """How the treatment stands to a limit: ``increase`` and ``limit`` in percentage points, or as a ratio."""

    name: str
    limit: float
    increase: float
    p_value: float
    tripped: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """What is known at one look. ``effect`` is None while an arm has too few units.

    ``winner`` is empty while nothing is decided. ``sample_ratio_p_value`` below ``MISMATCH_P`` forbids a winner.
    """

    control: ArmReading
    treatment: ArmReading
    effect: Effect | None
    guardrails: tuple[Guardrail, ...]
    sample_ratio_p_value: float
    winner: str

    @property
    def is_lopsided(self) -> bool:
        """Whether units were lost or doubled in an arm."""
        return self.sample_ratio_p_value < MISMATCH_P

    @property
    def tripped(self) -> Guardrail | None:
        """The first guardrail that tripped, if any."""
        return next((one for one in self.guardrails if one.tripped), None)

    def document(self) -> JsonObject:
        """Return it as it is kept."""
        return asdict(self) | {"sample_ratio_mismatch": self.is_lopsided}


def effect_of(document: JsonObject) -> Effect | None:
    """Return the effect of a reading that was kept."""
    kept: Any = document["effect"]
    return Effect(**kept) if kept else None


def evaluate(experiment: Experiment, arms: Mapping[Arm, ArmRuns]) -> Reading:
    """Return what the arms of an experiment say now."""
    control, treatment = arms[Arm.CONTROL], arms[Arm.TREATMENT]
    p_value = sample_ratio_p_value(control.units, treatment.units, experiment.treatment_share / 100)
    metric = Metric(experiment.metric)
    found = _compare(metric, control, treatment, float(experiment.alpha), experiment.min_units)
    effect = _effect(metric, found) if found else None
    decided = effect is not None and effect.p_value <= float(experiment.alpha) and p_value >= MISMATCH_P
    winner = "" if effect is None or not decided else Arm.TREATMENT if effect.is_better else Arm.CONTROL
    guardrails = tuple(_guardrails(experiment, control, treatment))
    return Reading(_read_arm(control), _read_arm(treatment), effect, guardrails, p_value, str(winner))


def _compare(
    metric: Metric, control: ArmRuns, treatment: ArmRuns, alpha: float, min_units: int
) -> Comparison | None:
    measure = MEASURES[metric]
    first, second = control.totals[metric], treatment.totals[metric]
    floor = max(measure.floor, measure.floor_of_mean * abs(_overall_mean(first, second)))
    return compare(
        first, second, alpha=alpha, min_units=min_units, is_rate=measure.is_rate, spread_floor=floor
    )


def _overall_mean(first: ArmTotals, second: ArmTotals) -> float:
    runs = first.runs + second.runs
    return (first.values + second.values) / runs if runs else 0.0


def _effect(metric: Metric, found: Comparison) -> Effect:
    measure = MEASURES[metric]
    shown = [
        _percent_change(value) if measure.by_ratio else value * 100 if measure.is_rate else value
        for value in (found.difference, found.lower, found.upper)
    ]
    is_better = (found.difference > 0) == measure.higher_is_better and found.difference != 0
    return Effect(shown[0], shown[1], shown[2], found.p_value, is_better)


def _guardrails(experiment: Experiment, control: ArmRuns, treatment: ArmRuns) -> list[Guardrail]:
    alpha = float(experiment.alpha)
    guardrails = []
    if experiment.max_error_increase is not None:
        found = _compare(Metric.SUCCESS_RATE, control, treatment, alpha, GUARDRAIL_MIN_UNITS)
        if found:
            increase, limit = -100 * found.difference, float(experiment.max_error_increase)
            tripped = increase > limit and found.upper < 0
            guardrails.append(Guardrail("error_rate", limit, increase, found.p_value, tripped))
    if experiment.max_duration_ratio is not None:
        found = _compare(Metric.DURATION, control, treatment, alpha, GUARDRAIL_MIN_UNITS)
        if found:
            ratio, limit = _ratio(found.difference), float(experiment.max_duration_ratio)
            tripped = ratio > limit and found.lower > 0
            guardrails.append(Guardrail("duration", limit, ratio, found.p_value, tripped))
    return guardrails


def _read_arm(arm: ArmRuns) -> ArmReading:
    success, cost = arm.totals[Metric.SUCCESS_RATE], arm.totals[Metric.COST]
    durations = arm.totals[Metric.DURATION]
    return ArmReading(
        arm.assigned,
        arm.units,
        arm.completed,
        arm.failed,
        arm.cancelled,
        100 * success.mean if success.runs else None,
        math.exp(durations.mean) if durations.runs else None,
        cost.mean if cost.runs else None,
    )


def _ratio(log_difference: float) -> float:
    # A radius over almost no runs may be beyond what a number can be.
    return math.exp(min(log_difference, 700.0))


def _percent_change(log_difference: float) -> float:
    return 100 * (_ratio(log_difference) - 1)
