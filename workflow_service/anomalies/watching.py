"""Blocks that run longer than is usual are found while they run: looked for by the sweeper, a few seconds apart.

How long is unusual was worked out when the last run was learned from, so a look is one statement. A run is locked
to be told so, and only if nobody else has it: whoever has is about to change it, and it is looked at again.
"""

import time

from django.db import connection

from executions_app.run_state import try_lock_run
from executions_app.transaction import command_transaction
from workflow_service.anomalies.detection import Finding, Kind, allowance
from workflow_service.anomalies.history import durations
from workflow_service.anomalies.models import BlockHistory
from workflow_service.anomalies.telling import Found, record

LOOK_EVERY_S = 5
RUNS_PER_LOOK = 20
_looked_at = float("-inf")

LONG_RUNNING = """
    SELECT b.execution_id, b.block_id, h.id, max(extract(epoch FROM clock_timestamp() - b.started_at)) * 1000
    FROM executions_app_blockexecution b
    JOIN executions_app_execution e ON e.id = b.execution_id
    JOIN anomalies_blockhistory h ON h.version_id = e.version_id AND h.block_id = b.block_id
    WHERE b.status = 'RUNNING' AND b.worker_id IS NOT NULL
        AND b.started_at < clock_timestamp() - make_interval(secs => h.long_ms / 1000.0)
        AND NOT EXISTS (SELECT FROM anomalies_anomaly a
            WHERE a.execution_id = b.execution_id AND a.kind = 'duration' AND a.block_id = b.block_id)
    GROUP BY b.execution_id, b.block_id, h.id ORDER BY b.execution_id LIMIT %s
"""


def watch_running_blocks() -> int:
    """Find blocks that run for unusually long, where a look is due; returns how many were found."""
    global _looked_at
    now = time.monotonic()
    if now - _looked_at < LOOK_EVERY_S:
        return 0
    _looked_at = now
    return find_long_running()


def find_long_running() -> int:
    """Find blocks that run for unusually long, and tell of each once; returns how many were found."""
    with connection.cursor() as cursor:
        cursor.execute(LONG_RUNNING, [RUNS_PER_LOOK])
        rows = cursor.fetchall()
    return sum(
        _tell(execution_id, block_id, history, float(ms)) for execution_id, block_id, history, ms in rows
    )


def _tell(execution_id: int, block_id: str, history_id: int, ran_ms: float) -> int:
    finding = _finding(block_id, history_id, ran_ms)
    if finding is None:
        return 0
    with command_transaction() as tx:
        run = try_lock_run(tx, execution_id)
        if run is None or run.completed_at is not None:
            return 0
        return record([Found(execution_id, [finding], while_running=True)])


def _finding(block_id: str, history_id: int, ran_ms: float) -> Finding | None:
    row = BlockHistory.objects.get(pk=history_id)
    window = durations(row.durations_ms)
    spread = window.spread()
    blocks = BlockHistory.objects.filter(version=row.version_id).count()
    expected = window.expected(allowance(2 * blocks))
    if spread is None or expected is None:
        return None
    probability = spread.probability(window.scaled(round(ran_ms)))
    return Finding(Kind.DURATION, block_id, round(ran_ms), *expected, probability, spread.count)
