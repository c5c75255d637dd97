"""The regular work about agents: health checks, and the Agent Service's list of its agents.

A tick gives out what is due, each to one process only, and never waits: whoever has to be asked over the network is
asked by a few threads beside.
"""

import json
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from functools import cache
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from workflow_service.agents.catalog import forget_agents
from workflow_service.agents.errors import ToolError
from workflow_service.agents.health import check_agent, record_status
from workflow_service.agents.limits import tool_limits
from workflow_service.agents.models import Agent, AgentUpkeep
from workflow_service.agents.remote import SaidAgent, SaidHealth, agent_service
from workflow_service.agents.selection import AgentStatus
from workflow_service.settings.config import get_config

logger = logging.getLogger(__name__)

CHECKS_PER_TICK = 50
THREADS = 4

# As a join the rows would be looked for again for each that is compared, and more than the limit be taken.
TAKE_DUE = """
    WITH due AS MATERIALIZED (
        SELECT id FROM agents_agent
        WHERE enabled AND (next_check_at IS NULL OR next_check_at <= clock_timestamp())
        ORDER BY next_check_at NULLS FIRST LIMIT %s FOR UPDATE SKIP LOCKED)
    UPDATE agents_agent SET next_check_at = clock_timestamp() + make_interval(secs => %s)
    FROM due WHERE agents_agent.id = due.id RETURNING agents_agent.id
"""
TAKE_TASK = """
    INSERT INTO agents_agentupkeep AS u (id, {name}, service_status, service_message)
    VALUES (1, clock_timestamp(), 'UNKNOWN', '')
    ON CONFLICT (id) DO UPDATE SET {name} = clock_timestamp()
        WHERE u.{name} IS NULL OR u.{name} <= clock_timestamp() - make_interval(secs => %s)
    RETURNING id
"""
TASKS = frozenset({"discovered_at", "load_counted_at", "work_counted_at"})

Run = Callable[..., Any]


def keep_agents(run: Run | None = None) -> None:
    """Check the agents whose turn it is, and ask the Agent Service for its agents; ``run`` begins what takes long."""
    begin = run or _begin
    room = CHECKS_PER_TICK - _under_way()
    interval_s = get_config().agent_health_interval_ms / 1_000
    with connection.cursor() as cursor:
        cursor.execute(TAKE_DUE, [room, interval_s])
        due = [pk for (pk,) in cursor.fetchall()]
    for agent in Agent.objects.filter(pk__in=due) if due else ():
        if agent.runtime == Agent.Runtime.LOCAL or agent.heartbeat_ttl_s is not None:
            check_agent(agent)
        else:
            begin(_beside, check_agent, agent)
    if agent_service() and is_due("discovered_at", get_config().agent_discovery_interval_ms / 1_000):
        begin(_beside, discover)


def is_due(task: str, interval_s: float) -> bool:
    """Tell whether a task was not begun for so long, and say that it is begun now: one process is told so."""
    if task not in TASKS:
        raise LookupError(task)
    with connection.cursor() as cursor:
        cursor.execute(TAKE_TASK.format(name=task), [interval_s])
        return cursor.fetchone() is not None


def discover() -> bool:
    """Take over the Agent Service's list of its agents; returns whether it answered.

    Those it lists no more are forgotten. Where it does not answer they stay, and their own checks say how they are.
    """
    service = agent_service()
    if service is None:
        return False
    try:
        listed = service.list_agents(get_config().agent_health_timeout_ms / 1_000, tool_limits())
    except ToolError as error:
        _say_how_it_is(AgentStatus.UNHEALTHY, error.message)
        return False
    for said in {one.agent_id: one for one in listed}.values():
        _take_over(said)
    gone = Agent.objects.filter(runtime=Agent.Runtime.SERVICE).exclude(
        public_id__in=[said.agent_id for said in listed]
    )
    for agent in gone:
        logger.warning("Agent %s is gone: the Agent Service lists it no more", agent.public_id)
    gone.delete()
    _say_how_it_is(AgentStatus.HEALTHY, "")
    forget_agents()
    return True


def _take_over(said: SaidAgent) -> None:
    known = {
        "name": said.name or said.agent_id,
        "description": said.description,
        "capabilities": said.stored_capabilities(),
        "tool_types": said.known_tools(),
        "tags": [tag[:100] for tag in said.tags],
        # It must not name the secrets of workspaces, which it would be sent.
        "configuration": {} if "${" in json.dumps(said.configuration) else said.configuration,
    }
    with transaction.atomic():
        agent = (
            Agent.objects.select_for_update(of=("self",))
            .filter(workspace=None, public_id=said.agent_id)
            .first()
        )
        if agent is not None and agent.runtime != Agent.Runtime.SERVICE:
            logger.warning("The Agent Service lists an agent '%s', which is built in here", said.agent_id)
            return
        if agent is None:
            agent = Agent(workspace=None, public_id=said.agent_id, runtime=Agent.Runtime.SERVICE)
        for name, value in known.items():
            setattr(agent, name, value)
        if said.status:
            # It is told with every list, so it need not be asked as well.
            interval_ms = get_config().agent_discovery_interval_ms + get_config().agent_health_interval_ms
            agent.next_check_at = timezone.now() + timedelta(milliseconds=2 * interval_ms)
        agent.save()
    if said.status:
        health = SaidHealth(status=said.status, message=said.message)
        record_status(agent, health.agent_status(), said.message, checked=True)


def _say_how_it_is(status: AgentStatus, message: str) -> None:
    changed = AgentUpkeep.objects.filter(pk=1).exclude(service_status=status)
    if changed.update(service_status=status.value, service_message=message[:500]):
        level = logging.INFO if status is AgentStatus.HEALTHY else logging.WARNING
        logger.log(level, "The Agent Service is %s: %s", status.value, message or "it answers")


def _beside(work: Callable[..., Any], *arguments: Any) -> None:
    """Do a piece of work in a thread that keeps no connection."""
    try:
        work(*arguments)
    except Exception:
        logger.exception("the upkeep of agents failed; it is repeated when it is due again")
    finally:
        connection.close()


_begun: list[Future[Any]] = []


def _begin(work: Callable[..., Any], *arguments: Any) -> None:
    _begun.append(_pool().submit(work, *arguments))


def _under_way() -> int:
    """Return how much was begun and has not ended: agents that hang must not have more and more wait behind them."""
    _begun[:] = [one for one in _begun if not one.done()]
    return min(len(_begun), CHECKS_PER_TICK)


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="agents")
