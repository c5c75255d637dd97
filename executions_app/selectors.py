"""Reads: executions and what is written down about them; the number of queries does not grow with the run."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import BigIntegerField, Func, Q, QuerySet
from pydantic import JsonValue

from executions_app.errors import ExecutionNotFound
from executions_app.models import (
    BlockExecution,
    ContextValue,
    Execution,
    ExecutionEvent,
    ExecutionLog,
    RecoveryAction,
    block_execution_id,
)
from workflow_service.accounts.models import Workspace
from workflow_service.engine.definition import JsonObject
from workflow_service.engine.plan import NodeKind
from workflow_service.engine.states import BlockStatus, ExecutionStatus

PLACES = """
    WITH RECURSIVE above AS (
        SELECT id AS row_id, scope_id, item_index AS at, 0 AS depth FROM executions_app_blockexecution
        WHERE id = ANY(%s)
        UNION ALL
        SELECT a.row_id, s.parent_scope_id, s.parent_index, a.depth + 1
        FROM above a JOIN executions_app_scope s ON s.id = a.scope_id
    )
    SELECT row_id, array_agg(at ORDER BY depth) FROM above GROUP BY row_id
"""


class OldestTransaction(Func):
    """The least number of a transaction that is still open: what has a lower one is all there."""

    template = "pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
    output_field = BigIntegerField()


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


def children_of(execution: Execution) -> QuerySet[Execution]:
    """Return the runs that blocks of this one started, oldest first; those that were let go of included."""
    return Execution.objects.filter(parent=execution).order_by("id")


def block_rows(execution: Execution) -> list[BlockExecution]:
    """Return the run's blocks that anything has been decided about, with their outputs, in the order they came up.

    Of a block in a loop it is the row of the last round: as many rows at most as the workflow has blocks.
    """
    rows = BlockExecution.objects.filter(execution=execution, kind=NodeKind.BLOCK, superseded=False)
    newest = rows.exclude(status=BlockStatus.PENDING).order_by("node", "-id").distinct("node")
    return sorted(newest.select_related("result"), key=lambda row: row.pk)


def places_in_run(block_execution_ids: Collection[int]) -> dict[int, tuple[int, ...]]:
    """Return where each of a run's rows stands: its item or round, and those that it is within, from the inside out.

    A restart gives a loop or map another row; the place stays.
    """
    with connection.cursor() as cursor:
        cursor.execute(PLACES, [list(block_execution_ids)])
        return {row_id: tuple(place) for row_id, place in cursor.fetchall()}


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


def events_after(
    execution: Execution, seq: int, limit: int, types: Sequence[str] = ()
) -> list[ExecutionEvent]:
    """Return at most ``limit`` events of the run with a number above ``seq``, in order; of ``types`` where given."""
    rows = ExecutionEvent.objects.filter(execution_id=execution.pk, seq__gt=seq)
    if types:
        rows = rows.filter(type__in=types)
    return list(rows.order_by("seq")[:limit])


def timestamp(at: datetime) -> str:
    """Return a moment as the API writes it, in UTC to the microsecond."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def event_message(event: ExecutionEvent, execution_id: str) -> JsonObject:
    """Return an event as clients get it, by socket and by polling; ``execution_id`` is the public id."""
    return {
        "type": event.type,
        "seq": event.seq,
        "executionId": execution_id,
        "timestamp": timestamp(event.created_at),
        "blockId": event.block_id or None,
        "blockExecutionId": None
        if event.block_execution_id is None
        else block_execution_id(event.block_execution_id),
        "data": event.data,
    }


def logs_after(execution: Execution, line: int, limit: int) -> tuple[list[ExecutionLog], bool]:
    """Return at most ``limit`` of the run's log lines after ``line``, and whether others wait to be next.

    One who goes on by these misses none: ids are given out before the commit, so a lower one may appear later.
    Lines are therefore in the order of the transactions that wrote them, and those of a transaction wait until
    none that is older can write any more.
    """
    rows = ExecutionLog.objects.filter(execution_id=execution.pk)
    # A line that was removed meanwhile is stood in for by the one before it.
    last = rows.filter(pk__lte=line).order_by("-pk").values_list("transaction", "pk").first()
    if last is not None:
        rows = rows.filter(Q(transaction__gt=last[0]) | Q(transaction=last[0], pk__gt=last[1]))
    found: list[Any] = list(rows.annotate(oldest=OldestTransaction()).order_by("transaction", "pk")[:limit])
    lines = [row for row in found if row.transaction < row.oldest]
    return lines, len(lines) < len(found)


def log_document(line: ExecutionLog, execution_id: str) -> JsonObject:
    """Return a log line as clients get it; ``execution_id`` is the run's public id."""
    return {
        "id": f"log_{line.pk:03d}",
        "timestamp": timestamp(line.created_at),
        "level": ExecutionLog.Level(line.level).name,
        "message": line.message,
        "blockId": line.block_id or None,
        "agentId": line.agent_id or None,
        "executionId": execution_id,
        "context": line.context,
        "stackTrace": line.stack_trace or None,
    }


def log_message(line: ExecutionLog, execution_id: str) -> JsonObject:
    """Return a log line as sockets send it; ``cursor`` is what to give as ``after_log`` to go on behind it."""
    return {
        "type": "log",
        "cursor": line.pk,
        "executionId": execution_id,
        "log": log_document(line, execution_id),
    }


def reporting_blocks(execution: Execution) -> list[BlockExecution]:
    """Return the run's blocks at work that have said how far they are."""
    rows = BlockExecution.objects.filter(execution=execution, status="RUNNING", progress__isnull=False)
    return list(rows.only("id", "block_id", "progress").order_by("id"))


def progress_message(block: BlockExecution, execution_id: str) -> JsonObject:
    """Return how far a block says it is, as sockets send it."""
    return {
        "type": "progress",
        "executionId": execution_id,
        "blockId": block.block_id,
        "blockExecutionId": block.public_id,
        "progress": block.progress,
    }


def list_logs(
    execution: Execution,
    *,
    min_level: int | None = None,
    block_id: str | None = None,
    search: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    newest_first: bool = False,
) -> QuerySet[ExecutionLog]:
    """Return the run's log lines in the order they were written.

    ``search`` is a part of the message, whatever the case; ``since`` is included, ``until`` is not.
    """
    rows = ExecutionLog.objects.filter(execution_id=execution.pk)
    if min_level is not None:
        rows = rows.filter(level__gte=min_level)
    if block_id is not None:
        rows = rows.filter(block_id=block_id)
    if search:
        rows = rows.filter(message__icontains=search)
    if since is not None:
        rows = rows.filter(created_at__gte=since)
    if until is not None:
        rows = rows.filter(created_at__lt=until)
    return rows.order_by("-id" if newest_first else "id")


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


def list_recovery_actions(execution: Execution) -> QuerySet[RecoveryAction]:
    """Return what was done about the failures of a run, oldest first."""
    return RecoveryAction.objects.filter(execution=execution).order_by("id")
