"""How a file is passed between blocks: by reference, as JSON, never by its bytes.

A reference is what a block puts into its output; the id alone is enough to open the file again, on any host.
"""

import mimetypes
import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

ARTIFACT_ID = re.compile(r"art_[0-9A-Za-z]{1,40}", re.ASCII)
MAX_NAME_CHARACTERS = 200
UNKNOWN_TYPE = "application/octet-stream"

_CONTENT_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,60}/[a-z0-9][a-z0-9!#$&^_.+-]{0,60}", re.ASCII)
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\<>:\"|?*\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class ArtifactRef(BaseModel):
    """An artifact as blocks see it: ``size`` is bytes, ``sha256`` hexadecimal."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, serialize_by_alias=True, frozen=True
    )

    artifact_id: str
    name: str
    size: int = Field(ge=0)
    sha256: str
    content_type: str


def is_artifact_id(text: str) -> bool:
    """Tell whether ``text`` is written like the id of an artifact."""
    return ARTIFACT_ID.fullmatch(text) is not None


def check_name(name: str) -> str:
    """Return a file's name as it is kept; raises ``ValueError`` for one that could mean another place.

    ``/`` parts folders. A name is relative, has no ``.`` or ``..`` in it, and no character that a file system or a
    header would read as something else.
    """
    if not name or len(name) > MAX_NAME_CHARACTERS:
        raise ValueError(f"a file's name has 1 to {MAX_NAME_CHARACTERS} characters")
    if _FORBIDDEN.search(name) or not name.isprintable():
        raise ValueError(f"the file name {name!r} holds a character that names of files may not have")
    if any(part in ("", ".", "..") or part != part.strip() for part in name.split("/")):
        raise ValueError(
            f"the file name {name!r} must be relative and plain, like report.csv or out/report.csv"
        )
    return name


def content_type_of(name: str, given: str = "") -> str:
    """Return the media type to keep for a file: the one ``given``, else what its name says; never trusted."""
    kind = given.partition(";")[0].strip().lower() or mimetypes.guess_type(name)[0] or UNKNOWN_TYPE
    return kind if _CONTENT_TYPE.fullmatch(kind) else UNKNOWN_TYPE


def _id_of(value: Any) -> Any:
    """Take the whole reference where its id is wanted: both are what blocks have at hand."""
    return value["artifactId"] if isinstance(value, dict) and "artifactId" in value else value


FileSource = Annotated[
    str,
    BeforeValidator(_id_of),
    Field(max_length=500),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string"}, {"type": "object", "required": ["artifactId"]}],
            "description": "The name of a file of the workspace, the id of an artifact (art_…), or a whole reference.",
        }
    ),
]
FileName = Annotated[str, BeforeValidator(lambda name: check_name(name) if isinstance(name, str) else name)]
