"""Templates over HTTP: creating, reading, replacing, publishing, archiving, searching."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from templates_app.api.examples import BLOCKS, DSL
from templates_app.models import Template, TemplateVersion
from tests.caller import Caller, problem_of
from tests.factories import noop
from tests.house import House
from workflow_service.accounts.models import Membership, Role


def create(caller: Caller, **fields: Any) -> dict[str, Any]:
    answer = caller.post("templates", {"name": "T", "blocks": [noop("a")]} | fields)
    assert answer.status_code == 201, answer.content
    body: dict[str, Any] = answer.json()
    return body


CYCLE = [noop("a", dependencies=["b"]), noop("b", dependencies=["a"])]


def test_a_valid_template_is_active_at_once(developer: Caller, house: House) -> None:
    answer = developer.post("templates", BLOCKS)
    body = answer.json()
    assert (answer.status_code, body["status"], body["version"], body["findings"]) == (
        201,
        "active",
        "1.0.0",
        [],
    )
    assert answer["Location"] == f"/api/v1/templates/{body['templateId']}"
    read = developer.get(f"templates/{body['templateId']}")
    assert read["ETag"] == answer["ETag"]
    assert read.json() == {key: value for key, value in body.items() if key != "findings"}
    assert body["createdBy"] == house.developer.public_id


def test_what_was_read_can_be_sent_back_and_changes_nothing(developer: Caller) -> None:
    for body in (BLOCKS, DSL):
        made = developer.post("templates", body).json()
        read = developer.get(f"templates/{made['templateId']}").json()
        again = developer.put(f"templates/{made['templateId']}", read)
        assert again.status_code == 200, again.content
        assert again.json()["version"] == "1.0.0"
        assert again.json()["blocks"] == read["blocks"]
        assert TemplateVersion.objects.filter(template__public_id=made["templateId"]).count() == 1


def test_the_dsl_of_a_template_makes_the_same_template(developer: Caller) -> None:
    made = developer.post("templates", DSL).json()
    spelt = developer.get(f"templates/{made['templateId']}/dsl").json()
    again = developer.post(
        "templates", {"name": "Again", "dsl": spelt["dsl"], "states": spelt["states"]}
    ).json()
    assert (again["blocks"], again["endDependencies"]) == (made["blocks"], made["endDependencies"])


def test_both_spellings_of_a_field_are_read_and_not_both_at_once(developer: Caller) -> None:
    made = create(developer, input_schema={"type": "object"}, global_settings={"max_parallel_blocks": 2})
    assert made["inputSchema"] == {"type": "object"}
    assert made["globalSettings"]["maxParallelBlocks"] == 2
    body = {"name": "T", "blocks": [noop("a")], "input_schema": {}, "inputSchema": {}}
    (error,) = problem_of(developer.post("templates", body), 422, "INVALID_REQUEST")["errors"]
    assert error["code"] == "BOTH_SPELLINGS"


def test_keys_of_user_data_stay_as_they_are(developer: Caller) -> None:
    configuration = {"output": {"snake_key": {"camelKey": 1, "x-y z": None}}}
    made = create(developer, blocks=[{"blockId": "a", "toolType": "NOOP", "configuration": configuration}])
    assert made["blocks"][0]["configuration"] == configuration


def test_a_template_with_errors_is_a_draft_with_findings_until_it_is_mended(developer: Caller) -> None:
    made = create(developer, blocks=CYCLE)
    assert made["status"] == "draft"
    (finding,) = made["findings"]
    assert (finding["type"], finding["severity"], finding["blocks"]) == (
        "CIRCULAR_DEPENDENCY",
        "ERROR",
        ["a", "b"],
    )
    path = f"templates/{made['templateId']}"
    refused = problem_of(developer.post(f"{path}/publish"), 422, "INVALID_DEFINITION")
    assert refused["errors"][0]["code"] == "CIRCULAR_DEPENDENCY"
    problem_of(developer.post("executions", {"templateId": made["templateId"]}), 422, "TEMPLATE_NOT_RUNNABLE")
    mended = developer.put(path, {"name": "T", "blocks": [noop("a"), noop("b", dependencies=["a"])]}).json()
    assert (mended["status"], mended["version"], mended["findings"]) == ("active", "1.1.0", [])


def test_an_active_template_is_given_no_version_with_errors(developer: Caller) -> None:
    made = create(developer)
    path = f"templates/{made['templateId']}"
    problem_of(developer.put(path, {"name": "T", "blocks": CYCLE}), 422, "INVALID_DEFINITION")
    assert developer.get(path).json()["blocks"] == made["blocks"]


def test_a_draft_is_published_when_one_asks(developer: Caller) -> None:
    made = create(developer, status="draft")
    assert made["status"] == "draft"
    assert developer.post(f"templates/{made['templateId']}/publish").json()["status"] == "active"
    problem_of(
        developer.post("templates", {"name": "T", "blocks": CYCLE, "status": "active"}),
        422,
        "INVALID_DEFINITION",
    )


def test_versions_are_kept_and_named(developer: Caller) -> None:
    path = f"templates/{create(developer)['templateId']}"
    second = {"name": "T", "blocks": [noop("b")], "changeNote": "Another block"}
    assert developer.put(path, second).json()["version"] == "1.1.0"
    assert (
        developer.put(path, {"name": "T", "blocks": [noop("c")], "version": "2.0.0"}).json()["version"]
        == "2.0.0"
    )
    below = developer.put(path, {"name": "T", "blocks": [noop("d")], "version": "1.5.0"})
    assert problem_of(below, 422, "INVALID_REQUEST")["errors"][0]["code"] == "VERSION_NOT_ABOVE"
    listed = developer.get(f"{path}/versions").json()
    assert [(one["version"], one["ordinal"], one["changeNote"]) for one in listed["versions"]] == [
        ("2.0.0", 3, ""),
        ("1.1.0", 2, "Another block"),
        ("1.0.0", 1, ""),
    ]
    for name, block in (("1.0.0", "a"), ("2", "b"), ("2.0.0", "c")):
        assert developer.get(path, {"version": name}).json()["blocks"][0]["blockId"] == block
    problem_of(developer.get(path, {"version": "9.9.9"}), 404, "TEMPLATE_VERSION_NOT_FOUND")


def test_a_stale_etag_is_refused_and_nothing_changes(developer: Caller) -> None:
    made = create(developer)
    path = f"templates/{made['templateId']}"
    old = developer.get(path)["ETag"]
    fresh = developer.put(path, {"name": "New", "blocks": [noop("a")]}, **{"If-Match": old})
    assert fresh.status_code == 200
    assert fresh["ETag"] != old
    stale = developer.put(path, {"name": "Lost", "blocks": [noop("a")]}, **{"If-Match": old})
    problem_of(stale, 412, "STALE_TEMPLATE")
    problem_of(developer.delete(path, **{"If-Match": old}), 412, "STALE_TEMPLATE")
    assert developer.get(path).json()["name"] == "New"
    assert developer.get(path, **{"If-None-Match": fresh["ETag"]}).status_code == 304
    problem_of(developer.put(path, made | {"findings": []}), 422, "INVALID_REQUEST")
    read_before = {key: value for key, value in made.items() if key != "findings"}
    problem_of(developer.put(path, read_before), 412, "STALE_TEMPLATE")


def test_fields_that_the_service_writes_are_refused(developer: Caller) -> None:
    answer = developer.post("templates", {"name": "T", "blocks": [noop("a")], "templateId": "tpl_mine"})
    assert problem_of(answer, 422, "INVALID_REQUEST")["errors"][0]["pointer"] == "/templateId"


def test_archived_templates_leave_the_list_and_stay_readable(developer: Caller) -> None:
    made = create(developer)
    path = f"templates/{made['templateId']}"
    assert developer.delete(path).status_code == 204
    assert developer.delete(path).status_code == 204
    assert developer.get(path).json()["status"] == "archived"
    assert developer.get("templates").json()["total"] == 0
    assert developer.get("templates", {"status": "archived"}).json()["total"] == 1
    for refused in (
        developer.put(path, {"name": "T", "blocks": [noop("b")]}),
        developer.post(f"{path}/publish"),
    ):
        problem_of(refused, 409, "TEMPLATE_ARCHIVED")
    problem_of(developer.post("executions", {"templateId": made["templateId"]}), 422, "TEMPLATE_NOT_RUNNABLE")


def test_the_list_is_filtered_and_paged_with_totals(developer: Caller) -> None:
    create(developer, name="Sales pipeline", tags=["etl", "sales"], metadata={"category": "data"})
    create(developer, name="Stock", description="counts SALES too", tags=["etl"], category="data")
    create(developer, name="Other", tags=["misc"])

    def names(**query: Any) -> list[str]:
        return [template["name"] for template in developer.get("templates", query).json()["templates"]]

    assert names() == ["Other", "Stock", "Sales pipeline"]
    assert names(tags="etl") == ["Stock", "Sales pipeline"]
    assert names(tags="etl,sales") == ["Sales pipeline"]
    assert names(category="data") == ["Stock", "Sales pipeline"]
    assert names(q="sales") == ["Sales pipeline", "Stock"], "the name counts for more than the description"
    assert names(status="draft") == []
    page = developer.get("templates", {"limit": 1, "offset": 1}).json()
    assert ([one["name"] for one in page["templates"]], page["total"], page["limit"], page["offset"]) == (
        ["Stock"],
        3,
        1,
        1,
    )


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"limit": "0"}, "/limit"),
        ({"limit": "101"}, "/limit"),
        ({"limit": "many"}, "/limit"),
        ({"offset": "-1"}, "/offset"),
        ({"offset": "9" * 30}, "/offset"),
        ({"status": "gone"}, "/status"),
        ({"tag": "etl"}, "/tag"),
        ({"q": "\x00"}, "/q"),
    ],
)
def test_a_query_that_cannot_be_is_400(developer: Caller, query: dict[str, str], pointer: str) -> None:
    errors = problem_of(developer.get("templates", query), 400, "INVALID_QUERY")["errors"]
    assert [error["pointer"] for error in errors] == [pointer]


def test_a_list_takes_the_same_number_of_queries_whatever_its_length(developer: Caller) -> None:
    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            developer.get("templates")
        return len(captured)

    create(developer)
    few = queries()
    for _ in range(5):
        create(developer)
    assert queries() == few


def test_foreign_templates_do_not_exist(developer: Caller, other_house: House) -> None:
    made = create(developer)
    stranger = other_house.caller(Role.ADMIN)
    path = f"templates/{made['templateId']}"
    for answer in (
        stranger.get(path),
        stranger.put(path, {"name": "Mine", "blocks": [noop("a")]}),
        stranger.delete(path),
        stranger.post(f"{path}/publish"),
        stranger.post(f"{path}/validate"),
        stranger.get(f"{path}/versions"),
        stranger.get(f"{path}/dsl"),
        stranger.post("executions", {"templateId": made["templateId"]}),
        stranger.get("templates/tpl_none"),
    ):
        problem_of(answer, 404, "TEMPLATE_NOT_FOUND")
    named = stranger.get("templates", {"workspaceId": Template.objects.get().workspace.public_id})
    problem_of(named, 404, "WORKSPACE_NOT_FOUND")
    assert stranger.get("templates").json()["total"] == 0


def test_a_user_of_two_workspaces_finds_a_template_by_its_id(house: House, other_house: House) -> None:
    made = create(house.caller())
    user = other_house.members[Role.VIEWER]
    Membership.objects.create(workspace=house.workspace, user=user, role=Role.VIEWER)
    assert Caller(user).get(f"templates/{made['templateId']}").status_code == 200
