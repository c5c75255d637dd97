"""The files of a run: artifacts come by id and go out by name, files of the workspace are opened by name.

Who runs a tool hands it the store (``RunFiles``); a tool knows neither the database nor where bytes lie.
"""

from pathlib import Path
from typing import BinaryIO, Protocol

from workflow_service.agents.errors import ToolError
from workflow_service.agents.workspace_files import open_workspace_file
from workflow_service.artifacts.references import ArtifactRef, is_artifact_id
from workflow_service.engine.states import ErrorType


class RunFiles(Protocol):
    """Where a run's artifacts are. What goes wrong is a ``WorkflowError``."""

    def describe(self, artifact_id: str) -> ArtifactRef:
        """Return what is known of an artifact of the run's workspace."""

    def open(self, artifact_id: str) -> BinaryIO:
        """Open an artifact of the run's workspace to be read; to others it is not there."""

    def pinned_file(self, kind: str, name: str) -> bytes | None:
        """Return the content a file had when the run's version was written; None where that is not pinned."""

    def save(self, name: str, source: BinaryIO, content_type: str) -> ArtifactRef:
        """Keep what ``source`` holds from where it stands; the same name again in one block is the same artifact."""


class NoRunFiles:
    """The store of a call that belongs to no run."""

    def describe(self, artifact_id: str) -> ArtifactRef:
        raise ToolError(ErrorType.RESOURCE_NOT_FOUND, f"there is no artifact '{artifact_id}'")

    def open(self, artifact_id: str) -> BinaryIO:
        raise ToolError(ErrorType.RESOURCE_NOT_FOUND, f"there is no artifact '{artifact_id}'")

    def pinned_file(self, kind: str, name: str) -> bytes | None:
        return None

    def save(self, name: str, source: BinaryIO, content_type: str) -> ArtifactRef:
        raise ToolError(ErrorType.CONFIGURATION_ERROR, f"'{name}' cannot be kept: artifacts belong to a run")


def open_run_file(files: RunFiles, files_dir: Path, workspace_id: str, source: str) -> BinaryIO:
    """Open a file of the workspace by its name, or an artifact by its id; raises ``WorkflowError``."""
    if is_artifact_id(source):
        return files.open(source)
    return open_workspace_file(files_dir, workspace_id, source)
