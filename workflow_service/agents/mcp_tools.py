"""What is known of the tools of MCP servers without asking them: remembered whenever one is called.

Templates are validated against it; the server is asked when a block runs. Nothing here imports the MCP client.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from django.core.cache import cache
from pydantic import JsonValue

from workflow_service.agents.errors import MAX_PROBLEMS, ToolError
from workflow_service.agents.mcp_servers import McpServer, servers_for
from workflow_service.engine.errors import Problem
from workflow_service.engine.findings import nearest_name_hint
from workflow_service.engine.json_values import json_pointer
from workflow_service.engine.states import ErrorType
from workflow_service.json_schemas import SchemaUnusable, misfits

KEPT_FOR_S = 86_400
REFERENCE = "${"


@dataclass(frozen=True, slots=True)
class McpTool:
    """A tool as its server describes it."""

    name: str
    description: str
    input_schema: dict[str, Any]


def remember_tools(server: McpServer, tools: list[McpTool]) -> None:
    """Keep what a server offers, for validation."""
    cache.set(_key(server), [asdict(tool) for tool in tools], KEPT_FOR_S)


def known_tools(server: McpServer) -> dict[str, McpTool] | None:
    """Return what a server offered last, by name; None where it is not known."""
    found = cache.get(_key(server))
    return None if found is None else {tool["name"]: McpTool(**tool) for tool in found}


def argument_problems(tool: McpTool, arguments: JsonValue) -> tuple[Problem, ...]:
    """Return what keeps arguments from fitting the tool's input schema; pointers begin at them."""
    try:
        found = misfits(tool.input_schema, arguments, MAX_PROBLEMS)
    except SchemaUnusable:
        # The server checks by itself; a schema that is no good is not the author's fault.
        return ()
    return tuple(
        Problem(ErrorType.VALIDATION_ERROR, error.message[:300], pointer=json_pointer(*error.absolute_path))
        for error in found
    )


def mcp_problems(
    path: Path | None, configuration: Mapping[str, JsonValue], workspace_id: str | None
) -> Iterator[Problem]:
    """Yield what is wrong with a configuration in which ``${...}`` still stands, as far as is known here."""
    name, tool_name = str(configuration.get("server")), str(configuration.get("tool"))
    if REFERENCE in name:
        return
    try:
        servers = servers_for(path, workspace_id)
    except ToolError as error:
        yield Problem(error.error_type, error.message, pointer="/server")
        return
    server = servers.get(name)
    if server is None:
        yield _unknown("MCP server", name, list(servers), "/server")
        return
    if REFERENCE in tool_name:
        return
    tools = known_tools(server)
    offered = [tool for tool in tools or server.tools or () if server.offers(tool)]
    if not server.offers(tool_name) or (tools is not None and tool_name not in tools):
        yield _unknown(f"tool of the MCP server '{name}'", tool_name, offered, "/tool")
    elif tools is not None:
        given = mcp_arguments(configuration)
        place = next((key for key in ("arguments", "input") if key in configuration), None)
        for problem in argument_problems(tools[tool_name], given):
            if not _at(given, problem.pointer):
                pointer = (json_pointer(place) if place else "") + problem.pointer
                yield Problem(problem.code, problem.message, pointer=pointer)


def mcp_arguments(configuration: Mapping[str, JsonValue]) -> JsonValue:
    """Return the arguments that a configuration gives: ``arguments``, ``input``, or the keys that are left over."""
    for name in ("arguments", "input"):
        if name in configuration:
            return configuration[name]
    return {name: value for name, value in configuration.items() if name not in ("server", "tool")}


def _unknown(what: str, name: str, known: list[str], pointer: str) -> Problem:
    return Problem(
        ErrorType.CONFIGURATION_ERROR,
        f"there is no {what} named '{name}'",
        pointer=pointer,
        suggestion=nearest_name_hint(name, known),
    )


def _at(given: JsonValue, pointer: str) -> bool:
    """Tell whether what stands at a place still holds a reference, and may fit once it is replaced."""
    here: Any = given
    for part in pointer.split("/")[1:]:
        part = part.replace("~1", "/").replace("~0", "~")
        here = here[int(part)] if isinstance(here, list) else here[part]
    return isinstance(here, str) and REFERENCE in here


def _key(server: McpServer) -> str:
    return f"mcp-tools:{server.fingerprint}"
