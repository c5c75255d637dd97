"""The maps of one locked run: items go out in windows, and the map's block collects them when all have ended.

A map's scope counts its items; settling one releases the next, so that never more than ``maxConcurrency`` are active.
Once more items have failed than the map tolerates nothing is released any more. The map's own block waits meanwhile and
holds no slot; when no item is active it becomes ready again, and a worker collects the results.
"""

from dataclasses import dataclass

from psycopg.types.json import Jsonb
from pydantic import JsonValue

from executions_app.journal import Journal
from executions_app.run_state import RunState
from executions_app.transaction import EngineTransaction
from workflow_service.engine.definition import Block
from workflow_service.engine.plan import Plan
from workflow_service.engine.rounds import Place
from workflow_service.engine.states import BlockStatus

MAP_SCOPE = """
    SELECT s.id, s.block_execution_id, s.total, s.open, s.completed_items, s.failed_items, s.broken, s.ended, b.node
    FROM executions_app_scope s JOIN executions_app_blockexecution b ON b.id = s.block_execution_id
    WHERE s.id = %s
"""
SAVE_MAP = """
    UPDATE executions_app_scope SET open = %s, completed_items = %s, failed_items = %s, broken = %s, ended = %s,
        closed = %s WHERE id = %s
"""
RELEASE_ITEMS = """
    UPDATE executions_app_blockexecution SET status = 'READY' WHERE id IN (
        SELECT id FROM executions_app_blockexecution
        WHERE execution_id = %s AND scope_id = %s AND status = 'PENDING' AND kind = 'item' AND NOT superseded
        ORDER BY item_index LIMIT %s)
"""
CANCEL_ITEMS = """
    UPDATE executions_app_blockexecution SET status = 'CANCELLED', settled = true, finished_at = %s
    WHERE execution_id = %s AND scope_id = %s AND status = 'PENDING' AND kind = 'item' AND NOT superseded
    RETURNING item_index
"""
COLLECT = """
    UPDATE executions_app_blockexecution SET status = 'READY', waits_for = '' WHERE id = %s AND status = 'WAITING'
"""
INSERT_SCOPE = """
    INSERT INTO executions_app_scope (execution_id, generation, kind, superseded, parent_scope_id, parent_index, ended,
        closed, round, first_round, broken, back, exits, arrivals, counts, completed_items, failed_items,
        block_execution_id, total, open, created_at)
    SELECT execution_id, generation, 'map', false, scope_id, item_index, false, false, 0, 0, false, '{}', '{}', '{}',
        '{}', 0, 0, id, %s, %s, clock_timestamp()
    FROM executions_app_blockexecution WHERE id = %s RETURNING id
"""
INSERT_ITEMS = """
    INSERT INTO executions_app_blockexecution (execution_id, scope_id, node, kind, block_id, item_index, generation,
        status, fence, retries, losses, settled, unrecorded_start, holds_slot, taken, dead, lost, origins, queue,
        agent_id, created_at, sends, item)
    SELECT b.execution_id, %s, b.node, 'item', b.block_id, i.position - 1, b.generation,
        CASE WHEN i.position <= %s THEN 'READY' ELSE 'PENDING' END, 0, 0, 0, false, false, false, 0, 0, 0, '{}',
        b.queue, b.agent_id, clock_timestamp(), 0, i.value
    FROM executions_app_blockexecution b, jsonb_array_elements(%s) WITH ORDINALITY AS i(value, position)
    WHERE b.id = %s ORDER BY i.position
"""


@dataclass(slots=True)
class _Map:
    """The counters of one map's scope, as this transaction changes them."""

    id: int
    block_execution_id: int
    total: int
    open: int
    completed_items: int
    failed_items: int
    broken: bool
    ended: bool
    node: int

    @property
    def pending(self) -> int:
        return self.total - self.open - self.completed_items - self.failed_items


class MapRows:
    """Releases the items of one locked run's maps and lets their blocks collect them."""

    def __init__(self, tx: EngineTransaction, run: RunState, plan: Plan, journal: Journal) -> None:
        self._tx = tx
        self._run = run
        self._plan = plan
        self._journal = journal
        self._touched: dict[int, _Map] = {}

    def item_ended(self, scope: int, status: BlockStatus) -> None:
        """Count an item that ended; ``go_on`` decides what follows."""
        found = self._touched.get(scope)
        if found is None:
            found = self._touched[scope] = _Map(*self._tx.one(MAP_SCOPE, (scope,)))
        found.open -= 1
        # An item that its guard or an operator skipped is as good as done.
        if status in (BlockStatus.COMPLETED, BlockStatus.SKIPPED):
            found.completed_items += 1
        else:
            found.failed_items += 1

    def go_on(self) -> int:
        """Release items of the maps whose items ended, or let the map collect; returns how many rows became READY."""
        ready = 0
        for each in self._touched.values():
            if not each.ended:
                ready += self._go_on(each)
        self._touched.clear()
        return ready

    def _go_on(self, each: _Map) -> int:
        block = self._plan.nodes[each.node].block
        assert block is not None  # noqa: S101 - only blocks are maps
        ready = 0
        if not each.broken and each.failed_items > tolerated_failures(block, each.total):
            each.broken = True
            rows = self._tx.run(CANCEL_ITEMS, (self._run.now, self._run.id, each.id)).fetchall()
            if rows:
                items = sorted(row.item_index for row in rows)
                self._journal.list_event("blocks_cancelled", [block.block_id], Place(each.id), items=items)
        if not each.broken and not self._run.failing:
            ready = min(each.pending, window_of(block, each.total) - each.open)
            if ready:
                self._tx.run(RELEASE_ITEMS, (self._run.id, each.id, ready))
                each.open += ready
        if not each.open and (each.broken or not each.pending) and not self._run.failing:
            each.ended = True
            self._tx.run(COLLECT, (each.block_execution_id,))
            counts = {"succeeded": each.completed_items, "failed": each.failed_items}
            self._journal.event("map_ended", block.block_id, counts, row_id=each.block_execution_id)
            ready = 1
        self._tx.run(
            SAVE_MAP,
            (
                each.open,
                each.completed_items,
                each.failed_items,
                each.broken,
                each.ended,
                each.ended,
                each.id,
            ),
        )
        self._run.active += ready
        return ready


def expand_map(
    tx: EngineTransaction, run: RunState, block: Block, row_id: int, items: list[JsonValue]
) -> int:
    """Insert the items of a map whose block waits from now on; returns how many of them are READY."""
    window = window_of(block, len(items))
    scope = tx.one(INSERT_SCOPE, (len(items), window, row_id)).id
    tx.run(INSERT_ITEMS, (scope, window, Jsonb(items), row_id))
    # While its items are active the map itself is not: a run that waits for people in all of them waits for people.
    run.active += window - 1
    return window


def window_of(block: Block, total: int) -> int:
    """Return how many items of a map may be active at once."""
    return min(total, block.max_concurrency or total)


def tolerated_failures(block: Block, total: int) -> int:
    """Return how many items may fail before the map does."""
    return int(total * block.tolerated_failure_percentage / 100)
