"""A store of artifacts in memory, for tools that are tested without a run."""

import hashlib
from io import BytesIO
from typing import BinaryIO

from workflow_service.agents.errors import ToolError
from workflow_service.artifacts.references import ArtifactRef
from workflow_service.engine.states import ErrorType


class MemoryFiles:
    """Keeps files by id; the same name with the same content again is the same file."""

    def __init__(self) -> None:
        self.files: dict[str, tuple[ArtifactRef, bytes]] = {}

    def describe(self, artifact_id: str) -> ArtifactRef:
        return self._get(artifact_id)[0]

    def open(self, artifact_id: str) -> BinaryIO:
        return BytesIO(self._get(artifact_id)[1])

    def save(self, name: str, source: BinaryIO, content_type: str) -> ArtifactRef:
        content = source.read()
        sha256 = hashlib.sha256(content).hexdigest()
        artifact_id = f"art_{hashlib.sha256(f'{name}:{sha256}'.encode()).hexdigest()[:20]}"
        reference = ArtifactRef(
            artifact_id=artifact_id, name=name, size=len(content), sha256=sha256, content_type=content_type
        )
        self.files[artifact_id] = (reference, content)
        return reference

    def pinned_file(self, kind: str, name: str) -> bytes | None:
        return None

    def text(self, reference: dict[str, str]) -> str:
        """Return what a reference in an output leads to."""
        return self.files[reference["artifactId"]][1].decode()

    def _get(self, artifact_id: str) -> tuple[ArtifactRef, bytes]:
        if artifact_id not in self.files:
            raise ToolError(ErrorType.RESOURCE_NOT_FOUND, f"there is no artifact '{artifact_id}'")
        return self.files[artifact_id]
