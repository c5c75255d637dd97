"""Blocks that overran their timeout and did not stop by themselves: their process is killed, and the try has failed.

A worker stops its block by a timer of its own. Work that blocks signals, or never lets the interpreter run, is killed
by the parent of its process (``leases.py``) once the row's ``due_at`` has passed; the row then fails like any timeout,
and spends a retry, whoever finds it: the parent, or the sweeper where the whole machine is gone.
"""

from datetime import timedelta

from django.db import connection
from psycopg.types.json import Jsonb

from executions_app.block_rules import retry_decision, timeout_s
from executions_app.run_state import RunState
from executions_app.settlement import Error, Settler
from executions_app.transaction import EngineTransaction
from templates_app.plans import compiled_version
from workflow_service.engine.states import ErrorType

# The parent kills first; who is still RUNNING so long after that has no parent that could.
ABANDONED_AFTER_S = 15

ABANDONED = """
    SELECT execution_id, id, fence FROM executions_app_blockexecution
    WHERE status = 'RUNNING' AND worker_id IS NOT NULL
        AND due_at <= clock_timestamp() - make_interval(secs => %s) LIMIT 1000
"""
TIME_OUT = """
    UPDATE executions_app_blockexecution SET status = %s, error = %s, holds_slot = false, fence = fence + 1,
        retries = retries + %s, worker_id = NULL, finished_at = %s, due_at = %s
    WHERE id = %s AND fence = %s AND status = 'RUNNING' RETURNING id, block_id, agent_id, retries
"""


def find_abandoned() -> list[tuple[int, int, int]]:
    """Return (execution id, row id, fence) of the blocks that overran their time and that nobody stopped."""
    with connection.cursor() as cursor:
        cursor.execute(ABANDONED, [ABANDONED_AFTER_S])
        return list(cursor.fetchall())


def time_out_block(
    tx: EngineTransaction,
    run: RunState,
    settler: Settler,
    *,
    row_id: int,
    node: int,
    fence: int,
    retries: int,
) -> bool:
    """Fail the try of a RUNNING block of a locked run with TIMEOUT_ERROR: it is tried again, or has failed for good.

    Returns False where the row is no longer that claim's.
    """
    block = settler.plan.nodes[node].block
    error: Error = {
        "type": ErrorType.TIMEOUT_ERROR,
        "message": f"no result within {timeout_s(block):g} s; it did not stop and was killed",
        "details": {"killed": True},
        "retryable": True,
    }
    decision = retry_decision(
        block,
        compiled_version(run.version_id),
        error_type=ErrorType.TIMEOUT_ERROR,
        retryable=True,
        retries_so_far=retries,
    )
    due_at = run.now + timedelta(seconds=decision.delay_s) if decision.retry else None
    row = tx.run(
        TIME_OUT,
        (
            "RETRYING" if decision.retry else "FAILED", Jsonb(error), int(decision.retry),
            None if decision.retry else run.now, due_at, row_id, fence,
        ),
    ).fetchone()  # fmt: skip
    if row is None:
        return False
    run.slots -= 1
    if decision.retry:
        settler.journal.event(
            "block_retrying",
            row.block_id,
            {"error": error, "retryCount": row.retries, "delayMs": round(decision.delay_s * 1_000)},
            row_id=row.id,
        )
    settler.journal.log("WARNING", f"Block {row.block_id} overran its timeout and was killed", row)
    return True
