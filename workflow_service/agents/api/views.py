"""Agents over HTTP: the registry, discovery, heartbeats and health."""

from datetime import timedelta
from typing import Any

from django.db.models import Q
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from workflow_service.accounts.api.requests import current_user, workspace_of
from workflow_service.accounts.models import Workspace
from workflow_service.accounts.policies import Action, require
from workflow_service.agents.api.serializers import (
    AgentDetail,
    AgentHealth,
    AgentList,
    AgentListQuery,
    AgentRegistration,
    AgentShape,
    AgentUpdate,
    Discovered,
    DiscoverQuery,
    HeartbeatBody,
    agent_documents,
    changes_of,
    fields_of,
)
from workflow_service.agents.catalog import list_agents, rank_agents
from workflow_service.agents.health import check_agent, record_heartbeat
from workflow_service.agents.models import Agent
from workflow_service.agents.registry import (
    agents_of,
    delete_agent,
    get_agent,
    register_agent,
    require_own,
    update_agent,
)
from workflow_service.agents.selection import AgentStatus
from workflow_service.api_serializers import QuerySerializer, page_of, read_body, read_query
from workflow_service.engine.states import ToolType

TAGS = ["agents"]
EXAMPLE = OpenApiExample(
    "An agent at its own address",
    value={
        "agentId": "invoice-reader",
        "name": "Reads invoices",
        "toolTypes": ["API"],
        "capabilities": [{"name": "invoice.read", "inputSchema": {"type": "object"}}],
        "endpoint": "https://agents.example/invoice-reader",
        "maxConcurrency": 4,
        "rateLimit": {"perMinute": 120},
    },
    request_only=True,
)


class AgentsView(APIView):
    """The agents of a workspace."""

    @extend_schema(
        summary="List agents",
        operation_id="agents_list",
        tags=TAGS,
        parameters=[AgentListQuery],
        responses=AgentList,
    )
    def get(self, request: Request) -> Response:
        """List the agents that the workspace's workflows may name, by id: its own, and those of every workspace."""
        query = read_query(AgentListQuery, request)
        workspace = _readable_workspace(request)
        rows = _filtered(workspace, query)
        page = page_of("agents", rows, query, lambda some: agent_documents(workspace, some))
        return Response(AgentList(page).data)

    @extend_schema(
        summary="Register an agent",
        tags=TAGS,
        request=AgentRegistration,
        examples=[EXAMPLE],
        responses={201: AgentShape},
    )
    def post(self, request: Request) -> Response:
        """Register an agent of the workspace. With an `endpoint` it works there, without one in our workers."""
        body = read_body(AgentRegistration, request)
        user, workspace = current_user(request), workspace_of(request, body=body)
        require(user, workspace, Action.AGENT_REGISTER)
        agent = register_agent(workspace=workspace, actor=user, fields=fields_of(body))
        (document,) = agent_documents(workspace, [agent])
        location = f"/api/v1/agents/{agent.public_id}"
        return Response(AgentShape(document).data, status=201, headers={"Location": location})


class DiscoverAgentsView(APIView):
    """Who can do a piece of work."""

    @extend_schema(
        summary="Find agents for a piece of work",
        operation_id="agents_discover",
        tags=TAGS,
        parameters=[DiscoverQuery],
        responses=Discovered,
    )
    def get(self, request: Request) -> Response:
        """Give the available agents that can do it, the best first: by health, then load, then reliability."""
        query = read_query(DiscoverQuery, request)
        workspace = _readable_workspace(request)
        tool_type = ToolType(query["tool_type"]) if "tool_type" in query else None
        ranked = rank_agents(
            list_agents(workspace.pk),
            tool_type=tool_type,
            capability=query.get("capability"),
            text=query.get("text"),
        )
        ids = [agent.agent_id for agent in ranked[: query["limit"]]]
        rows = {row.public_id: row for row in agents_of(workspace).filter(public_id__in=ids)}
        shown = agent_documents(workspace, [rows[agent_id] for agent_id in ids if agent_id in rows])
        return Response(Discovered({"agents": shown}).data)


class AgentView(APIView):
    """One agent."""

    @extend_schema(summary="Read an agent", tags=TAGS, parameters=[QuerySerializer], responses=AgentDetail)
    def get(self, request: Request, agent_id: str) -> Response:
        """Give the agent with its health, its load, how its work goes, and how its health has changed."""
        read_query(QuerySerializer, request)
        workspace = _readable_workspace(request)
        return _detail(workspace, get_agent(workspace, agent_id))

    @extend_schema(
        summary="Change an agent",
        tags=TAGS,
        parameters=[QuerySerializer],
        request=AgentUpdate,
        responses=AgentDetail,
    )
    def patch(self, request: Request, agent_id: str) -> Response:
        """Change what the body names. It holds for what begins from now on."""
        read_query(QuerySerializer, request)
        body = read_body(AgentUpdate, request)
        workspace, agent = _manageable(request, agent_id)
        return _detail(workspace, update_agent(agent, fields_of(body), actor=current_user(request)))

    @extend_schema(summary="Delete an agent", tags=TAGS, parameters=[QuerySerializer], responses={204: None})
    def delete(self, request: Request, agent_id: str) -> Response:
        """Take the agent away. Blocks that name it wait for another, as their recovery says, or fail."""
        read_query(QuerySerializer, request)
        _, agent = _manageable(request, agent_id)
        delete_agent(agent, actor=current_user(request))
        return Response(status=204)


class AgentHeartbeatView(APIView):
    """Where an agent says that it is there."""

    @extend_schema(
        summary="Send a heartbeat",
        operation_id="agents_heartbeat",
        tags=TAGS,
        parameters=[QuerySerializer],
        request=HeartbeatBody,
        responses=AgentHealth,
    )
    def post(self, request: Request, agent_id: str) -> Response:
        """Say that the agent is there, and how it is. Without one for its `heartbeatTtl` it counts as unhealthy."""
        read_query(QuerySerializer, request)
        body = read_body(HeartbeatBody, request)
        workspace = _readable_workspace(request)
        agent = get_agent(workspace, agent_id)
        require(current_user(request), workspace, Action.AGENT_HEARTBEAT)
        require_own(agent)
        agent = record_heartbeat(agent, AgentStatus(body["status"]), body["message"])
        return _health(agent)


class AgentHealthView(APIView):
    """An agent's health."""

    @extend_schema(
        summary="Read an agent's health",
        operation_id="agents_health",
        tags=TAGS,
        parameters=[QuerySerializer],
        responses=AgentHealth,
    )
    def get(self, request: Request, agent_id: str) -> Response:
        """Give the agent's health as it was found last."""
        read_query(QuerySerializer, request)
        return _health(get_agent(_readable_workspace(request), agent_id))

    @extend_schema(
        summary="Check an agent's health now",
        operation_id="agents_health_check",
        tags=TAGS,
        parameters=[QuerySerializer],
        request=None,
        responses=AgentHealth,
    )
    def post(self, request: Request, agent_id: str) -> Response:
        """Ask the agent now, and give what was found."""
        read_query(QuerySerializer, request)
        workspace = _readable_workspace(request)
        agent = get_agent(workspace, agent_id)
        require(current_user(request), workspace, Action.AGENT_REGISTER)
        return _health(check_agent(agent, ask=True))


def _readable_workspace(request: Request) -> Workspace:
    workspace = workspace_of(request)
    require(current_user(request), workspace, Action.AGENT_READ)
    return workspace


def _manageable(request: Request, agent_id: str) -> tuple[Workspace, Agent]:
    workspace = _readable_workspace(request)
    agent = get_agent(workspace, agent_id)
    require_own(agent)
    require(current_user(request), workspace, Action.AGENT_MANAGE, owner_id=agent.created_by_id)
    return workspace, agent


def _filtered(workspace: Workspace, query: dict[str, Any]) -> list[Agent]:
    rows = agents_of(workspace).order_by("public_id")
    if "tool_type" in query:
        rows = rows.filter(tool_types__contains=[query["tool_type"]])
    if "tag" in query:
        rows = rows.filter(tags__contains=[query["tag"]])
    if "q" in query:
        words = query["q"]
        rows = rows.filter(
            Q(public_id__icontains=words) | Q(name__icontains=words) | Q(description__icontains=words)
        )
    known = {agent.agent_id: agent for agent in list_agents(workspace.pk)}
    found = list(rows)
    # What an agent can do, and how it is, is told of built-in ones and open breakers too.
    if "capability" in query:
        found = [
            row for row in found if row.public_id in known and known[row.public_id].can(query["capability"])
        ]
    if "status" in query:
        found = [row for row in found if _status(row) == query["status"]]
    return found


def _status(row: Agent) -> str:
    return row.status if row.enabled else AgentStatus.DISABLED.value


def _detail(workspace: Workspace, agent: Agent) -> Response:
    (document,) = agent_documents(workspace, [agent])
    return Response(AgentDetail({**document, "history": changes_of(agent)}).data)


def _health(agent: Agent) -> Response:
    last = agent.heartbeat_at
    before = last + timedelta(seconds=agent.heartbeat_ttl_s) if last and agent.heartbeat_ttl_s else None
    return Response(
        AgentHealth(
            {
                "agent_id": agent.public_id,
                "status": _status(agent),
                "status_message": agent.status_message,
                "status_since": agent.status_since,
                "checked_at": agent.checked_at,
                "heartbeat_at": last,
                "next_heartbeat_before": before,
            }
        ).data
    )
