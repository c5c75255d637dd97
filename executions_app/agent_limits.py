"""The concurrency limits of agents, as the registry of agents sets and reads them."""

from collections.abc import Mapping

from executions_app.models import ConcurrencyLimit
from executions_app.services.limits import delete_limit, save_limit
from workflow_service.accounts.models import Workspace

KIND = ConcurrencyLimit.Kind.AGENT


class AgentLimits:
    """Keeps ``ConcurrencyLimit`` rows of kind agent."""

    def limits(self, workspace_id: int) -> Mapping[str, int]:
        """Return the limits of a workspace's agents."""
        rows = ConcurrencyLimit.objects.filter(workspace_id=workspace_id, kind=KIND)
        return dict(rows.values_list("key", "max_concurrency"))

    def set_limit(self, workspace: Workspace, agent_id: str, most: int | None) -> None:
        """Set an agent's limit, and let begin what may begin now; None takes it away."""
        found = ConcurrencyLimit.objects.filter(workspace=workspace, kind=KIND, key=agent_id).first()
        if most is None:
            if found is not None:
                delete_limit(found)
            return
        limit = found or ConcurrencyLimit(workspace=workspace, kind=KIND, key=agent_id)
        if limit.max_concurrency != most:
            limit.max_concurrency = most
            save_limit(limit)
