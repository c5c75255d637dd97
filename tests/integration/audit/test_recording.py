"""What is done is on record with who, what and from where; what was rolled back is not, and neither is a secret."""

import json
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from executions_app.services.control import Asked, cancel_execution, pause_execution, resume_execution
from executions_app.services.executions import start_execution
from executions_app.transaction import EngineTransaction
from tests.caller import Caller
from tests.factories import make_template, make_user, make_workspace, noop, start
from tests.people import asking, make_people, question_of, run_asking
from workflow_service.accounts.api_keys import create_api_key
from workflow_service.accounts.models import Membership, Role
from workflow_service.audit import denials
from workflow_service.audit.models import AuditEntry, Unsealed
from workflow_service.audit.origin import current_origin
from workflow_service.vault.services.secrets import create_secret

pytestmark = pytest.mark.usefixtures("transactional_db")


@pytest.fixture(autouse=True)
def fresh_counts() -> None:
    cache.clear()


def entries(prefix: str = "") -> list[AuditEntry]:
    return list(AuditEntry.objects.filter(action__startswith=prefix).order_by("id"))


def only(action: str) -> AuditEntry:
    (entry,) = AuditEntry.objects.filter(action=action)
    return entry


def test_a_request_leaves_who_what_and_from_where() -> None:
    workspace = make_workspace()
    admin = make_user(workspace, Role.ADMIN, username="ada")
    caller = Caller(admin, **{"User-Agent": "probe/1 \U0001f600", "X-Request-Id": "abc-1"})
    answer = caller.post("secrets", {"name": "TOKEN", "value": "a-value-of-great-worth"})
    assert answer.status_code == 201
    assert answer.headers["X-Request-Id"] == "abc-1"
    entry = only("secret.create")
    assert (entry.workspace_id, entry.actor_id, entry.actor) == (workspace.pk, admin.pk, "ada")
    assert (entry.target_type, entry.target_id, entry.outcome) == ("secret", "TOKEN", "success")
    assert (entry.source, entry.address, entry.request_id) == ("api", "127.0.0.1", "abc-1")
    assert entry.user_agent.startswith("probe/1")
    assert "great-worth" not in json.dumps(AuditEntry.objects.values_list("detail", flat=True)[0])
    assert current_origin().source == "service", "what is done after the request is not of it"


def test_an_address_comes_from_the_proxies_that_are_trusted(settings: Any) -> None:
    admin = make_user(make_workspace(), Role.ADMIN)
    forwarded = Caller(admin, **{"X-Forwarded-For": "6.6.6.6, 192.0.2.7", "X-Request-Id": "not fit\x7f"})
    forwarded.post("secrets", {"name": "ONE", "value": "some-value"})
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "NUM_PROXIES": 1}
    forwarded.post("secrets", {"name": "TWO", "value": "some-value"})
    one, two = entries("secret.create")
    assert (one.address, two.address) == ("127.0.0.1", "192.0.2.7")
    assert one.request_id.startswith("req_")


def test_a_request_with_a_key_names_the_key() -> None:
    workspace = make_workspace()
    admin = make_user(workspace, Role.ADMIN)
    made = create_api_key(user=admin, workspace=workspace, name="ci", now=timezone.now())
    Caller(**{"X-Api-Key": made.secret}).post("secrets", {"name": "ONE", "value": "some-value"})
    assert only("secret.create").api_key == made.key.prefix
    assert only("key.create").target_id == made.key.prefix
    assert made.secret not in json.dumps(only("key.create").detail)


def test_what_is_rolled_back_is_not_on_record() -> None:
    workspace = make_workspace()
    admin = make_user(workspace, Role.ADMIN)
    with transaction.atomic():
        create_secret(workspace=workspace, actor=admin, name="ONE", value="some-value")
        assert entries("secret.")
        transaction.set_rollback(True)
    assert not entries()
    assert not Unsealed.objects.exists()


def test_starting_a_run_costs_one_insert_in_the_transaction_that_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    template = make_template([noop("a")])
    start(template)
    sent: list[str] = []
    run = EngineTransaction.run

    def counting(self: EngineTransaction, statement: Any, parameters: Any = ()) -> Any:
        sent.append(" ".join(statement.split())[:30])
        return run(self, statement, parameters)

    monkeypatch.setattr(EngineTransaction, "run", counting)
    with CaptureQueriesContext(connection) as others:
        execution = start_execution(
            workspace=template.workspace, actor=template.owner, template=template, input={}
        ).execution
    written = [statement for statement in sent if "audit" in statement]
    assert written == ["INSERT INTO audit_entry (event"]
    assert sent.index(written[0]) < sent.index("COMMIT")
    assert not [query for query in others if "audit" in query["sql"]]
    entry = AuditEntry.objects.get(action="execution.start", target_id=execution.public_id)
    version = template.current_version
    assert version is not None
    assert entry.detail["version"] == version.label
    assert entry.actor_id == template.owner_id


def test_a_start_that_is_repeated_by_its_key_is_on_record_once() -> None:
    template = make_template([noop("a")])
    for _ in range(2):
        start_execution(
            workspace=template.workspace,
            actor=template.owner,
            template=template,
            input={},
            idempotency_key="k",
        )
    only("execution.start")


def test_commands_on_runs_are_on_record_when_they_change_something() -> None:
    template = make_template([noop("a")])
    execution = start(template)
    asked = Asked.by(template.owner, "maintenance")
    for _ in range(2):
        pause_execution(execution.pk, asked)
    resume_execution(execution.pk, asked)
    cancel_execution(execution.pk, asked)
    done = [entry for entry in entries("execution.") if entry.action != "execution.start"]
    assert [entry.action.partition(".")[2] for entry in done] == ["pause", "resume", "cancel"]
    assert {(entry.actor_id, entry.detail["reason"]) for entry in done} == {
        (template.owner_id, "maintenance")
    }
    assert {entry.target_id for entry in done} == {execution.public_id}


def test_an_answer_is_on_record_with_what_was_shown() -> None:
    people = make_people()
    execution = run_asking(people, asking(message="Shall it be?"))
    approval = question_of(execution)
    answer = Caller(people.alice).post(f"approvals/{approval.public_id}/respond", {"approved": True})
    assert answer.status_code == 200
    entry = only("approval.respond")
    assert (entry.actor, entry.target_id) == ("alice", approval.public_id)
    assert entry.detail["approved"] is True
    assert entry.detail["decision"] == "approved"
    assert entry.detail["version"] == approval.version
    assert entry.detail["inputSha256"] == approval.input_sha256
    assert len(entry.detail["shownSha256"]) == 64
    # The second click decides nothing.
    Caller(people.alice).post(f"approvals/{approval.public_id}/respond", {"approved": True})
    only("approval.respond")


def test_a_refusal_is_on_record_with_the_permission_that_was_missing() -> None:
    workspace = make_workspace()
    viewer = make_user(workspace, Role.VIEWER, username="vera")
    assert Caller(viewer).post("secrets", {"name": "ONE", "value": "some-value"}).status_code == 403
    entry = only("request.denied")
    assert (entry.workspace_id, entry.actor, entry.outcome) == (workspace.pk, "vera", "denied")
    assert entry.target_id == "/api/v1/secrets"
    assert entry.detail == {"method": "POST", "status": 403, "permission": "secret:create"}


def test_refusals_are_not_a_way_to_fill_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(denials, "MOST", 3)
    for number in range(5):
        assert Caller(Authorization=f"Bearer no-token-{number}").get("templates").status_code == 401
    assert Caller().get("templates").status_code == 401
    told = [entry.detail.get("further", "") for entry in entries("request.denied")]
    assert told == ["", "", "not recorded for an hour"]
    assert {entry.actor for entry in entries()} == {"unknown"}


def test_sign_ins_are_on_record_and_what_was_typed_for_a_name_is_not() -> None:
    user = make_user(make_workspace(), Role.ADMIN, username="ada", is_staff=True)
    for name, word in (("ada", "a-long-password"), ("ada", "wrong"), ("my-secret-password", "wrong")):
        Caller().post("auth/token", {"username": name, "password": word})
    browser = Client()
    page = {"username": "ada", "password": "a-long-password", "next": "/admin/"}
    assert browser.post("/admin/login/", page).status_code == 302
    assert browser.post("/admin/logout/").status_code == 200
    found = [(entry.actor, entry.outcome, entry.source) for entry in entries("user.login")]
    assert found == [
        ("ada", "success", "api"),
        ("ada", "failure", "api"),
        ("unknown", "failure", "api"),
        ("ada", "success", "admin"),
    ]
    assert only("user.logout").target_id == user.public_id
    kept = json.dumps([[e.actor, e.target_id, e.detail] for e in entries()])
    assert "my-secret-password" not in kept
    assert "wrong" not in kept


def test_users_and_members_are_on_record_when_the_admin_changes_them() -> None:
    workspace = make_workspace()
    root = make_user(workspace, Role.ADMIN, username="root", is_staff=True, is_superuser=True)
    bob = make_user(username="bob")
    browser = Client()
    browser.force_login(root)
    form = {"user": bob.pk, "workspace": workspace.pk, "role": Role.OPERATOR.value}
    assert browser.post("/admin/accounts/membership/add/", form).status_code == 302
    entry = only("member.create")
    assert entry.workspace_id == workspace.pk
    assert (entry.detail["user"], entry.detail["role"], entry.actor) == ("bob", "workflow_operator", "root")
    password = {
        "password1": "another-long-one-9",
        "password2": "another-long-one-9",
        "usable_password": "true",
    }
    assert browser.post(f"/admin/accounts/user/{bob.pk}/password/", password).status_code == 302
    entry = only("user.change")
    assert entry.target_id == bob.public_id
    assert "password" in " ".join(entry.detail["changes"])
    assert "another-long-one" not in json.dumps(entry.detail)
    membership = Membership.objects.get(user=bob)
    selected = {"action": "delete_selected", "_selected_action": membership.pk, "post": "yes"}
    assert browser.post("/admin/accounts/membership/", selected).status_code == 302
    assert not Membership.objects.filter(user=bob).exists()
    only("member.delete")
