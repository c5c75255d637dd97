from django.urls import path, register_converter

from workflow_service.agents.api.views import (
    AgentHealthView,
    AgentHeartbeatView,
    AgentsView,
    AgentView,
    DiscoverAgentsView,
)


class AgentIdConverter:
    """Ids of agents hold dots, which slugs do not."""

    regex = r"[A-Za-z0-9_][\w.-]{0,99}"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(AgentIdConverter, "agent_id")

urlpatterns = [
    path("agents", AgentsView.as_view(), name="agents"),
    path("agents/discover", DiscoverAgentsView.as_view(), name="agents-discover"),
    path("agents/<agent_id:agent_id>", AgentView.as_view(), name="agent"),
    path("agents/<agent_id:agent_id>/heartbeat", AgentHeartbeatView.as_view(), name="agent-heartbeat"),
    path("agents/<agent_id:agent_id>/health", AgentHealthView.as_view(), name="agent-health"),
]
