"""Reads of artifacts. What is deleted, or past its time, is not there."""

from collections.abc import Iterable
from datetime import datetime
from typing import BinaryIO

from django.db.models import Exists, Max, OuterRef, Q, QuerySet

from workflow_service.accounts.models import Workspace
from workflow_service.artifacts.errors import ArtifactNotFound
from workflow_service.artifacts.models import Artifact, Pin
from workflow_service.artifacts.storage import open_object


def readable(now: datetime) -> "QuerySet[Artifact]":
    """Return all artifacts that are there."""
    pinned = Exists(Pin.objects.filter(artifact=OuterRef("pk")))
    unexpired = Q(expires_at__isnull=True) | Q(expires_at__gt=now) | pinned
    return Artifact.objects.filter(unexpired, deleted_at__isnull=True)


def list_artifacts(
    workspace: Workspace, now: datetime, *, execution_id: str | None = None, name: str | None = None
) -> "QuerySet[Artifact]":
    """Return a workspace's artifacts, newest first."""
    rows = readable(now).filter(workspace=workspace)
    if execution_id is not None:
        rows = rows.filter(execution_id=execution_id)
    if name is not None:
        rows = rows.filter(name__icontains=name)
    return rows


def artifacts_of_execution(workspace_id: int, execution_id: str, now: datetime) -> "QuerySet[Artifact]":
    """Return what a run made, in the order in which it was made.

    Where a block was tried again and made another file of the same name, only the last one.
    """
    rows = readable(now).filter(workspace=workspace_id, execution_id=execution_id)
    last = rows.order_by().exclude(work_key="").values("work_key", "name").annotate(last=Max("pk"))
    return rows.filter(Q(work_key="") | Q(pk__in=last.values("last"))).order_by("pk")


def get_artifact(workspace_id: int, artifact_id: str, now: datetime) -> Artifact:
    """Return an artifact of a workspace; raises ``ArtifactNotFound``."""
    found = readable(now).filter(workspace=workspace_id, public_id=artifact_id).first()
    if found is None:
        raise ArtifactNotFound(artifact_id)
    return found


def find_made(work_key: str, name: str, sha256: str) -> Artifact | None:
    """Return what the same work made before of the same content under the same name."""
    return Artifact.objects.filter(
        work_key=work_key, name=name, sha256=sha256, deleted_at__isnull=True
    ).first()


def open_artifact(artifact: Artifact) -> BinaryIO:
    """Open an artifact's content to be read; raises ``StorageUnavailable``."""
    return open_object(artifact.storage_key)


def known_keys(keys: Iterable[str]) -> set[str]:
    """Return those of the storage keys that have a row."""
    return set(Artifact.objects.filter(storage_key__in=list(keys)).values_list("storage_key", flat=True))
