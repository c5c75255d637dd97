"""AES-256-GCM over one value. A sealed value opens only as the secret it was sealed as.

Workspace, name and key id are authenticated with it (additional data), so that a row cannot be passed off as
another one by whoever can write to the database, but not read the keys.
"""

import os
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from workflow_service.vault.errors import SecretUnreadable
from workflow_service.vault.keys import Keyring

NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class Sealed:
    """``content`` is the nonce and, behind it, the ciphertext with its tag."""

    key_id: str
    content: bytes


def seal(ring: Keyring, *, workspace_id: int, name: str, value: str) -> Sealed:
    """Encrypt a value with the current key."""
    nonce = os.urandom(NONCE_BYTES)
    bound_to = _bound_to(workspace_id, name, ring.current)
    encrypted = AESGCM(ring.keys[ring.current]).encrypt(nonce, value.encode(), bound_to)
    return Sealed(ring.current, nonce + encrypted)


def unseal(ring: Keyring, sealed: Sealed, *, workspace_id: int, name: str) -> str:
    """Decrypt a value; raises ``SecretUnreadable``."""
    key = ring.keys.get(sealed.key_id)
    if key is None:
        raise SecretUnreadable(
            f"the secret '{name}' is encrypted with the key '{sealed.key_id}', which this server does not have"
        )
    nonce, encrypted = sealed.content[:NONCE_BYTES], sealed.content[NONCE_BYTES:]
    try:
        return AESGCM(key).decrypt(nonce, encrypted, _bound_to(workspace_id, name, sealed.key_id)).decode()
    except (InvalidTag, ValueError):
        raise SecretUnreadable(
            f"the secret '{name}' does not open with the key '{sealed.key_id}': the key, or its row, is not the one"
        ) from None


def _bound_to(workspace_id: int, name: str, key_id: str) -> bytes:
    return f"secret\0{workspace_id}\0{name}\0{key_id}".encode()
