"""The artifacts of one block of one run: what a tool is handed to take files and give them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from django.utils import timezone
from pydantic import JsonValue

from workflow_service.artifacts.models import Artifact
from workflow_service.artifacts.pinned import read_content
from workflow_service.artifacts.references import ArtifactRef
from workflow_service.artifacts.selectors import get_artifact, open_artifact
from workflow_service.artifacts.services.artifacts import Origin, expiry, keep_file, received, work_key_of
from workflow_service.settings.config import get_config


@dataclass(frozen=True, slots=True)
class ArtifactsOfRun:
    """Opens artifacts of the run's workspace and keeps what its block makes. Raises ``WorkflowError``s."""

    workspace_id: int
    execution_id: str
    block_id: str
    idempotency_key: str
    # The digests of the files that the run's version is pinned to, by kind and name.
    pinned: Mapping[str, JsonValue] = field(default_factory=dict)

    def describe(self, artifact_id: str) -> ArtifactRef:
        """Return what is known of an artifact; raises ``ArtifactNotFound``."""
        return self._get(artifact_id).reference

    def open(self, artifact_id: str) -> BinaryIO:
        """Open an artifact; raises ``ArtifactNotFound`` or ``StorageUnavailable``."""
        return open_artifact(self._get(artifact_id))

    def pinned_file(self, kind: str, name: str) -> bytes | None:
        """Return the content a version was written with; None where it is not pinned to such a file."""
        names = self.pinned.get(kind)
        digest = names.get(name) if isinstance(names, dict) else None
        return read_content(self.workspace_id, digest) if isinstance(digest, str) else None

    def save(self, name: str, source: BinaryIO, content_type: str) -> ArtifactRef:
        """Keep a file; raises ``ArtifactTooLarge`` or ``StorageUnavailable``."""
        config = get_config()
        work_key = work_key_of(f"{self.workspace_id}:{self.idempotency_key}")
        origin = Origin(self.execution_id, self.block_id, work_key)
        with received(source, config.artifact_max_bytes) as file:
            artifact, _ = keep_file(
                workspace_id=self.workspace_id,
                name=name,
                file=file,
                content_type=content_type,
                origin=origin,
                expires_at=expiry(config.artifact_retention_days),
            )
        return artifact.reference

    def _get(self, artifact_id: str) -> Artifact:
        return get_artifact(self.workspace_id, artifact_id, timezone.now())
