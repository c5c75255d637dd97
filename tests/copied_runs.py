"""Runs of the past, copied from one that really ran: a history of hundreds costs a few statements."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from django.db import connection
from django.utils import timezone

from executions_app.models import BlockExecution, Execution, ExecutionInput
from executions_app.models.executions import new_execution_id
from templates_app.models import Template
from workflow_service.anomalies.features import NAMES
from workflow_service.anomalies.logistic import Model
from workflow_service.anomalies.models import FailurePredictor

COPY_BLOCKS = """
    WITH copied AS (
        INSERT INTO executions_app_blockexecution ({columns}) SELECT {values} FROM executions_app_blockexecution b
        JOIN unnest(%s::bigint[], %s::timestamptz[], %s::int[], %s::boolean[]) AS r(id, started_at, ms, failed) ON true
        WHERE b.execution_id = %s AND (b.block_id = %s OR NOT r.failed OR b.id <= (
            SELECT max(id) FROM executions_app_blockexecution WHERE execution_id = %s AND block_id = %s))
        RETURNING id, execution_id, block_id, status)
    INSERT INTO executions_app_blockoutput (block_execution_id, execution_id, block_id, value, created_at)
    SELECT c.id, c.execution_id, c.block_id, o.value, o.created_at FROM copied c
    JOIN executions_app_blockoutput o ON o.execution_id = %s AND o.block_id = c.block_id WHERE c.status = 'COMPLETED'
"""
EXCHANGED = {
    "execution_id": "r.id",
    "started_at": "CASE WHEN b.started_at IS NOT NULL THEN r.started_at END",
    # Every block takes as long as the run: they stand beside each other.
    "finished_at": "r.started_at + make_interval(secs => r.ms / 1000.0)",
    "created_at": "r.started_at",
}


@dataclass(frozen=True, slots=True)
class Past:
    """One run of the past: how long it and each of its blocks took, how long ago it ended, and whether it failed."""

    ms: int
    ago: timedelta = timedelta(days=1)
    failed: bool = False


def copy_run(original: Execution, pasts: Sequence[Past], *, failing_block: str = "") -> list[Execution]:
    """Make ended runs like ``original``, oldest first; in those that failed ``failing_block`` did."""
    runs = []
    for past in pasts:
        run = Execution.objects.get(pk=original.pk)
        run.pk, run.public_id = None, new_execution_id()
        run.started_at = timezone.now() - past.ago - timedelta(milliseconds=past.ms)
        run.completed_at = timezone.now() - past.ago
        run.active_ms, run.digested_generation = past.ms, 0
        run.status = "FAILED" if past.failed else "COMPLETED"
        runs.append(run)
    made = Execution.objects.bulk_create(runs)
    ExecutionInput.objects.bulk_create(ExecutionInput(execution=run, input={}) for run in made)
    _copy_blocks(original, made, pasts, failing_block)
    return made


def _copy_blocks(
    original: Execution, runs: Sequence[Execution], pasts: Sequence[Past], failing_block: str
) -> None:
    names = [str(field.column) for field in BlockExecution._meta.concrete_fields if not field.primary_key]
    status = "CASE WHEN r.failed AND b.block_id = %s THEN 'FAILED' ELSE b.status END"
    values = [status if name == "status" else EXCHANGED.get(name, f"b.{name}") for name in names]
    statement = COPY_BLOCKS.format(columns=", ".join(names), values=", ".join(values))
    parameters: list[Any] = [
        failing_block,
        [run.pk for run in runs],
        [run.started_at for run in runs],
        [past.ms for past in pasts],
        [past.failed for past in pasts],
        original.pk,
        failing_block,
        original.pk,
        failing_block,
        original.pk,
    ]
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def make_predictor(template: Template, *, useful: bool = True) -> FailurePredictor:
    """Make what predicts the failure of a template's runs, as if it had been fitted."""
    model = Model(
        [0.0] * len(NAMES), [1.0] * len(NAMES), -1.0, [0.1 * number for number in range(len(NAMES))]
    )
    return FailurePredictor.objects.create(
        template=template,
        workspace=template.workspace,
        model=asdict(model),
        useful=useful,
        fitted_on=210,
        judged_on=90,
        base_rate=0.2,
        brier=0.12,
        base_brier=0.16,
        fitted_at=timezone.now(),
    )
