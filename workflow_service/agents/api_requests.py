"""API: one HTTP request, through the egress guard, and its answer as JSON.

What comes back is bounded before it is held: the decoded size, the number of redirects, and the time in all.
An answer that was not expected is an error whose type follows from its status.
"""

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import httpx
from pydantic import JsonValue

from workflow_service.agents.api_answers import Answer, mapped_output, output_of, place, read_content
from workflow_service.agents.api_auth import credentials_of, forget_token
from workflow_service.agents.api_bodies import encoded_body, field_text
from workflow_service.agents.api_pages import Collector
from workflow_service.agents.api_redirects import REDIRECTS, SAFE_METHODS, redirected
from workflow_service.agents.configuration import ApiConfiguration, FieldValue
from workflow_service.agents.egress import Egress, GuardedTransport, Resolver, resolve_by_system
from workflow_service.agents.egress_rules import check_url, parse_allowed
from workflow_service.agents.errors import NOT_DONE, ToolError
from workflow_service.agents.invocation import Accepted, Invocation
from workflow_service.agents.limits import ToolLimits
from workflow_service.engine.states import ErrorType

USER_AGENT = "workflow-service"
ACCEPTED = 202
CALLBACK_HEADER = "workflow-callback-url"

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
        exchange = Exchange(client, invocation, configuration, limits)
        url = _asked_url(configuration)
        with _as_tool_errors(exchange, timeout_s):
            if configuration.paging is not None:
                collector = Collector(
                    configuration.paging,
                    exchange.send,
                    configuration=configuration,
                    max_bytes=limits.max_output_bytes,
                    remaining_s=egress.remaining_s,
                    stopped=invocation.stopped,
                )
                answer, output = collector.collect(url)
                return mapped_output(answer, configuration, output)
            answer = exchange.send(url)
    if configuration.callback and answer.status == ACCEPTED:
        return Accepted()
    return output_of(answer, configuration, limits.max_output_bytes)


class Exchange:
    """Requests of one invocation: each with its credentials, and followed where it is redirected to."""

    def __init__(
        self,
        client: httpx.Client,
        invocation: Invocation,
        configuration: ApiConfiguration,
        limits: ToolLimits,
    ) -> None:
        self._client = client
        self._invocation = invocation
        self._configuration = configuration
        self._limits = limits
        self.url = httpx.URL()
        # Whether anything was answered: what fails from then on does not say that nothing was done.
        self.answered = False

    def send(self, url: httpx.URL) -> Answer:
        """Ask for ``url`` and return the whole answer; raises ``ToolError`` and httpx's errors.

        A token that was kept and is refused is fetched anew, once.
        """
        self.url = url
        answer = self._follow(self._request(url))
        refused = answer.status == httpx.codes.UNAUTHORIZED
        if refused and forget_token(self._configuration.auth, self._invocation.workspace_id):
            answer = self._follow(self._request(url))
        return answer

    def _request(self, url: httpx.URL) -> httpx.Request:
        configuration, invocation = self._configuration, self._invocation
        body = request_body(configuration)
        method = configuration.method or ("GET" if body is None else "POST")
        headers = request_headers(configuration.headers)
        headers.setdefault("user-agent", USER_AGENT)
        headers["accept-encoding"] = "gzip, deflate"
        if method not in SAFE_METHODS:
            headers.setdefault("idempotency-key", invocation.idempotency_key)
        if configuration.callback and invocation.callback_url is not None:
            headers[CALLBACK_HEADER] = invocation.callback_url
        url = self._with_credentials(url, headers)
        content = encoded_body(body, configuration.body_type, headers, invocation, self._limits)
        request = self._client.build_request(method, url, headers=headers, **content)
        # A redirect may ask for the body again.
        request.read()
        return request

    def _with_credentials(self, url: httpx.URL, headers: httpx.Headers) -> httpx.URL:
        credentials = credentials_of(
            self._configuration.auth,
            workspace_id=self._invocation.workspace_id,
            client=self._client,
            conceal=self._invocation.conceal,
        )
        for name, value in request_headers(credentials.headers).items():
            if name in headers:
                message = f"the header '{name}' is given by 'headers' and by 'auth'; leave one out"
                raise ToolError(ErrorType.CONFIGURATION_ERROR, message)
            headers[name] = value
        return url.copy_merge_params(credentials.query) if credentials.query else url

    def _follow(self, request: httpx.Request) -> Answer:
        configuration, asked = self._configuration, request
        for _ in range(configuration.max_redirects + 1):
            self.url = request.url
            response = self._client.send(request, stream=True)
            self.answered = True
            try:
                location = response.headers.get("location")
                if (
                    response.status_code not in REDIRECTS
                    or location is None
                    or configuration.expects(response.status_code)
                ):
                    content = read_content(response, self._limits.max_output_bytes)
                    return _answer(request, response, content, redirected=request is not asked)
            finally:
                response.close()
            request = redirected(self._client, request, response.status_code, location)
        raise ToolError(
            ErrorType.VALIDATION_ERROR,
            f"redirected more than {configuration.max_redirects} times",
            details=place(request.url),
        )


@contextmanager
def _as_tool_errors(exchange: Exchange, timeout_s: float) -> Iterator[None]:
    try:
        yield
    except (httpx.TimeoutException, TimeoutError) as error:
        message = f"no complete answer within {timeout_s:g} s"
        never_sent = isinstance(error, httpx.ConnectTimeout)
        details = _not_connected(exchange) if never_sent else place(exchange.url)
        raise ToolError(ErrorType.TIMEOUT_ERROR, message, details=details) from None
    except httpx.ConnectError as error:
        message = str(error) or type(error).__name__
        raise ToolError(ErrorType.NETWORK_ERROR, message, details=_not_connected(exchange)) from None
    except httpx.LocalProtocolError as error:
        raise ToolError(ErrorType.CONFIGURATION_ERROR, f"the request cannot be sent: {error}") from None
    except httpx.TransportError as error:
        message = str(error) or type(error).__name__
        raise ToolError(ErrorType.NETWORK_ERROR, message, details=place(exchange.url)) from None


def _not_connected(exchange: Exchange) -> dict[str, JsonValue]:
    return place(exchange.url) | ({} if exchange.answered else {NOT_DONE: True})


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


def _asked_url(configuration: ApiConfiguration) -> httpx.URL:
    url = endpoint_url(configuration)
    if not configuration.query:
        return url
    return url.copy_with(params=[*url.params.multi_items(), *_query_pairs(configuration.query)])


def request_headers(given: Mapping[str, FieldValue]) -> httpx.Headers:
    """Return an author's headers as they are sent; raises ``ToolError`` for those that are the client's own."""
    headers = httpx.Headers()
    for name, value in given.items():
        if name.lower() in _OWN_HEADERS:
            raise ToolError(
                ErrorType.CONFIGURATION_ERROR, f"the header '{name}' is set by the client; leave it out"
            )
        if value is not None:
            text = field_text(value)
            if _CONTROL_CHARACTER.search(name + text):
                message = f"the header {name!r} holds a line break or another control character"
                raise ToolError(ErrorType.CONFIGURATION_ERROR, message)
            headers[name] = text
    return headers


def _query_pairs(query: Mapping[str, FieldValue | list[FieldValue]]) -> Iterator[tuple[str, str]]:
    for name, value in query.items():
        for one in value if isinstance(value, list) else [value]:
            if one is not None:
                yield name, field_text(one)


def _answer(request: httpx.Request, response: httpx.Response, content: bytes, *, redirected: bool) -> Answer:
    return Answer(
        method=request.method,
        url=request.url,
        status=response.status_code,
        headers=response.headers,
        content=content,
        charset=response.charset_encoding,
        redirected=redirected,
    )
