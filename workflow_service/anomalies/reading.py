"""Facts of runs, read in two statements however many runs and blocks there are."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from django.db import connection

from workflow_service.anomalies.facts import BlockFacts, RunFacts
from workflow_service.engine.states import ExecutionStatus

# An output of megabytes is not written out to be measured: as it is stored it is smaller.
MEASURED_BYTES = 1_000_000
BLOCKS = """
    SELECT b.execution_id, b.block_id,
        extract(epoch FROM min(b.started_at) - e.started_at) * 1000,
        -- While a row is at work, or still to run, its block has not finished.
        CASE WHEN bool_and(b.status IN ('COMPLETED', 'FAILED', 'REJECTED', 'SKIPPED', 'CANCELLED'))
            THEN extract(epoch FROM max(coalesce(b.finished_at, b.created_at)) - e.started_at) * 1000 END,
        max(extract(epoch FROM b.finished_at - b.started_at) * 1000) FILTER (
            WHERE b.status = 'COMPLETED' AND b.waits_for NOT IN ('person', 'timer', 'signal')),
        max(CASE WHEN pg_column_size(o.value) < %s THEN octet_length(o.value::text)
            ELSE pg_column_size(o.value) END) FILTER (WHERE b.status = 'COMPLETED'),
        bool_or(b.status = 'FAILED' OR b.stand_in = 'default')
    FROM executions_app_blockexecution b
    JOIN executions_app_execution e ON e.id = b.execution_id
    LEFT JOIN executions_app_blockoutput o ON o.block_execution_id = b.id
    WHERE b.execution_id = ANY(%s) AND NOT b.superseded AND b.kind IN ('block', 'item') AND b.status <> 'PENDING'
    GROUP BY b.execution_id, b.block_id, e.started_at
"""
RUNS = """
    SELECT e.id, e.public_id, e.workspace_id, e.template_id, e.version_id, e.status, e.generation, e.active_ms,
        extract(epoch FROM coalesce(e.completed_at, clock_timestamp()) - e.started_at) * 1000,
        e.completed_at IS NOT NULL AND e.completed_at > clock_timestamp() - make_interval(secs => %s),
        CASE WHEN e.status = 'COMPLETED' THEN (
            SELECT string_agg(DISTINCT taken.key, ',' ORDER BY taken.key)
            FROM executions_app_blockexecution b, jsonb_each_text(b.outcomes) AS taken
            WHERE b.execution_id = e.id AND NOT b.superseded AND taken.value = 'taken') END,
        ARRAY(SELECT extract(epoch FROM a.created_at - e.started_at) * 1000 FROM executions_app_recoveryaction a
            WHERE a.execution_id = e.id)
    FROM executions_app_execution e WHERE e.id = ANY(%s) ORDER BY e.completed_at, e.id
"""
# What ended longer ago is recorded, and told to nobody: it is no news.
FRESH_S = 3_600


@dataclass(frozen=True, slots=True)
class ReadRun:
    """One run with its facts. ``took_ms`` is the time since its start, to its end if it has one."""

    id: int
    public_id: str
    workspace_id: int
    template_id: int
    version_id: int
    generation: int
    took_ms: int
    is_fresh: bool
    facts: RunFacts


def read_runs(ids: Sequence[int]) -> list[ReadRun]:
    """Return runs with their facts, in the order in which they ended."""
    blocks: dict[int, dict[str, BlockFacts]] = defaultdict(dict)
    for execution_id, block_id, *columns in _rows(BLOCKS, [MEASURED_BYTES, list(ids)]):
        blocks[execution_id][block_id] = _block(*columns)
    return [_run(row, blocks) for row in _rows(RUNS, [FRESH_S, list(ids)])]


def _run(row: Sequence[Any], blocks: dict[int, dict[str, BlockFacts]]) -> ReadRun:
    pk, public_id, workspace, template, version, status, generation, active_ms, took, fresh, path, moments = (
        row
    )
    completed = status == ExecutionStatus.COMPLETED
    ended = completed or status == ExecutionStatus.FAILED
    facts = RunFacts(
        blocks=blocks.get(pk, {}),
        duration_ms=int(active_ms) if completed and generation == 1 else None,
        path=sha256((path or "").encode()).hexdigest()[:16] if completed else None,
        recoveries_ms=sorted(int(moment) for moment in moments),
        failed=status == ExecutionStatus.FAILED if ended else None,
    )
    return ReadRun(pk, public_id, workspace, template, version, generation, int(took), fresh, facts)


def _block(started: Any, finished: Any, took: Any, size: Any, failed: bool) -> BlockFacts:
    return BlockFacts(_whole(started), _whole(finished), _whole(took), _whole(size), bool(failed))


def _whole(number: Any) -> int | None:
    return None if number is None else round(number)


def _rows(statement: str, parameters: Iterable[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, list(parameters))
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows
