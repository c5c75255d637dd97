"""What is authenticated never changes under its number: a trail of today must verify in seven years."""

from datetime import UTC, datetime, timedelta, timezone

from workflow_service.audit.macs import FORMAT, NOTHING, entry_mac, equal, seal_mac
from workflow_service.audit.models import AuditEntry

KEY = bytes(range(32))
AT = datetime(2026, 3, 1, 12, 30, 0, 5, tzinfo=UTC)


def entry() -> AuditEntry:
    return AuditEntry(
        event_id="audit_1",
        at=AT,
        workspace_id=7,
        actor_id=None,
        actor="Zoë",
        action="template.publish",
        target_type="template",
        target_id="tpl_1",
        outcome="success",
        detail={"b": [1, True, None], "a": "x"},
        source="api",
        address="::1",
        user_agent="probe",
        request_id="req_1",
        api_key="",
        format=FORMAT,
        key_id="k1",
    )


def seal(previous: bytes = NOTHING) -> bytes:
    return seal_mac(
        KEY,
        in_format=1,
        key_id="k1",
        number=1,
        sealed_at=AT,
        previous=previous,
        entry_ids=[3, 5],
        macs=b"m" * 64,
    )


def test_the_first_format_stays_as_it_is() -> None:
    assert FORMAT == 1, "another format stands beside this one, and these values stay"
    assert entry_mac(KEY, entry()).hex() == "bd22231ec086497d9ccdf80a17d6a672747141f6dfd165e13abf3498cf4dff0c"
    assert seal().hex() == "e6deb643804120a8ab2e9c0b56f124680d0e0d2ad66c7889f6b6857c62f62d9f"


def test_the_same_moment_in_another_zone_is_the_same() -> None:
    elsewhere = entry()
    elsewhere.at = AT.astimezone(timezone(timedelta(hours=5, minutes=45)))
    assert equal(entry_mac(KEY, elsewhere), entry_mac(KEY, entry()))


def test_a_key_and_what_came_before_count() -> None:
    assert not equal(entry_mac(bytes(32), entry()), entry_mac(KEY, entry()))
    assert seal(previous=b"p" * 32) != seal()
