"""Rings of keys: 256 bits each under an id, the newest first, from the environment or from a file.

The first key is the one that is worked with; the others still read what was made with them. A file that changes is
read again, so that a new key is known to every process without a restart. Where it is allowed a missing file is made
on first use, with mode 0600.
"""

import base64
import binascii
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from pydantic import SecretStr

from workflow_service.settings.secrets import made_once, replace_private_file

KEY_BYTES = 32
_KEY_ID = re.compile(r"[A-Za-z0-9_.-]{1,40}", re.ASCII)


class KeysMissing(Exception):
    """No key was given, and none may be made here."""


class KeysNotInFile(Exception):
    """The keys stand in the environment, where no process can put another one."""


@dataclass(frozen=True, slots=True)
class Keyring:
    """``keys`` by id, 256 bits each, newest first; ``current`` is the id of the one that is worked with."""

    current: str
    keys: Mapping[str, bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where a ring comes from: ``given`` in the setting ``name``, else ``file``, else ``default``.

    ``make``: whether a missing default file is made.
    """

    name: str
    given: SecretStr | None
    file: Path | None
    default: Path
    make: bool

    @property
    def path(self) -> Path:
        """Where the keys lie that do not stand in the environment."""
        return self.file or self.default

    def ring(self) -> Keyring:
        """Return the keys in force; raises ``KeysMissing``, and ``ImproperlyConfigured`` for what is no key."""
        if self.given is not None:
            return parse_keys(self.given.get_secret_value(), self.name)
        if not self.path.exists():
            if not self.make or self.file is not None:
                raise KeysMissing(f"set {self.name} or {self.name}_FILE")
            made_once(self.path, _new_line)
        return _read(self.path)

    def add(self) -> str:
        """Put a new key first in the file, and return its id; raises ``KeysNotInFile`` and ``KeysMissing``."""
        if self.given is not None:
            raise KeysNotInFile(f"the keys stand in {self.name}: put a new one first there")
        self.ring()
        line = _new_line()
        replace_private_file(self.path, line + self.path.read_text(encoding="utf-8"))
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


# By path: the text that was read, and what it says.
_read_before: dict[Path, tuple[str, Keyring]] = {}


def _read(path: Path) -> Keyring:
    # Times of files are too coarse to tell two writes apart that follow each other closely.
    text = path.read_text(encoding="utf-8")
    known = _read_before.get(path)
    if known is None or known[0] != text:
        known = _read_before[path] = (text, parse_keys(text, path.name))
    return known[1]


def _new_line() -> str:
    return f"k{secrets.token_hex(4)}:{base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}\n"
