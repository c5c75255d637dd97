"""Reading secrets, for the worker that is about to use them. Nothing here, and nobody else, keeps a value."""

from collections.abc import Collection
from contextlib import suppress

from workflow_service.accounts.models import Workspace
from workflow_service.engine.errors import WorkflowError
from workflow_service.vault.ciphers import Sealed, unseal
from workflow_service.vault.errors import SecretNotFound
from workflow_service.vault.keys import keyring
from workflow_service.vault.models import Secret
from workflow_service.vault.redaction import redact

__all__ = ["redact", "reveal", "reveal_in", "reveal_some", "secret_names"]


def reveal(workspace_id: int, names: Collection[str]) -> dict[str, str]:
    """Return the values of a workspace's secrets by name.

    Raises ``SecretNotFound`` for the first that is not there, ``SecretUnreadable``, ``NoEncryptionKey``.
    """
    rows = Secret.objects.filter(workspace=workspace_id, name__in=sorted(names))
    sealed = {
        name: Sealed(key_id, bytes(content))
        for name, key_id, content in rows.values_list("name", "key_id", "sealed")
    }
    for name in sorted(names):
        if name not in sealed:
            raise SecretNotFound(f"this workspace has no secret '{name}'")
    ring = keyring()
    return {name: unseal(ring, found, workspace_id=workspace_id, name=name) for name, found in sealed.items()}


def reveal_in(workspace_public_id: str, names: Collection[str]) -> dict[str, str]:
    """Return the values of the secrets of the workspace with that public id; raises as ``reveal`` does."""
    workspace_id = (
        Workspace.objects.filter(public_id=workspace_public_id).values_list("pk", flat=True).first()
    )
    if workspace_id is None:
        raise SecretNotFound(
            f"there is no workspace '{workspace_public_id}' to have the secret '{min(names)}'"
        )
    return reveal(workspace_id, names)


def reveal_some(workspace_id: int, names: Collection[str]) -> dict[str, str]:
    """Return the values of those secrets that are there and open: for taking them out, not for using them."""
    found: dict[str, str] = {}
    for name in sorted(names):
        with suppress(WorkflowError):
            found |= reveal(workspace_id, [name])
    return found


def secret_names(workspace_id: int) -> frozenset[str]:
    """Return the names of a workspace's secrets."""
    return frozenset(Secret.objects.filter(workspace=workspace_id).values_list("name", flat=True))
