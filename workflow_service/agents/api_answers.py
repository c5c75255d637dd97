"""What an HTTP answer is worth: its body as JSON within bounds, or the error that its status stands for."""

import base64
import codecs
import email.utils
import re
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

import httpx
from pydantic import JsonValue

from workflow_service.agents.api_redirects import SAFE_METHODS
from workflow_service.agents.configuration import ApiConfiguration
from workflow_service.agents.errors import NOT_DONE, ToolError
from workflow_service.agents.json_paths import NoSuchPath, look_up
from workflow_service.engine.json_values import JsonUnfit, load_json
from workflow_service.engine.states import ErrorType

ERROR_BODY_CHARACTERS = 2_000
_CHARSET = re.compile(r"utf|ascii|iso\d|cp\d|koi8|mac|gb|big5|shift|euc")

TYPE_OF_STATUS = {
    401: ErrorType.AUTHORIZATION_ERROR,
    403: ErrorType.AUTHORIZATION_ERROR,
    404: ErrorType.RESOURCE_NOT_FOUND,
    408: ErrorType.TIMEOUT_ERROR,
    410: ErrorType.RESOURCE_NOT_FOUND,
    429: ErrorType.RATE_LIMIT_ERROR,
}
# With these a server refuses what it was asked for. The others may come after the work was done: 408 when it took too
# long, 409 where it is a repetition, 5xx at any time.
REFUSALS = frozenset(range(400, 500)) - {408, 409}


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer; ``content`` is decompressed, and text in ``charset`` if it names one."""

    method: str
    url: httpx.URL
    status: int
    headers: httpx.Headers
    content: bytes
    charset: str | None
    # Whether this is what another address answered that the one asked had led to.
    redirected: bool = False

    @property
    def content_type(self) -> str:
        """The media type without its parameters, in lower case."""
        return str(self.headers.get("content-type", "")).partition(";")[0].strip().lower()


def read_content(response: httpx.Response, max_bytes: int) -> bytes:
    """Read a streamed body, decoding it piece by piece; raises ``ToolError`` beyond ``max_bytes``."""
    content = bytearray()
    for piece in _decoded(response, max_bytes):
        content += piece
        if len(content) > max_bytes:
            raise ToolError(ErrorType.VALIDATION_ERROR, f"the answer is larger than {max_bytes} bytes")
    return bytes(content)


def output_of(answer: Answer, configuration: ApiConfiguration, max_bytes: int) -> JsonValue:
    """Return the block's output for an answer that was expected; raises ``ToolError`` for any other."""
    return mapped_output(answer, configuration, answer_value(answer, configuration, max_bytes))


def answer_value(answer: Answer, configuration: ApiConfiguration, max_bytes: int) -> dict[str, JsonValue]:
    """Return an answer as JSON; raises ``ToolError`` for one that was not expected."""
    if not configuration.expects(answer.status):
        raise _unexpected(answer, configuration)
    return {
        "status": answer.status,
        "headers": dict(answer.headers),
        "body": _body(answer, max_bytes),
    }


def mapped_output(answer: Answer, configuration: ApiConfiguration, output: JsonValue) -> JsonValue:
    """Return what ``responseMapping`` picks, or everything where there is none; raises ``ToolError``."""
    if configuration.response_mapping is None:
        return output
    return _mapped(configuration.response_mapping, output, place(answer.url))


def called_back_output(configuration: ApiConfiguration, output: JsonValue) -> JsonValue:
    """Return the block's output for what its agent called back: that, or what ``responseMapping`` picks of it.

    To the mapping it is the ``body``. Raises ``ToolError``.
    """
    if configuration.response_mapping is None:
        return output
    return _mapped(configuration.response_mapping, {"status": 202, "headers": {}, "body": output}, {})


def _mapped(
    mapping: Mapping[str, str], answer: JsonValue, details: Mapping[str, JsonValue]
) -> dict[str, JsonValue]:
    try:
        return {name: look_up(answer, path) for name, path in mapping.items()}
    except NoSuchPath as error:
        raise ToolError(ErrorType.VALIDATION_ERROR, f"responseMapping: {error}", details=details) from None


def place(url: httpx.URL) -> dict[str, JsonValue]:
    """Return where a request went, for an error's details; the query may hold secrets and is left out."""
    return {"url": str(url.copy_with(query=None, fragment=None))}


def _decoded(response: httpx.Response, max_bytes: int) -> Iterator[bytes]:
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("identity", ""):
        yield from response.iter_raw()
    elif encoding in ("gzip", "x-gzip", "deflate"):
        yield from _inflated(response.iter_raw(), max_bytes)
    else:
        raise ToolError(
            ErrorType.VALIDATION_ERROR, f"the answer has the unknown content encoding '{encoding}'"
        )


def _inflated(pieces: Iterator[bytes], max_bytes: int) -> Iterator[bytes]:
    # zlib is told how much it may put out at once: one small piece can stand for gigabytes.
    decoder = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        for piece in pieces:
            rest = piece
            while rest:
                if decoder.eof:
                    decoder = zlib.decompressobj(zlib.MAX_WBITS | 32)
                yield decoder.decompress(rest, max_bytes + 1)
                rest = decoder.unused_data or decoder.unconsumed_tail
    except zlib.error as error:
        raise ToolError(
            ErrorType.VALIDATION_ERROR, f"the answer is not what its encoding says: {error}"
        ) from None
    if not decoder.eof:
        raise ToolError(ErrorType.NETWORK_ERROR, "the answer ended before its compressed body did")


def _body(answer: Answer, max_bytes: int) -> JsonValue:
    if not answer.content:
        return None
    if answer.content_type == "application/json" or answer.content_type.endswith("+json"):
        try:
            return load_json(answer.content, max_bytes=max_bytes)
        except JsonUnfit as error:
            raise ToolError(
                ErrorType.VALIDATION_ERROR,
                f"the answer says it is JSON, but it {error.reason}",
                details=place(answer.url) | {"body": _start(answer)},
                problems=error.problems,
                # Broken on the way, perhaps; to ask again does nothing.
                retryable=answer.method in SAFE_METHODS and not answer.redirected,
            ) from None
    for charset in (_text_charset(answer.charset), "utf-8"):
        with suppress(UnicodeError):
            return answer.content.decode(charset)
    return {"base64": base64.b64encode(answer.content).decode("ascii")}


def _text_charset(name: str | None) -> str:
    """Return Python's name for a charset of texts; its other codecs (punycode, hex, ...) are not for this."""
    try:
        known = codecs.lookup(name or "utf-8").name
    except (LookupError, ValueError):
        return "utf-8"
    return known if _CHARSET.match(known) else "utf-8"


def _unexpected(answer: Answer, configuration: ApiConfiguration) -> ToolError:
    details = place(answer.url) | {"status": answer.status, "body": _start(answer)}
    wait_s = retry_after_s(answer)
    if wait_s is not None:
        details["retryAfterS"] = wait_s
    if answer.status in REFUSALS and not answer.redirected:
        details[NOT_DONE] = True
    error_type = TYPE_OF_STATUS.get(answer.status)
    if error_type is None:
        error_type = ErrorType.NETWORK_ERROR if answer.status >= 500 else ErrorType.VALIDATION_ERROR
    message = f"{answer.method} {details['url']} answered {answer.status}"
    if configuration.expected_status is not None:
        message += f", not {configuration.expected_status}"
    return ToolError(error_type, message, details=details)


def retry_after_s(answer: Answer) -> int | None:
    """Return what Retry-After says, in its seconds or its date form; None where it says nothing."""
    value = answer.headers.get("retry-after")
    if not value:
        return None
    if value.strip().isdecimal():
        return min(int(value.strip()[:9]), 86_400 * 365)
    try:
        due = email.utils.parsedate_to_datetime(value).timestamp()
    except (ValueError, OverflowError):
        return None
    return max(0, round(due - time.time()))


def _start(answer: Answer) -> str:
    return (
        answer.content[: ERROR_BODY_CHARACTERS * 4]
        .decode("utf-8", "replace")[:ERROR_BODY_CHARACTERS]
        .replace("\x00", "\ufffd")
    )
