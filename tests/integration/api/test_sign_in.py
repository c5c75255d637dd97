"""Tokens, sessions, API keys: who a request is from."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from tests.caller import Caller, problem_of
from tests.factories import make_user, make_workspace
from tests.house import House
from workflow_service.accounts.api_keys import create_api_key, find_api_key
from workflow_service.accounts.models import ApiKey, Membership, Role
from workflow_service.accounts.policies import KEY_SCOPES
from workflow_service.accounts.tokens import issue_tokens

PASSWORD = "a-long-password"


def sign_in(username: str, password: str = PASSWORD) -> Any:
    return Caller().post("auth/token", {"username": username, "password": password})


def test_a_password_gives_tokens_that_say_who_one_is(house: House) -> None:
    answer = sign_in(house.developer.username)
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store"
    tokens = answer.json()
    assert (tokens["tokenType"], tokens["expiresIn"]) == ("Bearer", 1_800)
    me = Caller(Authorization=f"Bearer {tokens['access']}").get("auth/me").json()
    assert (me["userId"], me["username"]) == (house.developer.public_id, house.developer.username)
    (workspace,) = me["workspaces"]
    assert workspace["workspaceId"] == house.workspace.public_id
    assert workspace["roles"] == ["workflow_developer"]
    assert "execution:start" in workspace["actions"]
    assert "execution:control" not in workspace["actions"]


@pytest.mark.parametrize(("username", "password"), [("nobody", PASSWORD), (None, "wrong-password")])
def test_wrong_credentials_are_one_answer(house: House, username: str | None, password: str) -> None:
    answer = sign_in(username or house.developer.username, password)
    assert (
        problem_of(answer, 401, "INVALID_CREDENTIALS")["detail"]
        == "the user name or the password is not right"
    )
    assert answer["WWW-Authenticate"].startswith("Bearer")


def test_a_refresh_token_gives_new_tokens_and_an_access_token_does_not(house: House) -> None:
    tokens = issue_tokens(house.developer)
    fresh = Caller().post("auth/token/refresh", {"refresh": tokens.refresh})
    assert Caller(Authorization=f"Bearer {fresh.json()['access']}").get("auth/me").status_code == 200
    problem_of(Caller().post("auth/token/refresh", {"refresh": tokens.access}), 401, "INVALID_CREDENTIALS")
    problem_of(Caller(Authorization=f"Bearer {tokens.refresh}").get("auth/me"), 401, "INVALID_CREDENTIALS")


def test_a_changed_password_ends_every_token(house: House) -> None:
    tokens = issue_tokens(house.developer)
    house.developer.set_password("another-long-password")
    house.developer.save()
    problem_of(Caller(Authorization=f"Bearer {tokens.access}").get("auth/me"), 401, "INVALID_CREDENTIALS")
    problem_of(Caller().post("auth/token/refresh", {"refresh": tokens.refresh}), 401, "INVALID_CREDENTIALS")


def test_a_deactivated_user_is_out_at_once(house: House) -> None:
    caller = house.caller(Role.OPERATOR)
    house.members[Role.OPERATOR].is_active = False
    house.members[Role.OPERATOR].save()
    problem_of(caller.get("auth/me"), 401, "INVALID_CREDENTIALS")
    problem_of(sign_in(house.members[Role.OPERATOR].username), 401, "INVALID_CREDENTIALS")


@pytest.mark.parametrize(
    "path",
    ["auth/me", "workspaces", "api-keys", "templates", "templates/tpl_1", "executions", "executions/exec_1"],
)
def test_without_credentials_it_is_401(db: None, path: str) -> None:
    answer = Caller().get(path)
    problem_of(answer, 401, "NOT_AUTHENTICATED")
    assert answer["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("header", ["Bearer", "Bearer a.b.c", "ApiKey wfk_x", "Basic YTpi", "Bearer \x7f"])
def test_credentials_that_are_none_are_401(db: None, header: str) -> None:
    answer = Caller(Authorization=header).get("auth/me")
    assert answer.status_code == 401


def test_a_session_reads_and_needs_the_csrf_token_to_write(house: House) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(house.developer)
    assert browser.get("/api/v1/auth/me").status_code == 200
    refused = browser.post("/api/v1/api-keys", {"name": "x"}, content_type="application/json")
    assert "CSRF" in problem_of(refused, 403, "FORBIDDEN")["detail"]


def test_an_api_key_is_shown_once_and_acts_as_its_user_within_its_scopes(
    house: House, developer: Caller
) -> None:
    answer = developer.post("api-keys", {"name": "ci", "scopes": ["template:read"]})
    assert answer.status_code == 201
    made = answer.json()
    stored = ApiKey.objects.get(prefix=made["prefix"])
    assert made["apiKey"].startswith(f"wfk_{stored.prefix}.")
    assert made["apiKey"].split(".")[1] not in (stored.digest, stored.name)
    for headers in ({"X-Api-Key": made["apiKey"]}, {"Authorization": f"ApiKey {made['apiKey']}"}):
        me = Caller(**headers).get("auth/me").json()
        assert (me["username"], me["apiKey"]) == (house.developer.username, stored.prefix)
        assert me["workspaces"][0]["actions"] == ["template:read"]
    machine = Caller(**{"X-Api-Key": made["apiKey"]})
    assert machine.get("templates").status_code == 200
    problem_of(machine.get("executions"), 403, "FORBIDDEN")
    listed = developer.get("api-keys").json()
    assert [key["prefix"] for key in listed["apiKeys"]] == [stored.prefix]
    assert "apiKey" not in listed["apiKeys"][0]
    assert listed["apiKeys"][0]["lastUsedAt"] is not None


def test_a_revoked_key_is_refused_at_once(developer: Caller) -> None:
    made = developer.post("api-keys", {"name": "ci"}).json()
    machine = Caller(**{"X-Api-Key": made["apiKey"]})
    assert machine.get("templates").status_code == 200
    assert developer.delete(f"api-keys/{made['prefix']}").status_code == 204
    assert developer.delete(f"api-keys/{made['prefix']}").status_code == 204
    problem_of(machine.get("templates"), 401, "INVALID_CREDENTIALS")


def test_a_key_cannot_make_keys(developer: Caller) -> None:
    made = developer.post("api-keys", {"name": "ci"}).json()
    assert set(made["scopes"]) == KEY_SCOPES
    problem_of(Caller(**{"X-Api-Key": made["apiKey"]}).post("api-keys", {"name": "more"}), 403, "FORBIDDEN")


def test_a_key_is_bound_to_its_workspace(house: House) -> None:
    second = make_workspace()
    Membership.objects.create(workspace=second, user=house.developer, role=Role.DEVELOPER)
    made = create_api_key(user=house.developer, workspace=second, name="ci", now=timezone.now())
    machine = Caller(**{"X-Api-Key": made.secret})
    assert machine.get("templates").status_code == 200
    problem_of(
        machine.get("templates", {"workspaceId": house.workspace.public_id}), 404, "WORKSPACE_NOT_FOUND"
    )


def test_a_key_loses_what_its_user_loses(house: House) -> None:
    made = create_api_key(user=house.developer, workspace=house.workspace, name="ci", now=timezone.now())
    Membership.objects.filter(user=house.developer).delete()
    problem_of(Caller(**{"X-Api-Key": made.secret}).get("templates"), 404, "WORKSPACE_NOT_FOUND")


def test_an_expired_key_is_none_and_a_wrong_secret_too(house: House) -> None:
    now = timezone.now()
    made = create_api_key(
        user=house.developer,
        workspace=house.workspace,
        name="ci",
        now=now,
        expires_at=now + timedelta(hours=1),
    )
    assert find_api_key(made.secret, now=now) is not None
    assert find_api_key(made.secret, now=now + timedelta(hours=1)) is None
    changed = made.secret[:-1] + ("A" if made.secret[-1] != "A" else "B")
    assert find_api_key(changed, now=now) is None


def test_a_key_that_cannot_be_is_refused_with_every_reason(developer: Caller) -> None:
    body = {"name": "ci", "scopes": ["member:manage", "fly"], "expiresAt": "2020-01-01T00:00:00Z"}
    errors = problem_of(developer.post("api-keys", body), 422, "API_KEY_INVALID")["errors"]
    assert [(error["pointer"], error["code"]) for error in errors] == [
        ("/scopes", "UNKNOWN_SCOPE"),
        ("/scopes", "UNKNOWN_SCOPE"),
        ("/expiresAt", "EXPIRY_OUT_OF_RANGE"),
    ]


def test_keys_of_others_are_seen_by_who_manages_keys(
    house: House, developer: Caller, other_house: House
) -> None:
    made = developer.post("api-keys", {"name": "ci"}).json()
    assert house.caller(Role.OPERATOR).get("api-keys").json()["total"] == 0
    problem_of(house.caller(Role.OPERATOR).delete(f"api-keys/{made['prefix']}"), 404, "API_KEY_NOT_FOUND")
    problem_of(other_house.caller(Role.ADMIN).delete(f"api-keys/{made['prefix']}"), 404, "API_KEY_NOT_FOUND")
    assert house.caller(Role.ADMIN).get("api-keys").json()["total"] == 1
    assert house.caller(Role.ADMIN).delete(f"api-keys/{made['prefix']}").status_code == 204


def test_several_workspaces_are_told_apart_by_name(house: House) -> None:
    second = make_workspace()
    user = make_user(house.workspace, Role.VIEWER)
    Membership.objects.create(workspace=second, user=user, role=Role.VIEWER)
    caller = Caller(user)
    problem_of(caller.get("templates"), 400, "WORKSPACE_REQUIRED")
    assert caller.get("templates", {"workspaceId": second.public_id}).status_code == 200
    assert caller.get("templates", **{"X-Workspace-Id": second.slug}).status_code == 200
    conflict = caller.get("templates", {"workspaceId": second.public_id}, **{"X-Workspace-Id": "another"})
    problem_of(conflict, 400, "WORKSPACE_CONFLICT")
    assert caller.get("workspaces").json()["total"] == 2


def test_who_is_in_no_workspace_finds_nothing(db: None) -> None:
    caller = Caller(make_user())
    problem_of(caller.get("templates"), 404, "WORKSPACE_NOT_FOUND")
    assert caller.get("workspaces").json() == {"workspaces": [], "total": 0}
