"""Trees of runs: a command on a run takes the sub-workflows under it along, in one transaction.

Runs are locked from the top down, and children are looked up under their parent's lock, so none can appear behind
a command's back: whoever starts a child holds the parent's lock.
"""

import logging
from dataclasses import fields, replace

from django.db import transaction

from executions_app.journal import Announcement
from executions_app.run_state import RunState, lock_run
from executions_app.settlement import BATCH, UNSETTLED, Settler
from executions_app.transaction import DATABASE_GONE, EngineTransaction
from templates_app.plans import compiled_version
from workflow_service.engine.states import ENDED_EXECUTION_STATUSES

logger = logging.getLogger(__name__)

ERROR_MAX_CHARACTERS = 2_000

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


def settle_finished(tx: EngineTransaction, run: RunState) -> list[Announcement]:
    """Settle, within a command, whatever has finished in a locked run; nothing is started.

    Where the rows of a batch cannot be settled together they go one by one, and one that cannot be settled at all is
    failed with SETTLEMENT_ERROR: no row keeps a run from being cancelled or restarted. Returns its log lines.
    """
    announcements: list[Announcement] = []
    while True:
        rows = tx.run(UNSETTLED, (run.id, BATCH)).fetchall()
        if rows and _settle_together(tx, run, rows, announcements) is not None:
            for row in rows:
                error = _settle_together(tx, run, [row], announcements)
                if error is not None:
                    settler = settler_of(tx, run)
                    settler.fail_poison_row(row, clean_text(f"{type(error).__name__}: {error}"))
                    settler.flush()
                    announcements += settler.journal.announcements
        if len(rows) < BATCH:
            return announcements


def _settle_together(
    tx: EngineTransaction, run: RunState, rows: list[object], announcements: list[Announcement]
) -> Exception | None:
    """Settle rows, or change nothing and return what went wrong."""
    before = replace(run)
    try:
        with transaction.atomic():
            settler = settler_of(tx, run)
            settler.settle_rows(rows)
            settler.flush()
    except DATABASE_GONE:
        raise
    except Exception as error:
        logger.exception("%s finished blocks of execution %s cannot be settled", len(rows), run.public_id)
        restore(run, before)
        return error
    announcements += settler.journal.announcements
    return None


def restore(run: RunState, before: RunState) -> None:
    """Set a run's state back to what it was before a step that was rolled back."""
    for field in fields(before):
        setattr(run, field.name, getattr(before, field.name))


def clean_text(message: str) -> str:
    """Return what is said of a fault without what Postgres cannot keep: it may quote the value at fault."""
    return message.replace("\0", "\N{REPLACEMENT CHARACTER}")[:ERROR_MAX_CHARACTERS]
