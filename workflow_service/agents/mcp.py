"""MCP: one call of a tool on a server that the operator has listed, over stdio or streamable HTTP.

Each call has a session of its own, which ends with it: the credentials are those of one workspace, and nothing is left
running. The session lives on a thread with an event loop; the worker's main thread waits, watches the time, and asks
whether the work is still wanted. Importing the client takes a second, so this module is imported on first use.
"""

import concurrent.futures
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, TextIO, TypeVar

import httpx2
from anyio.from_thread import start_blocking_portal
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, Implementation, LoggingMessageNotificationParams
from mcp_types.jsonrpc import CONNECTION_CLOSED, INVALID_PARAMS, METHOD_NOT_FOUND, REQUEST_TIMEOUT
from pydantic import JsonValue

from workflow_service.agents import process_keeper
from workflow_service.agents.api_answers import TYPE_OF_STATUS
from workflow_service.agents.configuration import McpConfiguration
from workflow_service.agents.errors import ToolError
from workflow_service.agents.invocation import Invocation, LogLevel, LogLine, ProgressReport
from workflow_service.agents.limits import ToolLimits
from workflow_service.agents.mcp_servers import McpServer, find_server
from workflow_service.agents.mcp_tools import McpTool, argument_problems, remember_tools
from workflow_service.engine.errors import ExpressionError, WorkflowError
from workflow_service.engine.findings import nearest_name_hint
from workflow_service.engine.scope import ValuesScope
from workflow_service.engine.states import ErrorType
from workflow_service.vault.secrets import reveal_in

CLIENT = Implementation(name="workflow-service", version="1")
LOOK_UP_S = 0.5
CONNECT_TIMEOUT_S = 10.0
MAX_PAGES_OF_TOOLS = 50
MAX_STDERR_LINES = 200
MAX_LINE_CHARACTERS = 2_000

_TYPE_OF_CODE = {
    INVALID_PARAMS: ErrorType.VALIDATION_ERROR,
    METHOD_NOT_FOUND: ErrorType.RESOURCE_NOT_FOUND,
    REQUEST_TIMEOUT: ErrorType.TIMEOUT_ERROR,
    CONNECTION_CLOSED: ErrorType.NETWORK_ERROR,
}
_LEVELS: Mapping[str, LogLevel] = {
    "debug": "DEBUG",
    "warning": "WARNING",
    "error": "ERROR",
    "critical": "CRITICAL",
    "alert": "CRITICAL",
    "emergency": "CRITICAL",
}
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Place:
    """A server with its secrets filled in, and how long it may be asked."""

    server: McpServer
    env: Mapping[str, str]
    headers: Mapping[str, str]
    timeout_s: float
    # Of the HTTP answers so far: the client does not say them in its errors.
    statuses: list[int] = field(default_factory=list)


def call_mcp_tool(
    invocation: Invocation, configuration: McpConfiguration, arguments: JsonValue, limits: ToolLimits
) -> JsonValue:
    """Call a tool and return its structured content, else ``{"content", "text"}``; raises ``ToolError``."""
    server = find_server(limits.mcp_servers_file, configuration.server, invocation.workspace_id)
    if not server.offers(configuration.tool):
        raise _no_tool(configuration, server.tools or ())
    if not isinstance(arguments, dict):
        raise ToolError(ErrorType.VALIDATION_ERROR, "the arguments of an MCP tool are an object")
    place = _place(server, invocation.workspace_id, invocation.timeout_s, invocation.conceal)

    async def call() -> CallToolResult:
        async with _session(place, invocation) as client:
            tools = await _tools(client, server)
            tool = tools.get(configuration.tool)
            if tool is None:
                raise _no_tool(configuration, tuple(tools))
            _check(tool, arguments)
            return await client.call_tool(
                tool.name, dict(arguments), progress_callback=_progress_to(invocation)
            )

    with _named(configuration.server, place):
        return _output(configuration, _run(call, place.timeout_s, invocation.stopped))


def list_mcp_tools(name: str, server: McpServer, workspace_id: str, timeout_s: float = 30.0) -> list[McpTool]:
    """Ask a server what it offers, and remember it; raises ``ToolError``."""
    place = _place(server, workspace_id, timeout_s, lambda value: None)

    async def ask() -> dict[str, McpTool]:
        async with _session(place, None) as client:
            return await _tools(client, server)

    with _named(name, place):
        return list(_run(ask, timeout_s, lambda: False).values())


def _place(server: McpServer, workspace_id: str, timeout_s: float, conceal: Callable[[str], None]) -> Place:
    template = server.template
    names = template.references.secrets
    given: Any = {"env": dict(server.env), "headers": dict(server.headers)}
    if names:
        try:
            values = reveal_in(workspace_id, names)
            for value in values.values():
                conceal(value)
            given = template.fill_secrets(given, ValuesScope(secrets=values), lambda made: conceal(str(made)))
        except (ExpressionError, WorkflowError) as error:
            raise ToolError(ErrorType.CONFIGURATION_ERROR, error.message) from None
    return Place(server, given["env"], given["headers"], timeout_s)


def _run(work: Callable[[], Awaitable[Result]], timeout_s: float, stopped: Callable[[], bool]) -> Result:
    """Run ``work`` on an event loop of its own; leave only when it, and what it started, has ended."""
    deadline = time.monotonic() + timeout_s
    with start_blocking_portal(name="mcp") as portal:
        future = portal.start_task_soon(work)
        try:
            while not future.done():
                left = deadline - time.monotonic()
                if left <= 0:
                    raise ToolError(ErrorType.TIMEOUT_ERROR, f"no answer within {timeout_s:g} s")
                if stopped():
                    raise ToolError(ErrorType.SYSTEM_ERROR, "the call was stopped: its run was cancelled")
                concurrent.futures.wait([future], min(left, LOOK_UP_S))
            return future.result()
        finally:
            # Also when the worker's alarm interrupts: the portal waits for the session's end.
            future.cancel()


@asynccontextmanager
async def _session(place: Place, invocation: Invocation | None) -> AsyncIterator[Client]:
    async with _transport(place, invocation) as transport:
        client = Client(
            transport,
            read_timeout_seconds=place.timeout_s,
            cache=None,
            client_info=CLIENT,
            logging_callback=_logging_to(invocation) if invocation is not None else None,
        )
        async with client:
            yield client


@asynccontextmanager
async def _transport(place: Place, invocation: Invocation | None) -> AsyncIterator[Any]:
    server = place.server
    if server.url is not None:

        async def note_status(response: httpx2.Response) -> None:
            place.statuses.append(response.status_code)

        timeout = httpx2.Timeout(CONNECT_TIMEOUT_S, read=place.timeout_s)
        # No proxies of the environment. The client itself follows no redirect to another origin.
        hooks: Any = {"response": [note_status]}
        async with httpx2.AsyncClient(
            headers=dict(place.headers), timeout=timeout, trust_env=False, event_hooks=hooks
        ) as http:
            yield streamable_http_client(server.url, http_client=http)
        return
    command = [sys.executable, "-I", "-S", process_keeper.__file__, str(os.getpid()), str(server.command)]
    parameters = StdioServerParameters(
        command=command[0],
        args=[*command[1:], *server.args],
        env=dict(place.env),
        cwd=server.cwd or "/",
    )
    with _stderr_to(invocation) as stderr:
        yield stdio_client(parameters, errlog=stderr)


async def _tools(client: Client, server: McpServer) -> dict[str, McpTool]:
    found: list[McpTool] = []
    cursor = None
    for _ in range(MAX_PAGES_OF_TOOLS):
        page = await client.list_tools(cursor=cursor)
        found += [McpTool(tool.name, tool.description or "", tool.input_schema) for tool in page.tools]
        cursor = page.next_cursor
        if cursor is None:
            break
    remember_tools(server, found)
    return {tool.name: tool for tool in found if server.offers(tool.name)}


def _check(tool: McpTool, arguments: JsonValue) -> None:
    problems = argument_problems(tool, arguments)
    if problems:
        shown = "; ".join(
            f"{problem.pointer or 'the arguments'}: {problem.message}" for problem in problems[:5]
        )
        message = f"the arguments do not fit the tool '{tool.name}': {shown}"
        raise ToolError(ErrorType.VALIDATION_ERROR, message, problems=problems)


def _output(configuration: McpConfiguration, result: CallToolResult) -> JsonValue:
    content: list[JsonValue] = [
        block.model_dump(mode="json", by_alias=True, exclude_none=True) for block in result.content
    ]
    texts = [block for block in content if isinstance(block, dict) and block.get("type") == "text"]
    text = "\n".join(str(block["text"]) for block in texts)
    if result.is_error:
        details: dict[str, JsonValue] = {"server": configuration.server, "tool": configuration.tool}
        raise ToolError(
            ErrorType.SYSTEM_ERROR,
            f"the tool '{configuration.tool}' failed: {text or 'it does not say why'}",
            details=details | {"content": text},
        )
    if result.structured_content is not None:
        structured: JsonValue = result.structured_content
        return structured
    return {"content": content, "text": text}


def _no_tool(configuration: McpConfiguration, offered: tuple[str, ...]) -> ToolError:
    hint = nearest_name_hint(configuration.tool, offered)
    message = f"the MCP server '{configuration.server}' has no tool '{configuration.tool}'"
    return ToolError(ErrorType.RESOURCE_NOT_FOUND, message + (f". {hint}" if hint else ""))


@contextmanager
def _named(server: str, place: Place) -> Iterator[None]:
    """Turn what a session raises, in groups as it may be, into the ``ToolError`` that it stands for."""
    try:
        yield
    except Exception as error:
        first = _first_of(error)
        if isinstance(first, ToolError):
            raise first from None
        error_type, said = _described(first, place.statuses)
        raise ToolError(error_type, f"the MCP server '{server}' {said}") from error


def _first_of(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        own = [one for one in error.exceptions if isinstance(_first_of(one), ToolError)]
        error = (own or list(error.exceptions))[0]
    return error


def _described(error: BaseException, statuses: list[int]) -> tuple[ErrorType, str]:
    match error:
        case MCPError() if statuses and statuses[-1] >= httpx2.codes.BAD_REQUEST:
            status = statuses[-1]
            default = ErrorType.NETWORK_ERROR if status >= 500 else ErrorType.SYSTEM_ERROR
            return TYPE_OF_STATUS.get(status, default), f"answered {status}"
        case MCPError():
            return _TYPE_OF_CODE.get(
                error.code, ErrorType.SYSTEM_ERROR
            ), f"answered with an error: {error.message}"
        case httpx2.HTTPStatusError():
            status = error.response.status_code
            return TYPE_OF_STATUS.get(status, ErrorType.NETWORK_ERROR), f"answered {status}"
        case httpx2.TimeoutException() | TimeoutError():
            return ErrorType.TIMEOUT_ERROR, "did not answer in time"
        case httpx2.TransportError() | OSError():
            return ErrorType.NETWORK_ERROR, f"cannot be reached: {str(error) or type(error).__name__}"
        case _:
            return ErrorType.SYSTEM_ERROR, f"could not be asked: {type(error).__name__}: {error}"


def _progress_to(invocation: Invocation) -> Any:
    async def report(progress: float, total: float | None, message: str | None) -> None:
        if total and 0 <= progress <= total:
            invocation.progress(ProgressReport(100 * progress / total, message or ""))

    return report


def _logging_to(invocation: Invocation) -> Any:
    async def log(params: LoggingMessageNotificationParams) -> None:
        text = params.data if isinstance(params.data, str) else str(params.data)
        invocation.log(LogLine(_LEVELS.get(params.level, "INFO"), text))

    return log


@contextmanager
def _stderr_to(invocation: Invocation | None) -> Iterator[TextIO]:
    """Give a server somewhere to write its errors; they become log lines of the block."""
    if invocation is None:
        with open(os.devnull, "w") as nowhere:
            yield nowhere
        return
    read, write = os.pipe()
    reader = threading.Thread(target=_read_lines, args=(read, invocation), name="mcp-stderr", daemon=True)
    reader.start()
    try:
        with os.fdopen(write, "w") as stream:
            yield stream
    finally:
        reader.join(1.0)


def _read_lines(descriptor: int, invocation: Invocation) -> None:
    with os.fdopen(descriptor, errors="replace") as stream:
        for number, line in enumerate(iter(lambda: stream.readline(MAX_LINE_CHARACTERS), "")):
            if line.strip() and number < MAX_STDERR_LINES:
                invocation.log(LogLine("INFO", line.rstrip()))
