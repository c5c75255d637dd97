"""The trail is read by who may, in their own workspaces, by API and page, and changed by nobody."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.caller import Caller
from tests.factories import make_user, make_workspace
from workflow_service.accounts.models import Role, User, Workspace
from workflow_service.audit.models import AuditEntry
from workflow_service.audit.sealing import seal_entries
from workflow_service.audit.trail import record

pytestmark = pytest.mark.usefixtures("db")


def done(
    workspace: Workspace | None, actor: User, action: str = "template.publish", target: str = "tpl_1"
) -> None:
    record(
        action,
        workspace_id=workspace.pk if workspace else None,
        actor_id=actor.pk,
        actor=actor.get_username(),
        target_type=action.partition(".")[0],
        target_id=target,
        detail={"name": "<b>Load</b>"},
    )


def test_an_admin_reads_and_filters_their_workspace_and_no_other() -> None:
    workspace = make_workspace()
    ada = make_user(workspace, Role.ADMIN, username="ada")
    bob = make_user(workspace, Role.DEVELOPER, username="bob")
    done(workspace, bob)
    done(workspace, ada, "secret.delete", "TOKEN")
    done(make_workspace(), ada)
    done(None, ada, "user.login", "user_1")
    caller = Caller(ada)
    page = caller.get("audit").json()
    assert (page["total"], [entry["action"] for entry in page["entries"]]) == (
        2,
        ["secret.delete", "template.publish"],
    )
    entry = page["entries"][1]
    assert (entry["user"], entry["userId"]) == ("bob", bob.public_id)
    assert entry["details"] == {"name": "<b>Load</b>"}
    assert set(entry) == {
        "eventId", "timestamp", "user", "userId", "action", "resourceType", "resourceId", "outcome", "details",
        "source", "ipAddress", "userAgent", "requestId", "apiKey",
    }  # fmt: skip
    past = (timezone.now() - timedelta(hours=1)).isoformat()
    for query, expected in (
        ({"action": "template."}, 1), ({"action": "template.publish"}, 1), ({"action": "template.pub."}, None),
        ({"user": "bob"}, 1), ({"user": bob.public_id}, 1), ({"user": "nobody"}, 0), ({"resourceId": "TOKEN"}, 1),
        ({"outcome": "denied"}, 0), ({"since": past}, 2), ({"until": past}, 0), ({"search": "bob publish"}, 1),
        ({"outcome": "maybe"}, None), ({"unknown": "1"}, None), ({"limit": "1"}, 2),
    ):  # fmt: skip
        answer = caller.get("audit", query)
        assert answer.status_code == (400 if expected is None else 200), query
        assert answer.json().get("total") == expected, query


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMIN])
def test_others_do_not_read_it(role: Role) -> None:
    workspace = make_workspace()
    user = make_user(workspace, role, is_staff=True)
    assert Caller(user).get("audit").status_code == 403
    browser = Client()
    browser.force_login(user)
    assert browser.get("/admin/audit/auditentry/").status_code == 403


def test_what_belongs_to_no_workspace_is_the_superusers() -> None:
    workspace = make_workspace()
    ada = make_user(workspace, Role.ADMIN)
    root = make_user(workspace, Role.ADMIN, is_superuser=True)
    done(None, ada, "user.login", "user_1")
    assert Caller(ada).get("audit", {"scope": "service"}).status_code == 403
    page = Caller(root).get("audit", {"scope": "service"}).json()
    assert [entry["action"] for entry in page["entries"] if entry["action"] == "user.login"] == ["user.login"]


def test_nothing_writes_it_over_http() -> None:
    ada = make_user(make_workspace(), Role.ADMIN)
    for verb in ("post", "put", "patch", "delete"):
        assert getattr(Caller(ada), verb)("audit").status_code == 405


def browser_of(user: User) -> Client:
    browser = Client()
    browser.force_login(user)
    return browser


def test_the_page_shows_the_workspace_and_no_other_and_takes_nothing() -> None:
    workspace, other = make_workspace(), make_workspace()
    ada = make_user(workspace, Role.ADMIN, username="ada", is_staff=True)
    done(workspace, ada)
    done(other, make_user(username="foreign"))
    mine, foreign = AuditEntry.objects.filter(action="template.publish").order_by("id")
    seal_entries()
    browser = browser_of(ada)
    listed = browser.get("/admin/audit/auditentry/", {"q": "publish", "noun": "template"})
    assert listed.status_code == 200
    text = listed.content.decode()
    assert "tpl_1" in text
    assert "foreign" not in text
    shown = browser.get(f"/admin/audit/auditentry/{mine.pk}/change/")
    assert shown.status_code == 200
    text = shown.content.decode()
    assert "&lt;b&gt;Load" in text
    assert "covered by seal 1" in text
    assert "Welcome, <strong>ada" in " ".join(text.split())
    assert browser.get(f"/admin/audit/auditentry/{foreign.pk}/change/").status_code == 302
    assert browser.post(f"/admin/audit/auditentry/{mine.pk}/change/").status_code == 405
    for path in ("add/", f"{mine.pk}/delete/"):
        assert browser.get(f"/admin/audit/auditentry/{path}").status_code == 403


def test_a_list_costs_the_same_queries_however_long_it_is() -> None:
    workspace = make_workspace()
    ada = make_user(workspace, Role.ADMIN, is_staff=True)
    browser, caller = browser_of(ada), Caller(ada)
    costs = []
    for count in (1, 20):
        for _ in range(count):
            done(workspace, ada)
        for ask in (lambda: browser.get("/admin/audit/auditentry/"), lambda: caller.get("audit")):
            ask()
            with CaptureQueriesContext(connection) as queries:
                assert ask().status_code == 200
            costs.append(len(queries))
    assert costs[:2] == costs[2:]
