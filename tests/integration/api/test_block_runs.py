"""Rounds and items over HTTP: the whole run shows the last of each block, the list shows every one."""

import pytest

from executions_app.models import Execution
from tests.caller import Caller, problem_of
from tests.driver import run_until_quiet
from tests.factories import branch, noop
from tests.house import House, make_house

LOOP = [
    noop("begin", {"n": 0}),
    noop("each", "${n + item}", dependencies=["begin"], forEach="[10, 20]"),
    noop(
        "count",
        {"n": "${n + 1}"},
        dependencies=["each"],
        conditions={"branches": [branch("n < 2", "each"), branch(None, "end")]},
    ),
]


@pytest.fixture
def house(transactional_db: None) -> House:
    return make_house()


@pytest.fixture
def execution_id(developer: Caller) -> str:
    template_id = developer.post("templates", {"name": "T", "blocks": LOOP}).json()["templateId"]
    execution_id = str(developer.post("executions", {"templateId": template_id}).json()["executionId"])
    run_until_quiet(Execution.objects.get())
    return execution_id


def test_the_whole_run_shows_the_last_round_of_each_block(developer: Caller, execution_id: str) -> None:
    body = developer.get(f"executions/{execution_id}").json()
    assert body["status"] == "COMPLETED", body["error"]
    shown = [(block["blockId"], block["round"], block["status"]) for block in body["blockExecutions"]]
    assert shown == [("begin", None, "COMPLETED"), ("each", 1, "COMPLETED"), ("count", 1, "COMPLETED")]
    assert body["progress"]["completedBlocks"] == 3
    assert body["blockExecutions"][1]["output"]["results"] == [11, 21]


def test_the_list_shows_every_round_and_item(developer: Caller, execution_id: str) -> None:
    page = developer.get(f"executions/{execution_id}/blocks?blockId=each&limit=4").json()
    assert page["total"] == 6
    shown = [(run["round"], run["itemIndex"], run["item"], run["output"]) for run in page["blockExecutions"]]
    assert shown[1:3] == [(None, 0, 10, 10), (None, 1, 20, 20)]
    assert shown[0][:2] == (0, None)
    assert shown[3][:2] == (1, None)
    assert {run["generation"] for run in page["blockExecutions"]} == {1}
    assert developer.get(f"executions/{execution_id}/blocks?status=FAILED").json()["total"] == 0


def test_unknown_filters_are_refused(developer: Caller, execution_id: str) -> None:
    problem_of(developer.get(f"executions/{execution_id}/blocks?state=x"), 400, "INVALID_QUERY")
    problem_of(developer.get("executions/exec_none/blocks"), 404, "EXECUTION_NOT_FOUND")
