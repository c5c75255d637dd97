"""How agents are: asked of them on a schedule, or told by their heartbeats.

One failed check makes an agent DEGRADED, three in a row UNHEALTHY, one good one HEALTHY again; what an agent says of
itself counts at once. Every change is kept with its reason, and logged.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from workflow_service.agents.calls import remote_agent
from workflow_service.agents.catalog import describe_agent, forget_agents
from workflow_service.agents.configuration import is_available, not_available
from workflow_service.agents.errors import ToolError
from workflow_service.agents.limits import tool_limits
from workflow_service.agents.models import Agent, AgentStatusChange
from workflow_service.agents.selection import AgentStatus
from workflow_service.agents.use_cases import REGISTRY
from workflow_service.engine.states import ToolType
from workflow_service.settings.config import get_config

logger = logging.getLogger(__name__)

UNHEALTHY_AFTER = 3
MAX_MESSAGE = 500
HISTORY_KEPT = 100
NO_MODEL = "not configured: set LLM_SERVICE_URL or LLM_PROVIDERS on the server"
S = AgentStatus


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found: how the agent says it is, or None where it did not answer as it should."""

    said: AgentStatus | None
    message: str = ""


def judged(finding: Finding, failed_checks: int) -> tuple[AgentStatus, int]:
    """Return an agent's status after a check, and how many checks in a row it has failed now."""
    if finding.said is not None:
        return finding.said, 0
    failed = min(failed_checks + 1, UNHEALTHY_AFTER)
    return (S.UNHEALTHY if failed >= UNHEALTHY_AFTER else S.DEGRADED), failed


def check_agent(agent: Agent, *, ask: bool = False) -> Agent:
    """Check an agent now, write down what was found, and return it as it then stands.

    One that sends heartbeats is judged by those, unless it is to be asked all the same.
    """
    if agent.heartbeat_ttl_s is not None and not ask:
        finding = heartbeat_finding(agent, timezone.now())
        if finding is None:
            return agent
        return record_status(agent, S.UNHEALTHY, finding.message, checked=True)
    finding = _look_at(agent) if agent.runtime == Agent.Runtime.LOCAL else _ask(agent)
    status, failed = judged(finding, agent.failed_checks)
    return record_status(agent, status, finding.message, checked=True, failed_checks=failed)


def heartbeat_finding(agent: Agent, now: datetime) -> Finding | None:
    """Return what is wrong where an agent's heartbeat is overdue; None where it is not, or none is expected."""
    if agent.heartbeat_ttl_s is None:
        return None
    last = agent.heartbeat_at or agent.created_at
    if now - last <= timedelta(seconds=agent.heartbeat_ttl_s):
        return None
    return Finding(None, f"no heartbeat for more than {agent.heartbeat_ttl_s} s")


def record_heartbeat(agent: Agent, status: AgentStatus = S.HEALTHY, message: str = "") -> Agent:
    """Take an agent's word that it is there, and how it is."""
    Agent.objects.filter(pk=agent.pk).update(heartbeat_at=timezone.now())
    return record_status(agent, status, message, failed_checks=0)


def record_status(
    agent: Agent, status: AgentStatus, message: str, *, checked: bool = False, failed_checks: int = 0
) -> Agent:
    """Write down how an agent is; a change is kept in its history and logged."""
    now = timezone.now()
    message = message.replace("\x00", "")[:MAX_MESSAGE]
    with transaction.atomic():
        row = Agent.objects.select_for_update(of=("self",)).filter(pk=agent.pk).first()
        if row is None:
            return agent  # It was deleted meanwhile.
        before = row.status
        row.status, row.status_message, row.failed_checks = status.value, message, failed_checks
        row.checked_at = now if checked else row.checked_at
        if before != status:
            row.status_since = now
            AgentStatusChange.objects.create(
                agent=row, old_status=before, new_status=status.value, message=message, changed_at=now
            )
            _forget_old_changes(row)
        fields = ("status", "status_message", "failed_checks", "checked_at", "status_since")
        row.save(update_fields=fields)
    if before != status:
        level = logging.INFO if status is S.HEALTHY else logging.WARNING
        logger.log(
            level,
            "Agent %s is %s, was %s: %s",
            row.public_id,
            status.value,
            before,
            message or "no reason given",
        )
        forget_agents()
    return row


def _forget_old_changes(agent: Agent) -> None:
    kept = AgentStatusChange.objects.filter(agent=agent).values_list("pk", flat=True)[:HISTORY_KEPT]
    AgentStatusChange.objects.filter(agent=agent).exclude(pk__in=list(kept)).delete()


def _look_at(agent: Agent) -> Finding:
    """Return whether the workers can do what a local agent is for."""
    for name in agent.tool_types:
        if name not in ToolType.__members__ or not is_available(ToolType(name)):
            return Finding(
                S.UNHEALTHY, not_available(ToolType(name)) if name in ToolType.__members__ else name
            )
    if ToolType.LLM in agent.tool_types and not (get_config().llm_service_url or get_config().llm_providers):
        # It may still be tried: that says the same, and needs no check first once a model is configured.
        return Finding(S.UNKNOWN, NO_MODEL)
    use_case = agent.configuration.get("useCase") if isinstance(agent.configuration, dict) else None
    if isinstance(use_case, str) and REGISTRY.find(use_case) is None:
        return Finding(S.UNHEALTHY, f"there is no use case '{use_case}' on this server")
    return Finding(S.HEALTHY)


def _ask(agent: Agent) -> Finding:
    try:
        timeout_s = get_config().agent_health_timeout_ms / 1_000
        said = remote_agent(describe_agent(agent)).health(timeout_s, tool_limits())
    except ToolError as error:
        return Finding(None, error.message)
    return Finding(said.agent_status(), said.message)
