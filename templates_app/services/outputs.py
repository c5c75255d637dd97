"""What the blocks of a definition are known to put out, by block id: keys, or nothing where it may be anything."""

from collections.abc import Mapping

from workflow_service.accounts.models import Workspace
from workflow_service.agents.catalog import AgentInfo, list_agents
from workflow_service.agents.output_keys import output_keys, schema_keys
from workflow_service.engine.definition import Block, Definition, StandIn
from workflow_service.engine.states import ToolType

MAP_KEYS = frozenset({"results", "succeeded", "failed", "errors"})
ANSWER_KEYS = frozenset({"approved", "comments", "approver"})

Keys = frozenset[str] | None


def known_outputs(definition: Definition, workspace: Workspace | None = None) -> dict[str, Keys]:
    """Return the keys that each block's output can have; None: any.

    What an agent elsewhere gives is its own affair, so with ``workspace`` those are looked up.
    """
    agents = {} if workspace is None else {agent.agent_id: agent for agent in list_agents(workspace.pk)}
    return {block.block_id: _keys_of(block, agents) for block in definition.blocks}


def _keys_of(block: Block, agents: Mapping[str, AgentInfo]) -> Keys:
    if block.for_each is not None:
        return MAP_KEYS
    keys = _work_keys(block, agents)
    if keys is not None and block.default_output is not None:
        keys |= frozenset(block.default_output)
    if not block.asks_people:
        return keys
    asked = block.human_in_loop.input_schema
    form = None if asked is None else schema_keys(asked)
    if form is None or (keys is None and block.has_tool):
        return None
    return ANSWER_KEYS | form | (keys or frozenset())


def _work_keys(block: Block, agents: Mapping[str, AgentInfo]) -> Keys:
    tools: list[tuple[ToolType | None, StandIn | Block]] = [(block.tool_type, block)]
    if block.recovery is not None and block.recovery.fallback is not None:
        fallback = block.recovery.fallback
        tools.append((fallback.tool_type or block.tool_type, fallback))
    found: frozenset[str] = frozenset()
    for tool_type, work in tools:
        agent = agents.get(work.agent_id or "")
        keys = None if agent is not None and agent.remote else output_keys(tool_type, work.configuration)
        if keys is None:
            return None
        found |= keys
    return found
