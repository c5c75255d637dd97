"""What operators do about one block of a run: try it again, give it to another agent, or go on without it.

A block that failed for good is restarted from; one that is still under way is changed where it stands. Of a block in a
loop it is the row of its last round. Each command is a recovery action of its block, in the same transaction: it takes
the place of the one that was under way, and is counted by what becomes of the block.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from executions_app import log_lines, recovering
from executions_app.agent_work import require_agent
from executions_app.block_refusals import refusal_of
from executions_app.errors import (
    BlockNotFound,
    BlockNotReached,
    ExecutionEnded,
    OutputRejected,
)
from executions_app.finishing import Aftermath, conclude_locked
from executions_app.four_eyes import require_other_eyes
from executions_app.recovering import read_block
from executions_app.recovery_journal import BY_PERSON
from executions_app.restart_targets import node_of_block
from executions_app.run_state import RunState
from executions_app.services.control import Asked, follow_up_all
from executions_app.services.restart import Restart, restart_locked
from executions_app.settlement import Settler
from executions_app.transaction import EngineTransaction, command_transaction
from executions_app.trees import lock_tree, settle_finished, settler_of
from workflow_service.engine.definition import JsonObject
from workflow_service.engine.errors import Problem
from workflow_service.engine.json_values import JsonUnfit, check_json
from workflow_service.engine.recovery import RecoveryStep
from workflow_service.engine.states import (
    ENDED_EXECUTION_STATUSES,
    BlockStatus,
    ExecutionStatus,
    RecoveryStrategy,
)
from workflow_service.settings.config import get_config

B = BlockStatus
OVER = frozenset({B.FAILED, B.REJECTED, B.CANCELLED})
CHANGEABLE = frozenset({B.READY, B.QUEUED, B.RETRYING, B.WAITING})
DONE_AS = {"retry": "retried", "reassign": "reassigned", "skip": "skipped"}
# What a block waits for that has begun with its agent, or cannot begin for it.
OTHER_AGENTS = frozenset({"agent", "callback"})

ROW = """
    SELECT id, node, kind, block_id, status, waits_for, wait_key, agent_id, retries, recoveries, error::text AS error
    FROM executions_app_blockexecution
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
# The row that came in the place of one that was taken back. What others lead to first is written anew then.
ROW_OF_GENERATION = """
    SELECT id, block_id, recoveries, retries, agent_id FROM executions_app_blockexecution
    WHERE execution_id = %s AND node = %s AND generation = %s AND kind = 'block' AND NOT superseded
        AND status <> 'PENDING'
    ORDER BY id DESC LIMIT 1 FOR UPDATE
"""
COUNT_ACTION = "UPDATE executions_app_blockexecution SET recoveries = recoveries + 1 WHERE id = %s"


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
            raise refusal_of(settler.run, row, "retried")
        data = _note(settler, row, RecoveryStep(RecoveryStrategy.RETRY, f"retried {asked}"))
        settler.journal.event("recovery_action", block_id, {**data, **asked.data()}, row_id=row.id)
        _wake(settler, row)

    return _command(execution_id, block_id, asked, "retry", change, {}, confirm)


def reassign_block(
    execution_id: int, block_id: str, asked: Asked, agent_id: str, *, confirm: Confirm = unconfirmed
) -> BlockChanged:
    """Give a block that has not completed to another agent, a map with its items; one that failed is restarted from.

    Raises ``BlockNotFound``, ``BlockNotReached``, ``BlockStateForbids``, ``UnknownAgent``.
    """

    def change(settler: Settler, row: Any) -> None:
        if row.status not in CHANGEABLE:
            raise refusal_of(settler.run, row, "reassigned")
        require_agent(settler.run.workspace_id, agent_id)
        _tell_reassigned(settler, row, asked, agent_id)
        if row.status == B.WAITING and row.waits_for in OTHER_AGENTS:
            # The other agent's slot, or its answer, is waited for no more.
            whole = read_block(settler.tx, settler.run.id, row.id)
            recovering.reassign_block(settler, whole, _reassignment(asked, agent_id))
            return
        _note(settler, row, _reassignment(asked, agent_id))
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

    Raises ``OutputRejected``, ``BlockNotFound``, ``BlockNotReached``, ``BlockStateForbids``, and
    ``FourEyes`` for the starter of a run whose block wants them.
    """
    _check_output(output)

    def change(settler: Settler, row: Any) -> None:
        if row.status not in CHANGEABLE or row.waits_for in ("items", "child"):
            raise refusal_of(settler.run, row, "skipped")
        require_other_eyes(settler, row, asked.actor_id)
        settler.journal.event(
            "block_substituted", block_id, {"strategy": "skip", **asked.data()}, row_id=row.id
        )
        whole = read_block(settler.tx, settler.run.id, row.id)
        recovering.skip_block(settler, whole, reason=f"skipped {asked}", output=output)

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
            changed, aftermaths = _restarted(tx, runs, row, asked, action, options)
        else:
            if run.status in ENDED_EXECUTION_STATUSES:
                mend = f"block '{block_id}' is {row.status}: restart the run from it"
                raise ExecutionEnded(run.public_id, run.status, "changed", mend)
            settler = settler_of(tx, run)
            # Who merely changes a block does not begin the run.
            settler.progress.beginning = run.status is ExecutionStatus.STARTING
            change(settler, row)
            aftermaths = [(run.id, conclude_locked(settler))]
            changed = BlockChanged(run.public_id, block_id, action, run.status)
        tx.run(*asked.recorded(f"block.{action}", run, block=block_id, agents=options.get("agents")))
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
    row: Any,
    asked: Asked,
    action: str,
    options: Mapping[str, Any],
) -> tuple[BlockChanged, Aftermaths]:
    restart = Restart(from_block=row.block_id, force=True, **options)
    restarted, aftermaths = restart_locked(tx, runs, asked, restart)
    _note_restarted(tx, runs[0], row, asked, action, options)
    return (
        BlockChanged(restarted.execution_id, row.block_id, action, restarted.status, restarted.affected),
        aftermaths,
    )


def _note_restarted(
    tx: EngineTransaction,
    run: RunState,
    row: Any,
    asked: Asked,
    action: str,
    options: Mapping[str, Any],
) -> None:
    """Note a command that a restart carried out, of the block's new row: what becomes of that is its outcome.

    A row that has none yet, as a block before it runs again first, keeps it itself.
    """
    settler = settler_of(tx, run)
    made = tx.run(ROW_OF_GENERATION, (run.id, row.node, run.generation)).fetchone() or row
    agent_id = options.get("agents", {}).get(row.block_id, "")
    step = RecoveryStep(RecoveryStrategy(action), f"{DONE_AS[action]} {asked}", agent_id=agent_id)
    _note(settler, made, step, failed=row)
    settler.recoveries.flush(tx)


def _wake(settler: Settler, row: Any) -> None:
    settler.tx.run(MAKE_READY, (row.id,))
    settler.journal.event("block_woken", row.block_id, row_id=row.id)
    settler.progress.add_ready(1)


def _note(settler: Settler, row: Any, step: RecoveryStep, *, failed: Any = None) -> JsonObject:
    """Note a command as a recovery action of a row, in the place of one that is under way; return what it says.

    ``failed`` is the row with the error that it is about, where that is another one.
    """
    error = (failed or row).error
    if row.recoveries:
        settler.recoveries.superseded(row.id)
    settler.tx.run(COUNT_ACTION, (row.id,))
    return settler.recoveries.action(row, step, json.loads(error) if error else {}, suggested_by=BY_PERSON)


def _reassignment(asked: Asked, agent_id: str) -> RecoveryStep:
    return RecoveryStep(RecoveryStrategy.REASSIGN, f"reassigned {asked}", agent_id=agent_id)


def _check_output(output: JsonObject | None) -> None:
    try:
        check_json(output, max_bytes=get_config().max_output_bytes)
    except JsonUnfit as error:
        problem = Problem(error.kind, error.reason, pointer=f"/output{error.pointer}")
        raise OutputRejected(f"the output cannot be kept: {error.message}", [problem]) from None


def _tell_reassigned(settler: Settler, row: Any, asked: Asked, agent_id: str) -> None:
    settler.journal.event(
        "block_reassigned",
        row.block_id,
        {"oldAgentId": row.agent_id or None, "newAgentId": agent_id, **asked.data()},
        row_id=row.id,
    )
