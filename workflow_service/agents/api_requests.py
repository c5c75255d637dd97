"""API: one HTTP request, through the egress guard, and its answer as JSON.

What comes back is bounded before it is held: the decoded size, the number of redirects, and the time in all.
An answer that was not expected is an error whose type follows from its status.
"""

import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
from pydantic import JsonValue

from workflow_service.agents.api_answers import Answer, output_of, place, read_content
from workflow_service.agents.configuration import ApiConfiguration, FieldValue
from workflow_service.agents.egress import Egress, GuardedTransport, Resolver, resolve_by_system
from workflow_service.agents.egress_rules import SCHEMES, EgressRefused, check_url, parse_allowed
from workflow_service.agents.errors import ToolError
from workflow_service.agents.invocation import Accepted, Invocation
from workflow_service.agents.limits import ToolLimits
from workflow_service.engine.states import ErrorType

USER_AGENT = "workflow-service"
REDIRECTS = frozenset({301, 302, 303, 307, 308})
KEEP_METHOD = frozenset({307, 308})
ACCEPTED = 202
CALLBACK_HEADER = "workflow-callback-url"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

# Set by the client itself, or they change what the connection is.
_OWN_HEADERS = frozenset(
    {
        "host",
        "workflow-callback-url",
        "content-length",
        "transfer-encoding",
        "connection",
        "upgrade",
        "te",
        "trailer",
        "expect",
    }
    | {CALLBACK_HEADER, "keep-alive", "proxy-authorization", "proxy-connection", "accept-encoding"}
)
# What may follow a redirect to another origin; anything else could be a credential.
_FOLLOWING_HEADERS = frozenset({"accept", "accept-encoding", "accept-language", "content-type", "user-agent"})
_CONTROL_CHARACTER = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def send_request(
    invocation: Invocation,
    configuration: ApiConfiguration,
    limits: ToolLimits,
    resolve: Resolver = resolve_by_system,
) -> JsonValue | Accepted:
    """Send the request and return ``{"status", "headers", "body"}``, or what ``responseMapping`` picks of it.

    With ``callback``, 202 is answered with ``Accepted``. Raises ``ToolError``.
    """
    timeout_s = invocation.timeout_s
    if configuration.timeout is not None:
        timeout_s = min(timeout_s, configuration.timeout / 1_000)
    egress = Egress(parse_allowed(limits.egress_allow), time.monotonic() + timeout_s, resolve)
    transport = GuardedTransport(egress)
    with httpx.Client(transport=transport, trust_env=False, follow_redirects=False, timeout=None) as client:  # noqa: S113 (the guard's deadline holds)
        request = _request(client, invocation, configuration)
        try:
            answer = _follow(client, request, configuration, limits.max_output_bytes)
        except httpx.TimeoutException:
            message = f"no complete answer within {timeout_s:g} s"
            raise ToolError(ErrorType.TIMEOUT_ERROR, message, details=place(request.url)) from None
        except httpx.LocalProtocolError as error:
            raise ToolError(ErrorType.CONFIGURATION_ERROR, f"the request cannot be sent: {error}") from None
        except httpx.TransportError as error:
            message = str(error) or type(error).__name__
            raise ToolError(ErrorType.NETWORK_ERROR, message, details=place(request.url)) from None
    if configuration.callback and answer.status == ACCEPTED:
        return Accepted()
    return output_of(answer, configuration, limits.max_output_bytes)


def endpoint_url(configuration: ApiConfiguration) -> httpx.URL:
    """Return the URL that is asked for; raises ``ToolError`` where the configuration does not make one."""
    try:
        url = httpx.URL(configuration.endpoint)
        if url.is_relative_url and configuration.base_url:
            base = httpx.URL(configuration.base_url)
            # Below the base, as agents' endpoints are written, not beside it.
            url = base.copy_with(raw_path=base.raw_path.rstrip(b"/") + b"/" + url.raw_path.lstrip(b"/"))
    except httpx.InvalidURL as error:
        raise ToolError(ErrorType.CONFIGURATION_ERROR, f"the endpoint is not a URL: {error}") from None
    if url.is_relative_url:
        raise ToolError(
            ErrorType.CONFIGURATION_ERROR,
            f"the endpoint '{configuration.endpoint}' is only a path; give 'baseUrl', or the whole URL",
        )
    check_url(url)
    return url


def request_body(configuration: ApiConfiguration) -> JsonValue:
    """Return what is sent: ``body``, else ``input``, else the keys that are left over; None for nothing."""
    if "body" in configuration.model_fields_set:
        return configuration.body
    if "input" in configuration.model_fields_set:
        return configuration.input
    return configuration.model_extra or None


def _request(client: httpx.Client, invocation: Invocation, configuration: ApiConfiguration) -> httpx.Request:
    body = request_body(configuration)
    method = configuration.method or ("GET" if body is None else "POST")
    headers = _headers(configuration.headers)
    headers.setdefault("user-agent", USER_AGENT)
    headers["accept-encoding"] = "gzip, deflate"
    if method not in SAFE_METHODS:
        headers.setdefault("idempotency-key", invocation.idempotency_key)
    if configuration.callback and invocation.callback_url is not None:
        headers[CALLBACK_HEADER] = invocation.callback_url
    url = endpoint_url(configuration)
    if configuration.query:
        url = url.copy_with(params=[*url.params.multi_items(), *_query_pairs(configuration.query)])
    content: dict[str, Any] = {}
    if isinstance(body, str) and "content-type" in headers:
        content["content"] = body.encode()
    elif isinstance(body, dict) and headers.get("content-type", "").startswith(
        "application/x-www-form-urlencoded"
    ):
        content["data"] = {key: _field_text(value) for key, value in body.items()}
    elif body is not None:
        content["json"] = body
    return client.build_request(method, url, headers=headers, **content)


def _headers(given: Mapping[str, FieldValue]) -> httpx.Headers:
    headers = httpx.Headers()
    for name, value in given.items():
        if name.lower() in _OWN_HEADERS:
            raise ToolError(
                ErrorType.CONFIGURATION_ERROR, f"the header '{name}' is set by the client; leave it out"
            )
        if value is not None:
            text = _field_text(value)
            if _CONTROL_CHARACTER.search(name + text):
                message = f"the header {name!r} holds a line break or another control character"
                raise ToolError(ErrorType.CONFIGURATION_ERROR, message)
            headers[name] = text
    return headers


def _query_pairs(query: Mapping[str, FieldValue | list[FieldValue]]) -> Iterator[tuple[str, str]]:
    for name, value in query.items():
        for one in value if isinstance(value, list) else [value]:
            if one is not None:
                yield name, _field_text(one)


def _field_text(value: JsonValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _follow(
    client: httpx.Client, request: httpx.Request, configuration: ApiConfiguration, max_bytes: int
) -> Answer:
    for _ in range(configuration.max_redirects + 1):
        response = client.send(request, stream=True)
        try:
            location = response.headers.get("location")
            if (
                response.status_code not in REDIRECTS
                or location is None
                or configuration.expects(response.status_code)
            ):
                content = read_content(response, max_bytes)
                return _answer(request, response, content)
        finally:
            response.close()
        request = _redirected(client, request, response.status_code, location)
    raise ToolError(
        ErrorType.VALIDATION_ERROR,
        f"redirected more than {configuration.max_redirects} times",
        details=place(request.url),
    )


def _answer(request: httpx.Request, response: httpx.Response, content: bytes) -> Answer:
    return Answer(
        method=request.method,
        url=request.url,
        status=response.status_code,
        headers=response.headers,
        content=content,
        charset=response.charset_encoding,
    )


def _redirected(client: httpx.Client, request: httpx.Request, status: int, location: str) -> httpx.Request:
    try:
        url = request.url.join(location)
    except httpx.InvalidURL as error:
        raise ToolError(ErrorType.VALIDATION_ERROR, f"redirected to what is not a URL: {error}") from None
    check_url(url)
    if request.url.scheme == "https" and url.scheme == "http":
        raise EgressRefused("redirected from https to http")
    headers = request.headers.copy()
    del headers["host"]
    if _origin(url) != _origin(request.url):
        for name in set(headers) - _FOLLOWING_HEADERS:
            del headers[name]
    if status in KEEP_METHOD or request.method in SAFE_METHODS:
        return client.build_request(request.method, url, headers=headers, content=request.content or None)
    for name in ("content-length", "content-type", "idempotency-key"):
        headers.pop(name, None)
    return client.build_request("GET", url, headers=headers)


def _origin(url: httpx.URL) -> tuple[str, str, int]:
    return url.scheme, url.host, url.port or SCHEMES[url.scheme]
