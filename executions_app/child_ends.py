"""What a sub-workflow means for the run that waits for it: its end, where that was not told in the child's own
transaction, and that it waits for people.

What is done about a failed block is decided under its run's lock, and trees are locked from the top down; so this comes
after the child's commit. The sweeper makes good what was left out.
"""

import json
from typing import Any

from django.db import connection

from executions_app.finishing import Aftermath, any_unsettled, conclude_locked
from executions_app.models import BlockExecution
from executions_app.recovering import read_block, recover_block
from executions_app.results import Error, final_context
from executions_app.reviews import give_output
from executions_app.run_state import lock_run, try_lock_run
from executions_app.settlement import Settler
from executions_app.transaction import command_transaction
from templates_app.plans import compiled_version
from workflow_service.engine.states import BlockStatus, ErrorType, ExecutionStatus
from workflow_service.settings.config import get_config

ENDED_CHILD = """
    SELECT public_id, status, error::text, parent_id, parent_block_execution_id FROM executions_app_execution
    WHERE id = %s AND status IN ('COMPLETED', 'FAILED', 'CANCELLED') AND parent_block_execution_id IS NOT NULL
"""

OPEN_PARENT = """
    SELECT p.id FROM executions_app_execution c JOIN executions_app_execution p ON p.id = c.parent_id
    WHERE c.id = %s AND p.status NOT IN ('COMPLETED', 'FAILED', 'CANCELLED')
"""
WRONG_PARENTS = """
    SELECT p.id FROM executions_app_execution c
    JOIN executions_app_blockexecution b ON b.id = c.parent_block_execution_id AND b.status = 'WAITING'
    JOIN executions_app_execution p ON p.id = c.parent_id
    WHERE c.parent_id IS NOT NULL AND c.status NOT IN ('COMPLETED', 'FAILED', 'CANCELLED')
        AND p.status IN ('RUNNING', 'WAITING_FOR_APPROVAL') AND p.slots = 0 AND p.ready = 0
    GROUP BY p.id
    HAVING (count(*) FILTER (WHERE c.status = 'WAITING_FOR_APPROVAL') + p.waiting_for_people = p.active)
        <> (p.status = 'WAITING_FOR_APPROVAL')
    ORDER BY p.id LIMIT 200
"""


def end_waiting_block(child_id: int) -> tuple[int, Aftermath] | None:
    """Let the block that waits for an ended child be done, or fail and be recovered; None if none waits.

    Returns the parent's id, and what is left to do about it after the commit.
    """
    with connection.cursor() as cursor:
        cursor.execute(ENDED_CHILD, [child_id])
        found = cursor.fetchone()
    if found is None:
        return None
    public_id, status, error, parent_id, row_id = found
    with command_transaction() as tx:
        run = lock_run(tx, parent_id)
        row = read_block(tx, parent_id, row_id)
        if run is None or row is None or not _waits(row, public_id):
            return None
        settler = Settler(tx, run, compiled_version(run.version_id))
        output = final_context(tx, child_id) if status == ExecutionStatus.COMPLETED else None
        if output is not None:
            give_output(settler, row, output)
        else:
            recover_block(settler, row, _error_of(public_id, ExecutionStatus(status), error))
        aftermath = conclude_locked(settler)
    aftermath.unsettled = any_unsettled(parent_id)
    return parent_id, aftermath


def look_at_parent(child_id: int) -> tuple[int, Aftermath] | None:
    """Let the run that waits for a sub-workflow wait for people as long as that does.

    None where none is under way, or somebody has its lock: then the sweeper looks. Nobody waits for the lock here, for
    it may be a person's request that got so far, and what that was about is committed.

    Returns the parent's id, and what is left to do about it after the commit.
    """
    with connection.cursor() as cursor:
        cursor.execute(OPEN_PARENT, [child_id])
        found = cursor.fetchone()
    aftermath = None if found is None else conclude_parent(found[0])
    return None if aftermath is None else (found[0], aftermath)


def conclude_parent(parent_id: int) -> Aftermath | None:
    """Set a run's status by what its sub-workflows wait for; None where somebody else has its lock."""
    with command_transaction() as tx:
        run = try_lock_run(tx, parent_id)
        if run is None:
            return None
        # Who merely looks does not begin the run.
        settler = Settler(tx, run, compiled_version(run.version_id))
        settler.progress.beginning = run.status is ExecutionStatus.STARTING
        aftermath = conclude_locked(settler)
    aftermath.unsettled = any_unsettled(parent_id)
    return aftermath


def find_wrong_parents() -> list[int]:
    """Return runs that do not wait for people although their sub-workflows do, or the other way round."""
    with connection.cursor() as cursor:
        cursor.execute(WRONG_PARENTS)
        return [parent_id for (parent_id,) in cursor.fetchall()]


def _waits(row: Any, child_id: str) -> bool:
    waiting = (BlockStatus.WAITING, BlockExecution.WaitsFor.CHILD, child_id)
    return (row.status, row.waits_for, row.wait_key) == waiting


def _error_of(public_id: str, status: ExecutionStatus, error: str | None) -> Error:
    if status is ExecutionStatus.COMPLETED:
        most = get_config().max_output_bytes
        message = f"its context is larger than an output may be ({most} bytes)"
        own: Error = {"type": ErrorType.VALIDATION_ERROR, "message": message}
    elif status is ExecutionStatus.CANCELLED:
        own = {"type": ErrorType.CHILD_CANCELLED, "message": "it was cancelled"}
    else:
        own = json.loads(error) if error else {}
    return {
        "type": own.get("type", ErrorType.SYSTEM_ERROR),
        "message": f"the sub-workflow {public_id} failed: {own.get('message', 'it says no reason')}",
        "details": {"blockId": own.get("blockId")},
        # Its blocks had their own retries: the run as a whole is not tried again by itself.
        "retryable": False,
        "childExecutionId": public_id,
    }
