"""Results that somebody other than a worker writes: of blocks that waited, and of runs that a block waits for.

Both only finish the block's row. What that means for its run is settled by whoever locks the run next: the caller,
after its commit, or the sweeper.
"""

import json
from typing import Any

from psycopg.types.json import Jsonb
from pydantic import JsonValue

from executions_app.block_rules import output_is_reviewed
from executions_app.run_state import RunState
from executions_app.transaction import EngineTransaction
from templates_app.plans import compiled_version
from workflow_service.engine.states import BlockStatus, ExecutionStatus
from workflow_service.settings.config import get_config

# What a row that waits for a review has as its ``wait_key``; ``output_extra`` is what its block made.
REVIEW = "review"

FINISH_WAIT = """
    UPDATE executions_app_blockexecution SET status = %s, error = %s, finished_at = clock_timestamp()
    WHERE id = %s AND status = 'WAITING' RETURNING output_extra::text AS extra
"""
FINISH_REVIEW = """
    UPDATE executions_app_blockexecution SET status = 'COMPLETED', error = NULL, output_extra = NULL,
        finished_at = clock_timestamp()
    WHERE id = %s AND status = 'WAITING'
"""
_INSERT_OUTPUT = """
    INSERT INTO executions_app_blockoutput (block_execution_id, execution_id, block_id, value, created_at)
    SELECT id, execution_id, CASE kind WHEN 'item' THEN block_id || '[' || item_index || ']' ELSE block_id END, %s,
        clock_timestamp() FROM executions_app_blockexecution
    WHERE id = %s AND fence = %s AND status = 'COMPLETED'
    ON CONFLICT (block_execution_id)
"""
WRITE_OUTPUT = f"{_INSERT_OUTPUT} DO NOTHING"
# Work that is done and does not count has an output.
REPLACE_OUTPUT = f"{_INSERT_OUTPUT} DO UPDATE SET value = EXCLUDED.value, superseded = false"
WAITING_PARENT = """
    SELECT b.id, b.fence, b.node, b.kind, b.execution_id, e.public_id, e.version_id FROM executions_app_blockexecution b
    JOIN executions_app_execution e ON e.id = b.execution_id
    WHERE b.id = %s AND b.status = 'WAITING' AND b.waits_for = 'child' AND b.wait_key = %s FOR UPDATE OF b
"""
# Asked first: what is too large is never fetched.
FINAL_SIZE = """
    SELECT coalesce(sum(octet_length(key) + octet_length(value::text)), 0) AS bytes FROM (
        SELECT DISTINCT ON (key) key, value FROM executions_app_contextvalue
        WHERE execution_id = %s AND NOT superseded ORDER BY key, seq DESC) AS current
"""
FINAL_CONTEXT = """
    SELECT DISTINCT ON (key) key, value::text AS value FROM executions_app_contextvalue
    WHERE execution_id = %s AND NOT superseded ORDER BY key, seq DESC
"""

Error = dict[str, JsonValue]


def complete_wait(tx: EngineTransaction, row: Any, output: JsonValue) -> None:
    """Complete a waiting row (``id`` and ``fence``) that the transaction holds."""
    finished = tx.one(FINISH_WAIT, (BlockStatus.COMPLETED, None, row.id))
    if finished.extra is not None and isinstance(output, dict):
        output = {**json.loads(finished.extra), **output}
    tx.run(WRITE_OUTPUT, (Jsonb(output), row.id, row.fence))


def complete_review(tx: EngineTransaction, row: Any, output: JsonValue) -> None:
    """Complete a waiting row (``id`` and ``fence``), that the transaction holds, with what people have looked at."""
    tx.run(FINISH_REVIEW, (row.id,))
    tx.run(WRITE_OUTPUT, (Jsonb(output), row.id, row.fence))


def fail_wait(
    tx: EngineTransaction, row: Any, error: Error, status: BlockStatus = BlockStatus.FAILED
) -> None:
    """Fail (or reject) a waiting row that the transaction holds."""
    tx.run(FINISH_WAIT, (status, Jsonb(error), row.id))


def report_to_parent(tx: EngineTransaction, run: RunState) -> tuple[int, str] | None:
    """Complete the block of another run that waits for this locked one, once it has completed and is written.

    The output is this run's final context. Returns the parent's row id and public id, or None where nobody waits, the
    block has failed, or people are to look at its output first (``child_ends``). Only the block's row is locked, never
    its run: trees are locked from the top down.
    """
    if run.parent_block_execution_id is None or run.status is not ExecutionStatus.COMPLETED:
        return None
    row = tx.run(WAITING_PARENT, (run.parent_block_execution_id, run.public_id)).fetchone()
    if row is None or output_is_reviewed(compiled_version(row.version_id), row):
        return None
    output = final_context(tx, run.id)
    if output is None:
        return None
    complete_wait(tx, row, output)
    return row.execution_id, row.public_id


def final_context(tx: EngineTransaction, execution_id: int) -> dict[str, JsonValue] | None:
    """Return a run's context; None where it is larger than an output may be."""
    if tx.one(FINAL_SIZE, (execution_id,)).bytes > get_config().max_output_bytes:
        return None
    rows = tx.run(FINAL_CONTEXT, (execution_id,)).fetchall()
    return {row.key: json.loads(row.value) for row in rows}
