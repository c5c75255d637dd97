"""What operators do about one block of a run: try it again, give it to another agent, or go on without it.

A block that failed for good is restarted from; one that is still under way is changed where it stands. Of a block in a
loop it is the row of its last round.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from executions_app import log_lines, recovering
from executions_app.errors import BlockNotFound, BlockNotReached, BlockStateForbids, ExecutionEnded
from executions_app.finishing import Aftermath, conclude_locked
from executions_app.recovering import read_block
from executions_app.restart_targets import node_of_block
from executions_app.run_state import RunState
from executions_app.services.control import Asked, follow_up_all
from executions_app.services.restart import Restart, restart_locked
from executions_app.settlement import Settler
from executions_app.transaction import EngineTransaction, command_transaction
from executions_app.trees import lock_tree, settle_finished, settler_of
from workflow_service.engine.definition import JsonObject
from workflow_service.engine.states import ENDED_EXECUTION_STATUSES, BlockStatus, ExecutionStatus

B = BlockStatus
OVER = frozenset({B.FAILED, B.REJECTED, B.CANCELLED})
CHANGEABLE = frozenset({B.READY, B.QUEUED, B.RETRYING, B.WAITING})
# What a block waits for that has begun with its agent, or cannot begin for it.
OTHER_AGENTS = frozenset({"agent", "callback"})
BUSY = "a worker is at work on it; cancel the run, or force its restart from this block"

ROW = """
    SELECT id, node, block_id, status, fence, holds_slot, waits_for, agent_id FROM executions_app_blockexecution
    WHERE execution_id = %s AND node = %s AND kind NOT IN ('item', 'undo') AND NOT superseded
        AND status NOT IN ('PENDING', 'SKIPPED')
    ORDER BY id DESC LIMIT 1 FOR UPDATE
"""
MAKE_READY = """
    UPDATE executions_app_blockexecution SET status = 'READY', due_at = NULL, waits_for = '', wait_key = ''
    WHERE id = %s
"""
SET_AGENT = "UPDATE executions_app_blockexecution SET agent_id = %s WHERE id = %s"
# Items that are at work, or done, stay with who they were given to.
SET_AGENT_OF_ITEMS = """
    UPDATE executions_app_blockexecution SET agent_id = %s
    WHERE execution_id = %s AND kind = 'item' AND NOT superseded
        AND scope_id IN (SELECT id FROM executions_app_scope WHERE block_execution_id = %s)
        AND status IN ('PENDING', 'READY', 'QUEUED', 'RETRYING', 'WAITING') AND waits_for <> 'callback'
    RETURNING id, block_id, status, waits_for
"""
COMPLETE = """
    UPDATE executions_app_blockexecution SET status = 'COMPLETED', fence = fence + 1, error = NULL, due_at = NULL,
        next_send_at = NULL, worker_id = NULL, stand_in = 'default', finished_at = clock_timestamp()
    WHERE id = %s
"""
# A block that waits about its way on has an output.
WRITE_OUTPUT = """
    INSERT INTO executions_app_blockoutput (block_execution_id, execution_id, block_id, value, created_at)
    SELECT id, execution_id, block_id, %s, clock_timestamp() FROM executions_app_blockexecution WHERE id = %s
    ON CONFLICT (block_execution_id) DO UPDATE SET value = EXCLUDED.value, superseded = false
"""


@dataclass(frozen=True, slots=True)
class BlockChanged:
    """A block after an operator's command. ``affected`` are the blocks that were taken back for it."""

    execution_id: str
    block_id: str
    action: str
    execution_status: str
    affected: tuple[str, ...] = ()
    agent_id: str = ""


Confirm = Callable[[BlockChanged], object]
Aftermaths = list[tuple[int, Aftermath]]


def unconfirmed(changed: BlockChanged) -> None:
    """Confirm nothing."""


def retry_block(
    execution_id: int, block_id: str, asked: Asked, *, confirm: Confirm = unconfirmed
) -> BlockChanged:
    """Try a block again: at once where it waits for its next try, by a restart from it where it failed.

    Raises ``BlockNotFound``, ``BlockNotReached``, ``BlockStateForbids``.
    """

    def change(settler: Settler, row: Any) -> None:
        if row.status != B.RETRYING:
            why = BUSY if row.status == B.RUNNING else "it has not failed"
            raise BlockStateForbids(block_id, row.status, "retried", why)
        _note(settler, row, asked, "retry")
        _wake(settler, row)

    return _command(execution_id, block_id, asked, "retry", change, {}, confirm)


def reassign_block(
    execution_id: int, block_id: str, asked: Asked, agent_id: str, *, confirm: Confirm = unconfirmed
) -> BlockChanged:
    """Give a block that has not completed to another agent, a map with its items; one that failed is restarted from.

    Raises ``BlockNotFound``, ``BlockNotReached``, ``BlockStateForbids``.
    """

    def change(settler: Settler, row: Any) -> None:
        if row.status not in CHANGEABLE:
            why = BUSY if row.status == B.RUNNING else "its work is done"
            raise BlockStateForbids(block_id, row.status, "reassigned", why)
        _tell_reassigned(settler, row, asked, agent_id)
        if row.status == B.WAITING and row.waits_for in OTHER_AGENTS:
            # The other agent's slot, or its answer, is waited for no more.
            whole = read_block(settler.tx, settler.run.id, row.id)
            recovering.reassign_block(settler, whole, agent_id=agent_id, reason=f"reassigned {asked}")
            return
        settler.tx.run(SET_AGENT, (agent_id, row.id))
        log_lines.block_reassigned(settler.journal, settler.run, row, row.agent_id, agent_id)
        items = settler.tx.run(SET_AGENT_OF_ITEMS, (agent_id, settler.run.id, row.id)).fetchall()
        for each in (row, *items):
            # Who waits for a slot of the old agent need not any more.
            if each.status == B.RETRYING or each.waits_for == "agent":
                _wake(settler, each)

    return _command(
        execution_id, block_id, asked, "reassign", change, {"agents": {block_id: agent_id}}, confirm
    )


def skip_block(
    execution_id: int,
    block_id: str,
    asked: Asked,
    output: JsonObject | None = None,
    *,
    confirm: Confirm = unconfirmed,
) -> BlockChanged:
    """Go on as if a block had completed with ``output``, or with its ``defaultOutput``.

    Raises ``BlockNotFound``, ``BlockNotReached``, ``BlockStateForbids``.
    """

    def change(settler: Settler, row: Any) -> None:
        if row.status not in CHANGEABLE or row.waits_for in ("items", "child"):
            why = "it has completed" if row.status == B.COMPLETED else BUSY
            raise BlockStateForbids(block_id, row.status, "skipped", why)
        run, tx = settler.run, settler.tx
        run.ready -= row.status == B.READY
        run.waiting_for_people -= row.status == B.WAITING and row.waits_for == "person"
        block = settler.plan.nodes[row.node].block
        given = output if output is not None else (block.default_output if block else None) or {}
        tx.run(COMPLETE, (row.id,))
        tx.run(WRITE_OUTPUT, (Jsonb(given), row.id))
        settler.journal.event(
            "block_substituted", block_id, {"strategy": "skip", **asked.data()}, row_id=row.id
        )

    return _command(execution_id, block_id, asked, "skip", change, {"skip": {block_id: output}}, confirm)


def _command(
    execution_id: int,
    block_id: str,
    asked: Asked,
    action: str,
    change: Callable[[Settler, Any], None],
    options: Mapping[str, Any],
    confirm: Confirm,
) -> BlockChanged:
    with command_transaction() as tx:
        runs = lock_tree(tx, execution_id)
        run = runs[0]
        settle_finished(tx, run)
        row = _row(tx, run, block_id)
        if row.status in OVER:
            changed, aftermaths = _restarted(tx, runs, block_id, asked, action, options)
        else:
            if run.status in ENDED_EXECUTION_STATUSES:
                raise ExecutionEnded(
                    run.public_id, run.status, f"changed: block '{block_id}' is {row.status}"
                )
            settler = settler_of(tx, run)
            # Who merely changes a block does not begin the run.
            settler.progress.beginning = run.status is ExecutionStatus.STARTING
            change(settler, row)
            aftermaths = [(run.id, conclude_locked(settler))]
            changed = BlockChanged(run.public_id, block_id, action, run.status)
        confirm(changed)
    follow_up_all(aftermaths)
    return changed


def _row(tx: EngineTransaction, run: RunState, block_id: str) -> Any:
    plan = settler_of(tx, run).plan
    row = tx.run(ROW, (run.id, node_of_block(plan, block_id, BlockNotFound))).fetchone()
    if row is None:
        raise BlockNotReached(block_id, skipped=False)
    return row


def _restarted(
    tx: EngineTransaction,
    runs: Sequence[RunState],
    block_id: str,
    asked: Asked,
    action: str,
    options: Mapping[str, Any],
) -> tuple[BlockChanged, Aftermaths]:
    restart = Restart(from_block=block_id, force=True, **options)
    restarted, aftermaths = restart_locked(tx, runs, asked, restart)
    return (
        BlockChanged(restarted.execution_id, block_id, action, restarted.status, restarted.affected),
        aftermaths,
    )


def _wake(settler: Settler, row: Any) -> None:
    settler.tx.run(MAKE_READY, (row.id,))
    settler.journal.event("block_woken", row.block_id, row_id=row.id)
    settler.progress.add_ready(1)


def _note(settler: Settler, row: Any, asked: Asked, strategy: str) -> None:
    settler.journal.event(
        "recovery_action",
        row.block_id,
        {"strategy": strategy, "suggestedBy": "person", **asked.data()},
        row_id=row.id,
    )


def _tell_reassigned(settler: Settler, row: Any, asked: Asked, agent_id: str) -> None:
    settler.journal.event(
        "block_reassigned",
        row.block_id,
        {"oldAgentId": row.agent_id or None, "newAgentId": agent_id, **asked.data()},
        row_id=row.id,
    )
