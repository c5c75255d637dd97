"""How a file goes out: as an attachment that no browser runs, whatever it says it is, and piece by piece."""

from collections.abc import AsyncIterator, Iterator
from typing import BinaryIO

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponseBase, HttpResponseNotModified, StreamingHttpResponse
from django.utils.http import content_disposition_header

from workflow_service.artifacts.models import Artifact
from workflow_service.artifacts.selectors import open_artifact

CHUNK_BYTES = 256 * 1024


def download_response(request: HttpRequest, artifact: Artifact) -> HttpResponseBase:
    """Return the content of an artifact, or 304 to who has it; raises ``StorageUnavailable``."""
    etag = f'"{artifact.sha256}"'
    if etag in [tag.strip() for tag in request.headers.get("If-None-Match", "").split(",")]:
        return HttpResponseNotModified(headers={"ETag": etag})
    content = open_artifact(artifact)
    pieces = _AsyncPieces(content) if isinstance(request, ASGIRequest) else _SyncPieces(content)
    return StreamingHttpResponse(
        pieces,
        content_type=artifact.content_type,
        headers={
            "Content-Length": str(artifact.size),
            "Content-Disposition": content_disposition_header(True, artifact.name.rpartition("/")[2])
            or "attachment",
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cache-Control": "private, no-cache",
            "ETag": etag,
        },
    )


class _Pieces:
    """A file piece by piece; Django closes what it streams, also where nobody read it to its end."""

    def __init__(self, content: BinaryIO) -> None:
        self._content = content

    def close(self) -> None:
        self._content.close()


class _SyncPieces(_Pieces):
    def __iter__(self) -> Iterator[bytes]:
        while piece := self._content.read(CHUNK_BYTES):
            yield piece


class _AsyncPieces(_Pieces):
    # An ASGI server would read a synchronous iterator to its end before it sends anything.
    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = sync_to_async(self._content.read, thread_sensitive=False)
        while piece := await read(CHUNK_BYTES):
            yield piece
