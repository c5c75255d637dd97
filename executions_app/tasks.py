"""Celery tasks: ids in, one call, no logic. ``execution`` and ``block`` are there for people who read Flower."""

from typing import Any

from celery import Task, shared_task

from executions_app import aftermath, running, sweeper


@shared_task(bind=True)
def run_block(
    self: "Task[Any, Any]", *, execution_id: int, block_execution_id: int, execution: str, block: str
) -> int:
    """Run a queued block and what follows it in place."""
    delivery = self.request.delivery_info or {}
    return running.run_blocks(execution_id, block_execution_id, delivery.get("routing_key") or "default")


@shared_task
def settle(*, execution_id: int, execution: str) -> None:
    """Settle what is finished and unsettled in a run."""
    aftermath.settle_again(execution_id, execution)


@shared_task
def tick() -> None:
    """Sweep once: due retries, messages that were lost, blocks of dead workers."""
    sweeper.sweep()
