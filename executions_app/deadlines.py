"""Deadlines: what the sweeper does where time is up.

A run that reached its timeout fails: nothing of it starts any more, what waits is cancelled, and what is at work ends
by itself before the run does.
"""

import json

from django.db import connection

from executions_app.aftermath import follow_up
from executions_app.finishing import Aftermath, any_unsettled, conclude_locked
from executions_app.run_state import lock_run
from executions_app.settlement import Error, Settler
from executions_app.transaction import command_transaction
from templates_app.plans import compiled_version
from workflow_service.engine.states import ENDED_EXECUTION_STATUSES, ErrorType

OVERDUE_RUNS = """
    SELECT id FROM executions_app_execution
    WHERE deadline_at <= clock_timestamp() AND NOT failing ORDER BY deadline_at LIMIT 500
"""


def find_overdue_runs() -> list[int]:
    """Return the runs that are past their timeout and do not fail yet."""
    with connection.cursor() as cursor:
        cursor.execute(OVERDUE_RUNS)
        return [execution_id for (execution_id,) in cursor.fetchall()]


def time_out_run(execution_id: int) -> None:
    """Fail a run whose timeout is over, if it still is."""
    follow_up(_time_out_run(execution_id), execution_id)


def _time_out_run(execution_id: int) -> Aftermath:
    with command_transaction() as tx:
        run = lock_run(tx, execution_id)
        if run is None or run.failing or run.status in ENDED_EXECUTION_STATUSES:
            return Aftermath()
        if run.timeout_ms is None or run.deadline_at is None or run.deadline_at > run.now:
            return Aftermath()
        active_ms = run.clock.active_ms_at(run.now)
        error: Error = {
            "type": ErrorType.TIMEOUT_ERROR,
            "message": f"the run was active for longer than its timeout of {run.timeout_ms:,} ms",
            "details": {"timeoutMs": run.timeout_ms, "activeMs": active_ms},
            "retryable": False,
        }
        settler = Settler(tx, run, compiled_version(run.version_id))
        run.failing = True
        run.unhandled_failures += 1
        run.error = json.dumps(error)
        settler.journal.event(
            "execution_timed_out", data={"timeoutMs": run.timeout_ms, "activeMs": active_ms}
        )
        settler.journal.log("ERROR", f"Workflow {run.public_id}: {error['message']}")
        aftermath = conclude_locked(settler)
    aftermath.unsettled = any_unsettled(execution_id)
    return aftermath
