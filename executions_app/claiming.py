"""Claims: a worker takes a queued block, and only one does.

The claim is one ``UPDATE … WHERE status = 'QUEUED'``; no row means that another worker has it or that the run was
paused or cancelled, and that is no error. The input is resolved once per generation, in the claim's transaction.
"""

from dataclasses import dataclass
from uuid import UUID

from django.db import connection
from psycopg.types.json import Jsonb

from executions_app.finishing import ANY_UNSETTLED
from executions_app.journal import Journal, started_data
from executions_app.progress import RECORD_CLAIM, Claim, claim_of, input_of
from executions_app.run_state import TRY_LOCK, RunState
from executions_app.transaction import EngineTransaction, pipelined_transaction
from executions_app.values import RunValues
from templates_app.plans import compiled_version
from workflow_service.engine.states import ExecutionStatus

CLAIM = """
    UPDATE executions_app_blockexecution SET status = 'RUNNING', fence = fence + 1, worker_id = %s,
        started_at = clock_timestamp(), unrecorded_start = true, due_at = NULL
    WHERE id = %s AND status = 'QUEUED'
    RETURNING id, node, kind, scope_id, item_index, generation, item::text AS item, block_id, fence, retries,
        input::text AS input, started_at
"""
IDENTIFY = "SELECT public_id, workspace_id, version_id FROM executions_app_execution WHERE id = %s"
ORPHANS = """
    SELECT execution_id, id, fence FROM executions_app_blockexecution WHERE worker_id = %s AND status = 'RUNNING'
"""


@dataclass(frozen=True, slots=True)
class ClaimAnswer:
    """What asking for a block gave: the claim, or None where there was nothing to claim.

    ``orphans`` are (execution id, row id, fence) of blocks that bear this worker's id although it is not running
    them: their claim was committed and the answer lost. ``unsettled`` says that others finished blocks while the
    claim held the run's lock, and left them to it.
    """

    claim: Claim | None
    orphans: list[tuple[int, int, int]]
    unsettled: bool = False


def claim_block(execution_id: int, block_execution_id: int, worker: UUID) -> ClaimAnswer:
    """Claim a queued block for a worker process that runs nothing else."""
    with pipelined_transaction() as tx:
        locked = tx.run(TRY_LOCK, (execution_id,))
        identified = tx.run(IDENTIFY, (execution_id,))
        orphaned = tx.run(ORPHANS, (worker,))
        claimed = tx.run(CLAIM, (worker, block_execution_id))
        lock_row, identity = locked.fetchone(), identified.fetchone()
        orphans = [(row.execution_id, row.id, row.fence) for row in orphaned]
        row = claimed.fetchone()
        if row is None or identity is None:
            return ClaimAnswer(None, orphans, _commit(tx, execution_id, held_lock=lock_row is not None))
        node = compiled_version(identity.version_id).plan.nodes[row.node]
        given, unfit = input_of(row, node, RunValues(tx, execution_id, identity.public_id))
        agent_id = (node.block.agent_id if node.block else None) or ""
        tx.run(RECORD_CLAIM, (Jsonb(given) if unfit is None else None, agent_id, lock_row is None, row.id))
        if lock_row is not None:
            run = RunState(*lock_row)
            journal = Journal(run)
            journal.event(
                "block_started", row.block_id, started_data(row, agent_id), row_id=row.id, at=row.started_at
            )
            if run.status is ExecutionStatus.STARTING:
                run.status = ExecutionStatus.RUNNING
            journal.flush(tx)
            run.save(tx)
        unsettled = _commit(tx, execution_id, held_lock=lock_row is not None)
    claim = claim_of(
        row, execution_id, identity.public_id, identity.workspace_id, identity.version_id, given, unfit
    )
    return ClaimAnswer(claim, orphans, unsettled)


def _commit(tx: EngineTransaction, execution_id: int, *, held_lock: bool) -> bool:
    """Commit; returns whether others left finished blocks to us while we held the run's lock."""
    tx.commit()
    return held_lock and bool(tx.run(ANY_UNSETTLED, (execution_id,)).fetchall()[0].found)


def find_orphans(worker: UUID) -> list[tuple[int, int, int]]:
    """Return (execution id, row id, fence) of the RUNNING blocks that bear a worker's id."""
    with connection.cursor() as cursor:
        cursor.execute(ORPHANS, [worker])
        return list(cursor.fetchall())
