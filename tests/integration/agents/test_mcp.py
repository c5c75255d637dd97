"""MCP blocks against a real server, over stdio and over HTTP."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from executions_app import running
from executions_app.models import BlockExecution, BlockOutput, ExecutionLog
from tests.driver import run_until_quiet
from tests.factories import make_template, make_user, make_workspace, start
from tests.invocations import make_invocation, make_limits
from tests.patience import wait_until
from workflow_service.accounts.models import Role
from workflow_service.agents import process_keeper
from workflow_service.agents.configuration import configuration_errors
from workflow_service.agents.errors import ToolError
from workflow_service.agents.invocation import LogLine, ProgressReport
from workflow_service.agents.limits import ToolLimits, tool_limits
from workflow_service.agents.mcp_servers import mcp_servers
from workflow_service.agents.mcp_tools import McpTool, known_tools, remember_tools
from workflow_service.agents.runtimes import invoke
from workflow_service.engine.states import ErrorType, ToolType
from workflow_service.vault.services.secrets import create_secret

SERVER = str(Path(__file__).parents[2] / "mcp_server.py")
KEY = "key-of-the-http-server"


@pytest.fixture(scope="module")
def http_port() -> Iterator[int]:
    environment = {**os.environ, "MCP_TEST_KEY": KEY}
    process = subprocess.Popen(
        [sys.executable, SERVER, "http"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    yield int(process.stdout.readline())
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.fixture
def marker() -> str:
    """A word that only processes of this test bear on their command line."""
    return f"marker-{uuid.uuid4().hex}"


@pytest.fixture
def limits(tmp_path: Path, http_port: int, marker: str) -> ToolLimits:
    hanging = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = [sys.executable, '-c', 'import time; time.sleep(600)', sys.argv[1]]\n"
        "subprocess.Popen(child, start_new_session=True)\n"
        "time.sleep(600)"
    )
    url = f"http://127.0.0.1:{http_port}/mcp"
    file = tmp_path / "mcp.json"
    servers = {
        "local": {
            "command": sys.executable,
            "args": [SERVER, "stdio"],
            "env": {"OWN": "given-by-the-operator"},
        },
        "remote": {"url": url, "headers": {"Authorization": f"Bearer {KEY}"}},
        "narrow": {"url": url, "headers": {"Authorization": f"Bearer {KEY}"}, "tools": ["add"]},
        "refusing": {"url": url, "headers": {"Authorization": "Bearer wrong"}},
        "gone": {"url": "http://127.0.0.1:1/mcp"},
        "missing": {"command": "there-is-no-such-program"},
        # It never speaks, ignores what it is told, and has a child in a session of its own.
        "hanging": {"command": sys.executable, "args": ["-c", hanging, marker]},
        "secretive": {
            "command": sys.executable,
            "args": [SERVER, "stdio"],
            "env": {"TOKEN": "x-${secrets.TOKEN}"},
        },
        "foreign": {"url": url, "workspaces": ["ws_other"]},
    }
    file.write_text(json.dumps({"mcpServers": servers}))
    return make_limits(tmp_path, mcp_servers_file=file)


@pytest.fixture
def call(limits: ToolLimits) -> Callable[..., Any]:
    def call(server: str, tool: str, arguments: Any = None, **options: Any) -> Any:
        configuration = {"server": server, "tool": tool, "arguments": arguments or {}}
        return invoke(make_invocation(ToolType.MCP, configuration, **options), limits)

    return call


@pytest.fixture
def failure(call: Callable[..., Any]) -> Callable[..., ToolError]:
    def failure(*arguments: Any, **options: Any) -> ToolError:
        with pytest.raises(ToolError) as caught:
            call(*arguments, **options)
        return caught.value

    return failure


def processes_with(marker: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and marker.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def test_a_tool_over_stdio(call: Callable[..., Any]) -> None:
    logs: list[LogLine] = []
    told = call("local", "tell", {"what": "OWN"}, logs=logs)
    answer = json.loads(told["text"])
    assert answer["value"] == "given-by-the-operator"
    assert "DATABASE_URL" not in answer["names"], "the worker's environment stays with the worker"
    assert [line.message for line in logs] == ["told given-by-the-operator"]
    assert told["content"] == [{"type": "text", "text": told["text"]}]


def test_structured_content_is_the_output_and_progress_is_told(call: Callable[..., Any]) -> None:
    assert call("remote", "add", {"numbers": [1, 2]}) == {"total": 3, "parts": [1, 2]}
    reports: list[ProgressReport] = []
    assert call("remote", "count", {"to": 3}, progress=reports.append) == {"result": 3}
    assert [(report.percent, report.message) for report in reports][-1] == (100.0, "3 of 3")


@pytest.mark.parametrize(
    ("server", "tool", "arguments", "error_type", "said"),
    [
        ("remote", "fail", {"reason": "x"}, ErrorType.SYSTEM_ERROR, "the tool 'fail' failed: "),
        ("remote", "ad", {}, ErrorType.RESOURCE_NOT_FOUND, "has no tool 'ad'. Did you mean 'add'?"),
        (
            "remote",
            "add",
            {"numbers": "x"},
            ErrorType.VALIDATION_ERROR,
            "/numbers: 'x' is not of type 'array'",
        ),
        ("remote", "add", {}, ErrorType.VALIDATION_ERROR, "'numbers' is a required property"),
        ("remote", "add", [1], ErrorType.VALIDATION_ERROR, "are an object"),
        ("narrow", "greet", {"name": "x"}, ErrorType.RESOURCE_NOT_FOUND, "has no tool 'greet'"),
        ("refusing", "add", {"numbers": [1]}, ErrorType.AUTHORIZATION_ERROR, ""),
        ("gone", "add", {}, ErrorType.NETWORK_ERROR, "the MCP server 'gone' "),
        ("missing", "add", {}, ErrorType.NETWORK_ERROR, "the MCP server 'missing' "),
        (
            "remot",
            "add",
            {},
            ErrorType.CONFIGURATION_ERROR,
            "no MCP server 'remot' here. Did you mean 'remote'?",
        ),
        ("foreign", "add", {}, ErrorType.CONFIGURATION_ERROR, "no MCP server 'foreign' here"),
    ],
)
def test_errors(
    failure: Callable[..., ToolError],
    server: str,
    tool: str,
    arguments: Any,
    error_type: ErrorType,
    said: str,
) -> None:
    error = failure(server, tool, arguments)
    assert (error.error_type, said in error.message) == (error_type, True), error.message


@pytest.mark.parametrize("way", ["timeout", "cancel", "alarm"])
def test_nothing_is_left_of_a_call_that_is_given_up(
    failure: Callable[..., ToolError], marker: str, way: str
) -> None:
    began = time.monotonic()
    seen: list[int] = []

    def at_work() -> bool:
        seen.extend(processes_with(marker))
        return way == "cancel" and len(seen) > 1

    with running.time_limit(1.2 if way == "alarm" else 60.0):
        error = failure("hanging", "any", {}, stopped=at_work, timeout_s=1.2 if way == "timeout" else 60.0)
    assert error.error_type == (ErrorType.SYSTEM_ERROR if way == "cancel" else ErrorType.TIMEOUT_ERROR)
    assert seen, "it was at work"
    assert time.monotonic() - began < 15
    assert wait_until(lambda: processes_with(marker) == [])


def test_the_death_of_the_worker_ends_a_server_and_all_it_started(marker: str) -> None:
    sleeper = f"[sys.executable, '-c', 'import time; time.sleep(600)', '{marker}']"
    server = (
        f"import subprocess, sys, time; subprocess.Popen({sleeper}, start_new_session=True); time.sleep(600)"
    )
    keeper = [sys.executable, "-I", "-S", process_keeper.__file__]
    worker = (
        "import os, subprocess, sys, time\n"
        f"subprocess.Popen([*{keeper!r}, str(os.getpid()), sys.executable, '-c', {server!r}, '{marker}'])\n"
        "time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", worker])
    assert wait_until(lambda: len(processes_with(marker)) >= 4)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert wait_until(lambda: processes_with(marker) == [])


@pytest.mark.usefixtures("transactional_db")
def test_a_server_gets_the_secrets_of_the_workspace_and_nothing_keeps_them(
    limits: ToolLimits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        running, "tool_limits", lambda: replace(tool_limits(), mcp_servers_file=limits.mcp_servers_file)
    )
    workspace = make_workspace()
    template = make_template(
        [
            {
                "blockId": "a",
                "toolType": "MCP",
                "configuration": {"server": "secretive", "tool": "tell", "what": "TOKEN"},
            }
        ],
        workspace=workspace,
    )
    execution = run_until_quiet(start(template))
    error = BlockExecution.objects.get(execution=execution).error
    assert error is not None
    assert "has no secret 'TOKEN'" in error["message"]

    create_secret(
        workspace=workspace, actor=make_user(workspace, Role.ADMIN), name="TOKEN", value="tok-4711-0815"
    )
    execution = run_until_quiet(start(template))
    assert execution.status == "COMPLETED", execution.error
    text = BlockOutput.objects.get(execution_id=execution.pk).value["text"]
    assert json.loads(text)["value"] == "x-***", "the server had a value, and what it said of it is gone"
    told = list(ExecutionLog.objects.filter(execution_id=execution.pk).values_list("message", flat=True))
    assert "told x-***" in told


def test_templates_are_checked_against_what_is_known(
    limits: ToolLimits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflow_service.agents.configuration.tool_limits", lambda: limits)
    server = mcp_servers(limits.mcp_servers_file)["narrow"]
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    assert known_tools(server) is None

    def problems(**configuration: Any) -> list[tuple[str, str]]:
        given = {"server": "narrow", "tool": "add", **configuration}
        found = configuration_errors(ToolType.MCP, given, workspace_id="ws_1")
        return [(problem.pointer, problem.suggestion) for problem in found]

    assert problems() == [], "what is not known is no fault"
    assert problems(server="narow") == [("/server", "Did you mean 'narrow'?")]
    assert problems(server="foreign") == [("/server", "")]
    assert problems(tool="ad") == [("/tool", "Did you mean 'add'?")]
    assert problems(tool="") == [("/tool", "")]
    remember_tools(server, [McpTool("add", "Add", schema), McpTool("greet", "", {})])
    assert problems(arguments={"n": 1}) == problems(n=2) == problems(n="${context.n}") == []
    assert problems(input={"n": "x"}) == [("/input/n", "")]
    assert problems(m=1) == [("", "")]
    assert problems(tool="greet") == [("/tool", "")], "the operator has not opened it"
    assert problems(server="${context.server}", tool="anything") == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not JSON"),
        ('{"servers": {}}', "/mcpServers"),
        ('{"mcpServers": {"a": {}}}', "give either 'command' or 'url'"),
        ('{"mcpServers": {"a": {"command": "x", "url": "http://x"}}}', "give either 'command' or 'url'"),
        ('{"mcpServers": {"a": {"url": "ftp://x"}}}', "/mcpServers/a/url"),
        ('{"mcpServers": {"a": {"url": "http://user@x"}}}', "/mcpServers/a/url"),
        ('{"mcpServers": {"a": {"command": "x", "headers": {"A": "b"}}}}', "'headers' to a 'url'"),
        ('{"mcpServers": {"a": {"command": "x", "env": {"A": "${context.b}"}}}}', "only ${secrets.NAME}"),
        ('{"mcpServers": {"a b": {"command": "x"}}}', "/mcpServers/a b"),
    ],
)
def test_a_file_that_is_wrong_is_said_to_be_so(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "mcp.json"
    file.write_text(content)
    with pytest.raises(ToolError, match="the file of MCP servers ") as caught:
        mcp_servers(file)
    assert said in caught.value.message
    with pytest.raises(ToolError, match="cannot be read"):
        mcp_servers(tmp_path / "none.json")


def test_the_client_is_not_imported_before_it_is_needed() -> None:
    code = (
        "import workflow_service.agents.runtimes, sys; print('mcp' in sys.modules, 'httpx2' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["False", "False"]
