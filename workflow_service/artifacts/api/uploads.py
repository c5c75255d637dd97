"""How an upload comes in: as a form with one file, or as the body itself; never held in memory as a whole."""

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import IO, Any, cast

from django.core.files.uploadedfile import UploadedFile
from rest_framework.parsers import BaseParser, MultiPartParser
from rest_framework.request import Request

from workflow_service.api_serializers import RequestInvalid
from workflow_service.artifacts.errors import ArtifactTooLarge
from workflow_service.engine.errors import Problem

# What a form has around its file.
FORM_BYTES = 64 * 1024
FIELD = "file"


@dataclass(frozen=True, slots=True)
class Upload:
    """One file on its way in; ``name`` is what the sender calls it, if anything."""

    source: IO[bytes]
    name: str
    content_type: str


class RawParser(BaseParser):
    """The body as it comes, whatever its type."""

    media_type = "*/*"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        return stream


PARSERS = (MultiPartParser, RawParser)


def read_upload(request: Request, max_bytes: int) -> Upload:
    """Return the file of a request; raises ``ArtifactTooLarge`` or ``RequestInvalid``."""
    form = (request.content_type or "").partition(";")[0].strip().lower() == "multipart/form-data"
    length = request.META.get("CONTENT_LENGTH") or "0"
    # Before a form is read: Django writes its files to disk as it reads.
    if length.isdecimal() and int(length) > max_bytes + (FORM_BYTES if form else 0):
        raise ArtifactTooLarge(max_bytes)
    if form:
        return _file_of_form(request)
    stream: Any = request.data if hasattr(request.data, "read") else BytesIO()
    return Upload(stream, "", request.content_type or "")


def _file_of_form(request: Request) -> Upload:
    files = [file for name in request.FILES for file in request.FILES.getlist(name)]
    others = [name for name in request.data if name not in request.FILES]
    if len(files) != 1 or FIELD not in request.FILES or others:
        message = f"the form must have one file, in the field '{FIELD}', and nothing else; options go into the query"
        raise RequestInvalid(message, [Problem("FORM_INVALID", message)])
    file: UploadedFile[Any] = files[0]
    return Upload(cast(IO[bytes], file), file.name or "", file.content_type or "")
