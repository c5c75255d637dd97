"""The anchor: number and MAC of the newest seal, kept in a file outside the database.

A chain whose end was cut off is whole in itself; only what is known elsewhere of its end shows the cut. The anchor
moves forward along the chain and never to one that contradicts it: should the seal that it names be gone or another
one, it stays, as evidence, until somebody sets it anew (``verify_audit --set-anchor``).
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from workflow_service.audit.macs import equal
from workflow_service.audit.models import Seal
from workflow_service.settings.config import get_config
from workflow_service.settings.secrets import replace_private_file

_NOTED = re.compile(r"([0-9]{1,18}):([0-9a-f]{64})", re.ASCII)


class AnchorUnreadable(Exception):
    """The anchor's file, or an anchor that was typed in, is not one."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """The seal that was the last one when this was written."""

    number: int
    mac: bytes

    def __str__(self) -> str:
        return f"{self.number}:{self.mac.hex()}"


def anchor_file() -> Path:
    """Return where the anchor lies: AUDIT_ANCHOR_FILE, else in the data directory."""
    config = get_config()
    return config.audit_anchor_file or config.data_dir / "audit.anchor"


def read_anchor() -> Anchor | None:
    """Return this host's anchor, None where there is no file; raises ``AnchorUnreadable``."""
    try:
        text = anchor_file().read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise AnchorUnreadable(f"{anchor_file()} cannot be read: {error}") from None
    try:
        return parse_anchor(str(json.loads(text)["anchor"]))
    except (ValueError, KeyError, TypeError) as error:
        raise AnchorUnreadable(f"{anchor_file()} is no anchor") from error


def parse_anchor(text: str) -> Anchor:
    """Read ``NUMBER:MAC``, as ``verify_audit`` prints it; raises ``AnchorUnreadable``."""
    match = _NOTED.fullmatch(text.strip())
    if match is None:
        raise AnchorUnreadable("an anchor is NUMBER:MAC, a number and 64 hexadecimal digits")
    return Anchor(int(match[1]), bytes.fromhex(match[2]))


def write_anchor(seal: Seal) -> None:
    """Set the anchor to a seal, whatever it was."""
    text = json.dumps({"anchor": str(Anchor(seal.number, bytes(seal.mac))), "sealedAt": str(seal.sealed_at)})
    replace_private_file(anchor_file(), text + "\n")


def advance_anchor() -> bool:
    """Move the anchor to the newest seal; False, and nothing is moved, where the chain contradicts it.

    Raises ``AnchorUnreadable`` and ``OSError``.
    """
    newest = Seal.objects.order_by("-number").first()
    standing = read_anchor()
    if standing is not None:
        known = Seal.objects.filter(number=standing.number).first()
        if known is None or not equal(known.mac, standing.mac):
            return False
    if newest is not None and (standing is None or standing.number < newest.number):
        anchor_file().parent.mkdir(parents=True, exist_ok=True)
        write_anchor(newest)
    return True
