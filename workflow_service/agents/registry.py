"""The registry of agents: registered, changed, taken away, and read by whoever shows them.

A workspace's own agents are its people's; those that are built in for all, and those of the Agent Service, are not
changed here.
"""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet

from workflow_service.accounts.models import User, Workspace
from workflow_service.accounts.recording import record_by
from workflow_service.agents.assignment import defaults_template
from workflow_service.agents.breaker import CircuitBreaker, breaker_key
from workflow_service.agents.catalog import forget_agents, list_agents
from workflow_service.agents.concurrency import set_concurrency_limit
from workflow_service.agents.egress_rules import EgressRefused, check_url
from workflow_service.agents.models import Agent, AgentStatistic
from workflow_service.agents.selection import nearest_agent
from workflow_service.engine.errors import ExpressionError, Problem, WorkflowError

# Not ids: they are addresses beside those of agents.
RESERVED = frozenset({"discover"})
POINTERS = {
    "tool_types": "/toolTypes",
    "rate_per_min": "/rateLimit/perMinute",
    "public_id": "/agentId",
    "endpoint": "/endpoint",
    "configuration": "/configuration",
}


class AgentNotFound(WorkflowError):
    """There is no agent of that id in the workspace."""

    code = "AGENT_NOT_FOUND"


class AgentExists(WorkflowError):
    """The workspace has an agent of that id already."""

    code = "AGENT_EXISTS"


class AgentBuiltIn(WorkflowError):
    """The agent belongs to all workspaces, and none of them changes it."""

    code = "AGENT_BUILT_IN"


class AgentInvalid(WorkflowError):
    """What is said of an agent does not fit together."""

    code = "INVALID_AGENT"


def agents_of(workspace: Workspace) -> "QuerySet[Agent]":
    """Return the rows of the agents that a workspace's workflows may name; its own stand before others of their id."""
    list_agents(workspace.pk)  # the built-in ones are made on demand
    own = Agent.objects.filter(workspace=workspace)
    hidden = own.values("public_id")
    others = Q(workspace__isnull=True) & ~Q(public_id__in=hidden)
    return Agent.objects.filter(Q(workspace=workspace) | others).select_related("created_by", "workspace")


def get_agent(workspace: Workspace, agent_id: str) -> Agent:
    """Return the row of an agent; raises ``AgentNotFound`` that suggests the nearest one."""
    found = agents_of(workspace).filter(public_id=agent_id[:100]).first()
    if found is None:
        near = nearest_agent(agent_id, list_agents(workspace.pk))
        mend = f"; did you mean '{near}'?" if near else ""
        raise AgentNotFound(f"this workspace has no agent '{agent_id[:100]}'{mend}")
    return found


def register_agent(*, workspace: Workspace, actor: User, fields: Mapping[str, Any]) -> Agent:
    """Register an agent of a workspace; raises ``AgentExists``, ``AgentInvalid``.

    ``fields`` are the model's, with ``max_concurrency``.
    """
    agent = Agent(workspace=workspace, created_by=actor, public_id=fields["public_id"])
    try:
        with transaction.atomic():
            _write(agent, fields)
            _record(actor, "agent.register", agent, fields)
    except IntegrityError:
        raise AgentExists(f"this workspace has an agent '{agent.public_id}' already") from None
    return agent


def update_agent(agent: Agent, fields: Mapping[str, Any], *, actor: User) -> Agent:
    """Change what ``fields`` name of a workspace's own agent; raises ``AgentBuiltIn``, ``AgentInvalid``."""
    require_own(agent)
    with transaction.atomic():
        locked = Agent.objects.select_for_update(of=("self",)).get(pk=agent.pk)
        if {"endpoint", "enabled", "tool_types", "configuration"} & fields.keys():
            locked.next_check_at, locked.failed_checks = None, 0
        _write(locked, fields)
        _record(actor, "agent.update", locked, fields)
    return locked


def delete_agent(agent: Agent, *, actor: User) -> None:
    """Take an agent away; work that names it becomes AGENT_UNAVAILABLE. Raises ``AgentBuiltIn``."""
    require_own(agent)
    workspace = agent.workspace
    assert workspace is not None  # noqa: S101 - its own
    with transaction.atomic():
        AgentStatistic.objects.filter(workspace=workspace, agent_id=agent.public_id).delete()
        set_concurrency_limit(workspace, agent.public_id, None)
        _record(actor, "agent.delete", agent, {})
        agent.delete()
    CircuitBreaker(breaker_key(workspace.pk, agent.public_id)).reset()
    forget_agents()


def _record(actor: User, action: str, agent: Agent, fields: Mapping[str, Any]) -> None:
    """Record what was done to an agent: the names of what was set, and the host that work goes to."""
    told = {"host": urlsplit(agent.endpoint).hostname, "enabled": agent.enabled, "fields": sorted(fields)}
    record_by(actor, action, agent.workspace_id, "agent", agent.public_id, **told)


def require_own(agent: Agent) -> None:
    """Raise ``AgentBuiltIn`` unless the agent belongs to a workspace."""
    if agent.workspace_id is None:
        where = "the Agent Service" if agent.runtime == Agent.Runtime.SERVICE else "this service"
        mend = "register one of the same id to stand before it in your workspace"
        raise AgentBuiltIn(f"'{agent.public_id}' is an agent of {where}, and is not changed here; {mend}")


def _write(agent: Agent, fields: Mapping[str, Any]) -> None:
    for name in fields.keys() - {"max_concurrency"}:
        setattr(agent, name, fields[name])
    agent.runtime = Agent.Runtime.ENDPOINT if agent.endpoint else Agent.Runtime.LOCAL
    agent.name = agent.name or agent.public_id
    _check(agent)
    agent.save()
    if "max_concurrency" in fields and agent.workspace is not None:
        set_concurrency_limit(agent.workspace, agent.public_id, fields["max_concurrency"])
    forget_agents()
    transaction.on_commit(forget_agents)


def misfits(fields: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what does not fit together in an agent's fields: the field, and why."""
    if not fields.get("tool_types"):
        yield "tool_types", "name at least one tool type"
    if fields.get("rate_burst") is not None and fields.get("rate_per_min") is None:
        yield "rate_per_min", "say how often the agent may be called"
    if fields.get("public_id") in RESERVED:
        yield "public_id", "this is no id for an agent; take another"
    try:
        defaults_template(fields.get("configuration") or {})
    except ExpressionError as error:
        yield "configuration", error.message
    if fields.get("endpoint"):
        try:
            url = httpx.URL(fields["endpoint"])
            check_url(url)
            if url.query or url.fragment or fields["endpoint"].endswith(("?", "#")):
                yield (
                    "endpoint",
                    "leave out the query and the fragment: /execute and /health are put behind it",
                )
        except (httpx.InvalidURL, EgressRefused) as error:
            yield "endpoint", str(error)


def _check(agent: Agent) -> None:
    problems = [
        Problem("INVALID_AGENT", message, pointer=POINTERS[name]) for name, message in misfits(vars(agent))
    ]
    if problems:
        raise AgentInvalid(f"this is no agent: {problems[0].message}", problems)
