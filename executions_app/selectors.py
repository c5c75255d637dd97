"""Reads: executions and what is written down about them; the number of queries does not grow with the run."""

from dataclasses import dataclass

from django.db.models import QuerySet
from pydantic import JsonValue

from executions_app.errors import ExecutionNotFound
from executions_app.models import BlockExecution, ContextValue, Execution, ExecutionEvent, ExecutionLog
from workflow_service.accounts.models import Workspace
from workflow_service.engine.definition import JsonObject
from workflow_service.engine.plan import NodeKind
from workflow_service.engine.states import BlockStatus, ExecutionStatus


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is. ``percentage`` counts skipped blocks as done, and is 100 only when the run completed."""

    total_blocks: int
    completed_blocks: int
    current_blocks: int
    failed_blocks: int
    percentage: int


def get_execution(workspace: Workspace, execution_id: str) -> Execution:
    """Return the execution of that public id, with its template, version and input; raises ``ExecutionNotFound``."""
    execution = (
        Execution.objects.select_related("template", "version", "workspace", "created_by", "given")
        .filter(workspace=workspace, public_id=execution_id)
        .first()
    )
    if execution is None:
        raise ExecutionNotFound(f"there is no execution '{execution_id[:64]}' in this workspace")
    return execution


def list_executions(
    workspace: Workspace, *, status: str | None = None, template_id: str | None = None
) -> QuerySet[Execution]:
    """Return the workspace's executions, newest first; ``template_id`` is a public id."""
    rows = Execution.objects.filter(workspace=workspace)
    if status is not None:
        rows = rows.filter(status=status)
    if template_id is not None:
        rows = rows.filter(template__public_id=template_id)
    return rows.select_related("template", "version", "workspace", "created_by").order_by("-id")


def block_rows(execution: Execution) -> list[BlockExecution]:
    """Return the run's blocks that anything has been decided about, with their outputs, in the order they came up.

    Of a block in a loop it is the row of the last round: as many rows at most as the workflow has blocks.
    """
    rows = BlockExecution.objects.filter(execution=execution, kind=NodeKind.BLOCK, superseded=False)
    newest = rows.exclude(status=BlockStatus.PENDING).order_by("node", "-id").distinct("node")
    return sorted(newest.select_related("result"), key=lambda row: row.pk)


def list_block_runs(
    execution: Execution,
    *,
    block_id: str | None = None,
    status: str | None = None,
    superseded: bool = False,
) -> QuerySet[BlockExecution]:
    """Return every time a block of the run ran or is to run: rounds of loops, items of maps, in the order they came up.

    ``superseded``: those too that a restart has put aside.
    """
    rows = BlockExecution.objects.filter(
        execution=execution, kind__in=(BlockExecution.Kind.BLOCK, BlockExecution.Kind.ITEM)
    )
    if not superseded:
        rows = rows.filter(superseded=False)
    if block_id is not None:
        rows = rows.filter(block_id=block_id)
    if status is not None:
        rows = rows.filter(status=status)
    return rows.select_related("result").order_by("id")


def events_after(execution: Execution, seq: int, limit: int) -> list[ExecutionEvent]:
    """Return at most ``limit`` events of the run with a number above ``seq``, in order."""
    rows = ExecutionEvent.objects.filter(execution_id=execution.pk, seq__gt=seq)
    return list(rows.order_by("seq")[:limit])


def event_message(event: ExecutionEvent, execution_id: str) -> JsonObject:
    """Return an event as clients get it, by socket and by polling; ``execution_id`` is the public id."""
    return {
        "type": event.type,
        "seq": event.seq,
        "executionId": execution_id,
        "timestamp": event.created_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "blockId": event.block_id or None,
        "data": event.data,
    }


def list_logs(
    execution: Execution,
    *,
    min_level: int | None = None,
    block_id: str | None = None,
    search: str | None = None,
) -> QuerySet[ExecutionLog]:
    """Return the run's log lines, oldest first; ``search``: part of the message, whatever the case."""
    rows = ExecutionLog.objects.filter(execution_id=execution.pk)
    if min_level is not None:
        rows = rows.filter(level__gte=min_level)
    if block_id is not None:
        rows = rows.filter(block_id=block_id)
    if search:
        rows = rows.filter(message__icontains=search)
    return rows.order_by("id")


def context_of(execution: Execution) -> dict[str, JsonValue]:
    """Return the current value of every name in the run's context, in the order they were written."""
    rows = (
        ContextValue.objects.filter(execution_id=execution.pk, superseded=False)
        .order_by("key", "-seq")
        .distinct("key")
    )
    newest = sorted(rows.values_list("seq", "key", "value"), key=lambda row: row[:2])
    return {key: value for _, key, value in newest}


def progress_of(execution: Execution, current_blocks: int) -> Progress:
    """Return how far the run is, by the counters of its row."""
    done = execution.completed_blocks + execution.skipped_blocks
    share = 100 * done // execution.total_blocks if execution.total_blocks else 0
    completed = execution.status == ExecutionStatus.COMPLETED
    return Progress(
        total_blocks=execution.total_blocks,
        completed_blocks=execution.completed_blocks,
        current_blocks=current_blocks,
        failed_blocks=execution.failed_blocks,
        percentage=100 if completed else min(share, 99),
    )
