"""The keys that secrets are encrypted with, by id; the first one encrypts, all of them decrypt."""

from pathlib import Path

from django.conf import settings

from workflow_service.settings.config import get_config
from workflow_service.settings.keyrings import Keyring, KeysMissing, KeysNotInFile, KeySource, parse_keys
from workflow_service.vault.errors import NoEncryptionKey

__all__ = ["Keyring", "add_key", "keyring", "keys_file", "parse_keys"]


def keyring() -> Keyring:
    """Return the keys in force; raises ``NoEncryptionKey``, and ``ImproperlyConfigured`` for what is no key."""
    try:
        return _source().ring()
    except KeysMissing as error:
        raise NoEncryptionKey(f"there is no key for secrets: {error}") from None


def keys_file() -> Path:
    """Return where the keys lie that do not stand in the environment."""
    return _source().path


def add_key() -> str:
    """Put a new key first in the file of keys, and return its id; raises ``NoEncryptionKey`` where there is no file."""
    try:
        return _source().add()
    except (KeysMissing, KeysNotInFile) as error:
        raise NoEncryptionKey(str(error)) from None


def _source() -> KeySource:
    config = get_config()
    return KeySource(
        "SECRETS_KEYS",
        config.secrets_keys,
        config.secrets_keys_file,
        config.data_dir / "secrets.keys",
        make=settings.MAKE_SECRETS_KEYS,
    )
