"""Rotation: every secret under the current key, a batch in each transaction.

What is done stays done, so that a rotation that dies is simply begun again. A secret that does not open is left as it
is, and named: whoever has its key can put it back into the ring.
"""

from collections.abc import Callable
from dataclasses import dataclass

from django.db import transaction

from workflow_service.accounts.recording import record_by
from workflow_service.vault.ciphers import Sealed, seal, unseal
from workflow_service.vault.errors import SecretUnreadable
from workflow_service.vault.keys import Keyring, keyring
from workflow_service.vault.models import Secret


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a rotation did: how many were encrypted anew, and why the others could not be."""

    key_id: str
    rotated: int
    unreadable: tuple[str, ...]


def rotate_secrets(
    *, batch_size: int = 100, on_batch: Callable[[int], None] = lambda rotated: None
) -> Rotation:
    """Encrypt with the current key whatever is not; ``on_batch`` is told after each commit how many are done."""
    ring = keyring()
    rotated, after = 0, 0
    unreadable: list[str] = []
    while True:
        with transaction.atomic():
            batch = list(
                Secret.objects.select_for_update()
                .exclude(key_id=ring.current)
                .filter(pk__gt=after)
                .order_by("pk")[:batch_size]
            )
            for secret in batch:
                problem = _rotate(ring, secret)
                rotated += not problem
                unreadable += [problem] if problem else []
        if not batch:
            record_by(
                None, "secret.rotate", None, "key", ring.current, rotated=rotated, unreadable=len(unreadable)
            )
            return Rotation(ring.current, rotated, tuple(unreadable))
        after = batch[-1].pk
        on_batch(rotated)


def _rotate(ring: Keyring, secret: Secret) -> str:
    """Encrypt one secret anew; return why that is impossible, or nothing."""
    standing = Sealed(secret.key_id, bytes(secret.sealed))
    try:
        value = unseal(ring, standing, workspace_id=secret.workspace_id, name=secret.name)
    except SecretUnreadable as error:
        return f"{secret.workspace_id}: {error.message}"
    sealed = seal(ring, workspace_id=secret.workspace_id, name=secret.name, value=value)
    secret.key_id, secret.sealed = sealed.key_id, sealed.content
    secret.save(update_fields=["key_id", "sealed"])
    return ""
