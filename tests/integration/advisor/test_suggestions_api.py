"""Suggestions over HTTP: analysed, listed, read, accepted, rejected; by whom, and what others see of them."""

from typing import Any

import pytest

from templates_app.models import Template
from tests.advised import unretried
from tests.caller import Caller
from tests.factories import make_user, make_workspace
from workflow_service.accounts.models import Role

pytestmark = pytest.mark.usefixtures("db")


@pytest.fixture(scope="module")
def template(db: None) -> Template:
    return unretried(20)


def place(template: Template, *more: str) -> str:
    return "/".join((f"templates/{template.public_id}/suggestions", *more))


def analysed(template: Template) -> dict[str, Any]:
    answer = Caller(template.owner).post(place(template), {"useModel": False})
    assert answer.status_code == 200, answer.json()
    found: dict[str, Any] = answer.json()
    return found


def test_an_analysis_answers_with_score_and_suggestions(template: Template) -> None:
    found = analysed(template)
    assert (found["runs"], found["model"], found["notes"]) == (20, "", [])
    assert {part["name"] for part in found["optimizationScore"]["parts"]} == {
        "reliability",
        "speed",
        "cost",
        "upkeep",
    }
    total = round(sum(part["points"] for part in found["optimizationScore"]["parts"]))
    assert found["optimizationScore"]["total"] == total < found["potentialScore"]
    [suggestion] = found["suggestions"]
    assert (suggestion["kind"], suggestion["type"], suggestion["blocks"]) == ("retry", "reliability", ["b"])
    assert suggestion["evidence"]["replay"]["before"] == 0.25
    assert suggestion["actualImprovement"] is None


def test_suggestions_are_listed_and_read_with_what_they_change(template: Template) -> None:
    [suggestion] = analysed(template)["suggestions"]
    caller = Caller(make_user(template.workspace, Role.VIEWER))
    listed = caller.get(place(template), {"status": "suggested"}).json()
    assert (listed["total"], listed["suggestions"]) == (1, [suggestion])
    assert caller.get(place(template), {"status": "rejected"}).json()["total"] == 0
    assert listed["optimizationScore"] is not None
    read = caller.get(place(template, suggestion["suggestionId"])).json()
    [changed] = read["changes"]["blocks"]["changed"]
    assert changed["blockId"] == "b"
    assert [one["pointer"] for one in changed["changes"]] == ["/blocks/1/retryPolicy/maxRetries"]
    assert read["definition"]["blocks"][1]["blockId"] == "b"


def test_who_may_not_change_a_template_decides_nothing_about_it(template: Template) -> None:
    [suggestion] = analysed(template)["suggestions"]
    own = place(template, suggestion["suggestionId"])
    viewer = Caller(make_user(template.workspace, Role.VIEWER))
    for path in (place(template), f"{own}/accept", f"{own}/reject"):
        assert viewer.post(path, {}).status_code == 403
    stranger = Caller(make_user(make_workspace(), Role.ADMIN))
    for path in (place(template), own):
        assert stranger.get(path).status_code == 404
    for path in (place(template), f"{own}/accept", f"{own}/reject"):
        assert stranger.post(path, {}).status_code == 404
    assert Caller(template.owner).get(place(template, "opt_nothing")).json()["code"] == "SUGGESTION_NOT_FOUND"


def test_what_is_wrong_with_a_request_is_said(template: Template) -> None:
    caller = Caller(template.owner)
    for body in ({"since": "yesterday"}, {"useModel": "perhaps"}, {"everything": True}):
        answer = caller.post(place(template), body)
        assert (answer.status_code, answer.json()["code"]) == (422, "INVALID_REQUEST")
    assert caller.get(place(template), {"status": "great"}).status_code == 400


def test_a_suggestion_is_taken_once_and_the_same_request_gets_the_same_answer() -> None:
    template = unretried(20)
    [suggestion] = analysed(template)["suggestions"]
    own, caller = place(template, suggestion["suggestionId"]), Caller(template.owner)
    key = {"Idempotency-Key": suggestion["suggestionId"]}
    taken = caller.post(f"{own}/accept", {"changeNote": "try again"}, **key)
    assert (taken.status_code, taken.json()["status"]) == (200, "accepted")
    assert caller.post(f"{own}/accept", {"changeNote": "try again"}, **key).json() == taken.json()
    assert caller.post(f"{own}/accept", {}).json()["code"] == "SUGGESTION_DECIDED"
    assert caller.post(f"{own}/reject", {}).status_code == 409
    version = caller.get(f"templates/{template.public_id}/versions/{taken.json()['acceptedVersion']}").json()
    assert version["changeNote"] == "try again"
