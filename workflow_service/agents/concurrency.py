"""How much may be at work on an agent at once: kept by the app that gives out the work, and told here.

``executions_app`` stands above this package, holds the limits and their slots, and registers itself when it is loaded.
"""

from collections.abc import Mapping
from typing import Protocol

from workflow_service.accounts.models import Workspace


class ConcurrencyKeeper(Protocol):
    """Keeps the limits of agents, by workspace and agent id."""

    def limits(self, workspace_id: int) -> Mapping[str, int]:
        """Return the limits of a workspace's agents."""
        ...

    def set_limit(self, workspace: Workspace, agent_id: str, most: int | None) -> None:
        """Set an agent's limit; None takes it away."""
        ...


_keepers: list[ConcurrencyKeeper] = []


def register_keeper(keeper: ConcurrencyKeeper) -> None:
    """Register who keeps the limits; called once."""
    _keepers[:] = [keeper]


def concurrency_limits(workspace_id: int) -> Mapping[str, int]:
    """Return how many blocks may be at work at once on those agents of a workspace that have a limit."""
    return _keepers[0].limits(workspace_id) if _keepers else {}


def set_concurrency_limit(workspace: Workspace, agent_id: str, most: int | None) -> None:
    """Set how many blocks may be at work on an agent at once; None: any number."""
    for keeper in _keepers:
        keeper.set_limit(workspace, agent_id, most)
