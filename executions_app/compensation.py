"""Compensation: when a run is to end FAILED, what its completed blocks did is undone, the last first.

Each undo is a row like any other, of kind ``undo``: claimed, retried, taken back from dead workers, run at least
once under an idempotency key of its own. One is under way at a time; it is not routed, and one that fails is
recorded and passed over. While any is left the run is RECOVERING, and nothing else starts. A row that was undone
has an undo row whose scope is its negated id, so none is undone twice.
"""

import json
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from executions_app.agent_work import agent_of_stand_in
from executions_app.transaction import EngineTransaction
from workflow_service.engine.decide import outcome
from workflow_service.engine.recovery import RecoveryStep
from workflow_service.engine.states import (
    ENDED_EXECUTION_STATUSES,
    BlockStatus,
    ExecutionStatus,
    RecoveryStrategy,
)

if TYPE_CHECKING:
    from executions_app.settlement import Error, Settler

# Marked once, when the run comes to undo: to look through all its rows for each undo would cost the square of them.
# Work that was done has an output, or waited for a review that did not approve it; what came of a skip is the
# definition's, and there is nothing to undo. A map's items did the work, not the map.
UNMARK = """
    UPDATE executions_app_blockexecution SET to_undo = false WHERE execution_id = %s AND to_undo
"""
MARK = """
    UPDATE executions_app_blockexecution b SET to_undo = true
    WHERE b.execution_id = %s
        AND (b.node = ANY(%s) AND b.kind = 'block' OR b.node = ANY(%s) AND b.kind = 'item')
        AND NOT b.superseded AND b.stand_in <> 'default'
        AND (EXISTS (SELECT 1 FROM executions_app_blockoutput o
                WHERE o.block_execution_id = b.id AND NOT o.superseded)
            OR b.waits_for = 'person' AND b.wait_key = 'review'
            AND b.status IN ('REJECTED', 'FAILED', 'CANCELLED'))
        AND NOT EXISTS (SELECT 1 FROM executions_app_blockexecution u
            WHERE u.execution_id = b.execution_id AND u.scope_id = -b.id AND u.kind = 'undo' AND NOT u.superseded)
"""
NEXT_TO_UNDO = """
    UPDATE executions_app_blockexecution SET to_undo = false WHERE id = (
        SELECT id FROM executions_app_blockexecution WHERE execution_id = %s AND to_undo
        ORDER BY finished_at DESC, id DESC LIMIT 1)
    RETURNING id, node, block_id
"""
INSERT_UNDO = """
    INSERT INTO executions_app_blockexecution (
        execution_id, scope_id, item_index, generation, retries, losses, sends, recoveries, unrecorded_start, taken,
        dead, lost, queue, created_at, node, kind, block_id, status, fence, settled, holds_slot, origins, agent_id)
    SELECT id, %s, 0, generation, 0, 0, 0, 1, false, 0, 0, 0, %s, %s, %s, 'undo', %s, 'READY', 0, false, false, '{}', %s
    FROM executions_app_execution WHERE id = %s
    RETURNING id, block_id, 0 AS recoveries, agent_id, retries
"""
FACTS = """
    SELECT block_id, status FROM executions_app_blockexecution
    WHERE execution_id = %s AND kind = 'undo' AND NOT superseded ORDER BY id
"""
UNDO_SUFFIX = ":undo"


def undo_next(settler: "Settler") -> None:
    """Make the next undo ready where a run has nothing left to do but to end FAILED, and declares work that undoes."""
    run = settler.run
    if run.active or run.status in ENDED_EXECUTION_STATUSES:
        return
    if not run.compensating and not _mark(settler):
        return
    row = settler.tx.run(NEXT_TO_UNDO, (run.id,)).fetchone()
    if row is not None:
        _undo(settler, row)


def _mark(settler: "Settler") -> bool:
    """Mark what is to be undone, where the run is to end FAILED; tells whether there may be anything."""
    run, plan = settler.run, settler.plan
    undoing = [node for node in plan.nodes if node.undo is not None]
    if not undoing:
        return False
    status, _ = outcome(plan, unhandled_failures=run.unhandled_failures > 0, reached_end=run.reached_end)
    if status is not ExecutionStatus.FAILED:
        return False
    maps = [node.index for node in undoing if node.for_each is not None]
    blocks = [node.index for node in undoing if node.for_each is None]
    # A compensation that was broken off, by a cancellation say, left marks.
    settler.tx.run(UNMARK, (run.id,))
    settler.tx.run(MARK, (run.id, blocks, maps))
    return True


def _undo(settler: "Settler", undone: Any) -> None:
    run = settler.run
    block = settler.plan.nodes[undone.node].block
    work = block.recovery.compensate if block and block.recovery else None
    agent_id = agent_of_stand_in(block, work)
    name = f"{undone.block_id}{UNDO_SUFFIX}"
    row = settler.tx.one(INSERT_UNDO, (-undone.id, run.queue, run.now, undone.node, name, agent_id, run.id))
    run.active += 1
    run.compensating = True
    settler.progress.add_ready(1)
    error: Error = json.loads(run.error) if run.error else {}
    step = RecoveryStep(RecoveryStrategy.COMPENSATE, f"the run fails: undo what '{undone.block_id}' did")
    data = settler.recoveries.action(row, step, error)
    settler.journal.event("recovery_action", name, {**data, "undoes": undone.block_id}, row_id=row.id)


def record_undo(settler: "Settler", row: Any, status: BlockStatus, error: "Error | None") -> None:
    """Settle work that undoes: nothing follows it but the next."""
    settler.journal.settled(row, status, None, error)
    data: dict[str, JsonValue] = {"undoes": row.block_id.removesuffix(UNDO_SUFFIX)}
    if error is not None:
        data["error"] = {key: value for key, value in error.items() if key != "stackTrace"}
        settler.journal.log("ERROR", f"{row.block_id} failed: {error.get('message')}", row)
    settler.journal.block_event(f"block_{status.value.lower()}", row, row.finished_at, data)


def compensation_facts(tx: EngineTransaction, execution_id: int) -> dict[str, JsonValue]:
    """Return which blocks were undone and for which that failed, in the order in which it was tried."""
    rows = [(row.block_id.removesuffix(UNDO_SUFFIX), row.status) for row in tx.run(FACTS, (execution_id,))]
    undone: list[JsonValue] = [name for name, status in rows if status == BlockStatus.COMPLETED]
    failed: list[JsonValue] = [name for name, status in rows if status != BlockStatus.COMPLETED]
    return {"undone": undone, "failed": failed}
