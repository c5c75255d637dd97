"""The audit trail, spoken to in users and workspaces; what is recorded is in ``audit/actions.py``."""

from collections.abc import Sequence
from typing import Any, LiteralString

from workflow_service.accounts.models import User, Workspace
from workflow_service.audit import trail


def record_by(
    actor: User | None,
    action: str,
    workspace: Workspace | int | None,
    target_type: str,
    target_id: str,
    /,
    **detail: Any,
) -> None:
    """Record what ``actor`` did (None: the service itself), in the caller's transaction."""
    trail.record(action, **_named(actor, workspace, target_type, target_id, detail))


def statement_by(
    actor: User | None,
    action: str,
    workspace: Workspace | int | None,
    target_type: str,
    target_id: str,
    /,
    **detail: Any,
) -> tuple[LiteralString, Sequence[Any]]:
    """Return the insert that ``record_by`` would make, for a transaction in a pipeline."""
    return trail.statement(action, **_named(actor, workspace, target_type, target_id, detail))


def _named(
    actor: User | None,
    workspace: Workspace | int | None,
    target_type: str,
    target_id: str,
    detail: dict[str, Any],
) -> dict[str, Any]:
    return {
        "workspace_id": workspace.pk if isinstance(workspace, Workspace) else workspace,
        "actor_id": actor.pk if actor else None,
        "actor": actor.get_username() if actor else trail.SYSTEM,
        "target_type": target_type,
        "target_id": target_id,
        "detail": {name: value for name, value in detail.items() if value not in (None, "")},
    }
