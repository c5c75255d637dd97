"""Sub-workflows through the API: what validation says of them, and how parent and child name each other."""

from typing import Any

import pytest

from executions_app.selectors import children_of
from templates_app.models import Template
from tests.caller import Caller, problem_of
from tests.driver import run_until_quiet
from tests.factories import make_template, noop, start
from tests.house import House
from workflow_service.engine.states import TemplateStatus

pytestmark = pytest.mark.django_db(transaction=True)


def calling(template_id: str, **configuration: Any) -> dict[str, Any]:
    configuration = {"template": template_id, **configuration}
    block = {"blockId": "call", "toolType": "SUBWORKFLOW", "configuration": configuration}
    return {"name": "Parent", "blocks": [noop("first"), block | {"dependencies": ["first"]}]}


@pytest.fixture
def child(house: House) -> Template:
    return make_template([noop("a")], workspace=house.workspace)


def findings_of(developer: Caller, body: dict[str, Any]) -> list[dict[str, Any]]:
    answer = developer.post("templates/validate", body)
    assert answer.status_code == 200, answer.content
    document = answer.json()
    errors = [issue for issue in document["issues"] if issue["severity"] == "ERROR"]
    assert document["valid"] is (not errors)
    return errors


def test_a_child_that_is_active_is_nothing_to_find(developer: Caller, child: Template) -> None:
    assert findings_of(developer, calling(child.public_id, version=1)) == []
    assert findings_of(developer, calling("${workflow.input.which}")) == []


def test_a_template_nobody_knows_is_found_and_the_nearest_suggested(
    developer: Caller, other_house: House, child: Template
) -> None:
    foreign = make_template([noop("a")], workspace=other_house.workspace)
    for unknown in (child.public_id + "x", foreign.public_id):
        [found] = findings_of(developer, calling(unknown))
        assert (found["type"], found["pointer"]) == ("UNKNOWN_TEMPLATE", "/blocks/1/configuration/template")
    assert child.public_id in findings_of(developer, calling(child.public_id + "x"))[0]["suggestion"]


def test_a_version_nobody_knows_is_found(developer: Caller, child: Template) -> None:
    [found] = findings_of(developer, calling(child.public_id, version="2.0.0"))
    assert (found["type"], found["pointer"]) == ("UNKNOWN_VERSION", "/blocks/1/configuration/version")


def test_a_child_that_is_a_draft_keeps_its_parent_one(developer: Caller, child: Template) -> None:
    Template.objects.filter(pk=child.pk).update(status=TemplateStatus.DRAFT)
    created = developer.post("templates", calling(child.public_id))
    assert created.status_code == 201
    assert created.json()["status"] == "draft"
    template_id = created.json()["templateId"]
    refused = problem_of(developer.post(f"templates/{template_id}/publish"), 422, "INVALID_DEFINITION")
    assert [one["code"] for one in refused["errors"]] == ["TEMPLATE_NOT_ACTIVE"]
    Template.objects.filter(pk=child.pk).update(status=TemplateStatus.ACTIVE)
    assert developer.post(f"templates/{template_id}/publish").status_code == 200


def test_a_template_does_not_start_itself(developer: Caller) -> None:
    created = developer.post("templates", {"name": "T", "blocks": [noop("a")]}).json()
    refused = developer.put(f"templates/{created['templateId']}", calling(created["templateId"]))
    problem = problem_of(refused, 422, "INVALID_DEFINITION")
    assert [one["code"] for one in problem["errors"]] == ["TEMPLATE_STARTS_ITSELF"]


def test_parent_and_child_name_each_other(house: House, developer: Caller, child: Template) -> None:
    blocks = calling(child.public_id, input={"n": 1})["blocks"]
    execution = run_until_quiet(start(make_template(blocks, workspace=house.workspace)))
    inner = children_of(execution).get()
    shown = developer.get(f"executions/{execution.public_id}").json()
    assert shown["parentExecutionId"] is None
    assert shown["blockedBlocks"] == ["call"]
    assert [block["childExecutionId"] for block in shown["blockExecutions"]] == [None, inner.public_id]
    assert shown["blockExecutions"][1]["input"] == {"n": 1}
    assert developer.get(f"executions/{inner.public_id}").json()["parentExecutionId"] == execution.public_id
