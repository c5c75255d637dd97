"""The library's ways out: downloads, webhooks, e-mail and databases, against real servers on loopback."""

import base64
import hashlib
import hmac
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core import mail

from tests.library_caller import Library
from tests.misbehaving_server import MisbehavingServer, misbehaving_server
from workflow_service.agents.configuration import configuration_errors
from workflow_service.engine.states import ErrorType, ToolType
from workflow_service.settings.config import Config, get_config
from workflow_service.settings.mail import mail_settings


@pytest.fixture(scope="module")
def server() -> Iterator[MisbehavingServer]:
    with misbehaving_server() as running:
        yield running


@pytest.fixture
def call(tmp_path: Path) -> Library:
    dsn = get_config().postgres_url()
    return Library(tmp_path, egress_allow=("127.0.0.1",), sql_connections={"own": dsn})


def test_a_download_becomes_an_artifact(call: Library, server: MisbehavingServer) -> None:
    url = server.url("/raw/data.csv?body=a%0A1&type=text/csv")
    told = call("http.download", url=url, headers={"X-Api": "k"})
    assert call.files.text(told["artifact"]) == "a\n1"
    assert (told["artifact"]["name"], told["contentType"], told["status"]) == ("data.csv", "text/csv", 200)
    assert server.requests[-1].headers["x-api"] == "k"
    digest = hashlib.sha256(b"a\n1").hexdigest()
    assert call("http.download", url=url, sha256=digest)["artifact"] == told["artifact"]
    assert digest in call.failure("http.download", url=url, sha256="0" * 64).message


def test_what_a_header_says_goes_to_its_own_origin_only(call: Library, server: MisbehavingServer) -> None:
    other = server.url("/raw/x?body=1", host="localhost")
    call.limits = call.limits.__class__(
        **{**_fields(call.limits), "egress_allow": ("127.0.0.1", "localhost")}
    )
    call("http.download", url=server.url(f"/redirect/302?to={other}"), headers={"X-Api": "secret"})
    assert "x-api" not in server.requests[-1].headers
    call("http.download", url=server.url("/redirect/302?to=/raw/x?body=1"), headers={"X-Api": "secret"})
    assert server.requests[-1].headers["x-api"] == "secret"


def test_a_download_goes_to_the_host_of_its_url(call: Library, server: MisbehavingServer) -> None:
    before = len(server.requests)
    url = server.url("/raw/x?body=1")
    error = call.failure("http.download", url=url, headers={"Host": "internal.example"})
    assert "is set by the client" in error.message
    assert len(server.requests) == before


def _fields(limits: Any) -> dict[str, Any]:
    return {name: getattr(limits, name) for name in limits.__dataclass_fields__}


@pytest.mark.parametrize(
    ("path", "error_type", "message"),
    [
        ("/status/404", ErrorType.RESOURCE_NOT_FOUND, "answered 404"),
        ("/status/500", ErrorType.NETWORK_ERROR, "answered 500"),
        ("/status/429?retry=7", ErrorType.RATE_LIMIT_ERROR, "answered 429"),
        ("/status/204", ErrorType.VALIDATION_ERROR, "brings no file"),
        ("/half", ErrorType.NETWORK_ERROR, ""),
        ("/hang-up", ErrorType.NETWORK_ERROR, ""),
        ("/nonsense", ErrorType.NETWORK_ERROR, ""),
        ("/endless", ErrorType.VALIDATION_ERROR, "larger than 1000 bytes"),
        ("/loop", ErrorType.VALIDATION_ERROR, "more than 5 times"),
        ("/redirect/302?to=file:///etc/passwd", ErrorType.AUTHORIZATION_ERROR, "scheme"),
        ("/redirect/302?to=http://169.254.169.254/", ErrorType.AUTHORIZATION_ERROR, "not public"),
    ],
)
def test_downloads_from_servers_that_misbehave(
    call: Library, server: MisbehavingServer, path: str, error_type: ErrorType, message: str
) -> None:
    error = call.failure("http.download", url=server.url(path), maxBytes=1_000)
    assert error.error_type == error_type, error
    assert message in error.message


@pytest.mark.parametrize("use_case", ["http.download", "webhook.send"])
@pytest.mark.parametrize(
    "url",
    ["http://10.0.0.1/", "http://localhost:1/", "http://2130706433/", "ftp://a.b/", "http://u:p@a.b/", "//a"],
)
def test_addresses_that_are_not_open_are_not_reached(tmp_path: Path, use_case: str, url: str) -> None:
    error = Library(tmp_path).failure(use_case, url=url)
    assert error.error_type in (ErrorType.AUTHORIZATION_ERROR, ErrorType.CONFIGURATION_ERROR)


def test_a_slow_download_ends_with_its_block(call: Library, server: MisbehavingServer) -> None:
    call.timeout_s = 0.5
    error = call.failure("http.download", url=server.url("/drip-body"), maxBytes=10**6)
    assert error.error_type == ErrorType.TIMEOUT_ERROR


def test_webhooks_are_signed_and_repeat_their_id(call: Library, server: MisbehavingServer) -> None:
    secret = "whsec_" + base64.b64encode(b"k" * 24).decode()
    told = call("webhook.send", url=server.url("/echo"), type="order.paid", payload={"n": 1}, secret=secret)
    assert call("webhook.send", url=server.url("/echo"), payload={"n": 1}, secret=secret)["id"] == told["id"]
    seen = server.requests[-2]
    assert json.loads(seen.body) == {"type": "order.paid", "data": {"n": 1}}
    signed = f"{seen.headers['webhook-id']}.{seen.headers['webhook-timestamp']}.".encode() + seen.body
    expected = base64.b64encode(hmac.digest(b"k" * 24, signed, "sha256")).decode()
    assert seen.headers["webhook-signature"] == f"v1,{expected}"
    assert seen.headers["webhook-id"] == told["id"]
    assert (told["signed"], told["status"]) == (True, 200)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"headers": {"Webhook-Signature": "v1,x"}}, "set by the service"),
        ({"headers": {"X": "a\r\nHost: evil"}}, "cannot be sent"),
        ({"secret": "whsec_not base64!!"}, "not base64"),
        ({"secret": "short"}, "16 characters"),
    ],
)
def test_webhooks_that_cannot_be_sent(
    call: Library, server: MisbehavingServer, values: dict[str, Any], message: str
) -> None:
    before = len(server.requests)
    assert message in call.failure("webhook.send", url=server.url("/echo"), **values).message
    assert len(server.requests) == before


def test_webhooks_follow_nobody(call: Library, server: MisbehavingServer) -> None:
    error = call.failure("webhook.send", url=server.url("/redirect/302?to=/echo"))
    assert "answered 302" in error.message


def test_an_email_is_sent_with_an_id_that_repeats(call: Library, settings: Any) -> None:
    settings.DEFAULT_FROM_EMAIL = "Flow <flow@example.org>"
    call.put("a.csv", b"a\n")
    values: dict[str, Any] = {
        "to": ["Ada <ada@example.org>"],
        "bcc": ["b@example.org"],
        "subject": "Hi",
        "text": "x",
    }
    first = call("email.send", **values, html="<b>x</b>", attachments=["a.csv"])
    assert call("email.send", **values)["messageId"] == first["messageId"]
    assert first["recipients"] == 2
    assert first["messageId"].endswith("@example.org>")
    message = mail.outbox[0]
    assert message.message()["Message-ID"] == first["messageId"]
    assert "b@example.org" not in message.message().as_string()
    assert message.attachments[0][0] == "a.csv"


@pytest.mark.parametrize(
    ("values", "pointer"),
    [
        ({"to": ["a@b.org\nBcc: x@y.org"]}, "/to/0"),
        ({"to": ["not an address"]}, "/to/0"),
        ({"to": []}, "/to"),
        ({"subject": "a\r\nBcc: x@y.org"}, "/subject"),
        ({"replyTo": "a@b.org\r\nX: y"}, "/replyTo"),
        ({"to": ["a@b.org"] * 40, "cc": ["a@b.org"] * 40}, ""),
        ({"from": "boss@b.org"}, "/from"),
    ],
)
def test_emails_that_would_lie_are_refused(call: Library, values: dict[str, Any], pointer: str) -> None:
    error = call.failure("email.send", **{"to": ["a@b.org"], "subject": "s", "text": "t", **values})
    assert {problem.pointer for problem in error.problems} == {pointer}
    assert mail.outbox == []


def test_where_mail_goes_is_said_by_one_url() -> None:
    backend, told = mail_settings(Config(email_url="smtp://u%40x:p%2F@mail.example.org?tls=ssl"))
    assert backend.endswith("smtp.EmailBackend")
    assert told == {"host": "mail.example.org", "port": 465, "user": "u@x", "password": "p/", "tls": "ssl"}
    assert mail_settings(Config(email_url=None))[0].endswith("filebased.EmailBackend")


def test_sql_with_bound_values(call: Library) -> None:
    query = (
        "SELECT %(n)s::int + n AS sum, %(who)s AS who, 1.50::numeric AS price FROM generate_series(1, 3) AS n"
    )
    hostile = "'; DROP TABLE x; --"
    told = call("sql.query", connection="own", query=query, params={"n": 10, "who": hostile}, maxRows=2)
    assert told["rows"] == [
        {"sum": 11, "who": hostile, "price": 1.5},
        {"sum": 12, "who": hostile, "price": 1.5},
    ]
    assert (told["more"], told["rowCount"], told["affected"]) == (True, 2, 0)
    values = "SELECT now() AS t, '{\"a\": [1]}'::jsonb AS j, '\\x00ff'::bytea AS b, ARRAY[1, NULL] AS l"
    (row,) = call("sql.query", connection="own", query=values)["rows"]
    assert (row["j"], row["b"], row["l"]) == ({"a": [1]}, "00ff", [1, None])


@pytest.mark.parametrize(
    ("values", "error_type", "message"),
    [
        ({"query": "CREATE TABLE x (a int)"}, ErrorType.AUTHORIZATION_ERROR, "'write': true"),
        ({"query": "WITH a AS (INSERT INTO b VALUES (1) RETURNING 1) SELECT * FROM a"}, None, ""),
        ({"query": "SELECT 1; COMMIT; DROP TABLE x"}, ErrorType.VALIDATION_ERROR, "multiple commands"),
        ({"query": "SELECT 1; SELECT 2", "write": True}, ErrorType.VALIDATION_ERROR, "multiple commands"),
        ({"query": "SELECT set_config('transaction_read_only', 'off', false)"}, None, "read-write mode"),
        ({"query": "SELECT pg_sleep(5)", "timeoutMs": 100}, ErrorType.TIMEOUT_ERROR, "longer than 0.1 s"),
        (
            {"query": "SELECT repeat('x', 100000) FROM generate_series(1, 1000)"},
            ErrorType.VALIDATION_ERROR,
            "larger",
        ),
        ({"query": "SELECT 1 AS a, 2 AS a"}, ErrorType.VALIDATION_ERROR, "same name"),
        ({"query": "SELEC 1"}, ErrorType.VALIDATION_ERROR, "syntax error"),
        (
            {"query": "SELECT 1", "connection": "other"},
            ErrorType.CONFIGURATION_ERROR,
            "no SQL connection 'other'",
        ),
    ],
)
def test_sql_that_is_refused(call: Library, values: dict[str, Any], error_type: Any, message: str) -> None:
    error = call.failure("sql.query", **{"connection": "own", **values})
    assert error_type in (None, error.error_type), error
    assert message in error.message


def test_sql_writes_only_where_it_may(call: Library) -> None:
    with psycopg.connect(get_config().postgres_url(), autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS library_test (a int)")
        try:
            query = "INSERT INTO library_test SELECT unnest(%(a)s::int[]) RETURNING a"
            told = call("sql.query", connection="own", query=query, params={"a": [1, 2]}, write=True)
            assert (told["affected"], told["rows"]) == (2, [{"a": 1}, {"a": 2}])
            assert connection.execute("SELECT count(*) FROM library_test").fetchone() == (2,)
        finally:
            connection.execute("DROP TABLE library_test")


@pytest.mark.parametrize(
    ("dsn", "message"),
    [
        ("postgresql://u:p@10.0.0.1/db", "not public"),
        ("postgresql://u:p@[::ffff:10.0.0.1]/db", "not public"),
        ("postgresql://u:p@/db", "must name one host"),
        ("postgresql://u:p@%2Fvar%2Frun/db", "must name one host"),
        ("postgresql://u:p@a,b/db", "must name one host"),
        ("postgresql://u:p@a.b/db?options=-csearch_path%3Dx", "may not set options"),
        ("postgresql://u:p@a.b/db?sslkey=/etc/passwd", "may not set sslkey"),
        ("host=a.b service=x user=u", "may not set service"),
        ("postgresql://a.b/db", "must name the user"),
        ("nonsense", "is not one of Postgres"),
    ],
)
def test_a_dsn_reaches_no_more_than_a_request_may(tmp_path: Path, dsn: str, message: str) -> None:
    error = Library(tmp_path).failure("sql.query", dsn=dsn, query="SELECT 1")
    assert message in error.message
    assert "p@" not in error.message


def test_sql_takes_no_reference_in_its_text() -> None:
    given = {"useCase": "sql.query", "connection": "own", "query": "SELECT * FROM a WHERE b = '${context.b}'"}
    (problem,) = configuration_errors(ToolType.USE_CASE, given)
    assert problem.pointer == "/query"
    assert "params" in problem.suggestion


@pytest.mark.parametrize(
    ("use_case", "field"), [("sql.query", "dsn"), ("webhook.send", "secret")], ids=["dsn", "secret"]
)
def test_credentials_come_from_secrets(use_case: str, field: str) -> None:
    given: dict[str, Any] = {"useCase": use_case, "query": "SELECT 1", "url": "https://a.b"}
    given.pop("url" if use_case == "sql.query" else "query")
    for value in ("postgresql://u:password@a.b/c", "${workflow.input.secret_of_mine}"):
        (problem,) = configuration_errors(ToolType.USE_CASE, {**given, field: value})
        assert problem.pointer == f"/{field}"
        assert "${secrets.NAME}" in problem.suggestion
    assert configuration_errors(ToolType.USE_CASE, {**given, field: "${secrets.MINE}"}) == []


def test_sqlite_files_are_read_only(call: Library) -> None:
    with sqlite3.connect(call.home / "shop.db") as database:
        database.execute("CREATE TABLE orders (id INTEGER, sku TEXT)")
        database.executemany("INSERT INTO orders VALUES (?, ?)", [(1, "a"), (2, "b")])
    database.close()
    found = call(
        "sql.query", sqlite="shop.db", query="SELECT sku FROM orders WHERE id > :id", params={"id": 1}
    )
    assert found["rows"] == [{"sku": "b"}]
    for query in (
        "DELETE FROM orders",
        "ATTACH '/etc/passwd' AS a",
        "PRAGMA writable_schema=1",
        "SELECT load_extension('x')",
    ):
        error = call.failure("sql.query", sqlite="shop.db", query=query)
        assert error.error_type in (ErrorType.AUTHORIZATION_ERROR, ErrorType.VALIDATION_ERROR), query
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    assert "longer than" in call.failure("sql.query", sqlite="shop.db", query=endless, timeoutMs=200).message
    assert (
        "too big" in call.failure("sql.query", sqlite="shop.db", query="SELECT zeroblob(900000000)").message
    )
    call.put("no.db", b"x" * 5_000)
    assert "SQLite: " in call.failure("sql.query", sqlite="no.db", query="SELECT * FROM a").message
    assert "read only" in call.failure("sql.query", sqlite="shop.db", query="SELECT 1", write=True).message
