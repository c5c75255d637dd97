"""Keeping files and letting them go. The object is written first and its row after, and both go the other way round.

So what has a row can be read, whoever dies in between; what is left without a row is swept.
"""

import hashlib
import logging
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import IO, BinaryIO, cast

from django.db import IntegrityError, transaction
from django.utils import timezone

from workflow_service.accounts.models import User
from workflow_service.accounts.recording import record_by
from workflow_service.artifacts.errors import (
    ArtifactMismatch,
    ArtifactNameInvalid,
    ArtifactNotFound,
    ArtifactPinned,
    ArtifactTooLarge,
    StorageUnavailable,
)
from workflow_service.artifacts.models import Artifact, Pin, new_artifact_id
from workflow_service.artifacts.references import check_name, content_type_of
from workflow_service.artifacts.selectors import find_made
from workflow_service.artifacts.storage import delete_object, storage_key, write_object

logger = logging.getLogger(__name__)

CHUNK_BYTES = 256 * 1024
IN_MEMORY_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an artifact comes from: a block of a run, or a person."""

    execution_id: str = ""
    block_id: str = ""
    work_key: str = ""
    actor: User | None = None


@dataclass(frozen=True, slots=True)
class Received:
    """A file that has been read to its end: ``content`` stands at no particular place."""

    content: BinaryIO
    size: int
    sha256: str


def work_key_of(idempotency_key: str) -> str:
    """Return the key under which work finds again what it made: of fixed length, and of nobody's choosing."""
    return hashlib.sha256(idempotency_key.encode()).hexdigest()


@contextmanager
def received(source: IO[bytes], max_bytes: int, sha256: str | None = None) -> Iterator[Received]:
    """Read ``source`` to its end into a temporary file; raises ``ArtifactTooLarge`` or ``ArtifactMismatch``."""
    digest = hashlib.sha256()
    size = 0
    with tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES) as content:
        while chunk := source.read(CHUNK_BYTES):
            size += len(chunk)
            if size > max_bytes:
                raise ArtifactTooLarge(max_bytes)
            digest.update(chunk)
            content.write(chunk)
        if sha256 is not None and digest.hexdigest() != sha256.lower():
            raise ArtifactMismatch(digest.hexdigest())
        yield Received(cast(BinaryIO, content), size, digest.hexdigest())


def keep_file(
    *,
    workspace_id: int,
    name: str,
    file: Received,
    content_type: str = "",
    origin: Origin,
    expires_at: datetime | None = None,
) -> tuple[Artifact, bool]:
    """Keep a file as an artifact; says whether it is new. Raises ``ArtifactNameInvalid``, ``StorageUnavailable``."""
    try:
        check_name(name)
    except ValueError as error:
        raise ArtifactNameInvalid(str(error)) from None
    if origin.work_key:
        known = find_made(origin.work_key, name, file.sha256)
        if known is not None:
            return known, False
    public_id = new_artifact_id()
    key = storage_key(public_id, timezone.now().date())
    write_object(key, file.content)
    try:
        with transaction.atomic():
            artifact = Artifact.objects.create(
                public_id=public_id,
                workspace_id=workspace_id,
                name=name,
                size=file.size,
                sha256=file.sha256,
                content_type=content_type_of(name, content_type),
                storage_key=key,
                execution_id=origin.execution_id,
                block_id=origin.block_id,
                work_key=origin.work_key,
                created_by=origin.actor,
                expires_at=expires_at,
            )
            if origin.actor is not None:
                told = {"name": name, "sha256": file.sha256, "size": file.size}
                record_by(origin.actor, "artifact.upload", workspace_id, "artifact", public_id, **told)
    except IntegrityError:
        # The same work, done by two workers at once: the other's is the one.
        known = find_made(origin.work_key, name, file.sha256)
        if known is None:
            raise
        delete_object(key)
        return known, False
    return artifact, True


def expiry(days: int | None) -> datetime | None:
    """Return when what is kept for that many days goes; None is never."""
    return None if days is None else timezone.now() + timedelta(days=days)


def delete_artifact(artifact: Artifact, *, actor: User | None = None) -> None:
    """Delete an artifact that nothing needs, without ``actor`` because its time is over; raises ``ArtifactPinned``."""
    with transaction.atomic():
        # The row is locked: a pin refers to it, and its insert waits for the lock.
        row = Artifact.objects.select_for_update().filter(pk=artifact.pk, deleted_at__isnull=True).first()
        if row is None:
            return
        holders = list(row.pins.values_list("holder", flat=True)[:5])
        if holders:
            raise ArtifactPinned(row.public_id, holders)
        row.deleted_at = timezone.now()
        row.save(update_fields=["deleted_at"])
        told = {"name": row.name, "sha256": row.sha256, "size": row.size}
        record_by(actor, "artifact.delete", row.workspace_id, "artifact", row.public_id, **told)
    try:
        finish_deletion(row)
    except StorageUnavailable as error:
        # Gone for everybody; its bytes follow with the next sweep.
        logger.warning("The content of %s is still there: %s", row.public_id, error)


def finish_deletion(artifact: Artifact) -> None:
    """Remove the object of an artifact that is marked as deleted, and then its row."""
    delete_object(artifact.storage_key)
    Artifact.objects.filter(pk=artifact.pk, deleted_at__isnull=False).delete()


def pin_artifact(artifact: Artifact, holder: str) -> None:
    """Keep an artifact for as long as ``holder`` needs it; raises ``ArtifactNotFound`` where it is gone."""
    with transaction.atomic():
        # The lock that a deletion takes too: whoever comes second finds what the first did.
        if not Artifact.objects.select_for_update().filter(pk=artifact.pk, deleted_at__isnull=True).exists():
            raise ArtifactNotFound(artifact.public_id)
        Pin.objects.get_or_create(artifact=artifact, holder=holder)


def pin_named(workspace_id: int, artifact_ids: Collection[str], holder: str) -> None:
    """Keep those of the artifacts that the workspace has for as long as ``holder`` needs them."""
    if not artifact_ids:
        return
    for artifact in Artifact.objects.filter(
        workspace=workspace_id, public_id__in=artifact_ids, deleted_at=None
    ):
        with suppress(ArtifactNotFound):
            pin_artifact(artifact, holder)


def unpin_artifacts(holder: str) -> None:
    """Say that ``holder`` needs nothing any more."""
    Pin.objects.filter(holder=holder).delete()
