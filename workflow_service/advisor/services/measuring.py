"""Writes: what accepted suggestions were worth, measured on the runs of the versions they made.

The figures are computed anew from the runs each time some have ended, so that a run handed out again is not counted
twice; nothing is added up. Nobody asks for it: the sweeper hands the runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Avg, Count, Max, Min, Q, Sum
from django.utils import timezone

from executions_app.digest import EndedRun
from executions_app.models import Execution
from templates_app.plans import compiled_version
from workflow_service.advisor.models import OptimizationRecord
from workflow_service.advisor.recorder import JUDGED, MAX_RUNS
from workflow_service.advisor.replay import size_of
from workflow_service.advisor.vocabulary import Measure, Status
from workflow_service.ai.models import LlmUsage

# Fewer runs say too little of a mean or a share; with so many more the figure does not change any more.
LEAST_RUNS = 20
ENOUGH_RUNS = 200
OPEN = (Status.ACCEPTED, Status.IMPLEMENTED, Status.MEASURED)


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure of a version's runs, and of how many."""

    value: float
    runs: int


def measure_suggestions(runs: Sequence[EndedRun]) -> None:
    """Note of the suggestions that made the versions of these runs that they are in use, and what they were worth."""
    versions = {run.version_id for run in runs}
    records = OptimizationRecord.objects.filter(accepted_version__in=versions, status__in=OPEN)
    for record in records.select_for_update(no_key=True).order_by("pk"):
        if (record.measurement or {}).get("runs", 0) < ENOUGH_RUNS:
            _measure(record)


def _measure(record: OptimizationRecord) -> None:
    version_id = record.accepted_version_id
    if version_id is None:
        return
    ended = Execution.objects.filter(version_id=version_id, status__in=JUDGED)
    counted = ended.aggregate(first=Min("completed_at"), last=Max("completed_at"), runs=Count("pk"))
    if counted["first"] is None:
        return
    record.implemented_at = counted["first"]
    if record.status == Status.ACCEPTED:
        record.status = Status.IMPLEMENTED
    if counted["runs"] >= LEAST_RUNS:
        measure = Measure(record.measure)
        before = figure_of(record.base_version_id, measure, MAX_RUNS)
        after = figure_of(version_id, measure, ENOUGH_RUNS)
        # Of nothing there is no percentage: then the figures themselves say how far it went.
        record.actual_improvement = (
            round(100 * (before.value - after.value) / before.value) if before.value > 0 else None
        )
        record.measurement = {
            "measure": measure.value,
            "before": before.value,
            "after": after.value,
            "difference": after.value - before.value,
            "runsBefore": before.runs,
            "runs": after.runs,
        }
        record.measured_at = timezone.now()
        record.status = Status.MEASURED
    record.save()


def figure_of(version_id: int, measure: Measure, limit: int) -> Measured:
    """Return a figure on average over the newest runs of a version that completed or failed, ``limit`` at most."""
    newest = Execution.objects.filter(version_id=version_id, status__in=JUDGED).order_by("-id")[:limit]
    rows = Execution.objects.filter(pk__in=list(newest.values_list("pk", flat=True)))
    match measure:
        case Measure.DURATION:
            found = rows.aggregate(runs=Count("pk"), value=Avg("active_ms"))
            return Measured(float(found["value"] or 0) / 1_000, found["runs"])
        case Measure.FAILURES:
            found = rows.aggregate(runs=Count("pk"), failed=Count("pk", filter=Q(status="FAILED")))
            return Measured(found["failed"] / found["runs"] if found["runs"] else 0.0, found["runs"])
        case Measure.COST:
            names = list(rows.values_list("public_id", flat=True))
            spent = LlmUsage.objects.filter(execution_id__in=names).aggregate(usd=Sum("cost_usd"))["usd"]
            return Measured(float(spent or 0) / len(names) if names else 0.0, len(names))
        case Measure.SIZE:
            return Measured(float(size_of(compiled_version(version_id).plan)), rows.count())
