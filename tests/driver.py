"""Runs an execution in the test's own process, block by block, through the worker's real code.

Messages still go to Redis, where no worker listens; what is QUEUED in Postgres says what to run next.
"""

from datetime import timedelta

from django.utils import timezone

from executions_app import running
from executions_app.finishing import Aftermath
from executions_app.models import BlockExecution, Execution
from executions_app.parking import recover, wake_retries
from executions_app.progress import Claim
from executions_app.settlement import Error

MAX_BLOCKS = 1_000


def queued_blocks(execution: Execution) -> list[int]:
    """Return the ids of an execution's queued blocks, oldest first."""
    rows = BlockExecution.objects.filter(execution=execution, status="QUEUED").order_by("id")
    return list(rows.values_list("id", flat=True))


def run_all_until_quiet() -> None:
    """Run queued blocks of every execution until none is left, as the workers of a stack would."""
    for execution in Execution.objects.filter(
        pk__in=BlockExecution.objects.filter(status="QUEUED").values("execution")
    ):
        run_until_quiet(execution)


def run_until_quiet(execution: Execution) -> Execution:
    """Run queued blocks until none is left, and return the execution as it then stands."""
    done = 0
    while queued := queued_blocks(execution):
        for block_execution_id in queued:
            done += running.run_blocks(execution.pk, block_execution_id, "default")
        if done > MAX_BLOCKS:
            raise AssertionError(f"{execution} is still not quiet after {done} blocks")
    execution.refresh_from_db()
    return execution


def retry_later(claim: Claim, error: Error, delay_s: float) -> Aftermath:
    """Let a claimed block fail with an error that passes, and be tried again in ``delay_s`` seconds."""
    aftermath = recover(claim, {**error, "retryable": True}, ())
    due_at = timezone.now() + timedelta(seconds=delay_s)
    BlockExecution.objects.filter(pk=claim.block_execution_id, status="RETRYING").update(due_at=due_at)
    return aftermath


def wake_all(execution: Execution) -> None:
    """Let the delays of a run's retries be over, and wake them."""
    BlockExecution.objects.filter(execution=execution, status="RETRYING").update(due_at=timezone.now())
    wake_retries(execution.pk)
