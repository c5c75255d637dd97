"""Lists in pages, collected within their bounds."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.invocations import make_invocation, make_limits
from tests.misbehaving_server import MisbehavingServer, misbehaving_server
from workflow_service.agents.errors import ToolError
from workflow_service.agents.runtimes import invoke
from workflow_service.engine.states import ErrorType, ToolType


@pytest.fixture
def server() -> Iterator[MisbehavingServer]:
    with misbehaving_server() as serving:
        yield serving


def collect(url: str, paging: dict[str, Any], *, max_bytes: int = 1_000_000, **more: Any) -> Any:
    options = {name: more.pop(name) for name in ("timeout_s", "stopped") if name in more}
    given = {"endpoint": url, "paging": {"itemsPath": "body.items", **paging}, **more}
    limits = make_limits(Path("nowhere"), egress_allow=("127.0.0.1",), max_output_bytes=max_bytes)
    return invoke(make_invocation(ToolType.API, given, **options), limits)


def failure(url: str, paging: dict[str, Any], **more: Any) -> ToolError:
    with pytest.raises(ToolError) as caught:
        collect(url, paging, **more)
    return caught.value


@pytest.mark.parametrize(
    ("kind", "paging", "pages"),
    [
        ("page", {"type": "page"}, 4),
        ("page", {"type": "page", "sizeParameter": "size", "size": 10}, 3),
        ("offset", {"type": "offset", "limit": 10}, 3),
        ("cursor", {"type": "cursor", "cursorPath": "body.next"}, 3),
        ("link", {"type": "link"}, 3),
        ("next", {"type": "link", "nextPath": "body.next"}, 3),
    ],
)
def test_every_item_is_collected(
    server: MisbehavingServer, kind: str, paging: dict[str, Any], pages: int
) -> None:
    output = collect(server.url(f"/pages/{kind}?keep=1"), paging)
    assert output["body"] == list(range(25))
    assert (output["pages"], output["more"], output["status"]) == (pages, False, 200)
    assert len(server.requests) == pages


def test_each_page_carries_the_credentials_and_a_mapping_picks_from_all(server: MisbehavingServer) -> None:
    output = collect(
        server.url("/pages/cursor"),
        {"type": "cursor", "cursorPath": "body.next"},
        auth={"type": "bearer", "token": "t-1"},
        responseMapping={"numbers": "body", "last": "body[-1]"},
    )
    assert output == {"numbers": list(range(25)), "last": 24}
    assert [request.headers["authorization"] for request in server.requests] == ["Bearer t-1"] * 3


def test_count_is_bounded(server: MisbehavingServer) -> None:
    for bound, items, pages in (
        ({"maxPages": 2}, 20, 2),
        ({"maxItems": 15}, 15, 2),
        ({"maxItems": 20}, 20, 2),
    ):
        output = collect(server.url("/pages/link"), {"type": "link", **bound})
        assert (len(output["body"]), output["pages"], output["more"]) == (items, pages, True)
    assert collect(server.url("/pages/link"), {"type": "link", "maxItems": 25})["more"] is False


def test_bytes_are_bounded(server: MisbehavingServer) -> None:
    error = failure(server.url("/pages/link"), {"type": "link"}, max_bytes=130)
    assert error.error_type == ErrorType.VALIDATION_ERROR
    assert "together larger than 130 bytes" in error.message


def test_time_is_bounded(server: MisbehavingServer) -> None:
    began = time.monotonic()
    error = failure(server.url("/busy/1"), {"type": "page"}, timeout_s=1.5)
    assert error.error_type == ErrorType.RATE_LIMIT_ERROR, "waiting again would pass the end"
    assert time.monotonic() - began < 10


def test_a_server_that_asks_for_patience_gets_it(server: MisbehavingServer) -> None:
    assert collect(server.url("/busy/0"), {"type": "page"})["body"] == list(range(25))
    assert failure(server.url("/status/429?retry=600"), {"type": "page"}).details["retryAfterS"] == 600


@pytest.mark.parametrize(
    ("path", "paging", "said"),
    [
        ("/circle", {"type": "link", "nextPath": "body.next"}, "in a circle"),
        ("/pages/page", {"type": "page", "itemsPath": "body.rows"}, "body has no 'rows'"),
        ("/pages/page", {"type": "page", "itemsPath": "body"}, "'body' is not a list"),
        ("/pages/cursor", {"type": "cursor", "cursorPath": "body.items"}, "is no cursor"),
    ],
)
def test_what_is_no_list_of_pages(
    server: MisbehavingServer, path: str, paging: dict[str, Any], said: str
) -> None:
    error = failure(server.url(path), paging)
    assert error.error_type == ErrorType.VALIDATION_ERROR
    assert said in error.message


def test_the_next_page_stays_where_the_first_was(server: MisbehavingServer) -> None:
    body = quote('{"items": [], "next": "http://127.0.0.1:1/x"}')
    error = failure(server.url(f"/raw?body={body}"), {"type": "link", "nextPath": "body.next"})
    assert "another origin" in error.message
    body = quote('{"items": [], "next": "file:///etc/passwd"}')
    error = failure(server.url(f"/raw?body={body}"), {"type": "link", "nextPath": "body.next"})
    assert error.details["reason"] == "EGRESS_REFUSED"


def test_a_cancelled_run_stops_it(server: MisbehavingServer) -> None:
    error = failure(server.url("/pages/page"), {"type": "page"}, stopped=lambda: bool(server.requests))
    assert "was cancelled" in error.message
    assert len(server.requests) == 1
