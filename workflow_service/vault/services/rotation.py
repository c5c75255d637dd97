"""Rotation: every secret under the current key, a batch in each transaction.

What is done stays done, so that a rotation that dies is simply begun again. A secret that does not open is left as it
is, and named: whoever has its key can put it back into the ring.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Model

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


_sealed: dict[type[Model], Callable[[Any], str]] = {Secret: lambda secret: str(secret.name)}


def register_sealed(model: type[Model], name_of: Callable[[Any], str]) -> None:
    """Have another app's rows rotated too: they have a workspace, ``key_id`` and ``sealed``, and were sealed under the
    name that ``name_of`` returns of a row.
    """
    _sealed[model] = name_of


def rotate_secrets(
    *, batch_size: int = 100, on_batch: Callable[[int], None] = lambda rotated: None
) -> Rotation:
    """Encrypt with the current key whatever is not; ``on_batch`` is told after each commit how many are done."""
    ring = keyring()
    rotated = 0
    unreadable: list[str] = []
    for model, name_of in _sealed.items():
        for problems, tried in _batches(ring, model, name_of, batch_size):
            rotated += tried - len(problems)
            unreadable += problems
            on_batch(rotated)
    record_by(None, "secret.rotate", None, "key", ring.current, rotated=rotated, unreadable=len(unreadable))
    return Rotation(ring.current, rotated, tuple(unreadable))


def _batches(
    ring: Keyring, model: type[Model], name_of: Callable[[Any], str], batch_size: int
) -> Iterator[tuple[list[str], int]]:
    """Rotate a model's rows; yields after each commit what could not be, and how many rows were tried."""
    after = 0
    while True:
        with transaction.atomic():
            stale = model._default_manager.select_for_update().exclude(key_id=ring.current)
            batch: list[Any] = list(stale.filter(pk__gt=after).order_by("pk")[:batch_size])
            found = [_rotate(ring, row, name_of(row)) for row in batch]
        if not batch:
            return
        after = batch[-1].pk
        yield [problem for problem in found if problem], len(batch)


def _rotate(ring: Keyring, row: Any, name: str) -> str:
    """Encrypt one row anew; return why that is impossible, or nothing."""
    standing = Sealed(row.key_id, bytes(row.sealed))
    try:
        value = unseal(ring, standing, workspace_id=row.workspace_id, name=name)
    except SecretUnreadable as error:
        return f"{row.workspace_id}: {error.message}"
    sealed = seal(ring, workspace_id=row.workspace_id, name=name, value=value)
    row.key_id, row.sealed = sealed.key_id, sealed.content
    row.save(update_fields=["key_id", "sealed"])
    return ""
