"""Maps that are restarted for their failed items only: what succeeded is taken over, the rest runs again."""

from typing import Any

from executions_app.maps import COLLECT, RELEASE_ITEMS, window_of
from executions_app.reopening import insert_waiting
from executions_app.settlement import Settler
from workflow_service.engine.rounds import Place
from workflow_service.engine.states import BlockStatus

ENDED_SCOPE = """
    SELECT id, total FROM executions_app_scope WHERE block_execution_id = %s AND kind = 'map' ORDER BY id DESC LIMIT 1
"""
INSERT_SCOPE = """
    INSERT INTO executions_app_scope (execution_id, generation, kind, superseded, parent_scope_id, parent_index, ended,
        closed, round, first_round, broken, back, exits, arrivals, counts, completed_items, failed_items,
        block_execution_id, total, open, created_at)
    VALUES (%s, %s, 'map', false, %s, %s, false, false, 0, 0, false, '{}', '{}', '{}', '{}', 0, 0, %s, %s, 0, %s)
    RETURNING id
"""
INSERT_ITEMS = """
    INSERT INTO executions_app_blockexecution (execution_id, scope_id, node, kind, block_id, item_index, generation,
        status, fence, retries, losses, settled, unrecorded_start, holds_slot, taken, dead, lost, origins, queue,
        agent_id, created_at, sends, item, input, stand_in, started_at, finished_at)
    SELECT execution_id, %(scope)s, node, 'item', block_id, item_index, %(generation)s,
        CASE WHEN done THEN status ELSE 'PENDING' END, 0, 0, 0, done, false, false, 0, 0, 0, '{}', queue,
        CASE WHEN done THEN agent_id ELSE '' END, %(now)s, 0, item, CASE WHEN done THEN input END,
        CASE WHEN done THEN stand_in ELSE '' END, CASE WHEN done THEN started_at END,
        CASE WHEN done THEN finished_at END
    FROM (SELECT b.*, b.status = 'SKIPPED' OR b.status = 'COMPLETED' AND NOT EXISTS (
              SELECT 1 FROM executions_app_blockexecution u
              WHERE u.execution_id = b.execution_id AND u.scope_id = -b.id AND u.kind = 'undo'
                  AND u.started_at IS NOT NULL AND u.status NOT IN ('FAILED', 'REJECTED')) AS done
          FROM executions_app_blockexecution b
          WHERE b.execution_id = %(run)s AND b.scope_id = %(old)s ORDER BY b.item_index) AS items
"""
COPY_OUTPUTS = """
    INSERT INTO executions_app_blockoutput (block_execution_id, execution_id, block_id, value, created_at)
    SELECT n.id, o.execution_id, o.block_id, o.value, o.created_at
    FROM executions_app_blockexecution n
    JOIN executions_app_blockexecution b ON b.execution_id = n.execution_id AND b.scope_id = %(old)s
        AND b.item_index = n.item_index AND b.node = n.node
    JOIN executions_app_blockoutput o ON o.block_execution_id = b.id
    WHERE n.execution_id = %(run)s AND n.scope_id = %(scope)s AND n.status = 'COMPLETED'
"""
COUNT_ITEMS = """
    UPDATE executions_app_scope SET completed_items = done.number, open = least(total - done.number, %s)
    FROM (SELECT count(*) AS number FROM executions_app_blockexecution
          WHERE execution_id = %s AND scope_id = %s AND settled) AS done
    WHERE id = %s RETURNING open, completed_items
"""
END_SCOPE = "UPDATE executions_app_scope SET ended = true, closed = true WHERE id = %s"
KEPT_ITEMS = """
    SELECT item_index, status FROM executions_app_blockexecution
    WHERE execution_id = %s AND scope_id = %s AND settled ORDER BY item_index
"""


def resume_map(settler: Settler, row: Any, place: Place) -> bool:
    """Run the failed items of a map again; False where the row is no map's that came to its items.

    The map and its items get rows in the run's new generation; items that succeeded have theirs settled.
    """
    tx, run = settler.tx, settler.run
    old = tx.run(ENDED_SCOPE, (row.id,)).fetchone()
    block = settler.plan.nodes[row.node].block
    if old is None or block is None:
        return False
    made = insert_waiting(settler, row, place, "items")
    scope = tx.one(
        INSERT_SCOPE, (run.id, run.generation, place.scope, place.index, made, old.total, run.now)
    ).id
    names = {"run": run.id, "old": old.id, "scope": scope, "generation": run.generation, "now": run.now}
    tx.run(INSERT_ITEMS, names)
    tx.run(COPY_OUTPUTS, names)
    counted = tx.one(COUNT_ITEMS, (window_of(block, old.total), run.id, scope, scope))
    tx.run(RELEASE_ITEMS, (run.id, scope, counted.open))
    run.active += counted.open
    settler.progress.add_ready(counted.open)
    settler.journal.event("map_expanded", row.block_id, {"scope": scope, "resumed": True}, row_id=made)
    kept = tx.run(KEPT_ITEMS, (run.id, scope)).fetchall()
    for event, status in (("items_kept", BlockStatus.COMPLETED), ("blocks_skipped", BlockStatus.SKIPPED)):
        items = [item.item_index for item in kept if item.status == status]
        if items:
            settler.journal.list_event(event, [row.block_id], Place(scope), items=items)
    if not counted.open:
        _collect(settler, row.block_id, made, scope, counted.completed_items)
    return True


def _collect(settler: Settler, block_id: str, row_id: int, scope: int, succeeded: int) -> None:
    """Let a map collect at once whose items are all done: it failed afterwards."""
    settler.tx.run(END_SCOPE, (scope,))
    settler.tx.run(COLLECT, (row_id,))
    settler.run.active += 1
    settler.progress.add_ready(1)
    settler.journal.event("map_ended", block_id, {"succeeded": succeeded, "failed": 0}, row_id=row_id)
