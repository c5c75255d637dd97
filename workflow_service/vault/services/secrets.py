"""Writing secrets: a value goes in, and comes out in a worker only."""

import re

from django.db import transaction
from django.utils import timezone

from workflow_service.accounts.models import User, Workspace
from workflow_service.accounts.policies import Action, require
from workflow_service.accounts.recording import record_by
from workflow_service.engine.errors import Problem
from workflow_service.vault.ciphers import seal
from workflow_service.vault.errors import SecretExists, SecretInvalid, SecretNotFound
from workflow_service.vault.keys import keyring
from workflow_service.vault.models import NAME_PATTERN, Secret
from workflow_service.vault.redaction import LEAST_CHARACTERS

MAX_VALUE_BYTES = 65_536


@transaction.atomic
def create_secret(
    *, workspace: Workspace, actor: User, name: str, value: str, description: str = ""
) -> Secret:
    """Keep a new secret; raises ``Forbidden``, ``SecretExists``, ``SecretInvalid``, ``NoEncryptionKey``."""
    require(actor, workspace, Action.SECRET_CREATE)
    if not re.match(NAME_PATTERN, name):
        message = "a secret's name has letters, digits and _, and begins with no digit"
        raise SecretInvalid(message, [Problem("SECRET_INVALID", message, pointer="/name")])
    check_value(value)
    sealed = seal(keyring(), workspace_id=workspace.pk, name=name, value=value)
    secret, created = Secret.objects.get_or_create(
        workspace=workspace,
        name=name,
        defaults={
            "description": description,
            "key_id": sealed.key_id,
            "sealed": sealed.content,
            "created_by": actor,
            "updated_by": actor,
            "updated_at": timezone.now(),
        },
    )
    if not created:
        raise SecretExists(f"the secret '{name}' is there already; replace its value instead")
    record_by(actor, "secret.create", workspace, "secret", name, key_id=sealed.key_id)
    return secret


@transaction.atomic
def replace_secret(
    *, secret: Secret, actor: User, value: str | None = None, description: str | None = None
) -> Secret:
    """Give a secret another value, another description, or both; runs use the new value from their next block on.

    Raises ``Forbidden``, ``SecretNotFound`` where it was deleted meanwhile, ``SecretInvalid``, ``NoEncryptionKey``.
    """
    require(actor, secret.workspace, Action.SECRET_MANAGE, owner_id=secret.created_by_id)
    standing = Secret.objects.select_for_update().filter(pk=secret.pk).first()
    if standing is None:
        raise SecretNotFound(f"the secret '{secret.name}' was deleted meanwhile")
    if description is not None:
        standing.description = description
    if value is not None:
        check_value(value)
        sealed = seal(keyring(), workspace_id=standing.workspace_id, name=standing.name, value=value)
        standing.key_id, standing.sealed = sealed.key_id, sealed.content
        standing.version += 1
        standing.updated_by, standing.updated_at = actor, timezone.now()
    standing.save()
    told = {"version": standing.version, "value": "replaced" if value is not None else "kept"}
    record_by(actor, "secret.change", standing.workspace_id, "secret", standing.name, **told)
    return standing


@transaction.atomic
def delete_secret(*, secret: Secret, actor: User) -> None:
    """Delete a secret; blocks that name it fail from now on. Raises ``Forbidden``."""
    require(actor, secret.workspace, Action.SECRET_MANAGE, owner_id=secret.created_by_id)
    deleted, _ = Secret.objects.filter(pk=secret.pk).delete()
    if deleted:
        record_by(actor, "secret.delete", secret.workspace_id, "secret", secret.name, version=secret.version)


def check_value(value: str) -> None:
    """Raise ``SecretInvalid`` for a value that cannot be kept, or not be kept out of what is written."""
    reason = _unfit(value)
    if reason:
        raise SecretInvalid(
            f"the value {reason}", [Problem("SECRET_INVALID", f"the value {reason}", pointer="/value")]
        )


def _unfit(value: str) -> str:
    if len(value.strip()) < LEAST_CHARACTERS:
        return f"is shorter than {LEAST_CHARACTERS} characters, and could not be kept out of outputs and logs"
    if "\x00" in value:
        return "holds the character U+0000"
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        return "holds half of a surrogate pair"
    return f"is larger than {MAX_VALUE_BYTES} bytes" if size > MAX_VALUE_BYTES else ""
