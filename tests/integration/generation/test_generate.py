"""Templates from goals in plain words: document A's request, its constraints and preferences, with rules alone."""

import time
from typing import Any

import pytest

from executions_app.models import Execution
from templates_app.models import Template
from tests.caller import Caller, problem_of
from tests.driver import run_until_quiet
from tests.factories import make_agent
from tests.house import House, make_house
from workflow_service.accounts.models import Role
from workflow_service.agents.catalog import forget_agents

GOAL = (
    "Create a data processing pipeline that extracts data from CSV files, validates the data, transforms it, and loads "
    "it into a database"
)
RELEASE = "Build the image. Run the tests. If the tests fail, notify the team and stop. Deploy the image to production."


@pytest.fixture
def house(db: None) -> House:
    return make_house()


@pytest.fixture
def developer(house: House) -> Caller:
    return house.caller()


def generated(developer: Caller, goal: str, **more: Any) -> dict[str, Any]:
    answer = developer.post("templates/generate", {"goal": goal, **more})
    assert answer.status_code == 201, answer.content.decode()
    body: dict[str, Any] = answer.json()
    return body


def names(body: dict[str, Any]) -> list[str]:
    return [block["blockId"] for block in body["template"]["blocks"]]


def block(body: dict[str, Any], block_id: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in body["template"]["blocks"] if one["blockId"] == block_id)
    return found


def test_a_goal_becomes_an_active_template_with_work_for_every_block(developer: Caller) -> None:
    body = generated(developer, GOAL)
    template = Template.objects.get(public_id=body["templateId"])
    assert (template.status, template.nl_description) == ("active", GOAL)
    assert body["method"] == "rules"
    assert names(body) == ["extract_data", "validate_data", "transform_data", "load_data_into_database"]
    assert all(one["toolType"] not in (None, "NOOP") for one in body["template"]["blocks"])
    assert [stage["name"] for stage in body["steps"]] == ["query_agents", "parse", "build", "match_agents"]
    assert not [one for one in body["findings"] if one["severity"] == "ERROR"]


def test_a_generated_template_runs(transactional_db: None) -> None:
    developer = make_house().caller()
    body = generated(
        developer, "Wait 1 second. Ask the owner for a decision. If approved, wait 2 seconds, otherwise stop."
    )
    started = developer.post("executions", {"templateId": body["templateId"], "input": {}})
    assert started.status_code == 202, started.content.decode()
    execution = Execution.objects.get(public_id=started.json()["executionId"])
    assert run_until_quiet(execution).status in ("RUNNING", "WAITING_FOR_APPROVAL")


def test_preferred_agents_do_what_they_can(developer: Caller, house: House) -> None:
    make_agent(house.workspace, "validator", capabilities=[{"name": "validate-data"}], tool_types=["API"],
               configuration={"endpoint": "https://agents.example.com/validate"})  # fmt: skip
    make_agent(house.workspace, "checker", capabilities=[{"name": "data validation"}], tool_types=["API"],
               configuration={"endpoint": "https://agents.example.com/check"})  # fmt: skip
    forget_agents()
    body = generated(developer, GOAL, constraints={"preferredAgents": ["checker", "data-processor"]})
    assert block(body, "validate_data")["agentId"] == "checker"
    assert any("data-processor" in note for note in body["notes"])
    other = generated(developer, GOAL, constraints={"preferredAgents": ["validator"]})
    assert block(other, "validate_data")["agentId"] == "validator"


def test_the_timeout_is_that_of_the_run(developer: Caller) -> None:
    body = generated(developer, GOAL, constraints={"timeout": 3_600_000})
    assert body["template"]["globalSettings"]["timeout"] == 3_600_000


def test_steps_are_put_together_to_keep_to_max_blocks(developer: Caller) -> None:
    body = generated(developer, GOAL, constraints={"maxBlocks": 2})
    assert len(names(body)) == 2
    told = " ".join(one["description"] for one in body["template"]["blocks"]).lower()
    assert all(word in told for word in ("extracts", "validates", "transforms", "loads"))
    assert any("2 blocks" in note for note in body["notes"])


def test_too_few_blocks_are_refused_clearly(developer: Caller) -> None:
    answer = developer.post("templates/generate", {"goal": RELEASE, "constraints": {"maxBlocks": 1}})
    problem = problem_of(answer, 422, "TOO_MANY_BLOCKS")
    assert problem["errors"][0]["pointer"] == "/constraints/maxBlocks"
    assert not Template.objects.exists()


def test_parallel_execution_is_told_apart(developer: Caller) -> None:
    goal = "Draw the chart. In parallel, send the report and notify the team. Then archive the data."
    both = generated(developer, goal)
    assert block(both, "archive_data")["dependencies"] == ["notify_team", "send_report"]
    never = generated(developer, goal, preferences={"parallelExecution": False})
    assert block(never, "notify_team")["dependencies"] == ["send_report"]
    assert block(never, "archive_data")["dependencies"] == ["notify_team"]
    assert never["template"]["globalSettings"]["maxParallelBlocks"] == 1
    sequence = "Draw the chart. Send the report to the board. Notify the team. Archive the data."
    wanted = generated(developer, sequence, preferences={"parallelExecution": True})
    assert block(wanted, "archive_data")["dependencies"] == ["notify_team", "send_report"]
    assert wanted["template"]["globalSettings"]["maxParallelBlocks"] == 5


def test_a_person_approves_before_what_is_hard_to_take_back(developer: Caller) -> None:
    body = generated(developer, RELEASE, preferences={"humanApproval": True})
    asked = block(body, "approve_deploy_image")
    assert (asked["toolType"], asked["humanInLoop"]["required"]) == ("HUMAN", True)
    assert {branch["condition"]: branch["nextBlocks"] for branch in asked["conditions"]["branches"]} == {
        "approved==True": ["deploy_image"],
        "approved==False": ["end"],
    }
    assert "approve_deploy_image" not in names(
        generated(developer, RELEASE, preferences={"humanApproval": False})
    )


def test_an_approval_that_the_goal_asks_for_stays(developer: Caller) -> None:
    goal = "Draft the contract. Wait for approval by the director. Sign the contract."
    body = generated(developer, goal, preferences={"humanApproval": False})
    assert block(body, "wait_director_approval")["humanInLoop"]["approvalLevel"] == "director"
    assert any("humanApproval is false" in note for note in body["notes"])


def test_failures_are_handled_as_wanted(developer: Caller) -> None:
    aggressive = generated(developer, GOAL, preferences={"errorHandling": "aggressive"})
    assert block(aggressive, "handle_failure")["toolType"] == "HUMAN"
    assert all(one["onError"] == ["handle_failure"] for one in aggressive["template"]["blocks"][:-1])
    assert aggressive["template"]["globalSettings"]["defaultRetryPolicy"]["maxRetries"] == 5
    usual = generated(developer, GOAL)
    assert usual["template"]["globalSettings"]["defaultRetryPolicy"]["maxRetries"] == 3
    minimal = generated(developer, GOAL, preferences={"errorHandling": "minimal"})
    assert minimal["template"]["globalSettings"]["defaultRetryPolicy"]["maxRetries"] == 0


def test_a_decision_is_asked_for_in_a_form(developer: Caller) -> None:
    body = generated(
        developer,
        "Check the order. If the amount is more than 500, call the customer, otherwise ship the order.",
    )
    form = block(body, "check_order")["humanInLoop"]["inputSchema"]
    assert form["properties"]["amount"]["type"] == "number"
    assert form["required"] == ["amount"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"goal": ""}, "INVALID_REQUEST"),
        ({}, "INVALID_REQUEST"),
        ({"goal": ["Send it"]}, "INVALID_REQUEST"),
        ({"goal": "x" * 20_001}, "INVALID_REQUEST"),
        ({"goal": "Send it", "constraints": {"maxBlocks": 0}}, "INVALID_REQUEST"),
        ({"goal": "Send it", "constraints": {"max_block": 1}}, "INVALID_REQUEST"),
        ({"goal": "Send it", "preferences": {"errorHandling": "wild"}}, "INVALID_REQUEST"),
        ({"goal": "purple monkey dishwasher"}, "TEXT_NOT_UNDERSTOOD"),
        ({"goal": "((((((((" * 1_000}, "TEXT_NOT_UNDERSTOOD"),
        ({"goal": "Send it", "method": "llm"}, "LLM_NOT_CONFIGURED"),
    ],
)  # fmt: skip
def test_bad_goals_are_refused_and_nothing_is_saved(
    developer: Caller, body: dict[str, Any], code: str
) -> None:
    problem_of(developer.post("templates/generate", body), 422, code)
    assert not Template.objects.exists()


@pytest.mark.django_db(transaction=True)  # reading so long a goal may take longer than a transaction may idle
def test_a_template_from_a_long_goal_is_written_back_and_imported_as_it_was_read(developer: Caller) -> None:
    goal = f"{GOAL}. " + "Thanks a lot to everybody here. " * 330
    made = developer.post("templates/generate", {"goal": goal})
    assert made.status_code == 201, made.content
    template = made.json()["template"]
    path = f"templates/{template['templateId']}"
    assert developer.put(path, template).status_code == 200
    file = developer.get(f"{path}/export").json()
    imported = developer.post("templates/import?new=true", file)
    assert imported.status_code == 201, imported.content
    assert imported.json()["nlDescription"] == template["nlDescription"]


def test_who_may_not_make_templates_may_not_generate_them(house: House) -> None:
    problem_of(house.caller(Role.VIEWER).post("templates/generate", {"goal": GOAL}), 403, "FORBIDDEN")


def test_a_long_goal_takes_no_longer_than_documented(developer: Caller) -> None:
    verbs = ("Check", "Copy", "Send", "Print", "Sort")
    goal = "\n".join(f"{number}. {verbs[number % 5]} the document number{number}x" for number in range(1, 61))
    began = time.monotonic()
    body = generated(developer, goal)
    assert len(names(body)) == 60
    assert time.monotonic() - began < 15, "document A section 15.1 allows 30 s for more than 50 blocks"
