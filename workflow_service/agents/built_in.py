"""The agents that every workspace has: one for each kind of tool that runs in the workers themselves."""

from collections.abc import Sequence
from functools import lru_cache

from pydantic import TypeAdapter
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError

from workflow_service.agents.configuration import is_available
from workflow_service.agents.models import Agent
from workflow_service.agents.selection import AgentStatus, Capability, JsonObject
from workflow_service.agents.use_cases import REGISTRY
from workflow_service.engine.states import ToolType

# Tool type to the id, name, description and capability of who does it; waits and sub-workflows are the service's own.
BUILT_IN: dict[ToolType, tuple[str, str, str, str]] = {
    ToolType.USE_CASE: (
        "local-use-case",
        "Use cases",
        "Runs the registered Python functions in the workers.",
        "",
    ),
    ToolType.API: (
        "local-api",
        "HTTP requests",
        "Sends one HTTP request and reads its answer.",
        "http.request",
    ),
    ToolType.SCRIPT: (
        "local-script",
        "Scripts",
        "Runs a Python script of the workspace in a sandbox.",
        "script.run",
    ),
    ToolType.MCP: ("local-mcp", "MCP tools", "Calls a tool on an MCP server.", "mcp.call"),
    ToolType.LLM: ("local-llm", "Language model", "Has a language model answer a prompt.", "llm.answer"),
    ToolType.NOOP: (
        "local-noop",
        "Nothing",
        "Gives the output that the block's configuration holds.",
        "noop",
    ),
}


def built_in_agents() -> list[Agent]:
    """Return the built-in agents of the tools that this server has, not saved."""
    return [
        Agent(
            public_id=agent_id,
            name=name,
            description=description,
            tool_types=[tool_type.value],
            status=AgentStatus.HEALTHY,
        )
        for tool_type, (agent_id, name, description, _) in BUILT_IN.items()
        if is_available(tool_type)
    ]


def capabilities_of(tool_types: Sequence[ToolType]) -> tuple[Capability, ...]:
    """Return what the workers can do with these tools; of use cases each is a capability of its own."""
    found: list[Capability] = []
    for tool_type in tool_types:
        _, _, description, capability = BUILT_IN.get(tool_type, ("", "", "", ""))
        if tool_type is ToolType.USE_CASE:
            found += _use_cases(tuple(REGISTRY.names()))
        elif capability:
            found.append(Capability(capability, description))
    return tuple(found)


@lru_cache(maxsize=4)
def _use_cases(names: tuple[str, ...]) -> tuple[Capability, ...]:
    found = [REGISTRY.get(name) for name in names]
    return tuple(Capability(one.name, one.summary, _schema(one.params), _schema(one.output)) for one in found)


def _schema(adapter: TypeAdapter[object]) -> JsonObject | None:
    try:
        return adapter.json_schema(by_alias=True)
    except (PydanticInvalidForJsonSchema, PydanticSchemaGenerationError):
        return None
