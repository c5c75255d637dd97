"""Blocks that overran their timeout and did not stop by themselves: their process is killed, and the try has failed.

A worker stops its block by a timer of its own. Work that blocks signals, or never lets the interpreter run, is killed
by the parent of its process (``leases.py``) once the row's ``due_at`` has passed; the row then fails like any timeout
and goes up the recovery ladder, whoever finds it: the parent, or the sweeper where the whole machine is gone.
"""

from django.db import connection

from executions_app.block_rules import timeout_s
from executions_app.settlement import Error
from workflow_service.engine.definition import Block
from workflow_service.engine.states import ErrorType

# The parent kills first; who is still RUNNING so long after that has no parent that could.
ABANDONED_AFTER_S = 15

ABANDONED = """
    SELECT execution_id, id, fence FROM executions_app_blockexecution
    WHERE status = 'RUNNING' AND worker_id IS NOT NULL
        AND due_at <= clock_timestamp() - make_interval(secs => %s)
    ORDER BY due_at LIMIT 1000
"""


def find_abandoned() -> list[tuple[int, int, int]]:
    """Return (execution id, row id, fence) of the blocks that overran their time and that nobody stopped."""
    with connection.cursor() as cursor:
        cursor.execute(ABANDONED, [ABANDONED_AFTER_S])
        return list(cursor.fetchall())


def overrun_error(block: Block) -> Error:
    """Return what is wrong with a block that was killed because it overran its time."""
    return {
        "type": ErrorType.TIMEOUT_ERROR,
        "message": f"no result within {timeout_s(block):g} s; it did not stop and was killed",
        "details": {"killed": True},
        "retryable": True,
    }
