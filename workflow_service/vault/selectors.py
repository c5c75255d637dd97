"""Reads: the secrets of a workspace, without their values."""

from django.db.models import QuerySet

from workflow_service.accounts.models import Workspace
from workflow_service.vault.errors import SecretNotFound
from workflow_service.vault.models import Secret


def list_secrets(workspace: Workspace) -> QuerySet[Secret]:
    """Return the workspace's secrets by name; values stay in the database."""
    found = Secret.objects.filter(workspace=workspace).select_related("created_by", "updated_by")
    return found.defer("sealed").order_by("name")


def get_secret(workspace: Workspace, name: str) -> Secret:
    """Return one secret of the workspace, without its value; raises ``SecretNotFound``."""
    found = list_secrets(workspace).filter(name=name).first()
    if found is None:
        raise SecretNotFound(f"there is no secret '{name[:100]}' in this workspace")
    return found
