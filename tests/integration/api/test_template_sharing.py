"""Sharing templates over HTTP: what rights let their holders do, and to whom templates are given."""

from typing import Any

import pytest
from django.contrib.auth.models import Group

from tests.caller import Caller, problem_of
from tests.factories import make_user, noop
from tests.house import House
from workflow_service.accounts.models import Membership, Role, User

BODY = {"name": "T", "blocks": [noop("a")]}
CHANGED = {"name": "T", "blocks": [noop("b")]}


@pytest.fixture
def path(developer: Caller) -> str:
    return f"templates/{developer.post('templates', BODY).json()['templateId']}"


@pytest.fixture
def viewer(house: House) -> User:
    return house.members[Role.VIEWER]


def share(caller: Caller, path: str, grantee: str, *rights: str) -> Any:
    return caller.put(f"{path}/shares/{grantee}", {"permissions": [f"workflow:{right}" for right in rights]})


def doors(caller: Caller, path: str) -> set[str]:
    """Return what the caller may do with a template, by trying."""
    template_id = path.removeprefix("templates/")
    tried = {
        "read": caller.get(path),
        "update": caller.put(path, CHANGED),
        "patch": caller.patch(path, {"tags": ["x"]}),
        "publish": caller.post(f"{path}/publish"),
        "rollback": caller.post(f"{path}/rollback", {"version": "1"}),
        "clone": caller.post(f"{path}/clone"),
        "start": caller.post("executions", {"templateId": template_id}),
        "share": share(caller, path, "group:none"),
        "transfer": caller.put(f"{path}/owner", {"owner": "nobody"}),
        "archive": caller.delete(path),
        "restore": caller.post(f"{path}/restore"),
    }
    for name, answer in tried.items():
        assert answer.status_code in (200, 201, 202, 204, 403, 404), (name, answer.content)
    return {name for name, answer in tried.items() if answer.status_code != 403}


UPDATING = {"update", "patch", "publish", "rollback"}
OPENED: dict[str, set[str]] = {
    "read": set(),
    "create": {"clone"},
    "update": UPDATING,
    "delete": {"archive", "restore"},
    "execute": {"start"},
    "admin": UPDATING | {"clone", "archive", "restore", "start", "share"},
}


def test_a_right_opens_its_doors_and_no_others(developer: Caller, path: str, viewer: User) -> None:
    assert doors(Caller(viewer), path) == {"read"}, "nothing is shared yet"
    for right, opened in OPENED.items():
        shared = f"templates/{developer.post('templates', BODY).json()['templateId']}"
        assert share(developer, shared, f"user:{viewer.username}", right).status_code == 200
        assert doors(Caller(viewer), shared) == {"read"} | opened, right
    assert doors(Caller(viewer), path) == {"read"}, "each is for its template alone"


def test_a_group_shares_with_whoever_is_in_it(developer: Caller, path: str, house: House) -> None:
    group = Group.objects.create(name="night / shift")
    operator, viewer = house.members[Role.OPERATOR], house.members[Role.VIEWER]
    group.user_set.add(operator)
    assert share(developer, path, "group:night%20/%20shift", "update").status_code == 200
    assert Caller(operator).put(path, CHANGED).status_code == 200
    problem_of(Caller(viewer).put(path, CHANGED), 403, "FORBIDDEN")
    group.user_set.add(viewer)
    assert Caller(viewer).put(path, BODY).status_code == 200
    group.user_set.remove(viewer)
    problem_of(Caller(viewer).put(path, CHANGED), 403, "FORBIDDEN")


def test_rights_are_set_as_a_whole_listed_and_taken_back(developer: Caller, path: str, viewer: User) -> None:
    name = f"user:{viewer.username}"
    share(developer, path, name, "update", "execute", "execute")
    for _ in range(2):
        share(developer, path, f"user:{viewer.public_id}", "read", "execute")
    listed = Caller(viewer).get(f"{path}/shares").json()["shares"]
    assert listed == [{"grantee": name, "permissions": ["workflow:execute", "workflow:read"]}]
    assert [
        one["name"] for one in Caller(viewer).get("templates", {"shared": "true"}).json()["templates"]
    ] == ["T"]
    assert developer.get("templates", {"shared": "true"}).json()["total"] == 0
    for _ in range(2):
        assert developer.delete(f"{path}/shares/{name}").status_code == 204
    assert developer.get(f"{path}/shares").json()["shares"] == []
    problem_of(Caller(viewer).post("executions", {"templateId": path[10:]}), 403, "FORBIDDEN")


def test_who_was_let_start_a_run_controls_it(developer: Caller, path: str, viewer: User) -> None:
    share(developer, path, f"user:{viewer.username}", "execute")
    run = Caller(viewer).post("executions", {"templateId": path.removeprefix("templates/")}).json()
    theirs = developer.post("executions", {"templateId": path.removeprefix("templates/")}).json()
    assert Caller(viewer).post(f"executions/{run['executionId']}/cancel").status_code == 200
    problem_of(Caller(viewer).post(f"executions/{theirs['executionId']}/cancel"), 403, "FORBIDDEN")


def test_a_share_does_not_widen_an_api_key(developer: Caller, path: str, house: House) -> None:
    operator = house.members[Role.OPERATOR]
    share(developer, path, f"user:{operator.username}", "admin")
    key = Caller(operator).post("api-keys", {"name": "k", "scopes": ["template:read", "template:update"]})
    narrow = Caller(**{"X-Api-Key": key.json()["apiKey"]})
    assert narrow.patch(path, {"tags": ["by key"]}).status_code == 200
    for refused in (narrow.delete(path), narrow.post("executions", {"templateId": path[10:]})):
        problem_of(refused, 403, "FORBIDDEN")


def test_a_share_ends_with_the_membership(developer: Caller, path: str, viewer: User, house: House) -> None:
    share(developer, path, f"user:{viewer.username}", "admin")
    Membership.objects.filter(user=viewer).delete()
    problem_of(Caller(viewer).get(path), 404, "WORKSPACE_NOT_FOUND")
    assert developer.delete(f"{path}/shares/user:{viewer.username}").status_code == 204


def test_templates_are_shared_with_members_only(developer: Caller, path: str, other_house: House) -> None:
    Group.objects.create(name="elsewhere").user_set.add(other_house.developer)
    for grantee in (
        f"user:{other_house.developer.username}",
        "user:nobody",
        "group:elsewhere",
        "group:nothing",
        "nobody",
        "role:workflow_admin",
        "user:%00",
        "user:",
    ):
        problem_of(share(developer, path, grantee, "read"), 404, "GRANTEE_NOT_FOUND")
    stale = developer.put(f"{path}/shares/user:x", {"permissions": []}, **{"If-Match": '"0-0"'})
    problem_of(stale, 412, "STALE_TEMPLATE")
    bad = developer.put(f"{path}/shares/user:x", {"permissions": ["workflow:fly"]})
    assert problem_of(bad, 422, "INVALID_REQUEST")["errors"][0]["pointer"].startswith("/permissions")
    for caller in (other_house.caller(Role.ADMIN),):
        problem_of(caller.get(f"{path}/shares"), 404, "TEMPLATE_NOT_FOUND")
        problem_of(share(caller, path, "user:x", "read"), 404, "TEMPLATE_NOT_FOUND")


def test_a_template_is_given_to_another_who_may_have_one(developer: Caller, path: str, house: House) -> None:
    heir = make_user(house.workspace, Role.DEVELOPER)
    tag = developer.get(path)["ETag"]
    unfit = developer.put(f"{path}/owner", {"owner": house.members[Role.VIEWER].username})
    problem_of(unfit, 422, "OWNER_UNFIT")
    problem_of(developer.put(f"{path}/owner", {"owner": "nobody"}), 404, "GRANTEE_NOT_FOUND")
    stale = developer.put(f"{path}/owner", {"owner": heir.username}, **{"If-Match": '"0-0"'})
    problem_of(stale, 412, "STALE_TEMPLATE")
    given = developer.put(f"{path}/owner", {"owner": heir.username}, **{"If-Match": tag}).json()
    assert (given["ownerId"], given["createdBy"]) == (heir.public_id, house.developer.public_id)
    problem_of(developer.put(path, CHANGED), 403, "FORBIDDEN")
    assert Caller(heir).put(path, Caller(heir).get(path).json()).status_code == 200
    problem_of(developer.put(f"{path}/owner", {"owner": "me"}), 403, "FORBIDDEN")
