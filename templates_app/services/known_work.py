"""What is known of the work of a definition's blocks before it runs: its output, its effects, how long it takes.

By block id. What an agent elsewhere does is its own affair: of that nothing is known.
"""

from collections.abc import Sequence

from workflow_service.agents.assignment import choose_for, configuration_of, tool_of
from workflow_service.agents.catalog import AgentInfo
from workflow_service.agents.effects import effect_of
from workflow_service.agents.output_keys import output_keys, schema_keys
from workflow_service.engine.definition import Block, Definition, JsonObject
from workflow_service.engine.recommendations import Effect
from workflow_service.engine.states import HumanStepType, ToolType

MAP_KEYS = frozenset({"results", "succeeded", "failed", "errors"})
ANSWER_KEYS = frozenset({"approved", "comments", "approver"})
REJECTED_KEYS = frozenset({"proposed"})

Keys = frozenset[str] | None


def known_outputs(definition: Definition, agents: Sequence[AgentInfo] = ()) -> dict[str, Keys]:
    """Return the keys that each block's output can have; None: any."""
    return {block.block_id: _keys_of(block, agents) for block in definition.blocks}


def block_effect(block: Block, agents: Sequence[AgentInfo] = ()) -> Effect:
    """Return whether a block's work changes anything outside its run."""
    tool_type, configuration, agent = _work_of(block, agents)
    effect = effect_of(tool_type, configuration)
    # Of what is done elsewhere it is not known that it changes nothing.
    return Effect.UNKNOWN if agent is not None and agent.remote and effect is Effect.NONE else effect


def usual_durations_s(definition: Definition, agents: Sequence[AgentInfo] = ()) -> dict[str, float]:
    """Return how many seconds the agents of blocks took for their work on average, where that is known."""
    averages = {
        agent.agent_id: agent.average_ms for agent in agents if agent.average_ms and not agent.built_in
    }
    return {
        block.block_id: (averages[block.agent_id] or 0.0) / 1_000
        for block in definition.blocks
        if block.agent_id in averages
    }


def _keys_of(block: Block, agents: Sequence[AgentInfo]) -> Keys:
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
    own = REJECTED_KEYS if block.human_in_loop.type is HumanStepType.REVIEW else frozenset()
    return ANSWER_KEYS | own | form | (keys or frozenset())


def _work_keys(block: Block, agents: Sequence[AgentInfo]) -> Keys:
    tool_type, configuration, agent = _work_of(block, agents)
    if agent is not None and agent.remote:
        return None
    keys = output_keys(tool_type, configuration)
    fallback = block.recovery.fallback if block.recovery else None
    if keys is None or fallback is None:
        return keys
    other = (
        None if fallback.agent_id else output_keys(fallback.tool_type or tool_type, fallback.configuration)
    )
    return None if other is None else keys | other


def _work_of(
    block: Block, agents: Sequence[AgentInfo]
) -> tuple[ToolType | None, JsonObject, AgentInfo | None]:
    """Return the tool and the configuration that a block works with, and its agent."""
    named = next((agent for agent in agents if agent.agent_id == block.agent_id), None)
    agent = named or choose_for(block, agents)
    if agent is None:
        return block.tool_type, block.configuration, None
    tool_type = tool_of(block, agent)
    return tool_type, configuration_of(block, agent, tool_type, block.configuration), agent
