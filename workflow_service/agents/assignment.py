"""What an agent and a block make together: who is wanted, with which tool, and with what configuration.

Pure: it is asked when a template is validated and when a block is worked on, and must say the same both times.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from workflow_service.agents.selection import AgentInfo, JsonObject, choose_agent, rank_agents
from workflow_service.engine.definition import Block
from workflow_service.engine.errors import ExpressionError
from workflow_service.engine.interpolation import Template, compile_template
from workflow_service.engine.states import ToolType

# People, the service itself and other runs do these, whoever is named.
WITHOUT_AGENT = frozenset({ToolType.HUMAN, ToolType.WAIT, ToolType.SUBWORKFLOW})
REFERENCE = re.compile(r"\$\{[^}]*\}?")
SECRET = re.compile(r"\$\{\s*secrets\.\w+\s*\}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a block that names no agent wants of one: a tool, a capability, or both."""

    tool_type: ToolType | None
    capability: str | None

    def __str__(self) -> str:
        said = [f"the tool {self.tool_type}"] if self.tool_type else []
        said += [f"the capability '{self.capability}'"] if self.capability else []
        return " and ".join(said)


def wanted_by(block: Block) -> Wanted | None:
    """Return what a block wants of an agent that is to be chosen; None where it names one, or a tool alone is enough.

    ``agentType`` is the type of a tool, as in document A section 4.1, or else the name of a capability.
    """
    if block.agent_id or not block.agent_type or block.tool_type in WITHOUT_AGENT:
        return None
    named = block.agent_type.strip().upper()
    if named in ToolType.__members__:
        # Where the block has its tool, the type says no more than that.
        return Wanted(ToolType(named), None) if block.tool_type is None else None
    return Wanted(block.tool_type, block.agent_type.strip())


def choose_for(block: Block, agents: Iterable[AgentInfo], *, exclude: Iterable[str] = ()) -> AgentInfo | None:
    """Return the best agent for a block that names none; None where no available one fits, or none is wanted."""
    wanted = wanted_by(block)
    if wanted is None:
        return None
    return choose_agent(agents, tool_type=wanted.tool_type, capability=wanted.capability, exclude=exclude)


def stand_ins_for(block: Block, agent_id: str, agents: Iterable[AgentInfo]) -> tuple[str, ...]:
    """Return the ids of the agents that may take over a block from one, the best first.

    They can do what the block wants, or else have a capability of the agent's, and work with the same tool. Who has
    no capability has no stand-in: nothing says that another could do its work.
    """
    known = {agent.agent_id: agent for agent in agents}
    wanted, mine = wanted_by(block), known.get(agent_id)
    if wanted is not None:
        ranked = rank_agents(
            known.values(), tool_type=wanted.tool_type, capability=wanted.capability, exclude=[agent_id]
        )
        return tuple(agent.agent_id for agent in ranked)
    if mine is None or mine.built_in:
        return ()
    tool_type = tool_of(block, mine)
    return tuple(
        agent.agent_id
        for agent in rank_agents(known.values(), tool_type=tool_type, exclude=[agent_id])
        if any(agent.can(capability.name) for capability in mine.capabilities)
    )


def tool_of(block: Block, agent: AgentInfo) -> ToolType | None:
    """Return the tool with which an agent does a block's work: the block's, else that of its type, else the agent's."""
    if block.tool_type is not None:
        return block.tool_type
    named = (block.agent_type or "").strip().upper()
    if named in ToolType.__members__ and ToolType(named) in agent.tool_types:
        return ToolType(named)
    return agent.tool_type


def configuration_of(
    block: Block, agent: AgentInfo, tool_type: ToolType | None, own: Mapping[str, JsonValue]
) -> JsonObject:
    """Return a block's configuration over the defaults of its agent, which are those of the agent's first tool.

    A use case that the block names as its ``agentType`` is the one that runs.
    """
    found = merged(agent.configuration, own) if tool_type == agent.tool_type else dict(own)
    wanted = wanted_by(block)
    if agent.built_in and tool_type is ToolType.USE_CASE and wanted and wanted.capability:
        name = wanted.capability.casefold()
        named = next((one.name for one in agent.capabilities if one.name.casefold() == name), None)
        if named is not None:
            found.setdefault("useCase", named)
    return found


def defaults_template(configuration: Mapping[str, JsonValue]) -> Template:
    """Return an agent's defaults as a template; of what they may name there are secrets alone.

    Raises ``ExpressionError``.
    """
    template = compile_template(dict(configuration))
    if any(not SECRET.fullmatch(found) for found in REFERENCE.findall(json.dumps(configuration))):
        raise ExpressionError("an agent's defaults may name ${secrets.NAME} and nothing else")
    return template


def merged(defaults: Mapping[str, JsonValue], own: Mapping[str, JsonValue]) -> JsonObject:
    """Return ``own`` over ``defaults``, key by key; objects are merged, anything else is replaced."""
    found = dict(defaults)
    for key, value in own.items():
        default = found.get(key)
        both = isinstance(default, dict) and isinstance(value, dict)
        found[key] = merged(default, value) if both else value  # type: ignore[arg-type]
    return found
