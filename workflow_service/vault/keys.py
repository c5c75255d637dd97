"""The keys that secrets are encrypted with, by id; the first one encrypts, all of them decrypt.

They come from ``SECRETS_KEYS`` or from a file; a file that changes is read again, so that a new key is known to
every process without a restart. Outside production a missing file is made on first use, with mode 0600.
"""

import base64
import binascii
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from workflow_service.settings.config import get_config
from workflow_service.settings.secrets import made_once, replace_private_file
from workflow_service.vault.errors import NoEncryptionKey

KEY_BYTES = 32
FILE_NAME = "secrets.keys"
_KEY_ID = re.compile(r"[A-Za-z0-9_.-]{1,40}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Keyring:
    """``keys`` by id, 256 bits each; ``current`` is the id of the one that encrypts."""

    current: str
    keys: Mapping[str, bytes] = field(repr=False)


def keyring() -> Keyring:
    """Return the keys in force; raises ``NoEncryptionKey``, and ``ImproperlyConfigured`` for what is no key."""
    given = get_config().secrets_keys
    if given is not None:
        return parse_keys(given.get_secret_value(), "SECRETS_KEYS")
    path = keys_file()
    if not path.exists():
        if not settings.MAKE_SECRETS_KEYS or get_config().secrets_keys_file is not None:
            raise NoEncryptionKey("there is no key for secrets: set SECRETS_KEYS or SECRETS_KEYS_FILE")
        made_once(path, _new_line)
    return _read(path)


def keys_file() -> Path:
    """Return where the keys lie that do not stand in the environment."""
    config = get_config()
    return config.secrets_keys_file or config.data_dir / FILE_NAME


def add_key() -> str:
    """Put a new key first in the file of keys, and return its id; raises ``NoEncryptionKey`` where there is no file."""
    if get_config().secrets_keys is not None:
        raise NoEncryptionKey("the keys stand in SECRETS_KEYS: put a new one first there")
    keyring()
    path, line = keys_file(), _new_line()
    replace_private_file(path, line + path.read_text(encoding="utf-8"))
    return line.partition(":")[0]


def parse_keys(text: str, place: str) -> Keyring:
    """Read ``id:base64`` entries, one on a line or with commas between; raises ``ImproperlyConfigured`` by id."""
    keys: dict[str, bytes] = {}
    lines = [line.partition("#")[0] for line in text.splitlines()]
    for entry in (entry.strip() for entry in ",".join(lines).split(",")):
        if not entry:
            continue
        key_id, _, encoded = entry.partition(":")
        # What is wrong is not shown: it may be a key.
        if not _KEY_ID.fullmatch(key_id) or not encoded:
            raise ImproperlyConfigured(
                f"{place}: write each key as id:base64, the id of letters, digits and .-_"
            )
        try:
            key = base64.b64decode(
                encoded, altchars=b"-_" if set(encoded) & set("-_") else None, validate=True
            )
        except (binascii.Error, ValueError):
            raise ImproperlyConfigured(f"{place}: the key '{key_id}' is not base64") from None
        if len(key) != KEY_BYTES or key_id in keys:
            raise ImproperlyConfigured(
                f"{place}: the key '{key_id}' must be {KEY_BYTES} random bytes as base64, and stand there once"
            )
        keys[key_id] = key
    if not keys:
        raise ImproperlyConfigured(f"{place}: names no key")
    return Keyring(next(iter(keys)), keys)


_read_before: dict[tuple[Path, int, int], Keyring] = {}


def _read(path: Path) -> Keyring:
    status = path.stat()
    version = (path, status.st_mtime_ns, status.st_ino)
    if version not in _read_before:
        found = parse_keys(path.read_text(encoding="utf-8"), str(path.name))
        _read_before.clear()
        _read_before[version] = found
    return _read_before[version]


def _new_line() -> str:
    return f"k{secrets.token_hex(4)}:{base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}\n"
