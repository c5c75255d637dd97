"""Sealing: within about a second every committed entry is put into the chain.

What is to be sealed stands in a queue that a trigger fills in the transaction of the entry. So an entry that commits
late, with an id lower than those that are sealed, is found like any other; and a process that dies at any moment leaves
either the entry in the queue or a seal that covers it. One sealer works at a time; writers never wait for it.
"""

import logging

from django.db import connection, transaction

from workflow_service.audit.anchor import AnchorUnreadable, advance_anchor, anchor_file
from workflow_service.audit.keys import audit_keys
from workflow_service.audit.macs import FORMAT, NOTHING, seal_mac
from workflow_service.audit.models import Seal

logger = logging.getLogger(__name__)

SEAL_LOCK = 7_461_011
ENTRIES_PER_SEAL = 1_000
SEALS_PER_CALL = 20

TRY_LOCK = "SELECT pg_try_advisory_xact_lock(%s)"
LOOK = """
    SELECT EXISTS (SELECT FROM audit_unsealed), (SELECT mac FROM audit_seal ORDER BY number DESC LIMIT 1)
"""
# An entry that is gone before it was sealed stays in the chain as its id and no MAC: that it was there is told.
WAITING = """
    SELECT u.entry_id, e.mac, clock_timestamp() FROM audit_unsealed u LEFT JOIN audit_entry e ON e.id = u.entry_id
    ORDER BY u.entry_id LIMIT %s
"""
LAST = "SELECT number, mac FROM audit_seal ORDER BY number DESC LIMIT 1"
TAKE_OFF = "DELETE FROM audit_unsealed WHERE entry_id = ANY(%s)"

# The newest seal when this process last looked at the anchor: an idle tick asks one question.
_anchored = b""
# What is wrong with the anchor is said once, not every second.
_complained = ""


def seal_entries() -> int:
    """Seal what waits, and anchor the chain's end outside the database; returns how many entries were sealed.

    Safe to call from anywhere and at any time: where another one seals, nothing is done.
    """
    with connection.cursor() as cursor:
        cursor.execute(LOOK)
        waiting, newest = cursor.fetchone()
    sealed = 0
    for _ in range(SEALS_PER_CALL if waiting else 0):
        count = _seal_some()
        sealed += count
        if count < ENTRIES_PER_SEAL:
            break
    if sealed or bytes(newest or b"") != _anchored:
        transaction.on_commit(_advance_anchor)
    return sealed


@transaction.atomic
def _seal_some() -> int:
    """Append one seal to the chain; returns how many entries it covers."""
    with connection.cursor() as cursor:
        cursor.execute(TRY_LOCK, [SEAL_LOCK])
        if not cursor.fetchone()[0]:
            return 0
        cursor.execute(WAITING, [ENTRIES_PER_SEAL])
        waiting = cursor.fetchall()
        if not waiting:
            return 0
        cursor.execute(LAST)
        number, previous = cursor.fetchone() or (0, NOTHING)
        ring = audit_keys()
        seal = Seal(
            number=number + 1,
            sealed_at=waiting[0][2],
            entry_ids=[entry_id for entry_id, _, _ in waiting],
            macs=b"".join(bytes(mac or NOTHING) for _, mac, _ in waiting),
            format=FORMAT,
            key_id=ring.current,
        )
        seal.mac = seal_mac(
            ring.keys[ring.current],
            in_format=FORMAT,
            key_id=seal.key_id,
            number=seal.number,
            sealed_at=seal.sealed_at,
            previous=bytes(previous),
            entry_ids=seal.entry_ids,
            macs=seal.macs,
        )
        seal.save(force_insert=True)
        cursor.execute(TAKE_OFF, [seal.entry_ids])
    return len(waiting)


def _advance_anchor() -> None:
    """Move this host's anchor to the chain's end, or say why that is impossible; sealing goes on in any case."""
    global _anchored, _complained
    problem = ""
    try:
        if not advance_anchor():
            problem = "the audit trail contradicts its anchor: it was cut or rewritten, or an old backup was restored"
    except (AnchorUnreadable, OSError) as error:
        problem = f"the audit trail cannot be anchored: {error}"
    if problem and problem != _complained:
        logger.error("%s (%s); run manage.py verify_audit", problem, anchor_file())
    _complained = problem
    _anchored = bytes(Seal.objects.order_by("-number").values_list("mac", flat=True).first() or b"")
