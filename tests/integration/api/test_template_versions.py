"""Versions over HTTP: their names, what differs between two, the way back, and templates made from templates."""

from typing import Any

import pytest

from templates_app.models import Template, TemplateVersion
from tests.caller import Caller, problem_of
from tests.factories import noop
from tests.house import House, make_house
from workflow_service.accounts.models import Role


@pytest.fixture
def house(db: None) -> House:
    return make_house()


def body(*blocks: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"name": "T", "blocks": list(blocks) or [noop("a", {"n": 1})], **fields}


def made(caller: Caller, *blocks: dict[str, Any], **fields: Any) -> str:
    answer = caller.post("templates", body(*blocks, **fields))
    assert answer.status_code == 201, answer.content
    return f"templates/{answer.json()['templateId']}"


@pytest.mark.parametrize(
    ("given", "label"),
    [
        ({"bump": "major"}, "2.0.0"),
        ({"bump": "minor"}, "1.1.0"),
        ({"bump": "patch"}, "1.0.1"),
        ({}, "1.1.0"),
        ({"version": "3.2.1"}, "3.2.1"),
    ],
)
def test_a_changed_definition_is_named_as_asked(developer: Caller, given: dict[str, str], label: str) -> None:
    path = made(developer)
    changed = body(noop("b"), **given)
    for _ in range(2):
        answer = developer.put(path, changed)
        assert (answer.status_code, answer.json()["version"]) == (200, label), "sent twice it is one version"
    assert developer.get(f"{path}/versions").json()["total"] == 2


def test_a_version_is_named_in_one_way(developer: Caller) -> None:
    path = made(developer)
    both = developer.put(path, body(noop("b"), bump="major", version="2.0.0"))
    assert problem_of(both, 422, "INVALID_REQUEST")["errors"][0]["pointer"] == "/bump"
    new = developer.post("templates", body(bump="major"))
    assert problem_of(new, 422, "INVALID_REQUEST")["errors"][0]["pointer"] == "/bump"


def test_every_version_has_an_address_and_never_changes(developer: Caller) -> None:
    path = made(developer, changeNote="The first")
    first = developer.get(f"{path}/versions/1")
    developer.put(path, body(noop("b"), name="Renamed"))
    for name in ("1", "1.0.0"):
        again = developer.get(f"{path}/versions/{name}")
        assert (again.json(), again["ETag"]) == (first.json(), first["ETag"])
    shown = first.json()
    assert (shown["version"], shown["ordinal"], shown["changeNote"]) == ("1.0.0", 1, "The first")
    assert shown["blocks"][0]["configuration"] == {"output": {"n": 1}}
    assert developer.get(f"{path}/versions/1.0.0", **{"If-None-Match": first["ETag"]}).status_code == 304
    for missing in ("9", "9.9.9", "0", "x", "%00", "1" * 99):
        problem_of(developer.get(f"{path}/versions/{missing}"), 404, "TEMPLATE_VERSION_NOT_FOUND")


def test_what_differs_is_told_field_by_field(developer: Caller) -> None:
    path = made(developer, noop("a", {"n": 1}), noop("b", dependencies=["a"]))
    changed = body(
        noop("a", {"n": 2}), noop("c", dependencies=["a"]), name="Renamed", globalSettings={"timeout": 5_000}
    )
    developer.put(path, changed)
    found = developer.get(f"{path}/diff", {"from": "1.0.0", "to": "1.1.0"}).json()
    assert (found["fromVersion"]["ordinal"], found["toVersion"]["version"]) == (1, "1.1.0")
    assert found["identical"] is False
    blocks = found["blocks"]
    assert [one["blockId"] for one in blocks["added"]] == ["c"]
    assert [(one["blockId"], one["pointer"]) for one in blocks["removed"]] == [("b", "/blocks/1")]
    (only,) = blocks["changed"]
    pointer = "/blocks/0/configuration/output/n"
    assert only["changes"] == [{"kind": "changed", "pointer": pointer, "old": 1, "new": 2}]
    assert found["globalSettings"] == [
        {"kind": "added", "pointer": "/globalSettings", "new": {"timeout": 5_000}}
    ]
    assert found["gates"] == {"added": [], "removed": [], "changed": []}
    assert developer.get(f"{path}/diff").json() == found, "the last change where nothing is asked for"
    back = developer.get(f"{path}/diff", {"from": "2", "to": "1"}).json()
    assert [one["blockId"] for one in back["blocks"]["added"]] == ["b"]
    same = developer.get(f"{path}/diff", {"from": "2", "to": "2"}).json()
    assert same["identical"] is True
    assert same["blocks"] == {"added": [], "removed": [], "changed": []}
    problem_of(developer.get(f"{path}/diff", {"from": "9"}), 404, "TEMPLATE_VERSION_NOT_FOUND")


def test_a_script_that_changed_on_its_own_is_a_difference(developer: Caller) -> None:
    block = {"blockId": "a", "toolType": "SCRIPT", "configuration": {"script": "count.py"}}

    def with_script(text: str) -> dict[str, Any]:
        return body(block, files={"scripts": {"count.py": text}})

    path = f"templates/{developer.post('templates', with_script('print(1)')).json()['templateId']}"
    assert developer.put(path, with_script("print(2)")).json()["version"] == "1.1.0"
    found = developer.get(f"{path}/diff").json()
    assert (found["identical"], found["blocks"]["changed"]) == (False, [])
    (change,) = found["files"]
    assert (change["kind"], change["pointer"]) == ("changed", "/files/scripts/count.py")
    assert (change["old"], change["new"]) == ("print(1)", "print(2)")
    developer.post(f"{path}/rollback", {"version": "1"})
    assert developer.get(f"{path}/diff", {"from": "1", "to": "3"}).json()["identical"] is True


def test_rolling_back_makes_a_new_version_equal_to_the_old_one(developer: Caller) -> None:
    path = made(developer)
    developer.put(path, body(noop("b"), name="Renamed", tags=["new"]))
    rolled = developer.post(f"{path}/rollback", {"version": "1.0.0", "bump": "patch"})
    shown = rolled.json()
    assert (rolled.status_code, shown["version"], shown["status"]) == (200, "1.1.1", "active")
    assert (shown["name"], shown["tags"]) == ("Renamed", ["new"]), "only the definition goes back"
    assert shown["blocks"] == developer.get(path, {"version": "1.0.0"}).json()["blocks"]
    assert developer.get(f"{path}/versions").json()["versions"][0]["changeNote"] == "Rolled back to 1.0.0"
    first, _, third = TemplateVersion.objects.order_by("ordinal")
    assert first.definition_sha256 == third.definition_sha256
    again = developer.post(f"{path}/rollback", {"version": "1"})
    assert (again.json()["version"], again["ETag"]) == ("1.1.1", rolled["ETag"]), "it says so already"
    stale = developer.post(f"{path}/rollback", {"version": "2"}, **{"If-Match": '"0-0"'})
    problem_of(stale, 412, "STALE_TEMPLATE")


def test_an_active_template_is_not_rolled_back_to_errors(developer: Caller) -> None:
    broken = [noop("a", dependencies=["b"]), noop("b", dependencies=["a"])]
    path = made(developer, *broken)
    assert developer.put(path, body()).json()["status"] == "active"
    problem_of(developer.post(f"{path}/rollback", {"version": "1"}), 422, "INVALID_DEFINITION")
    assert developer.get(path).json()["version"] == "1.1.0"


def test_a_clone_is_ones_own_and_says_where_it_came_from(developer: Caller, house: House) -> None:
    owner = house.caller(Role.ADMIN)
    path = made(owner, tags=["etl"], metadata={"category": "data"}, description="Counts")
    owner.put(path, body(noop("b"), tags=["etl"], metadata={"category": "data"}, description="Counts"))
    answer = developer.post(f"{path}/clone", {"name": "Mine", "version": "1.0.0"})
    clone = answer.json()
    assert (answer.status_code, clone["name"], clone["version"], clone["status"]) == (
        201,
        "Mine",
        "1.0.0",
        "active",
    )
    assert answer["Location"] == f"/api/v1/templates/{clone['templateId']}"
    assert (clone["ownerId"], clone["tags"], clone["category"]) == (
        house.developer.public_id,
        ["etl"],
        "data",
    )
    assert clone["blocks"][0]["blockId"] == "a"
    note = TemplateVersion.objects.get(template__public_id=clone["templateId"]).change_note
    assert note == f"Cloned from {path.removeprefix('templates/')} 1.0.0"
    assert developer.post(f"{path}/clone").json()["name"] == "Copy of T"
    problem_of(house.caller(Role.VIEWER).post(f"{path}/clone"), 403, "FORBIDDEN")


def test_a_clone_that_is_asked_for_twice_is_made_once(developer: Caller) -> None:
    path = made(developer)
    first, again = (developer.post(f"{path}/clone", {}, **{"Idempotency-Key": "one"}) for _ in range(2))
    assert first.json() == again.json()
    assert Template.objects.count() == 2


def test_the_clone_of_a_draft_is_a_draft(developer: Caller) -> None:
    assert developer.post(f"{made(developer, status='draft')}/clone").json()["status"] == "draft"


def test_a_patch_changes_the_header_and_no_version(developer: Caller) -> None:
    path = made(developer, description="Old", tags=["a"], metadata={"complexity": "low", "category": "data"})
    tag = developer.get(path)["ETag"]
    fields = {"name": "New", "metadata": {"estimatedDuration": 60}, "nlDescription": "First count, then stop"}
    answer = developer.patch(path, fields, **{"If-Match": tag})
    shown = answer.json()
    assert (shown["name"], shown["nlDescription"], shown["version"]) == (
        "New",
        "First count, then stop",
        "1.0.0",
    )
    assert shown["metadata"] == {"estimatedDuration": 60, "complexity": "low", "category": "data"}
    assert (shown["description"], shown["tags"]) == ("Old", ["a"])
    assert answer["ETag"] != tag
    problem_of(developer.patch(path, {"name": "Lost"}, **{"If-Match": tag}), 412, "STALE_TEMPLATE")
    again = developer.patch(path, fields, **{"If-Match": answer["ETag"]})
    assert again["ETag"] == answer["ETag"], "nothing is different: nothing is written"
    assert developer.patch(path, {"tags": [], "description": ""}).json()["tags"] == []


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"blocks": []}, "/blocks"),
        ({"status": "active"}, "/status"),
        ({"name": ""}, "/name"),
        ({"name": None}, "/name"),
        ({"tags": "a"}, "/tags"),
        ({"metadata": {"category": "x"}, "category": "y"}, "/category"),
        ({"metadata": {"estimatedDuration": -1}}, "/metadata/estimatedDuration"),
    ],
)
def test_a_patch_of_anything_else_is_refused(developer: Caller, fields: dict[str, Any], pointer: str) -> None:
    path = made(developer)
    errors = problem_of(developer.patch(path, fields), 422, "INVALID_REQUEST")["errors"]
    assert [error["pointer"] for error in errors] == [pointer]
    assert Template.objects.get().name == "T"
