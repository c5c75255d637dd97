"""How API blocks say who asks, and what they send: against a real server."""

import base64
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest

from tests.invocations import make_invocation, make_limits
from tests.misbehaving_server import MisbehavingServer, misbehaving_server
from workflow_service.agents import api_auth
from workflow_service.agents.configuration import configuration_errors
from workflow_service.agents.errors import ToolError
from workflow_service.agents.runtimes import invoke
from workflow_service.engine.states import ErrorType, ToolType

OAUTH = {"type": "oauth2ClientCredentials", "clientId": "shop", "clientSecret": "p/w 1"}


@pytest.fixture
def server() -> Iterator[MisbehavingServer]:
    api_auth._tokens.clear()
    with misbehaving_server() as serving:
        yield serving


def call(endpoint: str, directory: Path = Path("nowhere"), *, workspace_id: str = "ws_1", **more: Any) -> Any:
    concealed: list[str] = more.pop("concealed", [])
    invocation = make_invocation(
        ToolType.API, {"endpoint": endpoint, **more}, workspace_id=workspace_id, conceal=concealed.append
    )
    return invoke(invocation, make_limits(directory, egress_allow=("127.0.0.1",)))


def failure(endpoint: str, **more: Any) -> ToolError:
    with pytest.raises(ToolError) as caught:
        call(endpoint, **more)
    return caught.value


@pytest.mark.parametrize(
    ("auth", "header", "value", "concealed"),
    [
        ({"type": "bearer", "token": "t-1"}, "authorization", "Bearer t-1", ["t-1"]),
        (
            {"type": "basic", "username": "ü", "password": "p:w"},
            "authorization",
            "Basic " + base64.b64encode("ü:p:w".encode()).decode(),
            ["p:w", base64.b64encode("ü:p:w".encode()).decode()],
        ),
        ({"type": "apiKey", "value": "k-1"}, "x-api-key", "k-1", ["k-1"]),
        ({"type": "apiKey", "name": "X-Own", "value": "k-1"}, "x-own", "k-1", ["k-1"]),
    ],
)
def test_credentials_travel_in_a_header_and_are_concealed(
    server: MisbehavingServer, auth: dict[str, str], header: str, value: str, concealed: list[str]
) -> None:
    noted: list[str] = []
    call(server.url("/json"), auth=auth, concealed=noted)
    assert server.requests[0].headers[header] == value
    assert noted == concealed


def test_a_key_may_travel_in_the_query(server: MisbehavingServer) -> None:
    auth = {"type": "apiKey", "name": "key", "value": "a&b", "in": "query"}
    call(server.url("/json?x=1"), auth=auth, query={"y": 2})
    assert server.requests[0].target == "/json?x=1&y=2&key=a%26b"


def test_credentials_given_twice_or_broken_are_refused(server: MisbehavingServer) -> None:
    auth = {"type": "bearer", "token": "t-1"}
    both = failure(server.url("/json"), auth=auth, headers={"Authorization": "x"})
    assert (both.error_type, "leave one out" in both.message) == (ErrorType.CONFIGURATION_ERROR, True)
    broken = failure(server.url("/json"), auth={"type": "bearer", "token": "a\r\nX-Evil: 1"})
    assert "control character" in broken.message
    assert "Evil" not in broken.message
    assert server.requests == []


@pytest.mark.parametrize("way", ["basic", "body"])
def test_a_token_is_fetched_kept_and_fetched_anew_where_it_is_refused(
    server: MisbehavingServer, way: str
) -> None:
    noted: list[str] = []
    auth = OAUTH | {"tokenUrl": server.url("/token"), "scope": "read", "clientAuthentication": way}
    for _ in range(2):
        call(server.url("/guarded/issued-token-1"), auth=auth, concealed=noted)
    targets = [request.target for request in server.requests]
    assert targets == ["/token", "/guarded/issued-token-1", "/guarded/issued-token-1"]
    assert b"grant_type=client_credentials&scope=read" in server.requests[0].body
    assert {"p/w 1", "issued-token-1"} <= set(noted)
    # The server has forgotten it meanwhile.
    call(server.url("/guarded/issued-token-2"), auth=auth)
    assert [request.target for request in server.requests[3:]] == [
        "/guarded/issued-token-2",
        "/token",
        "/guarded/issued-token-2",
    ]
    # Another workspace, and other credentials, have tokens of their own.
    call(server.url("/guarded/issued-token-3"), auth=auth, workspace_id="ws_2")
    assert failure(
        server.url("/json"), auth=auth | {"scope": "other", "clientSecret": "wrong"}
    ).error_type == (ErrorType.AUTHORIZATION_ERROR)


def test_a_token_that_is_refused_at_once_is_not_asked_for_again_and_again(server: MisbehavingServer) -> None:
    auth = OAUTH | {"tokenUrl": server.url("/token")}
    assert failure(server.url("/guarded/other"), auth=auth).error_type == ErrorType.AUTHORIZATION_ERROR
    assert len(server.requests) <= 4


@pytest.mark.parametrize(
    ("path", "error_type", "said"),
    [
        ("/status/401", ErrorType.AUTHORIZATION_ERROR, "answered 401 (because)"),
        ("/status/500", ErrorType.NETWORK_ERROR, "answered 500"),
        ("/status/429", ErrorType.RATE_LIMIT_ERROR, "answered 429"),
        ("/redirect?to=/json", ErrorType.AUTHORIZATION_ERROR, "answered 302"),
        ("/json", ErrorType.VALIDATION_ERROR, "holds no bearer token"),
        ("/raw?body=x", ErrorType.VALIDATION_ERROR, "holds no bearer token"),
        ("/endless", ErrorType.VALIDATION_ERROR, "too large"),
        ("/hang-up", ErrorType.NETWORK_ERROR, ""),
        ('/token?with={"token_type":"mac"}', ErrorType.VALIDATION_ERROR, "holds no bearer token"),
    ],
)
def test_a_token_endpoint_that_misbehaves(
    server: MisbehavingServer, path: str, error_type: ErrorType, said: str
) -> None:
    error = failure(server.url("/json"), auth=OAUTH | {"tokenUrl": server.url(path)})
    assert error.error_type == error_type
    assert said in error.message
    assert "p/w 1" not in error.message


def test_a_token_endpoint_is_behind_the_egress_guard_too(server: MisbehavingServer) -> None:
    error = failure(server.url("/json"), auth=OAUTH | {"tokenUrl": "http://10.0.0.1/token"})
    assert error.details["reason"] == "EGRESS_REFUSED"


@pytest.mark.parametrize(
    ("body_type", "body", "content_type", "sent"),
    [
        (
            "form",
            {"a": [1, 2], "b": "x y", "c": None},
            "application/x-www-form-urlencoded",
            b"a=1&a=2&b=x+y&c=",
        ),
        ("text", "grüße", "text/plain; charset=utf-8", "grüße".encode()),
        ("json", "text", "application/json", b'"text"'),
    ],
)
def test_bodies(server: MisbehavingServer, body_type: str, body: Any, content_type: str, sent: bytes) -> None:
    call(server.url("/json"), bodyType=body_type, body=body)
    (request,) = server.requests
    assert (request.headers["content-type"], request.body) == (content_type, sent)


def test_parts_with_files(server: MisbehavingServer, tmp_path: Path) -> None:
    (tmp_path / "files" / "ws_1").mkdir(parents=True)
    (tmp_path / "files" / "ws_1" / "data.csv").write_bytes(b"a,b\n1,2\n")
    body = {
        "note": "two files",
        "table": {"file": "data.csv", "contentType": "text/csv"},
        "photo": {"base64": base64.b64encode(b"\x89PNG").decode(), "filename": "p.png"},
    }
    call(server.url("/json"), tmp_path, bodyType="multipart", body=body)
    (request,) = server.requests
    kind = request.headers["content-type"]
    assert kind.startswith("multipart/form-data; boundary=")
    message = message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + request.body)
    parts: dict[str, Any] = {}
    for part in message.walk():
        if not part.is_multipart():
            parts[str(part.get_param("name", header="content-disposition"))] = part
    assert {name: part.get_payload(decode=True) for name, part in parts.items()} == {
        "note": b"two files",
        "table": b"a,b\n1,2\n",
        "photo": b"\x89PNG",
    }
    assert (parts["table"].get_filename(), parts["table"].get_content_type()) == ("data.csv", "text/csv")
    gone = failure(server.url("/json"), bodyType="multipart", body={"x": {"file": "../../etc/passwd"}})
    assert gone.error_type == ErrorType.RESOURCE_NOT_FOUND
    wrong = failure(server.url("/json"), bodyType="multipart", body={"x": {"file": "a", "text": "b"}})
    assert "give one of 'file', 'text' and 'base64'" in wrong.message


@pytest.mark.parametrize(
    ("configuration", "pointer", "said"),
    [
        ({"auth": {"type": "bearer", "token": "abc"}}, "/auth/token", "in plain text"),
        ({"auth": {"type": "bearer"}}, "/auth", "'token' is missing"),
        ({"auth": {"type": "magic", "token": "${secrets.A}"}}, "/auth", ""),
        ({"auth": {"type": "basic", "username": "a:b", "password": "${secrets.A}"}}, "/auth/username", ""),
        ({"auth": {"type": "bearer", "token": "${secrets.A}", "scope": "x"}}, "/auth/scope", "known field"),
        ({"bodyType": "form", "body": "x"}, "", "is an object"),
        ({"paging": {"type": "cursor"}}, "/paging", "'cursorPath' is missing"),
        ({"paging": {"type": "page"}, "callback": True}, "", "has no pages"),
    ],
)
def test_what_validation_says(configuration: dict[str, Any], pointer: str, said: str) -> None:
    problems = configuration_errors(ToolType.API, {"endpoint": "https://a.example/", **configuration})
    assert [problem.pointer for problem in problems] == [pointer]
    assert said in problems[0].message


def test_what_may_come_of_references_passes_validation() -> None:
    configuration: dict[str, Any] = {
        "endpoint": "https://a.example/",
        "auth": OAUTH | {"tokenUrl": "https://${context.host}/t", "clientSecret": "${secrets.A}"},
        "bodyType": "form",
        "body": "${context.body}",
    }
    assert configuration_errors(ToolType.API, configuration) == []
