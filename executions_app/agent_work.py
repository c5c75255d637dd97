"""Who does a block's work, and what that makes of it: a tool of this worker's, or an agent with its own defaults.

A block that neither names an agent nor asks for one costs nothing here. The agents are those of the catalogue, which
each process keeps for some seconds, so that no claim waits for anybody but Postgres.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from django.db import connection

from executions_app.errors import UnknownAgent
from executions_app.models import BlockExecution
from workflow_service.agents.assignment import (
    choose_for,
    configuration_of,
    defaults_template,
    stand_ins_for,
    tool_of,
    wanted_by,
)
from workflow_service.agents.catalog import (
    AgentInfo,
    AgentStatus,
    agents_at_hand,
    find_agent,
    list_agents,
    nearest_agent,
)
from workflow_service.agents.errors import NOT_DONE, ToolError
from workflow_service.agents.selection import JsonObject
from workflow_service.engine.definition import Block, StandIn
from workflow_service.engine.errors import ExpressionError
from workflow_service.engine.interpolation import Template
from workflow_service.engine.plan import Node
from workflow_service.engine.recovery import RecoveryPolicy
from workflow_service.engine.states import ErrorType, ToolType

if TYPE_CHECKING:
    from executions_app.progress import Claim

RECORD_AGENT = """
    UPDATE executions_app_blockexecution SET agent_id = %s WHERE id = %s AND fence = %s AND status = 'RUNNING'
"""


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be run for a claim: a tool with its whole configuration, and by which agent; None: by this worker."""

    tool_type: ToolType
    configuration: JsonObject
    agent: AgentInfo | None = None


def agent_of_row(node: Node, row: Any) -> str:
    """Return the agent that a row's work is for; empty where neither the row nor the block's own work names one."""
    own = row.kind != BlockExecution.Kind.UNDO and not row.stand_in
    return row.agent_id or (node.block.agent_id if own and node.block else None) or ""


def agent_of_stand_in(block: Block | None, work: StandIn | None) -> str:
    """Return the agent of work in place of a block's own: with a tool of its own it does not need the block's."""
    if work is not None and (work.agent_id or work.tool_type):
        return work.agent_id or ""
    return (block.agent_id if block else None) or ""


def choose_agent_id(block: Block | None, workspace_id: int) -> str:
    """Return the id of the best agent for a block that names none but wants one; empty where there is none now."""
    if block is None or wanted_by(block) is None:
        return ""
    found = choose_for(block, agents_at_hand(workspace_id))
    return found.agent_id if found else ""


def with_stand_ins(policy: RecoveryPolicy, block: Block, row: Any, workspace_id: int) -> RecoveryPolicy:
    """Return a block's policy with the agents that may take over from its own where the block lists none."""
    if policy.agents or row.kind == BlockExecution.Kind.UNDO or row.stand_in or is_map(row, block):
        return policy
    return replace(policy, agents=takers_over(block, row.agent_id, workspace_id))


def takers_over(block: Block, agent_id: str, workspace_id: int) -> tuple[str, ...]:
    """Return the agents that may take over a block from one: those it lists, else those with the same capability."""
    listed = block.recovery.agents if block.recovery else ()
    works_by_agent = agent_id or wanted_by(block) is not None
    if listed or not works_by_agent:
        return listed
    return stand_ins_for(block, agent_id, agents_at_hand(workspace_id))


def require_agent(workspace_id: int, agent_id: str) -> None:
    """Raise ``UnknownAgent`` where a workspace has no agent of that id."""
    if find_agent(workspace_id, agent_id) is None:
        raise UnknownAgent(_unknown(workspace_id, agent_id))


def work_for(claim: "Claim", block: Block, given: JsonObject, fill: Callable[[Template], JsonObject]) -> Work:
    """Return what is to be run for a claim whose resolved configuration is ``given``; ``fill`` puts secrets in.

    Raises ``ToolError``, AGENT_UNAVAILABLE where nobody can do it now.
    """
    agent_id = claim.agent_id
    # What stands in for the work has a tool of its own, or is done by an agent like the block's.
    own = not claim.undoes and not claim.stand_in
    if not agent_id and wanted_by(block) is not None and (own or block.tool_type is None):
        agent_id = _chosen_late(claim, block)
    if not agent_id:
        if block.tool_type is None:
            raise ToolError(ErrorType.CONFIGURATION_ERROR, f"block '{block.block_id}' has no tool to run")
        return Work(block.tool_type, given)
    agent = _require(claim.workspace_id, agent_id)
    tool_type = tool_of(block, agent)
    if tool_type is None or tool_type not in agent.tool_types:
        offered = ", ".join(sorted(agent.tool_types)) or "no tool"
        message = f"agent '{agent_id}' does no {tool_type or 'work'}: it has {offered}"
        raise ToolError(ErrorType.CONFIGURATION_ERROR, message)
    if "${" in str(agent.configuration):
        agent = replace(agent, configuration=fill(_defaults(agent)))
    return Work(tool_type, configuration_of(block, agent, tool_type, given), agent)


def secrets_of_agent(workspace_id: int, agent_id: str) -> frozenset[str]:
    """Return the names of the secrets that an agent's defaults hold."""
    agent = find_agent(workspace_id, agent_id) if agent_id else None
    try:
        return _defaults(agent).references.secrets if agent else frozenset()
    except ToolError:
        return frozenset()  # they were never sent


def _defaults(agent: AgentInfo) -> Template:
    try:
        return defaults_template(agent.configuration)
    except ExpressionError as error:
        message = f"the defaults of agent '{agent.agent_id}': {error.message}"
        raise ToolError(ErrorType.CONFIGURATION_ERROR, message) from None


def _chosen_late(claim: "Claim", block: Block) -> str:
    """Choose for a block that found no agent when it was claimed first, and write down who it is."""
    found = choose_for(block, list_agents(claim.workspace_id))
    agent_id = found.agent_id if found else ""
    if not agent_id:
        message = f"no agent that has {wanted_by(block)} is available"
        raise ToolError(ErrorType.AGENT_UNAVAILABLE, message, details={NOT_DONE: True})
    with connection.cursor() as cursor:
        cursor.execute(RECORD_AGENT, [agent_id, claim.block_execution_id, claim.fence])
    return agent_id


def _require(workspace_id: int, agent_id: str) -> AgentInfo:
    found = find_agent(workspace_id, agent_id)
    if found is None:
        message = _unknown(workspace_id, agent_id)
        raise ToolError(ErrorType.AGENT_UNAVAILABLE, message, details={NOT_DONE: True})
    # An open breaker answers for itself: it lets trials through when its time has come.
    if found.status is AgentStatus.DISABLED or (
        found.status is AgentStatus.UNHEALTHY and found.breaker == "closed"
    ):
        message = f"agent '{agent_id}' is {found.status.lower()}"
        raise ToolError(ErrorType.AGENT_UNAVAILABLE, message, details={"agentId": agent_id, NOT_DONE: True})
    return found


def _unknown(workspace_id: int, agent_id: str) -> str:
    near = nearest_agent(agent_id, list_agents(workspace_id))
    suggestion = f"; did you mean '{near}'?" if near else ""
    return f"this workspace has no agent '{agent_id}'{suggestion}"


def is_map(row: Any, block: Block) -> bool:
    """Tell whether a row is a map's own: of a map its items do the work."""
    return block.for_each is not None and row.kind != BlockExecution.Kind.ITEM
