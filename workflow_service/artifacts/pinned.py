"""Small files that versions of templates are pinned to: by digest, in the database, for as long as it lives.

They are part of what was written, as a definition is: kept with it, backed up with it, and never changed.
"""

import hashlib
from functools import lru_cache

from workflow_service.artifacts.errors import ArtifactNotFound
from workflow_service.artifacts.models import PinnedContent

MAX_PINNED_BYTES = 1024 * 1024


def keep_content(workspace_id: int, content: bytes) -> str:
    """Keep a file's content and return its sha256, in hexadecimal."""
    digest = hashlib.sha256(content).hexdigest()
    rows = [PinnedContent(workspace_id=workspace_id, sha256=digest, content=content)]
    PinnedContent.objects.bulk_create(rows, ignore_conflicts=True)
    return digest


@lru_cache(maxsize=32)
def read_content(workspace_id: int, sha256: str) -> bytes:
    """Return the content of that digest; raises ``ArtifactNotFound``."""
    found = PinnedContent.objects.filter(workspace=workspace_id, sha256=sha256).values_list(
        "content", flat=True
    )
    content = found.first()
    if content is None:
        raise ArtifactNotFound(sha256)
    return bytes(content)
