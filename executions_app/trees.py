"""Trees of runs: a command on a run takes the sub-workflows under it along, in one transaction.

Runs are locked from the top down, and children are looked up under their parent's lock, so none can appear behind
a command's back: whoever starts a child holds the parent's lock.
"""

from dataclasses import fields, replace

from django.db import transaction

from executions_app.run_state import RunState, lock_run
from executions_app.settlement import UNSETTLED, Settler
from executions_app.transaction import DATABASE_GONE, EngineTransaction
from templates_app.plans import compiled_version
from workflow_service.engine.states import ENDED_EXECUTION_STATUSES

ALL_ROWS = 2**31

OPEN_CHILDREN = """
    SELECT id FROM executions_app_execution WHERE parent_id = ANY(%s)
        AND status NOT IN ('COMPLETED', 'FAILED', 'CANCELLED') ORDER BY id
"""


def lock_tree(tx: EngineTransaction, execution_id: int) -> list[RunState]:
    """Lock a run and every run under it that has not ended; the run itself comes first, parents before children."""
    root = lock_run(tx, execution_id)
    if root is None:
        raise LookupError(f"no execution {execution_id}")
    runs, level = [root], [root]
    while level:
        children = tx.run(OPEN_CHILDREN, ([run.id for run in level],)).fetchall()
        locked = [lock_run(tx, child.id) for child in children]
        # A child may have ended while its lock was waited for.
        level = [run for run in locked if run is not None and run.status not in ENDED_EXECUTION_STATUSES]
        runs += level
    return runs


def settler_of(tx: EngineTransaction, run: RunState) -> Settler:
    """Return a settler of a locked run."""
    return Settler(tx, run, compiled_version(run.version_id))


def settle_finished(tx: EngineTransaction, run: RunState) -> None:
    """Settle, within a command, whatever has finished in a locked run; nothing is started.

    Where the rows cannot be settled together they go one by one, and one that cannot be settled at all is failed with
    SETTLEMENT_ERROR: no row keeps a run from being cancelled or restarted.
    """
    rows = tx.run(UNSETTLED, (run.id, ALL_ROWS)).fetchall()
    if not rows or _settled_together(tx, run, rows):
        return
    for row in rows:
        if not _settled_together(tx, run, [row]):
            settler = settler_of(tx, run)
            settler.fail_poison_row(row, "its result could not be settled")
            settler.flush()


def _settled_together(tx: EngineTransaction, run: RunState, rows: list[object]) -> bool:
    before = replace(run)
    try:
        with transaction.atomic():
            settler = settler_of(tx, run)
            settler.settle_rows(rows)
            settler.flush()
    except DATABASE_GONE:
        raise
    except Exception:
        for field in fields(before):
            setattr(run, field.name, getattr(before, field.name))
        return False
    return True
