"""What an API request sends: JSON, a form, parts with files, or a text."""

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal

import httpx
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from workflow_service.agents.errors import ToolError, invalid
from workflow_service.agents.invocation import Invocation
from workflow_service.agents.limits import MEBIBYTE, ToolLimits
from workflow_service.agents.workspace_files import open_workspace_file
from workflow_service.engine.states import ErrorType

MAX_UPLOAD_BYTES = 64 * MEBIBYTE
FORM = "application/x-www-form-urlencoded"
BodyType = Literal["json", "form", "multipart", "text"]


class FilePart(BaseModel):
    """One file of a multipart body: a file of the workspace, or content that stands here."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, frozen=True)

    file: str | None = None
    text: str | None = None
    base64: str | None = None
    filename: str | None = None
    content_type: str | None = None

    @model_validator(mode="after")
    def one_source(self) -> "FilePart":
        if sum(given is not None for given in (self.file, self.text, self.base64)) != 1:
            raise ValueError("give one of 'file', 'text' and 'base64'")
        return self


def fit_problem(body: JsonValue, body_type: BodyType | None) -> str | None:
    """Return why a body cannot be sent as that type, or None."""
    if body_type in ("form", "multipart") and body is not None and not isinstance(body, Mapping):
        return f"a body of the type '{body_type}' is an object: a value by each field's name"
    if body_type == "text" and body is not None and not isinstance(body, str):
        return "a body of the type 'text' is a text"
    return None


def encoded_body(
    body: JsonValue,
    body_type: BodyType | None,
    headers: httpx.Headers,
    invocation: Invocation,
    limits: ToolLimits,
) -> dict[str, Any]:
    """Return the body as httpx takes it; sets a content type where none is given. Raises ``ToolError``."""
    if body is None:
        return {}
    kind = body_type or _kind_of(body, headers)
    problem = fit_problem(body, kind)
    if problem:
        raise ToolError(ErrorType.CONFIGURATION_ERROR, f"body: {problem}")
    if kind == "text" and isinstance(body, str):
        headers.setdefault("content-type", "text/plain; charset=utf-8")
        return {"content": body.encode()}
    if kind == "form" and isinstance(body, dict):
        return {"data": {name: _form_value(value) for name, value in body.items()}}
    if kind == "multipart" and isinstance(body, dict):
        # The client names the boundary.
        headers.pop("content-type", None)
        room = MAX_UPLOAD_BYTES
        parts: list[tuple[str, Any]] = []
        for name, value in body.items():
            for one in value if isinstance(value, list) else [value]:
                part = _part(one, name, invocation, limits, room)
                room -= len(part[1])
                parts.append((name, part))
        return {"files": parts}
    return {"json": body}


def field_text(value: JsonValue) -> str:
    """Return a scalar as it stands in a query, a form or a header."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _kind_of(body: JsonValue, headers: httpx.Headers) -> BodyType:
    if isinstance(body, str) and "content-type" in headers:
        return "text"
    if isinstance(body, dict) and headers.get("content-type", "").startswith(FORM):
        return "form"
    return "json"


def _form_value(value: JsonValue) -> str | list[str]:
    return [field_text(member) for member in value] if isinstance(value, list) else field_text(value)


def _part(
    value: JsonValue, name: str, invocation: Invocation, limits: ToolLimits, room: int
) -> tuple[str | None, bytes, str] | tuple[str | None, bytes]:
    """Return one part as (file name, content, content type)."""
    if not isinstance(value, dict):
        return _bounded(None, field_text(value).encode(), None, room)
    try:
        part = FilePart.model_validate(value)
    except ValidationError as error:
        raise invalid(f"body: the part '{name}' is not right", error) from None
    if part.file is not None:
        with open_workspace_file(limits.files_dir, invocation.workspace_id, part.file) as file:
            content = _read(file, room)
        return _bounded(part.filename or Path(part.file).name, content, part.content_type, room)
    try:
        content = (
            base64.b64decode(part.base64, validate=True)
            if part.base64 is not None
            else (part.text or "").encode()
        )
    except binascii.Error:
        raise ToolError(ErrorType.VALIDATION_ERROR, f"body: the part '{name}' is not base64") from None
    return _bounded(part.filename or name, content, part.content_type, room)


def _read(file: BinaryIO, room: int) -> bytes:
    return file.read(room + 1)


def _bounded(
    filename: str | None, content: bytes, content_type: str | None, room: int
) -> tuple[str | None, bytes, str] | tuple[str | None, bytes]:
    if len(content) > room:
        raise ToolError(ErrorType.VALIDATION_ERROR, f"the body is larger than {MAX_UPLOAD_BYTES} bytes")
    return (filename, content) if content_type is None else (filename, content, content_type)
