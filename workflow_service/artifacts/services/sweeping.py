"""What is swept now and then: files past their time, deletions that were cut short, objects that have no row.

Everything here may be done twice, and by two at once.
"""

import logging
from datetime import datetime, timedelta

from django.utils import timezone

from workflow_service.artifacts.models import Artifact
from workflow_service.artifacts.selectors import known_keys
from workflow_service.artifacts.services.artifacts import delete_artifact, finish_deletion
from workflow_service.artifacts.storage import delete_object, list_days, list_keys
from workflow_service.engine.errors import WorkflowError

logger = logging.getLogger(__name__)

BATCH = 500
# No upload takes a day: what lies in the folder of an earlier day without a row will never get one.
ORPHAN_AGE = timedelta(days=2)
ORPHAN_DAYS = 7


def sweep_artifacts(now: datetime | None = None) -> int:
    """Sweep once, and return how many files went."""
    now = now or timezone.now()
    return _sweep_expired(now) + _finish_deletions(now) + _sweep_orphans(now)


def _sweep_expired(now: datetime) -> int:
    expired = Artifact.objects.filter(expires_at__lte=now, deleted_at__isnull=True, pins__isnull=True)
    return sum(_try(delete_artifact, artifact) for artifact in expired[:BATCH])


def _finish_deletions(now: datetime) -> int:
    # A minute: whoever marked it may be about to finish.
    left = Artifact.objects.filter(deleted_at__lte=now - timedelta(minutes=1))
    return sum(_try(finish_deletion, artifact) for artifact in left[:BATCH])


def _sweep_orphans(now: datetime) -> int:
    last = (now - ORPHAN_AGE).date()
    days = [day for day in list_days() if last - timedelta(days=ORPHAN_DAYS) <= day <= last]
    gone = 0
    for day in days:
        keys = list_keys(day)
        for start in range(0, len(keys), BATCH):
            batch = keys[start : start + BATCH]
            for key in sorted(set(batch) - known_keys(batch)):
                delete_object(key)
                logger.info("Removed %s, which no artifact refers to", key)
                gone += 1
    return gone


def _try(remove: object, artifact: Artifact) -> bool:
    # One file that cannot be removed must not keep all others.
    try:
        remove(artifact)  # type: ignore[operator]
    except WorkflowError as error:
        logger.warning("%s is not removed: %s", artifact.public_id, error)
        return False
    return True
