"""What holds of decisions whatever is asked: no secret goes out, budgets and options bind, failures can be mended."""

from decimal import Decimal
from unittest.mock import patch

import pytest

from executions_app.models import Execution
from tests.driver import run_until_quiet
from tests.factories import make_template, noop, start
from tests.house import House, make_house
from tests.moods import in_mood
from tests.people import question_of
from tests.questions import chosen, decision_of, gone_on, run_triage, triage
from tests.restarting import restart
from workflow_service.accounts.models import Role
from workflow_service.ai.models import Budget
from workflow_service.decisions.models import Decision
from workflow_service.operations.metrics import render_metrics
from workflow_service.vault.services.secrets import create_secret

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "s3cr3t-value-of-the-workspace"


@pytest.fixture
def house() -> House:
    return make_house()


def test_no_secret_is_shown_wherever_it_came_from(house: House) -> None:
    create_secret(workspace=house.workspace, actor=house.members[Role.ADMIN], name="TOKEN", value=SECRET)
    output = {"message": f"my token is {SECRET}", SECRET: 1, "list": [{"deep": SECRET}]}
    with in_mood("good", chosen("calm", 10)) as server:
        execution = run_triage(output=output, workspace=house.workspace, given={"angry": SECRET})
    assert server.calls == 1
    assert SECRET not in str(server.requests)
    assert "my token is ***" in str(server.requests)
    question = question_of(execution)
    assert SECRET not in str(question.input) + question.message


def test_large_values_are_cut(house: House) -> None:
    output = {"a": "x" * 10_000, "b": list(range(1_000)), **{f"c{n}": "y" * 3_000 for n in range(20)}}
    with in_mood("good", chosen("calm")) as server:
        execution = run_triage(output=output)
    assert len(server.requests[0]["messages"][-1]["content"]) < 40_000
    assert gone_on(execution) == {"calm"}
    assert decision_of(execution).shown["c9"] == "… (cut)"


@pytest.mark.parametrize(
    ("policy", "waits"), [("ask", True), ("block", False)], ids=["a person decides", "the fallback decides"]
)
def test_a_budget_that_is_used_up_says_who_decides(house: House, policy: str, waits: bool) -> None:
    Budget.objects.create(
        workspace=house.workspace,
        scope=Budget.Scope.WORKSPACE,
        subject="",
        period=Budget.Period.TOTAL,
        limit_usd=Decimal("0.00000001"),
        policy=policy,
    )
    with in_mood("good", chosen("calm")) as server:
        execution = run_triage(workspace=house.workspace)
    assert server.calls == 0
    assert execution.status == ("WAITING_FOR_APPROVAL" if waits else "COMPLETED")
    assert gone_on(execution) == (set() if waits else {"answer"})


def test_runs_that_a_run_starts_may_not_ask_models_either(house: House) -> None:
    child = make_template(triage(), workspace=house.workspace)
    calls = {
        "blockId": "calls",
        "toolType": "SUBWORKFLOW",
        "configuration": {"template": child.public_id, "input": {}},
    }
    parent = make_template([calls], workspace=house.workspace)
    with in_mood("good", chosen("calm")) as server:
        run_until_quiet(start(parent, enableAiDecisions=False))
        run_until_quiet(Execution.objects.get(template=child))
    assert server.calls == 0
    assert Decision.objects.get().source == "default"


def test_a_decision_that_failed_is_made_by_a_restart() -> None:
    with in_mood("dead", None):
        execution = run_triage({"fallback": []})
    assert execution.status == "FAILED"
    with in_mood("good", chosen("refund")):
        restart(execution)
        run_until_quiet(execution)
    assert (execution.status, gone_on(execution)) == ("COMPLETED", {"refund"})


def test_a_question_is_answered_anew_by_a_restart_from_it() -> None:
    with in_mood("good", chosen("refund")):
        execution = run_triage({"history": None})
    with in_mood("good", chosen("calm")):
        restart(execution, from_block="triage?", force=True)
        run_until_quiet(execution)
    assert execution.status == "COMPLETED"
    assert Decision.objects.filter(execution=execution).count() == 2


def test_each_round_of_a_loop_decides_for_itself() -> None:
    again = {"question": "there is more to do", "nextBlocks": ["work"]}
    work = noop("work", {"left": 1}, maxRounds=5, conditions={"branches": [again, {"nextBlocks": ["done"]}]})
    answers = iter([True, True, False])

    def answer(body: object) -> dict[str, object]:
        return {"result": next(answers), "reasoning": "so it is", "confidence": 90}

    blocks = [noop("begin"), work | {"dependencies": ["begin"]}, noop("done")]
    # The values are the same in each round: a kept answer would be, too.
    unkept = patch("workflow_service.ai.client.find_answer", return_value=None)
    with in_mood("good", answer) as server, unkept:  # type: ignore[arg-type]
        execution = run_until_quiet(start(make_template(blocks)))
    assert (execution.status, server.calls) == ("COMPLETED", 3)
    assert [one.chosen for one in Decision.objects.order_by("id")] == [["work"], ["work"], ["else"]]


def test_a_join_asks_by_the_workflows_words() -> None:
    gate = {
        "sources": ["a", "b"],
        "set": {"both": "blocks.a.output.n + blocks.b.output.n"},
        "branches": [{"question": "both is much", "nextBlocks": ["c"]}, {"nextBlocks": ["d"]}],
    }
    blocks = [noop("a", {"n": 1}), noop("b", {"n": 2}), noop("c"), noop("d")]
    template = make_template(
        blocks, gates=[gate], globalSettings={"decisions": {"minConfidence": 10, "model": "m"}}
    )
    with in_mood("good", {"result": True, "reasoning": "3", "confidence": 20}) as server:
        execution = run_until_quiet(start(template))
    assert execution.status == "COMPLETED"
    assert '"both": 3' in server.requests[0]["messages"][-1]["content"]
    decision = decision_of(execution)
    assert (decision.block_id, decision.chosen) == ("[a,b]", ["c"])


def test_answers_are_counted_by_who_gave_them() -> None:
    run_triage(options={"enableAiDecisions": False})
    with in_mood("good", chosen("calm")):
        run_triage()
    shown = render_metrics().decode()
    assert 'ai_decisions_total{source="model"} 1.0' in shown
    assert 'ai_decisions_total{source="default"} 1.0' in shown
    assert 'ai_decisions_overridden_total{source="model"} 0.0' in shown


def test_a_workflow_with_questions_is_published_and_run(house: House) -> None:
    developer = house.caller()
    dsl = 'start->triage;triage->calm:"the customer is angry";triage->answer:else;calm->end;answer->end;'
    states = {name: noop(name) for name in ("triage", "calm", "answer")}
    for state in states.values():
        del state["blockId"]
    made = developer.post("templates", {"name": "Questions", "dsl": dsl, "states": states})
    assert made.status_code == 201, made.json()
    name = made.json()["templateId"]
    assert developer.post(f"templates/{name}/publish").status_code == 200
    started = developer.post("executions", {"templateId": name}).json()
    execution = Execution.objects.get(public_id=started["executionId"])
    with in_mood("good", {"result": True, "reasoning": "so", "confidence": 80}):
        run_until_quiet(execution)
    assert gone_on(execution) == {"calm"}
