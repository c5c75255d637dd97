"""The agents of a workspace: its own, those built in for all, and those of the remote Agent Service.

Everything is read from Postgres, where discovery and health checks put what they find, so reading calls nobody. A
process keeps what it read for ``FRESH_S``; a change made in the same process is seen at once, and an id that is not
found is looked for again. A workspace's own agent stands before one of the same id that is built in.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

from django.db import connection
from django.db.models import Q

from workflow_service.agents.breaker import BreakerState, breaker_key, read_states
from workflow_service.agents.built_in import built_in_agents, capabilities_of
from workflow_service.agents.models import Agent, AgentStatistic
from workflow_service.agents.selection import (
    AgentInfo,
    AgentStatus,
    Capability,
    JsonObject,
    choose_agent,
    nearest_agent,
    rank_agents,
)
from workflow_service.engine.states import ToolType

__all__ = (
    "AgentInfo",
    "AgentStatus",
    "Capability",
    "JsonObject",
    "agents_at_hand",
    "choose_agent",
    "find_agent",
    "forget_agents",
    "list_agents",
    "nearest_agent",
    "rank_agents",
)

FRESH_S = 5.0
LOOK_AGAIN_S = 0.5
AT_HAND_S = 60.0
MOST_KEPT = 1_000

MAKE_BUILT_IN = """
    INSERT INTO agents_agent (
        public_id, name, description, tool_types, capabilities, runtime, endpoint, configuration, tags, enabled, status,
        status_message, failed_checks, created_at, updated_at)
    VALUES (%s, %s, %s, %s, '[]', 'local', '', '{}', '{}', true, 'HEALTHY', '', 0, now(), now())
    ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class _Snapshot:
    agents: dict[str, AgentInfo]
    read_at: float

    def is_younger_than(self, seconds: float) -> bool:
        return time.monotonic() - self.read_at < seconds


_snapshots: dict[int, _Snapshot] = {}


def list_agents(workspace_id: int) -> tuple[AgentInfo, ...]:
    """Return the agents that workflows of a workspace may name, by id; what is known of them is seconds old."""
    return tuple(_snapshot(workspace_id, FRESH_S).agents.values())


def agents_at_hand(workspace_id: int) -> tuple[AgentInfo, ...]:
    """Return the same as this process read it last, a minute ago at most: for whoever holds a lock, and must not wait.

    Where nothing was read, Postgres alone is asked, and not the breakers, which answer for themselves.
    """
    kept = _snapshots.get(workspace_id)
    if kept is None or not kept.is_younger_than(AT_HAND_S):
        kept = _keep(workspace_id, _Snapshot(_read(workspace_id), time.monotonic() - FRESH_S))
    return tuple(kept.agents.values())


def find_agent(workspace_id: int, agent_id: str) -> AgentInfo | None:
    """Return the agent of that id, or None where the workspace has none."""
    found = _snapshot(workspace_id, FRESH_S).agents.get(agent_id)
    return found or _snapshot(workspace_id, LOOK_AGAIN_S).agents.get(agent_id)


def forget_agents() -> None:
    """Have this process read agents anew: they were changed. Others see it within ``FRESH_S``."""
    _snapshots.clear()


def describe_agent(agent: Agent, statistic: AgentStatistic | None = None) -> AgentInfo:
    """Return an agent's row, and what was counted of its work, as a value."""
    built_in = agent.workspace_id is None and agent.runtime == Agent.Runtime.LOCAL
    types = [ToolType(name) for name in agent.tool_types if name in ToolType.__members__]
    return AgentInfo(
        agent_id=agent.public_id,
        name=agent.name,
        description=agent.description,
        capabilities=capabilities_of(types) if built_in else tuple(map(read_capability, agent.capabilities)),
        tool_types=frozenset(types),
        status=AgentStatus(agent.status) if agent.enabled else AgentStatus.DISABLED,
        load=statistic.load if statistic else 0.0,
        success_rate=statistic.success_rate if statistic else None,
        configuration=agent.configuration,
        remote=agent.runtime != Agent.Runtime.LOCAL,
        tool_type=types[0] if types else None,
        tags=tuple(agent.tags),
        built_in=built_in,
        url=agent.endpoint,
        rate_per_min=agent.rate_per_min,
        rate_burst=agent.rate_burst,
        average_ms=statistic.average_ms if statistic else None,
    )


def read_capability(stored: JsonObject) -> Capability:
    """Return a stored capability, in document A's spelling, as a value."""
    schemas = (stored.get("inputSchema"), stored.get("outputSchema"))
    given, made = (schema if isinstance(schema, dict) else None for schema in schemas)
    return Capability(str(stored.get("name", "")), str(stored.get("description", "")), given, made)


def _snapshot(workspace_id: int, max_age_s: float) -> _Snapshot:
    kept = _snapshots.get(workspace_id)
    if kept is None or not kept.is_younger_than(max_age_s):
        agents = _with_breakers(workspace_id, _read(workspace_id))
        kept = _keep(workspace_id, _Snapshot(agents, time.monotonic()))
    return kept


def _keep(workspace_id: int, snapshot: _Snapshot) -> _Snapshot:
    if len(_snapshots) >= MOST_KEPT:
        _snapshots.clear()
    _snapshots[workspace_id] = snapshot
    return snapshot


def _read(workspace_id: int) -> dict[str, AgentInfo]:
    rows = list(_rows(workspace_id))
    if _make_missing(rows):
        rows = list(_rows(workspace_id))
    counted = {one.agent_id: one for one in AgentStatistic.objects.filter(workspace_id=workspace_id)}
    # A workspace's own come last, in place of others of the same id.
    agents = {row.public_id: describe_agent(row, counted.get(row.public_id)) for row in rows}
    return dict(sorted(agents.items()))


def _with_breakers(workspace_id: int, agents: dict[str, AgentInfo]) -> dict[str, AgentInfo]:
    """Return the agents with the worse of their health and what their calls say: nobody is sent to an open breaker."""
    guarded = [agent_id for agent_id, agent in agents.items() if not agent.built_in and agent.available]
    states = read_states(breaker_key(workspace_id, agent_id) for agent_id in guarded)
    for agent_id, state in zip(guarded, states, strict=True):
        if state is not BreakerState.CLOSED:
            status = AgentStatus.UNHEALTHY if state is BreakerState.OPEN else AgentStatus.DEGRADED
            agents[agent_id] = replace(agents[agent_id], status=status, breaker=state.value)
    return agents


def _rows(workspace_id: int) -> Iterable[Agent]:
    mine = Q(workspace_id=workspace_id) | Q(workspace__isnull=True)
    rows = Agent.objects.filter(mine).order_by("public_id")
    return sorted(rows, key=lambda row: row.workspace_id is not None)


def _make_missing(rows: Iterable[Agent]) -> bool:
    known = {row.public_id for row in rows if row.workspace_id is None}
    missing = [agent for agent in built_in_agents() if agent.public_id not in known]
    with connection.cursor() as cursor:
        for agent in missing:
            # As a plain statement: whoever asks may be in a transaction of the engine's, which Django knows nothing of.
            cursor.execute(MAKE_BUILT_IN, [agent.public_id, agent.name, agent.description, agent.tool_types])
    return bool(missing)
