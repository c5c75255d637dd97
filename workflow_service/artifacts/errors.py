"""What can be wrong with an artifact."""

from workflow_service.engine.errors import WorkflowError


class ArtifactNotFound(WorkflowError):
    """There is no such artifact in the workspace."""

    code = "ARTIFACT_NOT_FOUND"

    def __init__(self, artifact_id: str) -> None:
        super().__init__(f"there is no artifact '{artifact_id[:100]}'")


class ArtifactTooLarge(WorkflowError):
    """A file is larger than ARTIFACT_MAX_BYTES."""

    code = "ARTIFACT_TOO_LARGE"

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"the file is larger than the {max_bytes} bytes that an artifact may have")


class ArtifactMismatch(WorkflowError):
    """A file is not the one its sha256 was given for."""

    code = "ARTIFACT_MISMATCH"

    def __init__(self, sha256: str) -> None:
        super().__init__(f"the file is not the expected one: its sha256 is {sha256}")


class ArtifactNameInvalid(WorkflowError):
    """A file cannot have that name."""

    code = "ARTIFACT_NAME_INVALID"


class ArtifactPinned(WorkflowError):
    """An artifact is needed and cannot be deleted."""

    code = "ARTIFACT_PINNED"

    def __init__(self, artifact_id: str, holders: list[str]) -> None:
        super().__init__(f"'{artifact_id}' cannot be deleted: it is pinned by {', '.join(holders)}")


class UploadRepeated(WorkflowError):
    """An Idempotency-Key was used for another file before."""

    code = "IDEMPOTENCY_CONFLICT"


class StorageUnavailable(WorkflowError):
    """The artifact storage cannot be reached, or has not what it should have."""

    code = "ARTIFACT_STORE_UNAVAILABLE"
