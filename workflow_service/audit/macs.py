"""What is authenticated, byte by byte: HMAC-SHA-256 over one JSON array.

Pure. An array of JSON values reads in one way only, so no two entries share a text. The first element says what it
is of (an entry is never taken for a seal) and in which format, so that a later format can stand beside this one.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol

from pydantic import JsonValue

FORMAT = 1
MAC_BYTES = 32
# Before the first link of the chain, and in place of an entry that was gone before it was sealed.
NOTHING = bytes(MAC_BYTES)


class Signed(Protocol):
    """The columns of an entry that its MAC covers."""

    event_id: str
    at: datetime
    workspace_id: int | None
    actor_id: int | None
    actor: str
    action: str
    target_type: str
    target_id: str
    outcome: str
    detail: Mapping[str, JsonValue]
    source: str
    address: str
    user_agent: str
    request_id: str
    api_key: str
    format: int
    key_id: str


def entry_mac(key: bytes, entry: Signed) -> bytes:
    """Return the MAC of an entry."""
    return _mac(
        key,
        "entry",
        entry.format,
        entry.key_id,
        entry.event_id,
        _instant(entry.at),
        entry.workspace_id,
        entry.actor_id,
        entry.actor,
        entry.action,
        entry.target_type,
        entry.target_id,
        entry.outcome,
        dict(entry.detail),
        entry.source,
        entry.address,
        entry.user_agent,
        entry.request_id,
        entry.api_key,
    )


def seal_mac(
    key: bytes,
    *,
    in_format: int,
    key_id: str,
    number: int,
    sealed_at: datetime,
    previous: bytes,
    entry_ids: Sequence[int],
    macs: bytes | memoryview,
) -> bytes:
    """Return the MAC of a seal, which covers that of the seal before it."""
    ids = list(entry_ids)
    return _mac(
        key, "seal", in_format, key_id, number, _instant(sealed_at), previous.hex(), ids, bytes(macs).hex()
    )


def equal(one: bytes | memoryview, other: bytes | memoryview) -> bool:
    """Compare two MACs in a time that does not tell where they differ."""
    return hmac.compare_digest(bytes(one), bytes(other))


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _mac(key: bytes, *values: object) -> bytes:
    text = json.dumps(values, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
