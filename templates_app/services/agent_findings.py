"""Whether the agents that a definition names are there and can do what is wanted of them."""

from collections.abc import Iterator, Mapping, Sequence

from workflow_service.agents.assignment import choose_for, tool_of, wanted_by
from workflow_service.agents.catalog import AgentInfo, AgentStatus, nearest_agent
from workflow_service.engine.definition import Block, Definition
from workflow_service.engine.findings import Finding, Severity
from workflow_service.engine.json_values import json_pointer
from workflow_service.engine.states import ToolType
from workflow_service.settings.config import get_config

# No agent has a part in these, whoever is named.
WORKS_BY_ITSELF = frozenset({ToolType.HUMAN, ToolType.SUBWORKFLOW, ToolType.WAIT})


def agent_findings(definition: Definition, agents: Sequence[AgentInfo]) -> Iterator[Finding]:
    """Yield what is wrong with the agents that the blocks of ``definition`` name, or want without naming one.

    An agent that is unknown or disabled is an error; one that is ill now may be well when the block runs.
    """
    known = {agent.agent_id: agent for agent in agents}
    for index, block in enumerate(definition.blocks):
        for agent_id, place in _named(block, index):
            yield from _wrong_with(known.get(agent_id), agent_id, place, block, agents)
        yield from _nobody_fits(block, index, agents)
        yield from _never_retried(definition, block, index, known)


def _named(block: Block, index: int) -> Iterator[tuple[str, str]]:
    if block.agent_id:
        yield block.agent_id, json_pointer("blocks", index, "agentId")
    recovery = block.recovery
    if recovery is None:
        return
    for position, agent_id in enumerate(recovery.agents):
        yield agent_id, json_pointer("blocks", index, "recovery", "agents", position)
    for name, work in (("fallback", recovery.fallback), ("compensate", recovery.compensate)):
        if work is not None and work.agent_id:
            yield work.agent_id, json_pointer("blocks", index, "recovery", name, "agentId")


def _wrong_with(
    agent: AgentInfo | None, agent_id: str, place: str, block: Block, agents: Sequence[AgentInfo]
) -> Iterator[Finding]:
    severity = Severity.ERROR
    if agent is None:
        near = nearest_agent(agent_id, agents)
        mend = f"Use '{near}' instead" if near else "Register it, or name an agent that GET /agents lists"
    elif agent.status is AgentStatus.DISABLED:
        near = nearest_agent(agent_id, agents)
        mend = f"Enable it, or use '{near}' instead" if near else "Enable it, or name another agent"
    elif agent.status is AgentStatus.UNHEALTHY:
        severity, mend = Severity.WARNING, "It fails its health checks now; name others under recovery.agents"
    else:
        yield from _wrong_tool(agent, place, block)
        return
    yield Finding(
        "AGENT_UNAVAILABLE",
        f"Agent '{agent_id}' is not available",
        pointer=place,
        suggestion=mend,
        blocks=(block.block_id,),
        severity=severity,
    )


def _wrong_tool(agent: AgentInfo, place: str, block: Block) -> Iterator[Finding]:
    if "/recovery/" in place or block.tool_type in WORKS_BY_ITSELF:
        return
    tool_type = tool_of(block, agent)
    if tool_type is None or tool_type in agent.tool_types:
        return
    able = ", ".join(sorted(agent.tool_types)) or "no tool"
    yield Finding(
        "AGENT_LACKS_TOOL",
        f"Agent '{agent.agent_id}' does not work with {tool_type}",
        pointer=place,
        suggestion=f"It works with {able}",
        blocks=(block.block_id,),
    )


def _nobody_fits(block: Block, index: int, agents: Sequence[AgentInfo]) -> Iterator[Finding]:
    wanted = wanted_by(block)
    if wanted is None or choose_for(block, agents) is not None:
        return
    able = any(
        (wanted.capability is None or agent.can(wanted.capability))
        and (wanted.tool_type is None or wanted.tool_type in agent.tool_types)
        for agent in agents
    )
    yield Finding(
        "AGENT_UNAVAILABLE",
        f"No agent is available with {wanted}",
        pointer=json_pointer("blocks", index, "agentType"),
        suggestion="Who has it is not available now" if able else "Name an agent by agentId, or register one",
        blocks=(block.block_id,),
        severity=Severity.WARNING if able else Severity.ERROR,
    )


def _never_retried(
    definition: Definition, block: Block, index: int, known: Mapping[str, AgentInfo]
) -> Iterator[Finding]:
    agent = known.get(block.agent_id or "")
    if agent is None or not agent.flaky:
        return
    policy = block.retry_policy or definition.global_settings.default_retry_policy
    retries = policy.max_retries if policy is not None else get_config().workflow_retry_attempts
    if retries:
        return
    yield Finding(
        "FLAKY_AGENT_WITHOUT_RETRY",
        f"Agent '{agent.agent_id}' succeeds in {agent.success_rate:.0f} % of its work, and '{block.block_id}' is "
        "never tried again",
        pointer=json_pointer("blocks", index, "retryPolicy", "maxRetries"),
        suggestion="Allow some retries, or name other agents under recovery.agents",
        blocks=(block.block_id,),
        severity=Severity.WARNING,
    )
