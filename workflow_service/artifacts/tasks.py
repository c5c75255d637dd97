"""Celery's part: the sweep, sent by beat."""

from celery import shared_task

from workflow_service.artifacts.services.sweeping import sweep_artifacts


@shared_task  # type: ignore[untyped-decorator]
def sweep() -> int:
    """Remove files past their time and what was left behind."""
    return sweep_artifacts()
