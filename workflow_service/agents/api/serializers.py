"""Agents on the wire: camelCase, durations in milliseconds."""

from collections.abc import Iterable
from typing import Any

from rest_framework import serializers

from workflow_service.accounts.models import Workspace
from workflow_service.agents.catalog import describe_agent, list_agents
from workflow_service.agents.concurrency import concurrency_limits
from workflow_service.agents.models import AGENT_ID, Agent, AgentStatistic, AgentStatusChange
from workflow_service.agents.selection import AgentInfo, AgentStatus, Capability
from workflow_service.api_serializers import CamelSerializer, JsonObjectField, PageQuery, QuerySerializer
from workflow_service.engine.states import ToolType

TOOLS = [tool.value for tool in ToolType if tool not in (ToolType.HUMAN, ToolType.MAP)]
STATUSES = [status.value for status in AgentStatus]
SAID = [AgentStatus.HEALTHY.value, AgentStatus.DEGRADED.value, AgentStatus.UNHEALTHY.value]
HISTORY_SHOWN = 20


class CapabilityShape(CamelSerializer):
    name = serializers.CharField(max_length=200)
    description = serializers.CharField(max_length=2_000, required=False, allow_blank=True)
    input_schema = JsonObjectField(required=False, allow_null=True, help_text="JSON Schema of what it takes.")
    output_schema = JsonObjectField(
        required=False, allow_null=True, help_text="JSON Schema of what it gives."
    )


class RateLimitShape(CamelSerializer):
    per_minute = serializers.IntegerField(min_value=1, max_value=1_000_000)
    burst = serializers.IntegerField(
        min_value=1,
        max_value=100_000,
        required=False,
        allow_null=True,
        help_text="Calls that may come at once.",
    )


class AgentFields(CamelSerializer):
    name = serializers.CharField(max_length=255, required=False, allow_blank=True)
    description = serializers.CharField(max_length=2_000, required=False, allow_blank=True)
    capabilities = CapabilityShape(many=True, required=False)
    tool_types = serializers.ListField(
        child=serializers.ChoiceField(choices=TOOLS),
        required=False,
        max_length=20,
        help_text="The first is the tool it works with where a block names none.",
    )
    endpoint = serializers.CharField(
        max_length=2_000,
        required=False,
        allow_blank=True,
        help_text="Where the agent is asked for work: /execute and /health below it. Empty: it works in our workers.",
    )
    configuration = JsonObjectField(required=False, help_text="Defaults for what blocks configure.")
    tags = serializers.ListField(child=serializers.CharField(max_length=100), required=False, max_length=50)
    enabled = serializers.BooleanField(required=False)
    heartbeat_ttl = serializers.IntegerField(
        min_value=5_000,
        max_value=86_400_000,
        required=False,
        allow_null=True,
        help_text="Milliseconds without a heartbeat after which it counts as unhealthy. Null: its health is asked for.",
    )
    rate_limit = RateLimitShape(required=False, allow_null=True)
    max_concurrency = serializers.IntegerField(
        min_value=1,
        max_value=10_000,
        required=False,
        allow_null=True,
        help_text="Blocks that may be at work on it at once; others wait. Null: any number.",
    )


class AgentUpdate(AgentFields):
    """What may be changed of an agent."""


class AgentRegistration(AgentFields):
    agent_id = serializers.RegexField(
        AGENT_ID.replace(r"\Z", "$"),
        max_length=100,
        error_messages={
            "invalid": "An id is letters, digits, '_', '-' and '.', and begins with none of the last two."
        },
        help_text="What workflows call it.",
    )
    tool_types = serializers.ListField(
        child=serializers.ChoiceField(choices=TOOLS),
        min_length=1,
        max_length=20,
        help_text="The first is the tool it works with where a block names none.",
    )
    workspace_id = serializers.CharField(required=False, max_length=64)


class StatusChangeShape(CamelSerializer):
    old_status = serializers.CharField()
    new_status = serializers.CharField()
    message = serializers.CharField()
    changed_at = serializers.DateTimeField()


class AgentShape(CamelSerializer):
    agent_id = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField()
    capabilities = CapabilityShape(many=True)
    tool_types = serializers.ListField(child=serializers.ChoiceField(choices=TOOLS))
    runtime = serializers.ChoiceField(choices=Agent.Runtime.choices)
    endpoint = serializers.CharField(allow_null=True)
    configuration = JsonObjectField()
    tags = serializers.ListField(child=serializers.CharField())
    built_in = serializers.BooleanField(help_text="Whether it belongs to every workspace.")
    enabled = serializers.BooleanField()
    status = serializers.ChoiceField(choices=STATUSES)
    status_message = serializers.CharField()
    status_since = serializers.DateTimeField(allow_null=True)
    checked_at = serializers.DateTimeField(allow_null=True)
    heartbeat_at = serializers.DateTimeField(allow_null=True)
    heartbeat_ttl = serializers.IntegerField(allow_null=True)
    circuit_breaker = serializers.ChoiceField(choices=["closed", "open", "half_open"])
    load = serializers.FloatField(help_text="How full it is, 0 to 1.")
    running_blocks = serializers.IntegerField()
    max_concurrency = serializers.IntegerField(allow_null=True)
    rate_limit = RateLimitShape(allow_null=True)
    success_rate = serializers.FloatField(
        allow_null=True, help_text="Percent of its tries within a day; null: none."
    )
    tries = serializers.IntegerField()
    average_duration = serializers.FloatField(
        allow_null=True, help_text="Milliseconds of a block that completed."
    )
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class AgentDetail(AgentShape):
    history = StatusChangeShape(many=True, help_text="The newest changes of its health.")


class AgentList(CamelSerializer):
    agents = AgentShape(many=True)
    total = serializers.IntegerField()
    limit = serializers.IntegerField()
    offset = serializers.IntegerField()


class AgentListQuery(PageQuery):
    capability = serializers.CharField(required=False, max_length=200)
    tool_type = serializers.ChoiceField(choices=TOOLS, required=False)
    status = serializers.ChoiceField(choices=STATUSES, required=False)
    tag = serializers.CharField(required=False, max_length=100)
    q = serializers.CharField(
        required=False, max_length=200, help_text="Part of its id, name or description."
    )


class DiscoverQuery(QuerySerializer):
    capability = serializers.CharField(required=False, max_length=200)
    tool_type = serializers.ChoiceField(choices=TOOLS, required=False)
    text = serializers.CharField(required=False, max_length=1_000, help_text="Words of the work to be done.")
    limit = serializers.IntegerField(default=20, min_value=1, max_value=100)


class Discovered(CamelSerializer):
    agents = AgentShape(many=True, help_text="Those that are available and can do it, the best first.")


class HeartbeatBody(CamelSerializer):
    status = serializers.ChoiceField(choices=SAID, default=AgentStatus.HEALTHY.value)
    message = serializers.CharField(max_length=500, required=False, allow_blank=True, default="")


class AgentHealth(CamelSerializer):
    agent_id = serializers.CharField()
    status = serializers.ChoiceField(choices=STATUSES)
    status_message = serializers.CharField()
    status_since = serializers.DateTimeField(allow_null=True)
    checked_at = serializers.DateTimeField(allow_null=True)
    heartbeat_at = serializers.DateTimeField(allow_null=True)
    next_heartbeat_before = serializers.DateTimeField(allow_null=True)


def agent_documents(workspace: Workspace, rows: Iterable[Agent]) -> list[dict[str, Any]]:
    """Return agents as ``AgentShape`` reads them, with what is known of them in a workspace."""
    found = list(rows)
    ids = [row.public_id for row in found]
    counted = {
        one.agent_id: one for one in AgentStatistic.objects.filter(workspace=workspace, agent_id__in=ids)
    }
    limits = concurrency_limits(workspace.pk)
    known = {info.agent_id: info for info in list_agents(workspace.pk)}
    return [
        _document(
            row, describe_agent(row, counted.get(row.public_id)), counted, limits.get(row.public_id), known
        )
        for row in found
    ]


def _document(
    row: Agent,
    info: AgentInfo,
    counted: dict[str, AgentStatistic],
    limit: int | None,
    known: dict[str, AgentInfo],
) -> dict[str, Any]:
    statistic = counted.get(row.public_id)
    own = {
        name: getattr(row, name)
        for name in (
            "name", "description", "runtime", "configuration", "tags", "enabled", "status_message", "status_since",
            "checked_at", "heartbeat_at", "tool_types", "created_at", "updated_at",
        )
    }  # fmt: skip
    rate = {"per_minute": row.rate_per_min, "burst": row.rate_burst} if row.rate_per_min else None
    snapshot = known.get(row.public_id)
    return {
        **own,
        "agent_id": row.public_id,
        "endpoint": row.endpoint or None,
        "capabilities": [capability_document(one) for one in info.capabilities],
        "built_in": row.workspace_id is None,
        "status": info.status.value,
        "heartbeat_ttl": row.heartbeat_ttl_s * 1_000 if row.heartbeat_ttl_s else None,
        "circuit_breaker": snapshot.breaker if snapshot else "closed",
        "load": round(info.load, 3),
        "running_blocks": statistic.running if statistic else 0,
        "max_concurrency": limit,
        "rate_limit": rate,
        "success_rate": info.success_rate,
        "tries": statistic.tries if statistic else 0,
        "average_duration": round(info.average_ms, 1) if info.average_ms is not None else None,
    }


def capability_document(capability: Capability) -> dict[str, Any]:
    """Return a capability without what is not known of it."""
    return {
        "name": capability.name,
        "description": capability.description,
        "input_schema": capability.input_schema,
        "output_schema": capability.output_schema,
    }


def fields_of(body: dict[str, Any]) -> dict[str, Any]:
    """Return a checked body as the registry takes it."""
    fields = {name: value for name, value in body.items() if name not in ("workspace_id", "agent_id")}
    if "agent_id" in body:
        fields["public_id"] = body["agent_id"]
    if "heartbeat_ttl" in fields:
        ttl = fields.pop("heartbeat_ttl")
        fields["heartbeat_ttl_s"] = None if ttl is None else max(5, round(ttl / 1_000))
    if "rate_limit" in fields:
        rate = fields.pop("rate_limit") or {}
        fields |= {"rate_per_min": rate.get("per_minute"), "rate_burst": rate.get("burst")}
    if "capabilities" in fields:
        fields["capabilities"] = [_stored(one) for one in fields["capabilities"]]
    return fields


def _stored(capability: dict[str, Any]) -> dict[str, Any]:
    stored = {
        "name": capability["name"],
        "description": capability.get("description", ""),
        "inputSchema": capability.get("input_schema"),
        "outputSchema": capability.get("output_schema"),
    }
    return {name: value for name, value in stored.items() if value is not None}


def changes_of(agent: Agent) -> list[AgentStatusChange]:
    """Return the newest changes of an agent's health."""
    return list(AgentStatusChange.objects.filter(agent=agent)[:HISTORY_SHOWN])
