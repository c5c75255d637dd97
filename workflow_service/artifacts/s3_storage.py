"""The S3 storage with the patience of a request: botocore's own defaults wait for minutes.

Imported by name on first use; boto3 comes with it.
"""

from typing import Any

from botocore.config import Config  # type: ignore[import-untyped]
from storages.backends.s3 import S3Storage  # type: ignore[import-untyped]

PATIENCE = Config(connect_timeout=5, read_timeout=30, retries={"total_max_attempts": 3, "mode": "standard"})


class ArtifactS3Storage(S3Storage):  # type: ignore[misc]
    """django-storages' S3 storage that gives up in time."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.client_config: Any = self.client_config.merge(PATIENCE)
