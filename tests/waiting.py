"""Blocks that wait, and ways to let their time pass."""

from datetime import timedelta
from typing import Any

from django.utils import timezone

from executions_app.models import BlockExecution, Execution
from executions_app.sweeper import sweep
from tests.driver import run_all_until_quiet


def wait_block(block_id: str = "wait", /, **configuration: Any) -> dict[str, Any]:
    """Return a WAIT block with that configuration."""
    return {"blockId": block_id, "toolType": "WAIT", "configuration": configuration}


def waiting_row(execution: Execution, block_id: str = "wait") -> BlockExecution:
    """Return the row of a block that waits; fails unless it does."""
    return BlockExecution.objects.get(execution=execution, block_id=block_id, status="WAITING")


def assert_waits(execution: Execution, block_id: str = "wait") -> None:
    """Fail unless the block waits."""
    waiting_row(execution, block_id)


def let_time_pass(execution: Execution) -> Execution:
    """Make everything due that an execution waits for, sweep, and let it go on."""
    BlockExecution.objects.filter(execution=execution, status="WAITING", due_at__isnull=False).update(
        due_at=timezone.now() - timedelta(seconds=1)
    )
    sweep()
    return go_on(execution)


def go_on(execution: Execution) -> Execution:
    """Run whatever is queued, in this run and those around it."""
    while BlockExecution.objects.filter(status="QUEUED").exists():
        run_all_until_quiet()
    execution.refresh_from_db()
    return execution
