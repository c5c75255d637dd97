"""The library over HTTP: browsing, reading, and installing once, twice and in another's workspace."""

from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from threading import Barrier

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from executions_app.models import Execution
from templates_app.library.catalog import get_library_template, library
from templates_app.models import Template
from templates_app.services.library import install_template
from tests.caller import Caller, problem_of
from tests.driver import run_until_quiet
from tests.house import House
from workflow_service.accounts.models import Role
from workflow_service.agents.limits import tool_limits


def test_the_library_is_browsed_by_words_category_feature_and_page(developer: Caller) -> None:
    everything = developer.get("library?limit=100").json()
    assert everything["total"] == len(everything["templates"]) == len(library())
    first = everything["templates"][0]
    assert set(first) >= {
        "slug",
        "name",
        "description",
        "category",
        "tags",
        "shows",
        "blockCount",
        "metadata",
    }
    assert first["installedAs"] is None
    page = developer.get("library?limit=2&offset=1").json()
    assert [one["slug"] for one in page["templates"]] == [one["slug"] for one in everything["templates"][1:3]]
    assert (page["total"], page["limit"], page["offset"]) == (len(library()), 2, 1)
    found = developer.get("library?q=purchase+order&category=finance").json()
    assert [one["slug"] for one in found["templates"]] == ["invoice-approval"]
    assert "finance" in found["categories"]
    undoing = developer.get("library?shows=compensation").json()["templates"]
    assert {one["slug"] for one in undoing} == {"order-processing", "backup"}
    assert developer.get("library?tags=etl,csv").json()["total"] == 1
    assert developer.get("library?colour=red").status_code == 400


def test_a_ready_template_is_read_with_graph_dsl_and_explanation(developer: Caller) -> None:
    body = developer.get("library/order-processing").json()
    assert body["dsl"].startswith("start->read_stock;")
    assert set(body["states"]) == {block["blockId"] for block in body["blocks"]}
    assert {"source": "charge_card", "target": "release_stock", "style": "default", "label": "else"} in body[
        "graph"
    ]["edges"]
    (asked,) = [node for node in body["graph"]["nodes"] if node["asksPeople"]]
    assert asked["id"] == "ask_customer"
    meanings = {(one["source"], one["target"]): one["meaning"] for one in body["branches"]}
    assert meanings["check_stock", "write_sold_out"] == "Nothing is on hand."
    assert body["examples"][0]["input"]["order"]["orderId"] == "W-1"
    assert body["files"] == ["library/order-processing/stock.csv"]
    assert body["inputSchema"]["required"] == ["order", "stockFile"]


def test_what_is_installed_runs_with_its_example(developer: Caller, house: House) -> None:
    answer = developer.post("library/expense-approval/install", {})
    body = answer.json()
    assert answer.status_code == 201, body
    assert (body["created"], body["status"], body["findings"]) == (True, "active", [])
    assert len(body["files"]) == 4
    template = developer.get(answer["Location"].removeprefix("/api/v1/")).json()
    assert template["name"] == "Expense approval"
    assert not any(tag.startswith("library") for tag in template["tags"])
    given = {
        one["name"]: one["input"] for one in developer.get("library/expense-approval").json()["examples"]
    }
    started = developer.post("executions", {"templateId": body["templateId"], "input": given["Small change"]})
    execution = Execution.objects.get(public_id=started.json()["executionId"])
    assert run_until_quiet(execution).status == "COMPLETED"


def test_installing_twice_tells_or_copies_as_asked(developer: Caller, house: House) -> None:
    first = developer.post("library/backup/install", {}).json()
    again = developer.post("library/backup/install", {})
    assert again.status_code == 200
    assert again.json() | {"created": True, "files": first["files"]} == first
    copy = developer.post("library/backup/install", {"whenInstalled": "copy"})
    assert copy.status_code == 201
    assert copy.json()["name"] == "Backup (2)"
    assert copy.json()["templateId"] != first["templateId"]
    assert Template.objects.filter(workspace=house.workspace).count() == 2
    listed = developer.get("library?q=backup").json()["templates"]
    assert {one["slug"]: one["installedAs"] for one in listed}["backup"] == first["templateId"]


def test_what_was_changed_since_is_told_and_files_are_left_alone(developer: Caller, house: House) -> None:
    first = developer.post("library/backup/install", {}).json()
    home = tool_limits().files_dir / house.workspace.public_id
    (home / "library/backup/doc_notes.txt").write_text("mine")
    (home / "library/backup/doc_ledger.csv").unlink()
    template = developer.get(f"templates/{first['templateId']}").json()
    template["blocks"][0]["description"] = "Ours."
    changed = {
        name: template[name] for name in ("name", "blocks", "gates", "endDependencies", "inputSchema", "tags")
    }
    assert developer.put(f"templates/{first['templateId']}", changed).status_code == 200
    again = developer.post("library/backup/install", {}).json()
    assert (again["created"], again["changed"]) == (False, True)
    assert again["files"] == ["library/backup/doc_ledger.csv"]
    assert (home / "library/backup/doc_notes.txt").read_text() == "mine"


def test_an_archived_one_is_installed_anew(developer: Caller) -> None:
    first = developer.post("library/backup/install", {}).json()
    assert developer.delete(f"templates/{first['templateId']}").status_code == 204
    again = developer.post("library/backup/install", {})
    assert again.status_code == 201
    assert again.json()["name"] == "Backup"


def test_the_same_request_sent_twice_installs_once(developer: Caller, house: House) -> None:
    for _ in range(2):
        answer = developer.post(
            "library/backup/install", {"whenInstalled": "copy"}, **{"Idempotency-Key": "install-1"}
        )
        assert answer.status_code == 201
    assert Template.objects.filter(workspace=house.workspace).count() == 1


def test_two_who_install_at_once_make_one(house: House) -> None:
    found = get_library_template("backup")
    begin = Barrier(2)

    def install() -> bool:
        begin.wait(10)
        try:
            return install_template(workspace=house.workspace, actor=house.developer, found=found).created
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        created = [future.result(30) for future in [pool.submit(install) for _ in range(2)]]
    assert sorted(created) == [False, True]
    assert Template.objects.filter(workspace=house.workspace).count() == 1


def test_who_may_not_create_templates_may_only_look(house: House) -> None:
    viewer = house.caller(Role.VIEWER)
    assert viewer.get("library").status_code == 200
    problem_of(viewer.post("library/backup/install", {}), 403, "FORBIDDEN")
    assert not Template.objects.exists()


def test_nobody_installs_into_a_workspace_of_others(developer: Caller, other_house: House) -> None:
    answer = developer.post("library/backup/install", {"workspaceId": other_house.workspace.public_id})
    assert answer.status_code in (403, 404)
    assert not Template.objects.exists()


@pytest.mark.parametrize("path", ["library/no-such", "library/..", "library/sales_etl"])
def test_what_the_library_does_not_have_is_not_found(developer: Caller, path: str) -> None:
    assert developer.get(path).status_code == 404


def test_a_body_that_is_none_is_refused(developer: Caller) -> None:
    for body in ({"whenInstalled": "maybe"}, {"force": True}):
        problem_of(developer.post("library/backup/install", body), 422, "INVALID_REQUEST")


def test_every_template_of_the_library_is_active_when_installed(house: House) -> None:
    for one in library().values():
        done = install_template(workspace=house.workspace, actor=house.developer, found=one)
        assert (done.template.status, done.findings) == ("active", ())


def command(*arguments: str) -> list[str]:
    """Return the lines that the command prints."""
    written = StringIO()
    call_command("install_library", *arguments, stdout=written)
    return written.getvalue().splitlines()


def test_the_command_lists_and_installs(house: House) -> None:
    assert len(command("--list")) == len(library())
    assert [line.split()[0] for line in command("--list", "--search", "purchase order")] == [
        "invoice-approval"
    ]
    name, workspace = house.developer.username, house.workspace.slug
    (line,) = command("backup", "--user", name)
    assert "installed, 5 file(s)" in line
    (line,) = command("backup", "--user", name, "--workspace", workspace)
    assert line.endswith("was there already")
    assert len(command("--all", "--user", name)) == len(library())
    assert Template.objects.filter(workspace=house.workspace).count() == len(library())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Name templates"),
        (["backup", "--all"], "Name templates"),
        (["no-such"], "no template 'no-such'"),
        (["backup", "--user", "nobody"], "no user 'nobody'"),
        (["backup", "--workspace", "elsewhere"], "elsewhere"),
    ],
)
def test_the_command_says_what_it_cannot_do(house: House, arguments: list[str], said: str) -> None:
    given = arguments if "--user" in arguments else [*arguments, "--user", house.developer.username]
    with pytest.raises(CommandError, match=said) as raised:
        command(*given)
    assert raised.value.returncode == 2


def test_a_template_that_only_says_it_is_of_the_library_is_not_taken_for_it(developer: Caller) -> None:
    block = {"blockId": "a", "toolType": "NOOP", "configuration": {}}
    other = developer.post(
        "templates", {"name": "Backup", "tags": ["library:backup"], "blocks": [block]}
    ).json()
    installed = developer.post("library/backup/install", {}).json()
    assert installed["created"] is True
    assert installed["templateId"] != other["templateId"]
