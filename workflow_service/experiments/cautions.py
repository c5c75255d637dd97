"""What whoever reads an experiment should know before believing it: that it repeats others, that nothing watches it.

Reads alone. A fixed number of statements, however many experiments are asked about.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from workflow_service.experiments.evaluation import GUARDRAIL_MIN_UNITS
from workflow_service.experiments.models import Experiment, Metric

REPEATED = "REPEATED"
FEW_UNITS = "FEW_UNITS"
UNITS_NAMED = {Experiment.StickyBy.STARTER: "starters", Experiment.StickyBy.INPUT: "values"}
_ORDINALS = ("second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")


@dataclass(frozen=True, slots=True)
class Caution:
    """A warning beside an experiment; ``message`` is a sentence for people."""

    code: str
    message: str


def cautions_of(experiments: Sequence[Experiment]) -> Mapping[int, list[Caution]]:
    """Return the warnings about experiments, by primary key."""
    begun: dict[tuple[int, str], list[Experiment]] = defaultdict(list)
    templates = {experiment.template_id for experiment in experiments}
    rows = Experiment.objects.filter(template__in=templates, started_at__isnull=False)
    for other in rows.only("template", "metric", "alpha", "started_at"):
        begun[other.template_id, other.metric].append(other)
    found = {}
    for experiment in experiments:
        others = begun[experiment.template_id, experiment.metric]
        told = (_repeated(experiment, others), _unwatched(experiment))
        found[experiment.pk] = [caution for caution in told if caution is not None]
    return found


def _repeated(experiment: Experiment, others: Sequence[Experiment]) -> Caution | None:
    """Warn of an experiment with a figure that others had a chance of being wrong about before."""
    since = experiment.started_at
    earlier = [
        other
        for other in others
        if other.pk != experiment.pk and other.started_at and (since is None or other.started_at < since)
    ]
    if not earlier:
        return None
    # Whatever else holds, the chance of one false winner among them is no more than the sum of theirs.
    chance = min(1.0, float(experiment.alpha) + sum(float(other.alpha) for other in earlier))
    figure = Metric(experiment.metric).label.lower()
    return Caution(
        REPEATED,
        f"This is the {_ordinal(len(earlier) + 1)} experiment with this workflow's {figure}. Each has its own "
        f"chance of a false winner: the chance that any of them names one is up to {100 * chance:.3g} %.",
    )


def _unwatched(experiment: Experiment) -> Caution | None:
    """Warn where few units may leave an experiment without its guardrails."""
    if experiment.sticky_by not in UNITS_NAMED or experiment.ended_at is not None:
        return None
    if experiment.max_error_increase is None and experiment.max_duration_ratio is None:
        return None
    results = experiment.results or {}
    if results and all(results[arm]["units"] >= GUARDRAIL_MIN_UNITS for arm in ("control", "treatment")):
        return None
    units = UNITS_NAMED[Experiment.StickyBy(experiment.sticky_by)]
    return Caution(
        FEW_UNITS,
        f"Nothing is rolled back by itself before both arms have {GUARDRAIL_MIN_UNITS} {units}: with fewer, watch it "
        "yourself or assign each run for itself.",
    )


def _ordinal(number: int) -> str:
    return _ORDINALS[number - 2] if number - 2 < len(_ORDINALS) else f"{number}th"
