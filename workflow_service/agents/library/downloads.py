"""Files fetched from the web through the egress guard, straight into an artifact."""

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote

import httpx
from pydantic import Field

from workflow_service.agents.api_answers import Answer, output_of
from workflow_service.agents.api_requests import request_headers
from workflow_service.agents.configuration import ApiConfiguration
from workflow_service.agents.egress import GuardedTransport
from workflow_service.agents.egress_rules import EgressRefused, check_url
from workflow_service.agents.errors import ToolError
from workflow_service.agents.library.shapes import Output, Params
from workflow_service.agents.use_cases import RunContext, use_case
from workflow_service.artifacts.references import ArtifactRef, FileName, check_name
from workflow_service.engine.states import ErrorType

IN_MEMORY_BYTES = 4 * 1024 * 1024
CHUNK_BYTES = 64 * 1024
ERROR_BODY_BYTES = 8_000
MAX_REDIRECTS = 5
USER_AGENT = "workflow-service"
REDIRECTS = frozenset({301, 302, 303, 307, 308})


class DownloadInput(Params):
    """``name`` is the last part of the URL's path where not given; ``sha256`` is checked if given."""

    url: str = Field(min_length=1, max_length=8_000)
    headers: dict[str, str] = Field({}, max_length=50)
    name: FileName | None = None
    max_bytes: int = Field(50 * 1024 * 1024, ge=1, le=1024 * 1024 * 1024)
    sha256: str | None = Field(None, pattern=r"^[0-9a-fA-F]{64}$")


class DownloadOutput(Output):
    """``url`` is the one that answered, after redirects."""

    artifact: ArtifactRef
    status: int
    url: str
    content_type: str


@use_case("http.download")
def download(params: DownloadInput, run: RunContext) -> DownloadOutput:
    """Download a file by HTTP or HTTPS and keep it as an artifact."""
    with (
        guarded_client(run) as client,
        _answered(client, params) as response,
        tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES) as target,
    ):
        digest = hashlib.sha256()
        size = 0
        for chunk in response.iter_raw(CHUNK_BYTES):
            size += len(chunk)
            if size > params.max_bytes:
                raise ToolError(
                    ErrorType.VALIDATION_ERROR, f"the file is larger than {params.max_bytes} bytes"
                )
            digest.update(chunk)
            target.write(chunk)
        if params.sha256 is not None and digest.hexdigest() != params.sha256.lower():
            message = f"the file is not the expected one: its sha256 is {digest.hexdigest()}"
            raise ToolError(ErrorType.VALIDATION_ERROR, message)
        target.seek(0)
        kind = response.headers.get("content-type", "")
        name = params.name or _name_of(response.url)
        artifact = run.save_file(name, target, content_type=kind)  # type: ignore[arg-type]
        return DownloadOutput(
            artifact=artifact,
            status=response.status_code,
            url=str(response.url),
            content_type=artifact.content_type,
        )


@contextmanager
def guarded_client(run: RunContext) -> Iterator[httpx.Client]:
    """Give a client that reaches open addresses only, until the block's deadline; raises ``ToolError``."""
    transport = GuardedTransport(run.egress)
    headers = {"user-agent": USER_AGENT, "accept-encoding": "identity"}
    with httpx.Client(
        transport=transport,
        trust_env=False,
        follow_redirects=False,
        timeout=None,  # noqa: S113 (the guard's deadline holds)
        headers=headers,
    ) as client:
        try:
            yield client
        except httpx.InvalidURL as error:
            raise ToolError(ErrorType.CONFIGURATION_ERROR, f"this is not a URL: {error}") from None
        except httpx.LocalProtocolError as error:
            raise ToolError(ErrorType.CONFIGURATION_ERROR, f"the request cannot be sent: {error}") from None


@contextmanager
def _answered(client: httpx.Client, params: DownloadInput) -> Iterator[httpx.Response]:
    request = client.build_request("GET", params.url, headers=request_headers(params.headers))
    for _ in range(MAX_REDIRECTS + 1):
        check_url(request.url)
        response = client.send(request, stream=True)
        try:
            location = response.headers.get("location")
            if response.status_code in REDIRECTS and location:
                request = _redirected(client, request, location)
                continue
            _check(request, response)
            yield response
            return
        finally:
            response.close()
    raise ToolError(ErrorType.VALIDATION_ERROR, f"redirected more than {MAX_REDIRECTS} times")


def _redirected(client: httpx.Client, request: httpx.Request, location: str) -> httpx.Request:
    url = request.url.join(location)
    if request.url.scheme == "https" and url.scheme == "http":
        raise EgressRefused("redirected from https to http")
    same = (url.scheme, url.host, url.port) == (request.url.scheme, request.url.host, request.url.port)
    headers = {name: value for name, value in request.headers.items() if name != "host"} if same else {}
    # What the author gave may be a credential: it goes to the origin it was meant for, and to no other.
    return client.build_request("GET", url, headers=headers)


def _check(request: httpx.Request, response: httpx.Response) -> None:
    if response.status_code != httpx.codes.OK:
        raise_unexpected(request, response)
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        message = f"the answer is encoded as '{encoding}', though it was asked not to be"
        raise ToolError(ErrorType.VALIDATION_ERROR, message)


def raise_unexpected(request: httpx.Request, response: httpx.Response) -> None:
    """Raise the ``ToolError`` that an answer's status stands for, with the start of its body."""
    content = bytearray()
    for chunk in response.iter_raw(CHUNK_BYTES):
        content += chunk
        if len(content) > ERROR_BODY_BYTES:
            break
    answer = Answer(
        method=request.method,
        url=request.url,
        status=response.status_code,
        headers=response.headers,
        content=bytes(content[:ERROR_BODY_BYTES]),
        charset="utf-8",
    )
    if 200 <= answer.status < 300:
        message = f"{answer.method} answered {answer.status}, which brings no file"
        raise ToolError(ErrorType.VALIDATION_ERROR, message)
    output_of(answer, ApiConfiguration(endpoint=str(request.url)), ERROR_BODY_BYTES)


def _name_of(url: httpx.URL) -> str:
    name = unquote(url.path.rpartition("/")[2])
    try:
        return check_name(name)
    except ValueError:
        return "download"
