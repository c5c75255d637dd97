"""Writing the trail: one insert in the transaction of what it records, so that neither is there without the other.

An entry depends on no other row. Writers take no common lock and never wait for one another; the order is sealed
afterwards (``sealing.py``).
"""

from collections.abc import Mapping, Sequence
from typing import Any, LiteralString

from django.utils import timezone
from psycopg.types.json import Jsonb
from pydantic import JsonValue

from workflow_service.audit.keys import audit_keys
from workflow_service.audit.macs import FORMAT, entry_mac
from workflow_service.audit.models import AuditEntry, Outcome
from workflow_service.audit.origin import current_origin
from workflow_service.identifiers import new_id

JsonObject = Mapping[str, Any]

SYSTEM = "system"
_MAX_TEXT = 2_000

# In the order of ``_row``.
INSERT: LiteralString = """
    INSERT INTO audit_entry (event_id, at, workspace_id, actor_id, actor, action, target_type, target_id, outcome,
        detail, source, address, user_agent, request_id, api_key, format, key_id, mac)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""


def record(
    action: str,
    *,
    workspace_id: int | None,
    actor_id: int | None,
    actor: str,
    target_type: str,
    target_id: str,
    outcome: str = Outcome.SUCCESS,
    detail: JsonObject | None = None,
) -> None:
    """Write down that ``actor`` did ``action`` (``noun.verb``) to a target, in the caller's transaction.

    ``actor`` is the user name, kept for when the user is gone, or ``SYSTEM``; ``detail`` holds names, ids and hashes,
    never a secret and never the data of a run. Where the request came from is taken from the origin.
    Raises ``KeysMissing`` where this server has no key for the trail.
    """
    _signed(
        action, workspace_id, actor_id, actor, target_type, target_id, Outcome(outcome), detail or {}
    ).save(force_insert=True)


def statement(
    action: str,
    *,
    workspace_id: int | None,
    actor_id: int | None,
    actor: str,
    target_type: str,
    target_id: str,
    detail: JsonObject | None = None,
) -> tuple[LiteralString, Sequence[Any]]:
    """Return the insert that ``record`` would make and its parameters, for a transaction in a pipeline."""
    entry = _signed(
        action, workspace_id, actor_id, actor, target_type, target_id, Outcome.SUCCESS, detail or {}
    )
    return INSERT, (
        entry.event_id, entry.at, entry.workspace_id, entry.actor_id, entry.actor, entry.action, entry.target_type,
        entry.target_id, entry.outcome, Jsonb(entry.detail), entry.source, entry.address, entry.user_agent,
        entry.request_id, entry.api_key, entry.format, entry.key_id, entry.mac,
    )  # fmt: skip


def _signed(
    action: str,
    workspace_id: int | None,
    actor_id: int | None,
    actor: str,
    target_type: str,
    target_id: str,
    outcome: Outcome,
    detail: JsonObject,
) -> AuditEntry:
    origin, ring = current_origin(), audit_keys()
    entry = AuditEntry(
        event_id=new_id("audit"),
        at=timezone.now(),
        workspace_id=workspace_id,
        actor_id=actor_id,
        actor=_text(actor, 150),
        action=action,
        target_type=target_type,
        target_id=_text(target_id, 200),
        outcome=outcome.value,
        detail={_text(key, 100): _plain(value) for key, value in detail.items()},
        source=origin.source,
        address=_text(origin.address, 45),
        user_agent=_text(origin.user_agent, 300),
        request_id=_text(origin.request_id, 64),
        api_key=_text(origin.api_key, 16),
        format=FORMAT,
        key_id=ring.current,
    )
    entry.mac = entry_mac(ring.keys[ring.current], entry)
    return entry


def _text(value: object, most: int) -> str:
    """Return text that Postgres keeps as it is: no U+0000, no half surrogate pair, not too long."""
    return str(value).encode("utf-8", "replace").decode().replace("\x00", "\N{REPLACEMENT CHARACTER}")[:most]


def _plain(value: Any) -> JsonValue:
    """Return a value that comes back from the database just as it was signed; a fraction may not, and becomes text."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, Mapping):
        return {_text(key, 100): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(inner) for inner in (sorted(value) if isinstance(value, set | frozenset) else value)]
    return _text(value, _MAX_TEXT)
