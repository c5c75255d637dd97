"""Reading a file of the workspace, or an artifact, whole and within bounds."""

from typing import Literal

from workflow_service.agents.errors import ToolError
from workflow_service.agents.use_cases import RunContext
from workflow_service.engine.states import ErrorType

MAX_FILE_BYTES = 64 * 1024 * 1024

Encoding = Literal["utf-8", "utf-16", "latin-1", "windows-1252"]


def read_bytes(run: RunContext, source: str, max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """Return what the file holds; raises ``ToolError`` beyond ``max_bytes``."""
    with run.open_file(source) as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        message = f"the file '{source}' is larger than the {max_bytes} bytes that are read at once"
        raise ToolError(ErrorType.VALIDATION_ERROR, message)
    return content


def codec_of(encoding: Encoding) -> str:
    """Return Python's name of an encoding; a byte order mark before UTF-8 is no text."""
    return "utf-8-sig" if encoding == "utf-8" else encoding


def read_text(run: RunContext, source: str, encoding: Encoding, max_bytes: int = MAX_FILE_BYTES) -> str:
    """Return the text of a file; raises ``ToolError`` where it is none in that encoding."""
    try:
        return read_bytes(run, source, max_bytes).decode(codec_of(encoding))
    except UnicodeError as error:
        message = f"the file '{source}' is not {encoding} text: {error}; give its 'encoding'"
        raise ToolError(ErrorType.VALIDATION_ERROR, message) from None
