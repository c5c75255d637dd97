"""The rows of a run that is restarted: what is taken back becomes history, and the rest is counted anew.

Rows that are taken back stay, superseded; those that may run again appear in the run's new generation when they are
reached. Whoever works on one of them finds its fence risen, and its result is thrown away.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from psycopg.types.json import Jsonb
from pydantic import JsonValue

from executions_app.loops import loop_state
from executions_app.models import BlockExecution
from executions_app.recovery_journal import supersede_actions
from executions_app.run_state import RunState
from executions_app.settlement import Error, Settler
from executions_app.transaction import EngineTransaction
from workflow_service.engine.decide import Verdict
from workflow_service.engine.plan import NodeKind, Plan
from workflow_service.engine.restart import Cut, Settled, at_limit, cut, path
from workflow_service.engine.rounds import LoopState, Place
from workflow_service.engine.states import BlockStatus, EdgeOutcome

FAILED = frozenset({BlockStatus.FAILED, BlockStatus.REJECTED})

ROWS = """
    SELECT b.id, b.scope_id, b.item_index, b.node, b.kind, b.block_id, b.status, b.settled, b.holds_slot, b.waits_for,
        b.wait_key, b.outcomes::text AS outcomes, b.origins, b.error::text AS error, b.agent_id, b.started_at,
        b.recoveries, o.block_execution_id IS NOT NULL AS has_output
    FROM executions_app_blockexecution b
    LEFT JOIN executions_app_blockoutput o ON o.block_execution_id = b.id AND NOT o.superseded
    WHERE b.execution_id = %s AND NOT b.superseded ORDER BY b.id FOR UPDATE OF b
"""
LOOPS = """
    SELECT id, loop, parent_scope_id, parent_index, round, first_round, open, broken, ended, closed, back,
        exits::text AS exits, arrivals::text AS arrivals, counts::text AS counts
    FROM executions_app_scope WHERE execution_id = %s AND kind = 'loop' AND NOT superseded
"""
MAPS = """
    SELECT id, block_execution_id FROM executions_app_scope
    WHERE execution_id = %s AND kind = 'map' AND NOT superseded
"""
SUPERSEDE_ROWS = """
    UPDATE executions_app_blockexecution SET superseded = true, settled = true, holds_slot = false, fence = fence + 1,
        unrecorded_start = false, due_at = NULL, next_send_at = NULL, finished_at = coalesce(finished_at, %s),
        worker_id = CASE WHEN status IN ('RUNNING', 'CANCELLED') THEN worker_id END,
        status = CASE WHEN status IN ('PENDING', 'READY', 'QUEUED', 'RUNNING', 'RETRYING', 'WAITING')
            THEN 'CANCELLED' ELSE status END
    WHERE id = ANY(%s)
"""
SUPERSEDE_SCOPES = "UPDATE executions_app_scope SET superseded = true WHERE id = ANY(%s)"
SUPERSEDE_OUTPUTS = (
    "UPDATE executions_app_blockoutput SET superseded = true WHERE block_execution_id = ANY(%s)"
)
SUPERSEDE_CONTEXT = """
    UPDATE executions_app_contextvalue SET superseded = true
    WHERE execution_id = %s AND (block_execution_id = ANY(%s) OR block_execution_id = 0 AND key = ANY(%s))
"""
# What stays and has not begun resolves its input when it does, without what was dropped; what people gave it stands.
FORGET_INPUTS = """
    UPDATE executions_app_blockexecution SET input = NULL, hard_end_s = NULL
    WHERE execution_id = %s AND NOT superseded AND status IN ('READY', 'QUEUED') AND fence = 0 AND variant = 0
        AND kind <> 'undo'
"""
# Work that stands: a row of the new generation with a result that is yet to be settled.
INSERT_DONE = """
    INSERT INTO executions_app_blockexecution (execution_id, generation, scope_id, item_index, node, kind, block_id,
        queue, status, fence, retries, losses, sends, settled, unrecorded_start, holds_slot, taken, dead, lost,
        origins, agent_id, stand_in, input, created_at, started_at, finished_at)
    SELECT execution_id, %s, %s, %s, node, kind, block_id, queue, 'COMPLETED', 1, retries, 0, 0, false, false, false,
        0, 0, 0, '{}', agent_id, coalesce(%s, stand_in), input, %s, started_at, clock_timestamp()
    FROM executions_app_blockexecution WHERE id = %s RETURNING id
"""
INSERT_WAITING = """
    INSERT INTO executions_app_blockexecution (execution_id, generation, scope_id, item_index, node, kind, block_id,
        queue, status, waits_for, wait_key, fence, retries, losses, sends, settled, unrecorded_start, holds_slot,
        taken, dead, lost, origins, agent_id, input, created_at, started_at)
    SELECT execution_id, %s, %s, %s, node, kind, block_id, queue, 'WAITING', %s, %s, 1, 0, 0, 0, false, false, false,
        0, 0, 0, '{}', agent_id, input, %s, %s
    FROM executions_app_blockexecution WHERE id = %s RETURNING id
"""
COPY_OUTPUT = """
    INSERT INTO executions_app_blockoutput (block_execution_id, execution_id, block_id, value, created_at)
    SELECT %s, execution_id, block_id, value, %s FROM executions_app_blockoutput WHERE block_execution_id = %s
"""
INSERT_OUTPUT = """
    INSERT INTO executions_app_blockoutput (block_execution_id, execution_id, block_id, value, created_at)
    SELECT id, execution_id, block_id, %s, %s FROM executions_app_blockexecution WHERE id = %s
"""


@dataclass(frozen=True)
class RunRows:
    """The current rows of a locked run, and its loops and maps. ``rows`` are in the order of their making.

    ``undos`` are the rows of work that undid others, which are none of the plan's.
    """

    plan: Plan
    rows: tuple[Any, ...]
    undos: tuple[Any, ...]
    loops: Mapping[int, LoopState]
    maps: Mapping[int, int]

    def place_of(self, row: Any) -> Place:
        """Return where a row's node stands; an item stands where its map does."""
        row = self.row_of_node(row)
        return Place(row.scope_id, row.item_index)

    def row_of_node(self, row: Any) -> Any:
        """Return the row of a row's node: of an item that of its map."""
        return self._by_id[self.maps[row.scope_id]] if row.kind == "item" else row

    @cached_property
    def _by_id(self) -> dict[int, Any]:
        return {row.id: row for row in self.rows}

    def taken_by(self, taken: Cut) -> list[Any]:
        """Return the rows that are taken back, the items of maps among them."""
        nodes = [row for row in self.rows if row.kind != "item" and taken.takes(self.place_of(row), row.node)]
        ids = {row.id for row in nodes}
        items = [row for row in self.rows if row.kind == "item" and self.maps[row.scope_id] in ids]
        return nodes + items


def read_rows(tx: EngineTransaction, run: RunState, plan: Plan) -> RunRows:
    """Read and lock all current rows of a locked run."""
    rows = tuple(tx.run(ROWS, (run.id,)).fetchall())
    loops = {row.id: loop_state(row) for row in tx.run(LOOPS, (run.id,))} if plan.loops else {}
    maps = {row.id: row.block_execution_id for row in tx.run(MAPS, (run.id,))}
    undos = tuple(row for row in rows if row.kind == "undo")
    return RunRows(plan, tuple(row for row in rows if row.kind != "undo"), undos, loops, maps)


def cut_rows(found: RunRows, targets: Iterable[Any]) -> Cut:
    """Return what is taken back where a run is restarted from these rows."""
    return cut(found.plan, found.loops, [(found.place_of(row), row.node) for row in targets])


def supersede(
    settler: Settler, found: RunRows, taken: Cut, *, drop_outputs: bool, drop_context: bool
) -> RunRows:
    """Make what is taken back history, and return what stays."""
    tx, run = settler.tx, settler.run
    gone = found.taken_by(taken)
    # What was undone runs again, and what could not be undone may have to be: either way nothing is undone by now.
    ids = [row.id for row in (*gone, *found.undos)]
    scopes = [scope for scope in found.loops if taken.takes_instance(scope)]
    maps = [scope for scope, owner in found.maps.items() if owner in set(ids)]
    tx.run(SUPERSEDE_ROWS, (run.now, ids))
    supersede_actions(tx, run, (*gone, *found.undos))
    if scopes or maps:
        tx.run(SUPERSEDE_SCOPES, (scopes + maps,))
    if drop_outputs:
        tx.run(SUPERSEDE_OUTPUTS, (ids,))
    if drop_context:
        # What a gate computed is not known by row but by name.
        gates = [key for node in taken.affected() for key, _ in found.plan.nodes[node].routing.set]
        tx.run(SUPERSEDE_CONTEXT, (run.id, ids, gates))
    if drop_outputs or drop_context:
        tx.run(FORGET_INPUTS, (run.id,))
    dropped = set(ids)
    return replace(
        found,
        rows=tuple(row for row in found.rows if row.id not in dropped),
        undos=(),
        loops={scope: state for scope, state in found.loops.items() if scope not in set(scopes)},
        maps={scope: owner for scope, owner in found.maps.items() if scope not in set(maps)},
    )


def settled_rows(kept: RunRows) -> list[Settled]:
    """Return what the engine is to know of the settled rows that stay."""
    return [
        Settled(
            row.node,
            Place(row.scope_id, row.item_index),
            Verdict(row.status),
            {int(edge): EdgeOutcome(result) for edge, result in json.loads(row.outcomes or "{}").items()},
            _origins(kept.plan, row),
        )
        for row in kept.rows
        if row.settled and row.kind != "item" and (row.outcomes is not None or row.status in FAILED)
    ]


def active_by_place(kept: RunRows) -> Counter[Place]:
    """Count the rows that stay and are not settled, by where they stand."""
    return Counter(
        Place(row.scope_id, row.item_index)
        for row in kept.rows
        if row.kind != "item" and not row.settled and row.status != BlockStatus.PENDING
    )


def recount(run: RunState, kept: RunRows, states: Mapping[int, LoopState]) -> dict[int, Counter[str]]:
    """Set a run's counters from the rows that stay; returns the counts of the loops under way, by scope.

    ``states`` are the loops as they stand after the cut, by scope.
    """
    current = {**kept.loops, **states}
    open_rows = [row for row in kept.rows if not row.settled and row.status != BlockStatus.PENDING]
    run.active = sum(row.waits_for != "items" for row in open_rows)
    run.slots = sum(row.holds_slot for row in open_rows)
    run.ready = sum(row.status == BlockStatus.READY for row in open_rows)
    run.waiting_for_people = sum(
        row.status == BlockStatus.WAITING and row.waits_for == "person" for row in open_rows
    )
    total: Counter[str] = Counter()
    by_scope: dict[int, Counter[str]] = {}
    for row in kept.rows:
        how = _counted_as(row)
        if how is None:
            continue
        around = [each for each in path(current, Place(row.scope_id, row.item_index)) if each.scope]
        if all(current[each.scope].round == each.index for each in around):
            total[how] += 1
            for each in around:
                by_scope.setdefault(each.scope, Counter())[how] += 1
                if not current[each.scope].ended:
                    break
    run.completed_blocks, run.failed_blocks = total["completed"], total["failed"]
    run.skipped_blocks = total["skipped"]
    _recount_failures(run, kept)
    return by_scope


def _recount_failures(run: RunState, kept: RunRows) -> None:
    unhandled = failed_targets(kept)
    run.unhandled_failures = len(unhandled) + sum(at_limit(state) for state in kept.loops.values())
    run.failing, run.compensating, run.error = False, False, None
    if unhandled:
        first: Error = json.loads(unhandled[0].error) if unhandled[0].error else {}
        run.error = json.dumps({**first, "blockId": unhandled[0].block_id})


def _counted_as(row: Any) -> str | None:
    """Return as what a row counts in its run's progress: blocks in any case, hidden nodes where they fail."""
    if not row.settled or row.kind == "item":
        return None
    if row.status in FAILED:
        return "failed"
    if row.kind != NodeKind.BLOCK:
        return None
    return {BlockStatus.COMPLETED: "completed", BlockStatus.SKIPPED: "skipped"}.get(row.status)


def insert_done(settler: Settler, row: Any, place: Place, output: JsonValue | None) -> int:
    """Insert a completed row in place of one that was taken back; returns its id.

    It has the ``output`` given, in place of work, or what the row taken back gave; settling it merges that and routes.
    """
    tx, run = settler.tx, settler.run
    stand_in = None if output is None else BlockExecution.StandIn.DEFAULT
    values = (run.generation, place.scope, place.index, stand_in, run.now, row.id)
    made: int = tx.one(INSERT_DONE, values).id
    if output is None:
        tx.run(COPY_OUTPUT, (made, run.now, row.id))
    else:
        tx.run(INSERT_OUTPUT, (Jsonb(output), run.now, made))
    run.active += 1
    return made


def insert_waiting(settler: Settler, row: Any, place: Place, waits_for: str, wait_key: str = "") -> int:
    """Insert a row that waits in place of one that was taken back; returns its id."""
    run = settler.run
    values = (run.generation, place.scope, place.index, waits_for, wait_key, run.now, run.now, row.id)
    made: int = settler.tx.one(INSERT_WAITING, values).id
    return made


def failed_targets(found: RunRows) -> list[Any]:
    """Return the rows whose failure nobody handled, those of maps for their items."""
    return [
        row
        for row in found.rows
        if row.kind != "item"
        and row.settled
        and row.status in FAILED
        # What could not be settled has no outcomes: its error edges were never followed.
        and not (found.plan.nodes[row.node].error_edges and row.outcomes is not None)
    ]


def undone_targets(found: RunRows) -> list[Any]:
    """Return the rows whose work was undone, or may have been in part: it must be done again.

    An undo that has begun and not failed has undone something, whatever has become of it since.
    """
    begun = (undo for undo in found.undos if undo.started_at is not None and undo.status not in FAILED)
    undone = {-undo.scope_id for undo in begun}
    return [row for row in found.rows if row.id in undone]


def cancelled_targets(found: RunRows) -> list[Any]:
    """Return the rows that were cancelled before they had run to their end."""
    return [row for row in found.rows if row.kind != "item" and row.status == BlockStatus.CANCELLED]


def _origins(plan: Plan, row: Any) -> frozenset[int]:
    """Return whom a row's losses come from: the row itself says it of skipped nodes only."""
    return frozenset({row.node}) if row.status in FAILED else frozenset(row.origins)
