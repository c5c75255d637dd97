"""API blocks against a real server that misbehaves."""

import socket
import ssl
import threading
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.invocations import make_invocation, make_limits
from tests.misbehaving_server import MisbehavingServer, misbehaving_server
from workflow_service.agents import egress
from workflow_service.agents.api_requests import send_request
from workflow_service.agents.configuration import ApiConfiguration, read_configuration
from workflow_service.agents.egress import Resolver, resolve_by_system
from workflow_service.agents.errors import ToolError
from workflow_service.agents.runtimes import invoke
from workflow_service.engine.states import ErrorType, ToolType

PUBLIC = "93.184.216.34"


@pytest.fixture
def server() -> Iterator[MisbehavingServer]:
    with misbehaving_server() as serving:
        yield serving


def call(
    endpoint: str,
    *,
    allow: Sequence[str] = ("127.0.0.1",),
    resolve: Resolver = resolve_by_system,
    timeout_s: float = 10.0,
    max_output_bytes: int = 1_000_000,
    **configuration: Any,
) -> Any:
    values = {"endpoint": endpoint, **configuration}
    invocation = make_invocation(ToolType.API, values, timeout_s=timeout_s, idempotency_key="key-1")
    limits = make_limits(Path("nowhere"), egress_allow=tuple(allow), max_output_bytes=max_output_bytes)
    return send_request(invocation, read_configuration(ApiConfiguration, values), limits, resolve)


def failure(endpoint: str, **keywords: Any) -> ToolError:
    with pytest.raises(ToolError) as caught:
        call(endpoint, **keywords)
    return caught.value


def test_an_answer_becomes_status_headers_and_body(server: MisbehavingServer) -> None:
    invocation = make_invocation(
        ToolType.API, {"endpoint": server.url("/json?a=1"), "query": {"b": [1, 2], "c": None}}
    )
    answer: Any = invoke(invocation, make_limits(Path("nowhere"), egress_allow=("127.0.0.1",)))
    assert answer["status"] == 200
    assert answer["headers"]["x-trace"] == "t1"
    assert answer["body"] == {"items": [{"id": 1}, {"id": 2}], "query": {"a": "1", "b": "2"}}
    (request,) = server.requests
    assert (request.method, request.target) == ("GET", "/json?a=1&b=1&b=2")
    assert request.headers["host"] == f"127.0.0.1:{server.port}"
    assert request.headers["user-agent"] == "workflow-service"
    assert "idempotency-key" not in request.headers


def test_a_mapping_picks_from_the_answer(server: MisbehavingServer) -> None:
    mapping = {"first": "body.items[0].id", "trace": "headers.x-trace", "code": "status"}
    assert call(server.url("/json"), responseMapping=mapping) == {"first": 1, "trace": "t1", "code": 200}
    error = failure(server.url("/json"), responseMapping={"x": "body.rows"})
    assert error.error_type == ErrorType.VALIDATION_ERROR
    assert "body has no 'rows'" in error.message


@pytest.mark.parametrize(
    ("configuration", "method", "content_type", "body"),
    [
        ({"body": {"a": [1]}}, "POST", "application/json", b'{"a":[1]}'),
        ({"body": None}, "GET", None, b""),
        ({"schema": "data_schema.json"}, "POST", "application/json", b'{"schema":"data_schema.json"}'),
        ({"input": [1]}, "POST", "application/json", b"[1]"),
        ({"method": "PUT", "body": "text"}, "PUT", "application/json", b'"text"'),
        ({"body": "<a/>", "headers": {"Content-Type": "text/xml"}}, "POST", "text/xml", b"<a/>"),
        (
            {
                "body": {"a": True, "b": "x y"},
                "headers": {"content-type": "application/x-www-form-urlencoded"},
            },
            "POST",
            "application/x-www-form-urlencoded",
            b"a=true&b=x+y",
        ),
        ({"method": "DELETE"}, "DELETE", None, b""),
    ],
)
def test_what_is_sent(
    server: MisbehavingServer,
    configuration: dict[str, Any],
    method: str,
    content_type: str | None,
    body: bytes,
) -> None:
    call(server.url("/json"), **configuration)
    (request,) = server.requests
    assert (request.method, request.headers.get("content-type"), request.body) == (method, content_type, body)
    assert request.headers.get("idempotency-key") == (None if method == "GET" else "key-1")


def test_a_key_of_ones_own_is_kept(server: MisbehavingServer) -> None:
    call(server.url("/json"), body={}, headers={"Idempotency-Key": "mine", "X-None": None, "X-True": True})
    headers = server.requests[0].headers
    assert (headers["idempotency-key"], headers.get("x-none"), headers["x-true"]) == ("mine", None, "true")


@pytest.mark.parametrize(
    ("endpoint", "base", "target"),
    [
        ("/json", "http://127.0.0.1:{port}", "/json"),
        ("json?x=1", "http://127.0.0.1:{port}/", "/json?x=1"),
        ("/sub", "http://127.0.0.1:{port}/json/", "/json/sub"),
    ],
)
def test_a_path_lies_below_its_base(server: MisbehavingServer, endpoint: str, base: str, target: str) -> None:
    call(endpoint, baseUrl=base.format(port=server.port))
    assert server.requests[0].target == target


@pytest.mark.parametrize(
    ("configuration", "said"),
    [
        ({"endpoint": "/validate"}, "is only a path; give 'baseUrl'"),
        ({"endpoint": "http://[::1"}, "is not a URL"),
        ({"endpoint": "http://a.example/\x00"}, "is not a URL"),
        ({"endpoint": "http://a.example", "headers": {"Host": "inside"}}, "'Host' is set by the client"),
        ({"endpoint": "http://a.example", "headers": {"Transfer-Encoding": "x"}}, "is set by the client"),
        ({"endpoint": "http://a.example", "headers": {"X": "a\r\nY: b"}}, "line break"),
        ({"endpoint": "http://a.example", "headers": {"X Y": "a"}}, "cannot be sent"),
    ],
)
def test_a_request_that_cannot_be_sent(configuration: dict[str, Any], said: str) -> None:
    with misbehaving_server() as server:
        endpoint = configuration.pop("endpoint").replace("http://a.example", server.url("/json"))
        error = failure(endpoint, **configuration)
        assert error.error_type == ErrorType.CONFIGURATION_ERROR
        assert said in error.message
        assert server.requests == []


@pytest.mark.parametrize(
    ("status", "error_type", "retryable"),
    [
        (400, ErrorType.VALIDATION_ERROR, False),
        (401, ErrorType.AUTHORIZATION_ERROR, False),
        (403, ErrorType.AUTHORIZATION_ERROR, False),
        (404, ErrorType.RESOURCE_NOT_FOUND, False),
        (408, ErrorType.TIMEOUT_ERROR, True),
        (409, ErrorType.VALIDATION_ERROR, False),
        (422, ErrorType.VALIDATION_ERROR, False),
        (429, ErrorType.RATE_LIMIT_ERROR, True),
        (500, ErrorType.NETWORK_ERROR, True),
        (503, ErrorType.NETWORK_ERROR, True),
        (304, ErrorType.VALIDATION_ERROR, False),
    ],
)
def test_a_status_has_its_error_type(
    server: MisbehavingServer, status: int, error_type: ErrorType, retryable: bool
) -> None:
    error = failure(server.url(f"/status/{status}?token=secret"))
    assert (error.error_type, error.retryable) == (error_type, retryable)
    assert error.details["status"] == status
    assert error.details["url"] == server.url(f"/status/{status}")
    assert "secret" not in error.message
    if status != 304:
        assert error.details["body"] == '{"error": "because"}'


@pytest.mark.parametrize("expected", [404, [200, 404]])
def test_an_expected_status_is_no_error(server: MisbehavingServer, expected: Any) -> None:
    assert call(server.url("/status/404"), expectedStatus=expected)["status"] == 404


def test_an_unexpected_success_is_an_error(server: MisbehavingServer) -> None:
    error = failure(server.url("/status/200"), expectedStatus=201)
    assert error.error_type == ErrorType.VALIDATION_ERROR
    assert "answered 200, not [201]" in error.message


def test_retry_after(server: MisbehavingServer) -> None:
    assert failure(server.url("/status/429?retry=7")).details["retryAfterS"] == 7
    assert failure(server.url("/status/503?retry=8")).details["retryAfterS"] == 8
    due = quote(format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True))
    assert 50 < failure(server.url(f"/status/429?retry={due}")).details["retryAfterS"] <= 61  # type: ignore[operator]
    past = quote(format_datetime(datetime(2000, 1, 1, tzinfo=UTC), usegmt=True))
    assert failure(server.url(f"/status/429?retry={past}")).details["retryAfterS"] == 0
    for nonsense in ("soon", "-5", "1e9", "9" * 400):
        details = failure(server.url(f"/status/429?retry={nonsense}")).details
        assert 0 < details.get("retryAfterS", 1) <= 366 * 86_400  # type: ignore[operator]


@pytest.mark.parametrize("path", ["/silent", "/drip-headers", "/drip-body"])
def test_however_slow_a_server_is_the_time_is_kept(server: MisbehavingServer, path: str) -> None:
    started = time.monotonic()
    error = failure(server.url(path), timeout=400)
    assert error.error_type == ErrorType.TIMEOUT_ERROR
    assert "within 0.4 s" in error.message
    assert time.monotonic() - started < 15


def test_the_blocks_own_timeout_holds_too(server: MisbehavingServer) -> None:
    assert failure(server.url("/silent"), timeout=60_000, timeout_s=0.3).error_type == ErrorType.TIMEOUT_ERROR


def test_a_server_that_does_not_read_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        started = time.monotonic()
        error = failure(endpoint, body="x" * 30_000_000, timeout_s=0.5)
    assert error.error_type == ErrorType.TIMEOUT_ERROR
    assert time.monotonic() - started < 15


def test_a_resolver_that_hangs_is_not_waited_for() -> None:
    release = threading.Event()

    def resolve(host: str, port: int) -> list[str]:
        release.wait(20)
        return []

    started = time.monotonic()
    error = failure("http://slow.example/", resolve=resolve, timeout_s=0.3)
    release.set()
    assert error.error_type == ErrorType.TIMEOUT_ERROR
    assert time.monotonic() - started < 15


@pytest.mark.parametrize("path", ["/half", "/hang-up", "/nonsense"])
def test_a_broken_answer_is_a_network_error(server: MisbehavingServer, path: str) -> None:
    error = failure(server.url(path))
    assert error.error_type == ErrorType.NETWORK_ERROR
    assert error.retryable


def test_nobody_there_is_a_network_error() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        error = failure(f"http://127.0.0.1:{unused.getsockname()[1]}/")
    assert error.error_type == ErrorType.NETWORK_ERROR
    assert "refused" in error.message


def test_an_unknown_host_is_a_network_error() -> None:
    def resolve(host: str, port: int) -> list[str]:
        raise socket.gaierror(-2, "Name or service not known")

    error = failure("http://nowhere.example/", resolve=resolve)
    assert error.error_type == ErrorType.NETWORK_ERROR
    assert "nowhere.example" in error.message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{'a': 1}", "is not JSON"),
        ("[1, NaN]", "NaN"),
        ("[" * 1_000 + "]" * 1_000, "nested deeper"),
        ('"\\u0000"', "U+0000"),
        ("\xff", "not UTF-8"),
    ],
)
def test_json_that_is_none(server: MisbehavingServer, content: str, said: str) -> None:
    error = failure(server.url("/raw?body=" + quote(content)))
    assert error.error_type == ErrorType.VALIDATION_ERROR
    assert said in error.message


def test_no_body_is_null(server: MisbehavingServer) -> None:
    assert call(server.url("/raw"))["body"] is None


@pytest.mark.parametrize(
    ("content_type", "content", "expected"),
    [
        ("text/plain", "h\xc3\xa4", "hä"),
        ("text/plain; charset=latin-1", "h\xe4", "hä"),
        ("text/plain; charset=no-such", "abc", "abc"),
        ("text/plain; charset=punycode", "abc-", "abc-"),
        ("text/plain; charset=windows-1251", "\xe4", "д"),
        ("application/octet-stream", "\xff\x00", {"base64": "/wA="}),
        ("application/problem+json", '{"a": 1}', {"a": 1}),
        ("application/JSON; charset=utf-8", '{"a": 1}', {"a": 1}),
    ],
)
def test_bodies_by_type(server: MisbehavingServer, content_type: str, content: str, expected: Any) -> None:
    endpoint = server.url(f"/raw?type={quote(content_type)}&body={quote(content)}")
    assert call(endpoint)["body"] == expected


def test_a_head_request_has_no_body(server: MisbehavingServer) -> None:
    assert call(server.url("/json"), method="HEAD")["body"] is None


@pytest.mark.parametrize("encoding", ["gzip", "two-members", "deflate"])
def test_compressed_answers_are_read(server: MisbehavingServer, encoding: str) -> None:
    assert call(server.url(f"/encoded/{encoding}"))["body"] == {"a": 1}


@pytest.mark.parametrize(
    ("encoding", "error_type"),
    [
        ("broken", ErrorType.VALIDATION_ERROR),
        ("half", ErrorType.NETWORK_ERROR),
        ("br", ErrorType.VALIDATION_ERROR),
    ],
)
def test_what_is_not_as_encoded_is_an_error(
    server: MisbehavingServer, encoding: str, error_type: ErrorType
) -> None:
    assert failure(server.url(f"/encoded/{encoding}")).error_type == error_type


def test_a_compressed_bomb_never_unfolds(server: MisbehavingServer) -> None:
    tracemalloc.start()
    try:
        error = failure(server.url("/bomb/100"), max_output_bytes=1_000_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert error.error_type == ErrorType.VALIDATION_ERROR
    assert "larger than 1000000 bytes" in error.message
    assert peak < 20_000_000


def test_an_endless_answer_is_cut(server: MisbehavingServer) -> None:
    error = failure(server.url("/endless"), max_output_bytes=1_000_000)
    assert "larger than 1000000 bytes" in error.message


# The guard


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"])
def test_loopback_is_closed(server: MisbehavingServer, host: str) -> None:
    error = failure(server.url("/json", host), allow=())
    assert error.error_type == ErrorType.AUTHORIZATION_ERROR
    assert error.details["reason"] == "EGRESS_REFUSED"
    assert "EGRESS_ALLOW" in error.message
    assert not error.retryable
    assert server.requests == []


@pytest.mark.parametrize(
    "allow", [["127.0.0.1"], ["127.0.0.0/8"], ["127.0.0.1:{port}"], ["localhost"], ["LOCALHOST:{port}"]]
)
def test_loopback_can_be_opened(server: MisbehavingServer, allow: list[str]) -> None:
    host = "localhost" if "localhost" in allow[0].lower() else "127.0.0.1"
    entries = [entry.format(port=server.port) for entry in allow]
    assert call(server.url("/json", host), allow=entries, resolve=lambda *_: ["127.0.0.1"])["status"] == 200


def test_opening_one_port_opens_no_other(server: MisbehavingServer) -> None:
    with misbehaving_server() as other:
        allow = [f"127.0.0.1:{server.port}"]
        assert call(server.url("/json"), allow=allow)["status"] == 200
        redirect = server.url("/redirect?to=" + quote(other.url("/json")))
        assert failure(redirect, allow=allow).details["reason"] == "EGRESS_REFUSED"
        assert other.requests == []


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/",
        "http://[::1]:1/",
        "http://2130706433/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "http://user:pass@127.0.0.1/",
        "https://192.168.0.1/",
    ],
)
def test_a_redirect_inside_is_refused(server: MisbehavingServer, target: str) -> None:
    error = failure(server.url("/redirect?to=" + quote(target)), allow=[f"127.0.0.1:{server.port}"])
    assert error.details["reason"] == "EGRESS_REFUSED"


def test_one_private_address_among_public_ones_is_enough(server: MisbehavingServer) -> None:
    error = failure(
        f"http://mixed.example:{server.port}/json", allow=(), resolve=lambda *_: [PUBLIC, "127.0.0.1"]
    )
    assert error.details["reason"] == "EGRESS_REFUSED"
    assert "127.0.0.1" not in error.message
    assert server.requests == []


def test_a_name_that_changes_its_answer_leads_nowhere(server: MisbehavingServer) -> None:
    answers = iter([["127.0.0.1"], ["127.0.0.2"]])
    asked: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return next(answers)

    endpoint = f"http://rebinding.example:{server.port}/redirect?to=/json"
    # Open for the first answer only: the connection after the redirect is checked anew.
    error = failure(endpoint, allow=["127.0.0.1"], resolve=resolve)
    assert error.details["reason"] == "EGRESS_REFUSED"
    # Asked once per connection: there is no second look-up between the check and the connection.
    assert asked == ["rebinding.example"] * 2
    assert len(server.requests) == 1
    assert server.requests[0].headers["host"] == f"rebinding.example:{server.port}"


def test_the_checked_address_is_the_one_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    connected: list[Any] = []

    def connect(address: Any, timeout: float) -> socket.socket:
        connected.append(address)
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr("socket.create_connection", connect)
    error = failure("http://public.example/", allow=(), resolve=lambda *_: [PUBLIC, "1.1.1.1"])
    assert error.error_type == ErrorType.NETWORK_ERROR
    assert connected == [(PUBLIC, 80), ("1.1.1.1", 80)]


def test_the_name_of_the_url_is_the_one_in_the_handshake() -> None:
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def listen() -> None:
            connection, _ = listener.accept()
            with connection:
                heard.append(connection.recv(10_000))

        thread = threading.Thread(target=listen)
        thread.start()
        endpoint = f"https://shop.example:{listener.getsockname()[1]}/"
        error = failure(endpoint, resolve=lambda *_: ["127.0.0.1"])
        thread.join()
    assert error.error_type == ErrorType.NETWORK_ERROR
    assert b"shop.example" in heard[0]
    context = egress._ssl_context()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_proxies_of_the_environment_are_not_used(
    server: MisbehavingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with misbehaving_server() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url(""))
        assert call(server.url("/json"))["status"] == 200
        assert proxy.requests == []


def test_redirects_are_followed_and_counted(server: MisbehavingServer) -> None:
    assert call(server.url("/redirect?to=/json"))["status"] == 200
    assert call(server.url("/redirect?to=/json"), expectedStatus=302)["headers"]["location"] == "/json"
    error = failure(server.url("/loop"), maxRedirects=3)
    assert error.error_type == ErrorType.VALIDATION_ERROR
    assert "redirected more than 3 times" in error.message
    assert failure(server.url("/redirect?to=/json"), maxRedirects=0).error_type == ErrorType.VALIDATION_ERROR


@pytest.mark.parametrize(
    ("status", "method", "body"), [(302, "GET", b""), (303, "GET", b""), (307, "POST", b'{"a":1}')]
)
def test_what_a_redirect_makes_of_a_post(
    server: MisbehavingServer, status: int, method: str, body: bytes
) -> None:
    call(server.url(f"/redirect/{status}?to=/json"), body={"a": 1}, headers={"Authorization": "Bearer x"})
    request = server.requests[1]
    assert (request.method, request.body) == (method, body)
    assert request.headers["authorization"] == "Bearer x"
    assert ("content-type" in request.headers) == (method == "POST")


def test_credentials_do_not_follow_to_another_origin(server: MisbehavingServer) -> None:
    headers = {"Authorization": "Bearer x", "X-Api-Key": "y", "Cookie": "z", "Accept": "text/plain"}
    with misbehaving_server() as other:
        place = server.url("/redirect/307?to=" + quote(other.url("/json")))
        call(place, headers=headers)
        seen = other.requests[0].headers
        refused = failure(place, headers=headers, body={"password": "y"})
        assert len(other.requests) == 1
    assert refused.details["reason"] == "EGRESS_REFUSED"
    assert "which the body of the request is not for" in refused.message
    assert not {"authorization", "x-api-key", "cookie", "idempotency-key"} & set(seen)
    assert seen["accept"] == "text/plain"
    assert seen["host"] == f"127.0.0.1:{other.port}"
