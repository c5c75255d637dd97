"""Reads: how the runs of templates went, in one query however many templates there are."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import (
    Aggregate,
    Avg,
    Count,
    DurationField,
    ExpressionWrapper,
    F,
    FloatField,
    Max,
    Q,
)
from django.db.models.functions import Extract

from executions_app.models import Execution
from workflow_service.engine.states import ExecutionStatus


@dataclass(frozen=True, slots=True)
class TemplateStatistics:
    """The runs of one template. Rates are percentages of those that completed or failed; None where none has.

    Durations are milliseconds by the clock, from start to end, of runs that completed.
    """

    total: int = 0
    running: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    avg_duration_ms: int | None = None
    p50_duration_ms: int | None = None
    p95_duration_ms: int | None = None
    last_run_at: datetime | None = None

    @property
    def success_rate(self) -> float | None:
        return self._share(self.completed)

    @property
    def error_rate(self) -> float | None:
        return self._share(self.failed)

    def _share(self, number: int) -> float | None:
        judged = self.completed + self.failed
        return round(100 * number / judged, 2) if judged else None


class Percentile(Aggregate):
    """The value below which ``fraction`` of the others lie, between two where it falls there."""

    function = "PERCENTILE_CONT"
    template = "%(function)s(%(fraction)s) WITHIN GROUP (ORDER BY %(expressions)s)"

    def __init__(self, expression: object, fraction: float, **extra: object) -> None:
        super().__init__(expression, fraction=fraction, output_field=FloatField(), **extra)  # type: ignore[arg-type]


def template_statistics(
    template_ids: Collection[int], *, since: datetime | None = None, until: datetime | None = None
) -> dict[int, TemplateStatistics]:
    """Return each template's statistics, by primary key: of runs started from ``since`` on, before ``until``.

    Runs that other runs started count like any.
    """
    rows = Execution.objects.filter(template__in=template_ids)
    rows = rows.filter(started_at__gte=since) if since else rows
    rows = rows.filter(started_at__lt=until) if until else rows
    completed = Q(status=ExecutionStatus.COMPLETED)
    took = ExpressionWrapper(F("completed_at") - F("started_at"), output_field=DurationField())
    took_ms = ExpressionWrapper(Extract(took, "epoch") * 1_000, output_field=FloatField())
    counted = (
        rows.order_by()
        .values("template")
        .annotate(
            total=Count("pk"),
            running=Count("pk", filter=Q(completed_at__isnull=True)),
            completed=Count("pk", filter=completed),
            failed=Count("pk", filter=Q(status=ExecutionStatus.FAILED)),
            cancelled=Count("pk", filter=Q(status=ExecutionStatus.CANCELLED)),
            avg_duration_ms=Avg(took_ms, filter=completed),
            p50_duration_ms=Percentile(took_ms, 0.5, filter=completed),
            p95_duration_ms=Percentile(took_ms, 0.95, filter=completed),
            last_run_at=Max("started_at"),
        )
    )
    found = {row["template"]: _statistics(row) for row in counted}
    return {pk: found.get(pk, TemplateStatistics()) for pk in template_ids}


def _statistics(row: Mapping[str, Any]) -> TemplateStatistics:
    values: dict[str, Any] = {name: value for name, value in row.items() if name != "template"}
    for name, value in values.items():
        if isinstance(value, float):
            values[name] = round(value)
    return TemplateStatistics(**values)
