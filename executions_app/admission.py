"""Admission: a template's limit decides how many of its runs are under way at once.

A start beyond the limit is accepted and held back: it has its row and its first events, and no blocks yet. When a run
of the template ends, the oldest that is held back begins; the sweeper admits whoever was forgotten. Who counts, counts
under the limit's row lock. Lock order: limit, then runs that are held back, without waiting for them.
"""

import logging

from django.db import connection

from executions_app.dispatch import send_aftermath
from executions_app.finishing import Aftermath, conclude_locked
from executions_app.run_state import RunState, lock_run
from executions_app.settlement import Settler
from executions_app.transaction import DATABASE_GONE, EngineTransaction, command_transaction
from templates_app.plans import compiled_version

logger = logging.getLogger(__name__)

LOCK_LIMIT = """
    SELECT l.max_concurrency FROM executions_app_concurrencylimit l
    JOIN templates_app_template t ON t.workspace_id = l.workspace_id AND t.public_id = l.key
    WHERE t.id = %s AND l.kind = 'template' FOR NO KEY UPDATE OF l
"""
COUNT = """
    SELECT count(*) FILTER (WHERE NOT held_back) AS under_way,
        count(*) FILTER (WHERE held_back AND status <> 'PAUSED') AS held_back
    FROM executions_app_execution
    WHERE template_id = %s AND completed_at IS NULL AND parent_id IS NULL AND id <> %s
"""
OLDEST = """
    SELECT id FROM executions_app_execution WHERE template_id = %s AND held_back AND status <> 'PAUSED'
    ORDER BY id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
"""
AWAITED = "SELECT DISTINCT template_id FROM executions_app_execution WHERE held_back AND status <> 'PAUSED'"


def begin_or_hold_back(tx: EngineTransaction, run: RunState, settler: Settler) -> None:
    """Begin a run that has no blocks yet, or hold it back where its template's limit is reached.

    A sub-workflow is a part of a run that was admitted: were it held back, runs could wait for each other for ever.
    """
    counts = run.template_limits and run.parent_block_execution_id is None
    limit = _reached_limit(tx, run) if counts else None
    if limit is None:
        settler.begin()
        return
    run.held_back = True
    settler.journal.event("execution_queued", data={"maxConcurrency": limit})


def _reached_limit(tx: EngineTransaction, run: RunState) -> int | None:
    limit = tx.run(LOCK_LIMIT, (run.template_id,)).fetchone()
    if limit is None:
        return None
    counted = tx.one(COUNT, (run.template_id, run.id))
    reached = counted.under_way >= limit.max_concurrency or counted.held_back
    return int(limit.max_concurrency) if reached else None


def admit(template_id: int) -> None:
    """Begin the runs of a template that are held back, the oldest first, as far as its limit allows."""
    try:
        while (admitted := _admit_one(template_id)) is not None:
            send_aftermath(admitted[1], admitted[0])
    except DATABASE_GONE as error:
        logger.warning("held back runs of template %s are left to the sweeper: %s", template_id, error)
        connection.close()


def find_awaited_templates() -> list[int]:
    """Return the ids of the templates of which runs are held back."""
    with connection.cursor() as cursor:
        cursor.execute(AWAITED)
        return [template_id for (template_id,) in cursor.fetchall()]


def _admit_one(template_id: int) -> tuple[int, Aftermath] | None:
    with command_transaction() as tx:
        limit = tx.run(LOCK_LIMIT, (template_id,)).fetchone()
        if limit is not None and tx.one(COUNT, (template_id, 0)).under_way >= limit.max_concurrency:
            return None
        oldest = tx.run(OLDEST, (template_id,)).fetchone()
        run = None if oldest is None else lock_run(tx, oldest.id)
        if run is None:
            return None
        settler = Settler(tx, run, compiled_version(run.version_id))
        run.held_back = False
        settler.journal.event("execution_admitted")
        settler.begin()
        return run.id, conclude_locked(settler)
