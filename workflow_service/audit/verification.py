"""Is the trail what was written? Reads all of it in one snapshot, and changes nothing.

Every link of the chain is checked against the one before it, every entry against its own MAC and against the link that
covers it, and the end of the chain against anchors that lie outside of the database. Whoever has the database but not
the key can hide nothing in it but entries younger than a second or so.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection, transaction

from workflow_service.audit.anchor import Anchor
from workflow_service.audit.keys import audit_keys
from workflow_service.audit.macs import FORMAT, MAC_BYTES, NOTHING, Signed, entry_mac, equal, seal_mac
from workflow_service.audit.models import AuditEntry, Seal, Unsealed
from workflow_service.settings.keyrings import Keyring

# The sealer comes every second; what waits for longer is not waiting but hidden, or nobody seals.
SEALED_WITHIN = timedelta(seconds=60)
SEALS_AT_ONCE = 20

SNAPSHOT = """
    SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;
    SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0
"""
UNCOVERED = "SELECT id FROM audit_entry EXCEPT SELECT unnest(entry_ids) FROM audit_seal ORDER BY 1"
COPIES = """
    SELECT event_id, array_agg(id ORDER BY id) FROM audit_entry GROUP BY event_id HAVING count(*) > 1 ORDER BY 2
"""

SHUT = (
    "Take nobody's word from the database alone: shut out whoever can write to it, compare with a backup from before, "
    "and keep both."
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: ``code`` for machines, where it is, what it is, and what to do."""

    code: str
    place: str
    message: str
    mend: str = SHUT

    def __str__(self) -> str:
        return f"{self.place}: {self.message} [{self.code}]\n    {self.mend}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was looked at, what was found, and the end of the chain to note elsewhere."""

    entries: int
    seals: int
    waiting: int
    findings: tuple[Finding, ...]
    end: Anchor | None


def verify_trail(
    anchors: Sequence[Anchor], *, now: datetime, since: int = 1, most_findings: int = 100
) -> Verdict:
    """Verify the chain from the seal ``since`` on, and that its end is not before any of the ``anchors``.

    Stops after ``most_findings``. Must be the outermost transaction. Raises ``KeysMissing``.
    """
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute(SNAPSHOT)
        verification = _Verification(audit_keys(), since, most_findings)
        try:
            verification.chain()
            verification.uncovered(now)
            verification.copies()
            verification.anchored(anchors)
        except _Enough:
            pass
        return verification.verdict()


class _Enough(Exception):
    """As many findings as were asked for."""


class _Verification:
    """One pass over the trail; collects findings."""

    def __init__(self, ring: Keyring, since: int, most_findings: int) -> None:
        self._ring = ring
        self._since = since
        self._most = most_findings
        self._age_of_key = {key_id: age for age, key_id in enumerate(ring.keys)}
        self._findings: list[Finding] = []
        self._entries = self._seals = self._waiting = 0
        self._end: Anchor | None = None

    def verdict(self) -> Verdict:
        return Verdict(self._entries, self._seals, self._waiting, tuple(self._findings), self._end)

    def chain(self) -> None:
        """Follow the seals, each with the entries that it covers."""
        before = Seal.objects.filter(number__lt=self._since).order_by("-number").first()
        expected, newest_key = self._since, ""
        # Where an older part was removed there is nothing to be chained to: the first link is taken as it is.
        previous = bytes(before.mac) if before else NOTHING if self._since == 1 else None
        for page in self._pages():
            entries = _entries_of(page)
            for seal in page:
                self._missing_seals(expected, seal.number)
                if expected != seal.number:
                    previous = None
                self._seal(seal, previous)
                newest_key = self._order_of_keys(seal, newest_key)
                self._covered(seal, entries)
                self._seals += 1
                self._end = Anchor(seal.number, bytes(seal.mac))
                expected, previous = seal.number + 1, bytes(seal.mac)

    def uncovered(self, now: datetime) -> None:
        """Look for entries that no seal covers."""
        with connection.cursor() as cursor:
            cursor.execute(UNCOVERED)
            ids = [entry_id for (entry_id,) in cursor.fetchall()]
        queued = set(Unsealed.objects.values_list("entry_id", flat=True))
        for some in _slices(ids, 1_000):
            for entry in AuditEntry.objects.filter(pk__in=some).order_by("pk"):
                self._entries += 1
                if not self._genuine(entry):
                    continue
                if entry.pk not in queued:
                    self._found(
                        "UNSEALED_ENTRY",
                        _place(entry),
                        "no seal covers it and it does not wait for one: it was inserted past the service, or its seal "
                        "was taken away",
                    )
                elif entry.at < now - SEALED_WITHIN:
                    self._found(
                        "SEALED_LATE",
                        _place(entry),
                        f"it has waited for its seal since {entry.at:%Y-%m-%d %H:%M:%S}",
                        "Is a worker running? Its sweeper seals; its log says why if it cannot.",
                    )
                else:
                    self._waiting += 1

    def copies(self) -> None:
        """Look for entries that were written twice: a copy bears a MAC that is good."""
        with connection.cursor() as cursor:
            cursor.execute(COPIES)
            for event_id, ids in cursor.fetchall():
                self._found(
                    "COPIED_ENTRY",
                    f"entries {', '.join(map(str, ids))}",
                    f"all of them are '{event_id}'; the first is the original, the others were inserted",
                )

    def anchored(self, anchors: Sequence[Anchor]) -> None:
        """Compare the chain with what is known of its end outside the database."""
        for anchor in anchors:
            seal = Seal.objects.filter(number=anchor.number).first()
            if seal is None:
                self._found(
                    "CUT_TAIL",
                    f"seal {anchor.number}",
                    f"the anchor names it, and the chain ends at {self._end.number if self._end else 'nothing'}: the "
                    "newest entries were cut off, or an older backup was restored",
                    f"{SHUT} Where a backup was restored on purpose: verify_audit --set-anchor 'REASON'.",
                )
            elif not equal(seal.mac, anchor.mac):
                self._found(
                    "REWRITTEN",
                    f"seal {anchor.number}",
                    "it is not the seal that the anchor names: the chain was rewritten from there or before",
                    f"{SHUT} Where a backup was restored on purpose: verify_audit --set-anchor 'REASON'.",
                )

    def _pages(self) -> Iterator[list[Seal]]:
        after = self._since - 1
        while page := list(Seal.objects.filter(number__gt=after).order_by("number")[:SEALS_AT_ONCE]):
            yield page
            after = page[-1].number

    def _missing_seals(self, expected: int, found: int) -> None:
        if found == expected:
            return
        gone = f"seal {expected}" if found == expected + 1 else f"seals {expected} to {found - 1}"
        self._found("MISSING_SEAL", gone, "gone from the chain, and the order of what they covered with them")

    def _seal(self, seal: Seal, previous: bytes | None) -> None:
        """Check a link; ``previous`` is the MAC of the one before it, None where that is gone and was told of."""
        place = f"seal {seal.number}"
        if seal.format != FORMAT:
            self._found("UNKNOWN_FORMAT", place, f"it has the format {seal.format}", "Use a newer release.")
        elif seal.key_id not in self._ring.keys:
            self._key_missing(place, seal.key_id)
        elif previous is not None and not equal(seal.mac, self._mac_of(seal, previous)):
            self._found(
                "BROKEN_SEAL",
                place,
                f"it was altered, moved or not made by this service; it covers {_span(seal.entry_ids)}",
            )

    def _mac_of(self, seal: Seal, previous: bytes) -> bytes:
        return seal_mac(
            self._ring.keys[seal.key_id],
            in_format=seal.format,
            key_id=seal.key_id,
            number=seal.number,
            sealed_at=seal.sealed_at,
            previous=previous,
            entry_ids=seal.entry_ids,
            macs=bytes(seal.macs),
        )

    def _order_of_keys(self, seal: Seal, newest: str) -> str:
        """Find a seal made with a key that was replaced before; return the newest key so far."""
        age = self._age_of_key
        if seal.key_id not in age:
            return newest
        if newest and age[seal.key_id] > age[newest]:
            self._found(
                "OLD_KEY",
                f"seal {seal.number}",
                f"it was made with the key '{seal.key_id}' after '{newest}' had replaced that one",
                "Has every process the new key first? If so, somebody has the old key.",
            )
            return newest
        return seal.key_id

    def _covered(self, seal: Seal, entries: dict[int, AuditEntry]) -> None:
        macs = bytes(seal.macs)
        for place, entry_id in enumerate(seal.entry_ids):
            self._entries += 1
            mac = macs[place * MAC_BYTES : (place + 1) * MAC_BYTES]
            entry = entries.get(entry_id)
            if entry is None:
                when = "before it was sealed" if mac == NOTHING else "after it was sealed"
                self._found(
                    "DELETED_ENTRY", f"entry {entry_id} (seal {seal.number})", f"it was deleted {when}"
                )
            elif self._genuine(entry) and not equal(entry.mac, mac):
                self._found(
                    "MOVED_ENTRY",
                    f"{_place(entry)} (seal {seal.number})",
                    "another entry was sealed under this id: entries were exchanged, or their order was changed",
                )

    def _genuine(self, entry: AuditEntry) -> bool:
        """Say whether the entry is just as the service wrote it; what is wrong with it is found."""
        if entry.format != FORMAT:
            self._found(
                "UNKNOWN_FORMAT", _place(entry), f"it has the format {entry.format}", "Use a newer release."
            )
        elif entry.key_id not in self._ring.keys:
            self._key_missing(_place(entry), entry.key_id)
        elif not equal(entry.mac, entry_mac(self._ring.keys[entry.key_id], _as_signed(entry))):
            self._found(
                "ALTERED_ENTRY",
                _place(entry),
                f"it was altered, or not written by this service; it says that {entry.actor or 'nobody'} did "
                f"'{entry.action}' at {entry.at:%Y-%m-%d %H:%M:%S}",
            )
        else:
            return True
        return False

    def _key_missing(self, place: str, key_id: str) -> None:
        self._found(
            "UNKNOWN_KEY",
            place,
            f"it bears the key '{key_id}', which is not among the keys here",
            "Put that key behind the others in AUDIT_KEYS or its file. If there never was one, this is a forgery.",
        )

    def _found(self, code: str, place: str, message: str, mend: str = SHUT) -> None:
        self._findings.append(Finding(code, place, message, mend))
        if len(self._findings) >= self._most:
            raise _Enough


def _as_signed(entry: AuditEntry) -> Signed:
    # Somebody may have put anything but an object there; that has a MAC of its own, which is another one.
    if not isinstance(entry.detail, dict):
        entry.detail = {"": entry.detail}
    return entry


def _entries_of(seals: Collection[Seal]) -> dict[int, AuditEntry]:
    ids = [entry_id for seal in seals for entry_id in seal.entry_ids]
    return AuditEntry.objects.in_bulk(ids)


def _slices(ids: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    return (ids[start : start + size] for start in range(0, len(ids), size))


def _place(entry: AuditEntry) -> str:
    return f"entry {entry.pk}"


def _span(ids: Sequence[int]) -> str:
    return f"entries {min(ids)} to {max(ids)}" if len(ids) > 1 else f"entry {ids[0]}" if ids else "no entries"
