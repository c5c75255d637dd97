"""Whoever has the database but not the key is found out, whatever they do to the trail, and told where.

The attacker is the superuser of the database, with every trigger turned off.
"""
# ruff: noqa: S608 - attacks are SQL, put together of ids that the tests read before

import base64
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from workflow_service.audit import trail
from workflow_service.audit.anchor import anchor_file, read_anchor
from workflow_service.audit.macs import NOTHING, entry_mac, seal_mac
from workflow_service.audit.models import AuditEntry, Seal, Unsealed
from workflow_service.audit.sealing import seal_entries
from workflow_service.audit.trail import record
from workflow_service.audit.verification import verify_trail
from workflow_service.settings.config import get_config

pytestmark = pytest.mark.usefixtures("transactional_db")


def write(count: int = 1, actor: str = "ada") -> None:
    for n in range(count):
        record(
            "thing.change",
            workspace_id=7,
            actor_id=3,
            actor=actor,
            target_type="thing",
            target_id=f"thing_{n}",
            detail={"größe": [1, True, None, "x"], "share": 0.1},
        )


def sealed_trail() -> list[int]:
    """Write three seals of three entries each; return the entries' ids."""
    for _ in range(3):
        write(3)
        assert seal_entries() == 3
    return list(AuditEntry.objects.order_by("id").values_list("id", flat=True))


def attack(*statements: str) -> None:
    """Do it as the superuser, past the triggers."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        for statement in statements:
            cursor.execute(statement)


def verify(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return what the command says of a trail that is whole."""
    call_command("verify_audit", *arguments)
    return capsys.readouterr().out


def findings(*arguments: str) -> str:
    """Return what the command finds; it ends with an exit code other than 0."""
    with pytest.raises(CommandError) as caught:
        call_command("verify_audit", *arguments)
    assert caught.value.returncode != 0
    return str(caught.value)


def test_a_trail_that_nobody_touched_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert "0 entries" in verify(capsys)
    sealed_trail()
    write()
    said = verify(capsys)
    assert "is whole: 10 entries, 3 seals, 1 not sealed yet" in said
    assert str(read_anchor()) in said


@pytest.mark.parametrize("table", ["audit_entry", "audit_seal"])
@pytest.mark.parametrize(
    "statement",
    ["UPDATE {} SET key_id = 'x'", "DELETE FROM {}", "TRUNCATE {}"],
    ids=["update", "delete", "truncate"],
)
def test_the_tables_take_inserts_only(table: str, statement: str) -> None:
    sealed_trail()
    with pytest.raises(DatabaseError, match="append-only"), connection.cursor() as cursor:
        cursor.execute(statement.format(table))


SOMETHING_ELSE = {
    "event_id": "'audit_0'", "at": "at + interval '1 microsecond'", "workspace_id": "8", "actor_id": "NULL",
    "actor": "'eve'", "action": "'thing.read'", "target_type": "'user'", "target_id": "'other'",
    "outcome": "'denied'", "detail": "'{}'", "source": "'api'", "address": "'192.0.2.1'", "user_agent": "'x'",
    "request_id": "'x'", "api_key": "'x'", "mac": "sha256(mac)",
}  # fmt: skip


def test_an_altered_entry_is_found_whichever_column_it_is() -> None:
    ids = sealed_trail()
    columns = {field.column for field in AuditEntry._meta.concrete_fields}
    assert columns - {"id", "format", "key_id"} == set(SOMETHING_ELSE), "every column is authenticated"
    for column, value in SOMETHING_ELSE.items():
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {column} FROM audit_entry WHERE id = {ids[4]}")
            before = cursor.fetchone()[0]
        attack(f"UPDATE audit_entry SET {column} = {value} WHERE id = {ids[4]}")
        found = findings()
        said = [f"entry {ids[4]}", "[ALTERED_ENTRY]", "1 finding(s)"]
        assert all(each in found for each in said), column
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute(f"UPDATE audit_entry SET {column} = %s WHERE id = %s", [before, ids[4]])


def test_the_entries_around_an_altered_one_are_not_accused() -> None:
    ids = sealed_trail()
    attack(f"UPDATE audit_entry SET actor = 'eve' WHERE id = {ids[4]}")
    found = findings()
    assert found.count("[") == 1
    assert "shut out whoever can write to it" in found


def test_a_deleted_entry_in_the_middle_is_found() -> None:
    ids = sealed_trail()
    attack(f"DELETE FROM audit_entry WHERE id = {ids[4]}")
    assert f"entry {ids[4]} (seal 2): it was deleted after it was sealed [DELETED_ENTRY]" in findings()


def test_an_entry_deleted_before_it_was_sealed_is_found() -> None:
    write(3)
    gone = AuditEntry.objects.order_by("id")[1].pk
    attack(f"DELETE FROM audit_entry WHERE id = {gone}")
    seal_entries()
    assert f"entry {gone} (seal 1): it was deleted before it was sealed [DELETED_ENTRY]" in findings()


def test_a_cut_tail_is_found() -> None:
    ids = sealed_trail()
    attack(f"DELETE FROM audit_entry WHERE id > {ids[5]}", "DELETE FROM audit_seal WHERE number = 3")
    found = findings()
    assert "seal 3: the anchor names it, and the chain ends at 2:" in found
    assert "[CUT_TAIL]" in found


def test_a_cut_tail_is_still_found_when_the_trail_has_grown_past_it(caplog: pytest.LogCaptureFixture) -> None:
    ids = sealed_trail()
    attack(f"DELETE FROM audit_entry WHERE id > {ids[5]}", "DELETE FROM audit_seal WHERE number = 3")
    for _ in range(3):
        write(2, actor="eve")
        seal_entries()
    assert Seal.objects.count() == 5
    assert "seal 3: it is not the seal that the anchor names" in findings()
    assert [line for line in caplog.messages if "contradicts its anchor" in line], (
        "the sealer's log tells it, too"
    )
    assert len(caplog.messages) == 1, "once"


def test_everything_cut_is_found() -> None:
    sealed_trail()
    attack("TRUNCATE audit_entry, audit_seal, audit_unsealed")
    assert "the chain ends at nothing" in findings()


def test_a_missing_anchor_is_not_taken_for_a_young_trail(capsys: pytest.CaptureFixture[str]) -> None:
    sealed_trail()
    noted = str(read_anchor())
    anchor_file().unlink()
    assert "There is no anchor" in findings()
    assert "is whole" in verify(capsys, "--anchor", noted)
    attack("DELETE FROM audit_seal WHERE number = 3")
    assert "[CUT_TAIL]" in findings("--anchor", noted)


def test_an_inserted_entry_is_found() -> None:
    ids = sealed_trail()
    columns = """event_id, at, workspace_id, actor_id, action, target_type, target_id, outcome, detail, source, address,
        user_agent, request_id, api_key, format, key_id, mac"""
    insert = f"""INSERT INTO audit_entry (id, actor, {columns})
        SELECT %s, 'eve', {columns} FROM audit_entry WHERE id = {ids[0]}"""
    # Past the trigger; and by the front door, so that it is sealed like any other.
    attack(insert % 1_000_000)
    with connection.cursor() as cursor:
        cursor.execute(insert % 1_000_001)
    assert seal_entries() == 1
    found = findings()
    assert "entry 1000000: it was altered, or not written by this service; it says that eve" in found
    assert "entry 1000001: it was altered, or not written by this service; it says that eve" in found


@pytest.mark.parametrize("sealed", [False, True], ids=["past the trigger", "and sealed"])
def test_a_copy_of_a_genuine_entry_is_found(sealed: bool) -> None:
    ids = sealed_trail()
    copy = f"""INSERT INTO audit_entry (event_id, at, workspace_id, actor_id, actor, action, target_type, target_id,
            outcome, detail, source, address, user_agent, request_id, api_key, format, key_id, mac)
        SELECT event_id, at, workspace_id, actor_id, actor, action, target_type, target_id, outcome, detail, source,
            address, user_agent, request_id, api_key, format, key_id, mac FROM audit_entry WHERE id = {ids[0]}"""
    if sealed:
        with connection.cursor() as cursor:
            cursor.execute(copy)
        seal_entries()
    else:
        attack(copy)
    found = findings()
    newest = AuditEntry.objects.order_by("-id").values_list("id", flat=True)[0]
    assert f"entries {ids[0]}, {newest}" in found
    assert "[COPIED_ENTRY]" in found
    assert ("[UNSEALED_ENTRY]" in found) is not sealed


def test_reordered_entries_are_found() -> None:
    ids = sealed_trail()
    attack(
        f"UPDATE audit_entry SET id = -1 WHERE id = {ids[1]}",
        f"UPDATE audit_entry SET id = {ids[1]} WHERE id = {ids[7]}",
        f"UPDATE audit_entry SET id = {ids[7]} WHERE id = -1",
    )
    found = findings()
    assert f"entry {ids[1]} (seal 1): another entry was sealed under this id" in found
    assert f"entry {ids[7]} (seal 3): another entry was sealed under this id" in found


def test_reordered_seals_are_found() -> None:
    sealed_trail()
    attack(
        "UPDATE audit_seal SET number = -1 WHERE number = 1",
        "UPDATE audit_seal SET number = 1 WHERE number = 2",
        "UPDATE audit_seal SET number = 2 WHERE number = -1",
    )
    found = findings()
    assert "seal 1: it was altered, moved" in found
    assert "seal 2: it was altered, moved" in found


def test_a_seal_that_is_gone_from_the_middle_is_found_with_its_entries() -> None:
    ids = sealed_trail()
    attack("DELETE FROM audit_seal WHERE number = 2")
    found = findings()
    assert "seal 2: gone from the chain" in found
    assert "seal 3" not in found
    assert all(f"entry {entry}: no seal covers it" in found for entry in ids[3:6])


def test_entries_and_the_seal_that_covers_them_taken_out_together_are_found() -> None:
    ids = sealed_trail()
    attack(
        f"DELETE FROM audit_entry WHERE id IN ({ids[3]}, {ids[4]}, {ids[5]})",
        "DELETE FROM audit_seal WHERE number = 2",
        "UPDATE audit_seal SET number = 2 WHERE number = 3",
    )
    assert "seal 2: it was altered, moved" in findings()


def test_an_altered_seal_is_found() -> None:
    ids = sealed_trail()
    attack(f"UPDATE audit_seal SET entry_ids = array_remove(entry_ids, {ids[5]}) WHERE number = 2")
    found = findings()
    assert (
        f"seal 2: it was altered, moved or not made by this service; it covers entries {ids[3]} to {ids[4]}"
        in found
    )
    assert f"entry {ids[5]}: no seal covers it" in found


def rewrite_with(key: bytes, key_id: str) -> None:
    """Do what the service does, from the first entry on, with a key of one's own."""
    entries = {entry.pk: entry for entry in AuditEntry.objects.all()}
    previous = NOTHING
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        for entry in entries.values():
            entry.actor, entry.key_id = "eve", key_id
            entry.mac = entry_mac(key, entry)
            entry.save(force_update=True)
        for seal in Seal.objects.order_by("number"):
            seal.key_id, seal.macs = key_id, b"".join(entries[each].mac for each in seal.entry_ids)
            seal.mac = previous = seal_mac(
                key, in_format=1, key_id=key_id, number=seal.number, sealed_at=seal.sealed_at, previous=previous,
                entry_ids=seal.entry_ids, macs=seal.macs,
            )  # fmt: skip
            seal.save(force_update=True)


def test_a_full_rewrite_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    sealed_trail()
    known = AuditEntry.objects.all()[0].key_id
    rewrite_with(b"e" * 32, known)
    found = findings()
    assert found.count("[ALTERED_ENTRY]") == 9
    assert found.count("[BROKEN_SEAL]") == 3
    assert "[REWRITTEN]" in found
    rewrite_with(b"e" * 32, "mine")
    found = findings()
    assert "it bears the key 'mine', which is not among the keys here" in found
    assert "[REWRITTEN]" in found
    # With the key it can be done; then the anchor is what is left.
    text = get_config().data_dir.joinpath("audit.keys").read_text().splitlines()[0]
    rewrite_with(base64.b64decode(text.partition(":")[2]), known)
    assert findings().count("[") == 1
    assert "[REWRITTEN]" in findings()


def test_a_restored_backup_is_accepted_by_somebody_and_on_record(capsys: pytest.CaptureFixture[str]) -> None:
    ids = sealed_trail()
    attack(f"DELETE FROM audit_entry WHERE id > {ids[5]}", "DELETE FROM audit_seal WHERE number = 3")
    assert "[CUT_TAIL]" in findings()
    said = verify(capsys, "--set-anchor", "restored the backup of Sunday")
    assert "is whole: 7 entries, 3 seals" in said
    entry = AuditEntry.objects.get(action="audit.set_anchor")
    assert entry.detail["reason"] == "restored the backup of Sunday"
    assert entry.detail["before"].startswith("3:")


def test_a_key_is_rotated_and_both_verify(capsys: pytest.CaptureFixture[str]) -> None:
    sealed_trail()
    path = get_config().data_dir / "audit.keys"
    call_command("rotate_audit_key")
    write()
    assert seal_entries() == 2
    keys = {entry.key_id for entry in AuditEntry.objects.all()}
    assert len(keys) == 2
    assert AuditEntry.objects.get(action="audit.rotate_key").target_id in keys
    assert "is whole" in verify(capsys)
    both = path.read_text()
    newest, *old = both.splitlines()
    try:
        path.write_text(newest + "\n")
        assert "which is not among the keys here [UNKNOWN_KEY]" in findings()
        # Whoever found the old key goes on with it.
        path.write_text("\n".join([*old, newest]) + "\n")
        write()
        seal_entries()
        path.write_text(both)
        assert "[OLD_KEY]" in findings()
    finally:
        path.write_text(both)


def test_a_late_commit_with_a_lower_id_is_sealed_like_any_other(capsys: pytest.CaptureFixture[str]) -> None:
    with second_connection() as late:
        late.execute("BEGIN")
        write_on(late)
        write(2)
        assert seal_entries() == 2, "nobody waits for the one that is open"
        newest_sealed = max(Seal.objects.get().entry_ids)
        late.execute("COMMIT")
    entry = AuditEntry.objects.order_by("id")[0]
    assert entry.pk < newest_sealed
    assert "1 not sealed yet" in verify(capsys)
    assert seal_entries() == 1
    assert Seal.objects.get(number=2).entry_ids == [entry.pk]
    assert "is whole: 3 entries, 2 seals, 0 not" in verify(capsys)


def test_what_is_rolled_back_leaves_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with second_connection() as other:
        other.execute("BEGIN")
        write_on(other)
        other.execute("ROLLBACK")
    write()
    assert seal_entries() == 1
    assert "is whole: 1 entries" in verify(capsys)


def test_a_sealer_that_dies_leaves_its_entries_to_the_next(capsys: pytest.CaptureFixture[str]) -> None:
    write(3)
    with transaction.atomic():
        assert seal_entries() == 3
        transaction.set_rollback(True)
    assert Seal.objects.count() == 0
    assert Unsealed.objects.count() == 3
    assert read_anchor() is None
    assert seal_entries() == 3
    assert "is whole" in verify(capsys)


def test_a_sealer_that_dies_before_it_anchors_is_made_good_by_the_next(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write()
    with monkeypatch.context() as patched:
        patched.setattr("workflow_service.audit.sealing._advance_anchor", lambda: None)
        seal_entries()
    assert read_anchor() is None
    assert seal_entries() == 0
    assert "is whole" in verify(capsys)


def test_one_seals_at_a_time_and_nobody_waits_for_it() -> None:
    write()
    with second_connection() as sealer:
        sealer.execute("BEGIN")
        sealer.execute("SELECT pg_advisory_xact_lock(7461011)")
        write(actor="bob")
        assert seal_entries() == 0
        sealer.execute("ROLLBACK")
    assert seal_entries() == 2


def test_writers_do_not_wait_for_one_another() -> None:
    with second_connection() as one, second_connection() as two:
        for each in (one, two):
            each.execute("SET lock_timeout = '100ms'")
            each.execute("BEGIN")
        write_on(one)
        write_on(two)
        write_on(one)
        two.execute("COMMIT")
        one.execute("COMMIT")
    assert seal_entries() == 3


def test_an_entry_that_nobody_seals_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    write()
    (finding,) = verify_trail([], now=timezone.now() + timedelta(minutes=2)).findings
    assert finding.code == "SEALED_LATE"
    assert "Is a worker running?" in finding.mend


def second_connection() -> "psycopg.Connection[Any]":
    parameters = connection.get_connection_params()
    for unknown in ("cursor_factory", "context", "prepare_threshold"):
        parameters.pop(unknown, None)
    return psycopg.connect(**parameters, autocommit=True)


def write_on(raw: "psycopg.Connection[Any]") -> None:
    raw.execute(
        *trail.statement(
            "thing.change", workspace_id=7, actor_id=3, actor="late", target_type="thing", target_id="thing_0",
            detail={"share": 0.25},
        )
    )  # fmt: skip
