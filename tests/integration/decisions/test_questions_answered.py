"""Questions of runs, answered by a model: what it is shown, what may come out, and what is kept."""

from decimal import Decimal
from typing import Any

import pytest
from pydantic import JsonValue

from executions_app import running
from executions_app.claiming import claim_block
from executions_app.models import BlockExecution, ContextValue, Execution, ExecutionEvent
from executions_app.parking import take_back
from executions_app.worker_identity import worker_id
from tests.driver import queued_blocks, run_until_quiet
from tests.factories import event_types, make_template, noop, start
from tests.llm_server import asking, llm_server, say_json
from tests.moods import in_mood
from tests.questions import ANGRY, chosen, decision_of, gone_on, run_triage, triage
from workflow_service.ai.models import LlmUsage
from workflow_service.decisions.models import Decision

pytestmark = pytest.mark.django_db(transaction=True)


def event(execution: Execution, name: str) -> dict[str, Any]:
    found = ExecutionEvent.objects.get(execution_id=execution.pk, type=name)
    data: dict[str, Any] = found.data
    return data


def test_the_model_chooses_among_the_branches_and_everything_is_kept() -> None:
    with in_mood("good", chosen("refund", 88)) as server:
        execution = run_triage()
    assert (execution.status, gone_on(execution)) == ("COMPLETED", {"refund"})
    (sent,) = server.requests
    schema = sent["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["choice"] == {"enum": ["calm", "refund", "else"]}
    decision = decision_of(execution)
    assert (decision.source, decision.chosen, decision.confidence) == ("model", ["refund"], 88)
    assert (decision.reasoning, decision.model, decision.prompt) == (
        "the message says so",
        "m",
        "decide_first@1",
    )
    assert decision.cost_usd == LlmUsage.objects.get().cost_usd > 0
    assert decision.tokens > 0
    assert decision.shown == {"message": "Where is my money?", "mood": "bad"}
    told = event(execution, "ai_decision")
    assert (told["state"], told["chosen"], told["source"]) == ("triage", ["refund"], "model")
    assert told["decision"] == "Route to refund"
    (done,) = ExecutionEvent.objects.filter(
        execution_id=execution.pk, type="block_completed", block_id="triage?"
    )
    assert done.data["conditions"] == [
        {"condition": f'"{ANGRY}"', "result": False},
        {"condition": '"the customer wants the money back"', "result": True},
    ]


def test_what_was_decided_is_no_value_of_the_run() -> None:
    with in_mood("good", chosen("calm")):
        execution = run_triage()
    keys = set(ContextValue.objects.filter(execution_id=execution.pk).values_list("key", flat=True))
    assert keys == {"message", "mood"}


def test_one_question_is_a_yes_or_a_no() -> None:
    blocks = [
        noop(
            "ask",
            {"text": "!!!"},
            conditions={"branches": [{"question": ANGRY, "nextBlocks": ["calm"]}, {"nextBlocks": ["go"]}]},
        ),
        noop("calm"),
        noop("go"),
    ]
    with in_mood("good", {"result": False, "reasoning": "calm words", "confidence": 95}):
        execution = run_until_quiet(start(make_template(blocks)))
    assert execution.status == "COMPLETED"
    assert decision_of(execution).chosen == ["else"]
    assert decision_of(execution).prompt == "evaluate_condition@1"
    assert BlockExecution.objects.filter(execution=execution).get(block_id="go").status == "COMPLETED"


def test_a_question_of_the_block_is_a_choice_of_the_best() -> None:
    with in_mood("good", chosen("calm")) as server:
        execution = run_triage({"question": "What does the customer need?"})
    assert gone_on(execution) == {"calm"}
    assert "What does the customer need?" in server.requests[0]["messages"][-1]["content"]
    assert decision_of(execution).prompt == "decide_best@1"


def test_inclusive_branches_are_all_asked_at_once() -> None:
    answer: JsonValue = {"choices": ["calm", "refund"], "reasoning": "both", "confidence": 80}
    with in_mood("good", answer) as server:
        execution = run_triage(mode="inclusive")
    assert gone_on(execution) == {"calm", "refund"}
    assert server.calls == 1
    with in_mood("good", {"choices": [], "reasoning": "neither", "confidence": 80}):
        assert gone_on(run_triage(mode="inclusive", output={"message": "hello"})) == {"answer"}


def test_a_like_question_is_answered_from_the_cache() -> None:
    with in_mood("good", chosen("calm")) as server:
        template = make_template(triage())
        first = run_until_quiet(start(template))
        again = run_until_quiet(start(template))
    assert server.calls == 1
    assert [decision_of(one).source for one in (first, again)] == ["model", "cache"]
    assert decision_of(again).cost_usd == Decimal(0)
    assert gone_on(again) == {"calm"}


def test_a_condition_before_the_questions_asks_nobody() -> None:
    blocks = triage()
    blocks[0]["conditions"]["branches"].insert(0, {"condition": "mood == 'bad'", "nextBlocks": ["answer"]})
    with in_mood("dead", None):
        execution = run_until_quiet(start(make_template(blocks)))
    assert gone_on(execution) == {"answer"}
    assert decision_of(execution).source == "expression"
    assert not LlmUsage.objects.exists()


@pytest.mark.parametrize(
    ("confidence", "policy", "way", "source"),
    [
        (70, {}, {"calm"}, "model"),
        (69, {"whenUnsure": "default"}, {"answer"}, "default"),
        (69, {"whenUnsure": "refund"}, {"refund"}, "default"),
        (40, {"minConfidence": 40}, {"calm"}, "model"),
    ],
    ids=["at the threshold", "to the default", "to a branch", "a lower threshold"],
)
def test_confidence(confidence: float, policy: dict[str, Any], way: set[str], source: str) -> None:
    with in_mood("good", chosen("calm", confidence)):
        execution = run_triage(policy)
    assert gone_on(execution) == way
    decision = decision_of(execution)
    assert (decision.source, decision.confidence) == (source, confidence)
    assert decision.cost_usd > 0


def test_who_is_not_sure_asks_a_person() -> None:
    with in_mood("good", chosen("calm", 30)):
        execution = run_triage()
    assert execution.status == "WAITING_FOR_APPROVAL"
    assert not Decision.objects.exists()
    assert "ai_decision" not in event_types(execution)


def test_none_of_the_branches_without_a_default_goes_to_a_person() -> None:
    with in_mood("good", chosen("else", 99)):
        execution = run_triage({"whenUnsure": "default"}, default=None)
    assert execution.status == "WAITING_FOR_APPROVAL"


def test_the_model_is_shown_what_the_policy_names_and_no_more() -> None:
    with in_mood("good", chosen("calm")) as server:
        run_triage({"inputs": ["mood", "region"]}, given={"region": "north", "card": "4111"})
    content = server.requests[0]["messages"][-1]["content"]
    assert '"region": "north"' in content
    assert "Where is my money?" not in content
    assert "4111" not in content


def test_names_in_a_question_are_shown() -> None:
    blocks = triage()
    blocks[0]["conditions"]["branches"][0]["question"] = "the customer is a vip with many orders"
    blocks.insert(0, noop("look_up", {"orders": 12, "card": "4111"}))
    blocks[1]["dependencies"] = ["look_up"]
    with in_mood("good", chosen("calm")) as server:
        run_until_quiet(start(make_template(blocks), {"vip": True}))
    content = server.requests[0]["messages"][-1]["content"]
    assert '"orders": 12' in content
    assert '"vip": true' in content
    assert "4111" not in content


def test_a_budget_of_one_decision_holds() -> None:
    with in_mood("good", chosen("calm")) as server:
        execution = run_triage({"maxCostUsd": 0.0000001})
    assert server.calls == 0
    assert (gone_on(execution), decision_of(execution).source) == ({"answer"}, "default")
    assert "BUDGET_EXCEEDED" in decision_of(execution).reasoning


def test_a_worker_that_died_after_the_answer_asks_nobody_again() -> None:
    """What was not settled was not decided; the kept answer serves the next worker."""
    with llm_server(otherwise=say_json(chosen("refund"))) as server, asking(server):
        execution = start(make_template(triage()))
        running.run_blocks(execution.pk, queued_blocks(execution)[0], "none")
        row = BlockExecution.objects.filter(execution=execution).get(block_id="triage?")
        assert not Decision.objects.exists()
        claim = claim_block(execution.pk, row.pk, worker_id()).claim
        assert claim is not None
        lost = running.work_on(claim)
        take_back(execution.pk, [(row.pk, claim.fence)])
        # Too late: another has it by now.
        running.write_outcome(claim, lost, None)
        assert not Decision.objects.exists()
        execution = run_until_quiet(execution)
    assert gone_on(execution) == {"refund"}
    assert server.calls == 1
    assert Decision.objects.count() == 1
