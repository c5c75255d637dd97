"""Secrets in runs: they reach every tool, and nothing that is written holds them, whatever a tool says."""

import base64
import io
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
from django.db import connection

from executions_app import running
from executions_app.models import BlockExecution, BlockOutput, Callback, Execution
from executions_app.services.callbacks import CallbackAnswer, take_callback
from tests.caller import Caller
from tests.driver import run_until_quiet
from tests.factories import make_template, make_user, make_workspace, noop, start, statuses
from tests.misbehaving_server import MisbehavingServer, misbehaving_server
from workflow_service.accounts.models import Role, Workspace
from workflow_service.agents.limits import tool_limits
from workflow_service.log_format import PlainFormatter
from workflow_service.vault.models import Secret
from workflow_service.vault.services.secrets import create_secret, replace_secret

pytestmark = pytest.mark.usefixtures("db")

TOKEN = 'tok/"9f+8" 7e&6d'
PASSWORD = "pässwörd-4711-0815"
SPELLINGS = [
    spelling
    for value in (TOKEN, PASSWORD)
    for spelling in (
        value,
        json.dumps(value)[1:-1],
        json.dumps(json.dumps(value)[1:-1])[1:-1],
        quote(value, safe=""),
        value.encode().hex(),
        base64.b64encode(value.encode()).decode().rstrip("="),
        base64.b64encode(f"shop:{value}".encode()).decode().rstrip("="),
    )
]
SCRIPT = """
import json, sys
given = json.load(sys.stdin)["input"]
print("INFO: using " + given["token"], file=sys.stderr)
print("PROGRESS: 50 with " + given["token"], file=sys.stderr)
if given.get("fail"):
    raise ValueError("cannot use " + given["token"])
print(json.dumps({"said": given["token"], given["token"]: [1], "length": len(given["token"])}))
"""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[MisbehavingServer]:
    limits = replace(tool_limits(), egress_allow=("127.0.0.1",))
    monkeypatch.setattr(running, "tool_limits", lambda: limits)
    with misbehaving_server() as serving:
        yield serving


@pytest.fixture
def workspace(db: None) -> Workspace:
    workspace = make_workspace()
    admin = make_user(workspace, Role.ADMIN)
    for name, value in {"TOKEN": TOKEN, "PASSWORD": PASSWORD}.items():
        create_secret(workspace=workspace, actor=admin, name=name, value=value)
    return workspace


@pytest.fixture
def process_log() -> Iterator[io.StringIO]:
    """Everything that this process logs meanwhile, at its most talkative, as its formatter writes it."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(PlainFormatter())
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield written
    root.setLevel(level)
    root.removeHandler(handler)


def echoing(block_id: str, url: str, **configuration: Any) -> dict[str, Any]:
    return {"blockId": block_id, "toolType": "API", "configuration": {"endpoint": url, **configuration}}


def script(block_id: str, **given: Any) -> dict[str, Any]:
    given = {"token": "${secrets.TOKEN}", **given}
    return {"blockId": block_id, "toolType": "SCRIPT", "configuration": {"code": SCRIPT, "input": given}}


def in_every_table() -> list[str]:
    """Return the tables, with a row each, that hold a secret's value in any spelling."""
    found = []
    with connection.cursor() as cursor:
        cursor.execute("SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'")
        for (table,) in cursor.fetchall():
            cursor.execute(f"SELECT t::text FROM {table} t")  # noqa: S608 - the catalogue's own names
            for (row,) in cursor.fetchall():
                found += [f"{table}: {row[:500]}" for spelling in SPELLINGS if spelling in row]
    return found


def api_answers(execution: Execution) -> Iterator[str]:
    caller = Caller(make_user(execution.workspace, Role.ADMIN))
    base = f"executions/{execution.public_id}"
    paths = ["", "/logs", "/events", "/timeline", "/blocks", "/context", "?view=b", "/recovery-points"]
    for block_id in BlockExecution.objects.filter(execution=execution).values_list("block_id", flat=True):
        paths += [f"/blocks/{block_id}"]
    for path in paths:
        yield caller.get(base + path).content.decode()
    yield caller.get("secrets").content.decode()


def assert_kept(execution: Execution, log: io.StringIO) -> None:
    assert in_every_table() == []
    answers = list(api_answers(execution))
    assert sum('"type"' in answer or "blockId" in answer for answer in answers) >= 3, (
        "the answers say something"
    )
    for spelling in SPELLINGS:
        assert not [answer[:500] for answer in answers if spelling in answer]
        assert spelling not in log.getvalue()


def test_every_tool_gets_them_and_nothing_keeps_them(
    server: MisbehavingServer, workspace: Workspace, process_log: io.StringIO
) -> None:
    echo, bearer = server.url("/echo"), "Bearer ${secrets.TOKEN}"
    blocks = [
        echoing("headers", echo, headers={"Authorization": bearer, "X-Pass": "${secrets.PASSWORD}"}),
        echoing("target", echo, query={"key": "${secrets.TOKEN}", "pass": "${secrets.PASSWORD}"}),
        echoing("body", echo, body={"pass": "${secrets.PASSWORD}", "all": ["${secrets.TOKEN}"]}),
        script("script"),
        {
            "blockId": "use_case",
            "toolType": "USE_CASE",
            "configuration": {
                "useCase": "text.template",
                "input": {"template": "$a", "values": {"a": "${secrets.TOKEN}"}},
            },
        },
        noop("noop", {"token": "${secrets.TOKEN}"}),
        {
            **echoing("mapped", echo, headers={"X-Item": "${item}", "Authorization": bearer}),
            "forEach": "[1, 2]",
        },
        {
            **echoing("fallen_back", server.url("/echo/400"), headers={"Authorization": bearer}),
            "recovery": {"fallback": {"toolType": "SCRIPT", "configuration": script("x")["configuration"]}},
        },
    ]
    execution = run_until_quiet(start(make_template(blocks, workspace=workspace)))
    assert execution.status == "COMPLETED", execution.error
    assert set(statuses(execution).values()) == {"COMPLETED"}
    seen = server.requests
    assert seen[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert quote(TOKEN, safe="") in seen[1].target.replace("+", "%20")
    assert json.loads(seen[2].body) == {"pass": PASSWORD, "all": [TOKEN]}
    assert [request.headers["x-item"] for request in seen if "x-item" in request.headers] == ["1", "2"]
    rows = BlockExecution.objects.filter(execution=execution)
    given: dict[str, Any] = dict(rows.values_list("block_id", "input"))
    assert given["headers"]["headers"]["Authorization"] == bearer, "the stored input keeps the reference"
    outputs = json.dumps(list(BlockOutput.objects.filter(execution_id=execution.pk).values("value")))
    assert "***" in outputs
    assert f'"length": {len(TOKEN)}' in outputs, "the script had the value"
    assert_kept(execution, process_log)


def test_errors_do_not_tell_them(
    server: MisbehavingServer, workspace: Workspace, process_log: io.StringIO
) -> None:
    undo = {"endpoint": server.url("/echo"), "body": {"undo": "${secrets.PASSWORD}"}}
    failing = [
        echoing("answer", server.url("/echo/400"), headers={"Authorization": "${secrets.TOKEN}"}),
        echoing("place", server.url("/status/404/${secrets.TOKEN}")),
        echoing("mapping", server.url("/json"), responseMapping={"a": "body.${secrets.PASSWORD}"}),
        script("crash", fail=True),
    ]
    blocks = [
        noop("undone", recovery={"compensate": {"toolType": "API", "configuration": undo}}),
        *[
            block | {"onError": ["sink"], "dependencies": ["undone"], "retryPolicy": {"maxRetries": 0}}
            for block in failing
        ],
        noop("sink", join=len(failing)),
        noop("last", {"never": "${nothing}"}, dependencies=["sink"]),
    ]
    execution = run_until_quiet(start(make_template(blocks, workspace=workspace)))
    assert execution.status == "FAILED"
    failed = BlockExecution.objects.filter(
        execution=execution, block_id__in=[one["blockId"] for one in failing]
    )
    assert {row.block_id: row.status for row in failed} == {one["blockId"]: "FAILED" for one in failing}
    assert all("***" in json.dumps(row.error) for row in failed), [row.error for row in failed]
    assert json.loads(server.requests[-1].body) == {"undo": PASSWORD}, "what undoes a block gets them too"
    assert_kept(execution, process_log)


def test_what_an_agent_calls_back_is_freed_of_them(server: MisbehavingServer, workspace: Workspace) -> None:
    block = echoing(
        "wait",
        server.url("/status/202"),
        callback=True,
        headers={"X-Key": "${secrets.TOKEN}"},
        method="POST",
    )
    execution = run_until_quiet(start(make_template([block], workspace=workspace)))
    token = server.requests[-1].headers["workflow-callback-url"].rpartition("/")[2]
    assert take_callback(token, CallbackAnswer(output={"used": TOKEN, "n": 1}))
    assert run_until_quiet(execution).status == "COMPLETED"
    assert Callback.objects.get(block_execution__execution=execution).output == {"used": "***", "n": 1}
    assert in_every_table() == []


def test_a_replaced_value_is_used_by_the_next_block(server: MisbehavingServer, workspace: Workspace) -> None:
    template = make_template(
        [echoing("a", server.url("/json"), headers={"X-Key": "${secrets.TOKEN}"})], workspace=workspace
    )
    run_until_quiet(start(template))
    secret = Secret.objects.get(workspace=workspace, name="TOKEN")
    replace_secret(secret=secret, actor=make_user(workspace, Role.ADMIN), value="another-value")
    run_until_quiet(start(template))
    assert [request.headers["x-key"] for request in server.requests] == [TOKEN, "another-value"]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ("delete", "this workspace has no secret 'TOKEN'"),
        ("key", "encrypted with the key 'lost', which this server does not have"),
        ("row", "does not open with the key"),
        ("foreign", "this workspace has no secret 'TOKEN'"),
    ],
)
def test_a_secret_that_cannot_be_had_fails_the_block(workspace: Workspace, spoil: str, said: str) -> None:
    rows = Secret.objects.filter(workspace=workspace, name="TOKEN")
    match spoil:
        case "delete":
            rows.delete()
        case "key":
            rows.update(key_id="lost")
        case "row":
            other = Secret.objects.get(workspace=workspace, name="PASSWORD")
            rows.update(sealed=other.sealed, key_id=other.key_id)
        case "foreign":
            rows.update(workspace=make_workspace())
    template = make_template([noop("a", {"x": "${secrets.TOKEN}"})], workspace=workspace)
    execution = run_until_quiet(start(template))
    assert execution.status == "FAILED"
    error = BlockExecution.objects.get(execution=execution).error
    assert error is not None
    assert error["type"] == "CONFIGURATION_ERROR"
    assert said in error["message"]
