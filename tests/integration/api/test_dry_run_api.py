"""Dry runs over HTTP, and that they leave nothing behind."""

from typing import Any

import pytest

from executions_app.models import Execution
from templates_app.models import Template
from tests.caller import Caller, problem_of
from tests.house import House

TEMPLATE: dict[str, Any] = {
    "name": "Choice",
    "dsl": "start->fetch; fetch->big:rows>100; fetch->small:else; big->end; small->end;",
    "states": {
        "fetch": {
            "toolType": "API",
            "configuration": {"endpoint": "https://example.test/x", "responseMapping": {"rows": "body.rows"}},
        },
        "big": {"toolType": "NOOP", "configuration": {"output": {"was": "${rows}"}}},
        "small": {"toolType": "NOOP"},
    },
}


def test_a_template_is_tried_without_being_run(developer: Caller) -> None:
    template_id = developer.post("templates", TEMPLATE).json()["templateId"]
    answer = developer.post(f"templates/{template_id}/dry-run", {"outputs": {"fetch": {"rows": 200}}})
    assert answer.status_code == 200, answer.content
    body = answer.json()
    (run,) = body["runs"]
    assert (run["status"], run["path"], run["assumed"]) == ("COMPLETED", ["fetch", "big"], {})
    assert run["edgesTaken"] == ["fetch->big", "big->end"]
    assert run["steps"][0]["conditions"] == [{"condition": "rows>100", "result": True}]
    assert run["context"] == {"rows": 200, "was": 200}
    assert body["coverage"] == {
        "complete": False,
        "unreachedBlocks": ["small"],
        "untakenEdges": ["fetch->small", "small->end"],
    }
    assert not Execution.objects.exists()


def test_every_branch_of_an_unsaved_body_is_tried(developer: Caller) -> None:
    answer = developer.post("templates/dry-run", {"template": TEMPLATE, "allBranches": True})
    assert answer.status_code == 200, answer.content
    body = answer.json()
    assert body["coverage"]["complete"]
    assert [run["path"] for run in body["runs"]] == [["fetch", "big"], ["fetch", "small"]]
    assert body["runs"][1]["assumed"]["outputs"]["fetch"]["rows"] <= 100
    assert not Template.objects.exists()


def test_what_a_tool_never_gives_is_not_assumed(developer: Caller) -> None:
    states = TEMPLATE["states"] | {
        "fetch": {"toolType": "API", "configuration": {"endpoint": "https://example.test/x"}}
    }
    answer = developer.post("templates/dry-run", {"template": TEMPLATE | {"states": states}}).json()
    (problem,) = answer["runs"][0]["problems"]
    assert (problem["type"], problem["blockId"]) == ("MISSING_NAME", "fetch")
    assert problem["pointer"] == "/blocks/0/conditions/branches/0/condition"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"template": TEMPLATE, "outputs": {"fetch": {"$error": "OOPS"}}}, "DRY_RUN_INVALID"),
        ({"template": TEMPLATE, "outputs": {"fetsh": {"rows": 1}}}, "DRY_RUN_INVALID"),
        ({"template": TEMPLATE, "outputs": []}, "INVALID_REQUEST"),
        ({}, "INVALID_REQUEST"),
        ({"template": {"name": "T", "dsl": "start->a; a->b; b->a;"}}, "INVALID_DEFINITION"),
        ({"template": {"name": "T", "dsl": "start->"}}, "DSL_SYNTAX_ERROR"),
    ],
)
def test_what_cannot_be_tried_is_refused(developer: Caller, body: Any, code: str) -> None:
    assert problem_of(developer.post("templates/dry-run", body), 422, code)["errors"]


def test_foreign_templates_and_viewers_are_kept_out(developer: Caller, other_house: House) -> None:
    template_id = developer.post("templates", TEMPLATE).json()["templateId"]
    problem_of(other_house.caller().post(f"templates/{template_id}/dry-run"), 404, "TEMPLATE_NOT_FOUND")
