"""Runs of the past, written down as rows: no service can be told when a run was, or how long it took."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from executions_app.digest import digest_ended_runs
from executions_app.models import BlockExecution, Execution, RecoveryAction
from templates_app.models import Template, TemplateVersion


@dataclass(frozen=True)
class PastBlock:
    """One block execution: ``took_ms`` after those before it; ``failures`` of its work were retried."""

    block_id: str
    took_ms: float = 1.0
    status: str = "COMPLETED"
    error: str = ""
    failures: int = 0


def past_run(
    template: Template,
    started_at: datetime,
    blocks: Iterable[PastBlock],
    status: str = "COMPLETED",
    version: TemplateVersion | None = None,
) -> Execution:
    """Write a run down whose blocks ran one after the other; it ended with the last."""
    pinned = version or template.current_version
    assert pinned is not None
    execution = Execution.objects.create(
        workspace=template.workspace,
        template=template,
        version=pinned,
        created_by=template.owner,
        status=status,
        started_at=started_at,
    )
    moment = started_at
    for node, block in enumerate(blocks):
        finished = moment + timedelta(milliseconds=block.took_ms)
        row = BlockExecution.objects.create(
            execution=execution,
            node=node,
            block_id=block.block_id,
            status=block.status,
            settled=True,
            retries=block.failures,
            error={"type": block.error} if block.status == "FAILED" else None,
            created_at=moment,
            started_at=moment,
            finished_at=finished,
        )
        for attempt in range(block.failures):
            _failure(execution, row, attempt + 1, block)
        moment = finished
    if status in ("COMPLETED", "FAILED", "CANCELLED"):
        execution.completed_at = moment
        execution.save(update_fields=["completed_at"])
    return execution


def _failure(execution: Execution, row: BlockExecution, attempt: int, block: PastBlock) -> None:
    RecoveryAction.objects.create(
        workspace=execution.workspace,
        execution=execution,
        block_execution=row,
        block_id=block.block_id,
        attempt=attempt,
        error_class="TRANSIENT",
        error_type=block.error,
        fingerprint="",
        strategy="retry",
        reason="it may pass",
        outcome="succeeded" if block.status == "COMPLETED" else "failed",
        created_at=row.created_at,
    )


def count_all() -> None:
    """Have every run that has ended counted."""
    while digest_ended_runs():
        pass
