"""A model that is slow, wrong, dead or switched off: who decides instead, in which order, and that it ends."""

import time
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from executions_app.models import BlockExecution, ExecutionLog
from tests.consistency import assert_consistent, assert_rebuilt
from tests.driver import run_until_quiet, wake_all
from tests.factories import error_of, make_template, make_workspace, start
from tests.moods import BAD_MOODS, INJECTED, INJECTION, MOODS, Mood, in_mood
from tests.people import make_people, question_of
from tests.questions import MESSAGE, chosen, decision_of, gone_on, run_triage, triage
from workflow_service.ai.models import LlmUsage
from workflow_service.decisions.models import Decision

pytestmark = pytest.mark.django_db(transaction=True)

OFF: dict[str, Any] = {"options": {"enableAiDecisions": False}}


@pytest.mark.parametrize("mood", MOODS)
def test_in_every_mood_the_run_ends_by_a_declared_branch(mood: Mood) -> None:
    began = time.monotonic()
    with in_mood(mood, chosen("calm")) as server:
        execution = run_triage(output={"message": INJECTION, "mood": "bad"})
    assert execution.status == "COMPLETED"
    decision = decision_of(execution)
    assert (gone_on(execution), decision.source) == (
        ({"calm"}, "model") if mood == "good" else ({"answer"}, "default")
    )
    assert INJECTED not in decision.chosen
    assert server.calls <= 8
    assert sum(one.cost_usd for one in LlmUsage.objects.all()) < Decimal("0.1")
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("mood", BAD_MOODS)
def test_rules_decide_where_no_model_does(mood: Mood) -> None:
    with in_mood(mood, chosen("refund")):
        execution = run_triage(rules=True)
    assert gone_on(execution) == {"calm"}
    decision = decision_of(execution)
    assert decision.source == "expression"
    assert "no model decided" in decision.reasoning


@pytest.mark.parametrize("mood", BAD_MOODS)
def test_nothing_that_is_to_be_confirmed_is_taken_by_itself(mood: Mood) -> None:
    with in_mood(mood, chosen("calm")):
        execution = run_triage({"confirm": ["calm", "answer"]}, rules=True)
    assert execution.status == "WAITING_FOR_APPROVAL"
    assert gone_on(execution) == set()


def test_a_question_that_nobody_judged_is_told_in_the_log() -> None:
    execution = run_triage({"fallback": ["default"]})
    (line,) = ExecutionLog.objects.filter(execution_id=execution.pk, message__contains="by default")
    assert line.level == ExecutionLog.Level.WARNING
    assert "question behind block triage was decided by default: no model decided" in line.message


def test_a_person_is_asked_in_their_own_words_and_operators_read_the_code(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level("WARNING", "workflow_service.decisions"):
        execution = run_triage({"fallback": ["person"]}, workspace=make_people().workspace)
    question = question_of(execution)
    assert "You are asked because no language model is set up" in question.message
    assert "LLM_" not in question.message
    assert question.response_schema is not None
    assert question.response_schema["properties"]["choice"]["title"] != "Way"
    assert "LLM_NOT_CONFIGURED" in caplog.text
    row = BlockExecution.objects.get(execution_id=execution.pk, block_id="triage?")
    lines = ExecutionLog.objects.filter(execution_id=execution.pk, block_execution_id=row.pk)
    assert {line.block_id for line in lines} == {"triage"}
    assert not [line.message for line in lines if "triage?" in line.message]


def test_a_run_that_may_not_ask_models_asks_none() -> None:
    with in_mood("good", chosen("refund")) as server:
        execution = run_triage(rules=True, **OFF)
    assert server.calls == 0
    assert (gone_on(execution), decision_of(execution).source) == ({"calm"}, "expression")


@pytest.mark.parametrize(
    ("policy", "status", "source"),
    [
        ({"fallback": ["default", "expression"]}, "COMPLETED", "default"),
        ({"fallback": ["expression"]}, "COMPLETED", "expression"),
        ({"fallback": ["person"]}, "WAITING_FOR_APPROVAL", None),
        ({"fallback": ["history"]}, "FAILED", None),
        ({"fallback": []}, "FAILED", None),
    ],
    ids=["default first", "expression", "person", "history without any", "nothing"],
)
def test_the_policy_says_who_decides(policy: dict[str, Any], status: str, source: str | None) -> None:
    execution = run_triage(policy, rules=True, **OFF)
    assert execution.status == status
    assert [one.source for one in Decision.objects.all()] == ([source] if source else [])
    if status == "FAILED":
        error = error_of(execution)
        assert (error["type"], error["blockId"]) == ("ROUTING_ERROR", "triage?")
        assert "tried instead" in error["message"]


def test_an_expression_that_cannot_be_read_leaves_it_to_the_next() -> None:
    execution = run_triage(rules=True, output={"message": "no mood here"}, **OFF)
    assert (gone_on(execution), decision_of(execution).source) == ({"answer"}, "default")


def test_waiting_for_the_model_ends_with_it() -> None:
    with in_mood("dead", None):
        execution = run_triage({"fallback": ["wait", "default"]})
        row = BlockExecution.objects.get(execution=execution, block_id="triage?")
        assert (execution.status, row.status, row.retries) == ("RUNNING", "RETRYING", 0)
        wake_all(execution)
        run_until_quiet(execution)
        row.refresh_from_db()
        assert row.status == "RETRYING"
    with in_mood("good", chosen("refund")):
        wake_all(execution)
        run_until_quiet(execution)
    assert gone_on(execution) == {"refund"}
    assert_consistent(execution)
    assert_rebuilt(execution)


def test_waiting_for_the_model_ends_without_it() -> None:
    with in_mood("dead", None):
        execution = run_triage({"fallback": ["wait", "default"], "maxWait": 60_000})
        rows = BlockExecution.objects.filter(execution=execution, block_id="triage?")
        rows.update(created_at=timezone.now() - timedelta(seconds=61))
        wake_all(execution)
        run_until_quiet(execution)
    assert (gone_on(execution), decision_of(execution).source) == ({"answer"}, "default")


def test_nobody_waits_for_a_model_that_may_not_be_asked() -> None:
    execution = run_triage({"fallback": ["wait", "default"]}, **OFF)
    assert (execution.status, gone_on(execution)) == ("COMPLETED", {"answer"})


def test_what_one_decision_may_cost_holds_however_often_the_model_is_waited_for() -> None:
    limit = Decimal("0.012")
    with in_mood("slow", chosen("calm")):
        execution = run_triage({"fallback": ["wait", "default"], "maxCostUsd": float(limit)})
        for _ in range(2):
            wake_all(execution)
            run_until_quiet(execution)
    spent = sum(one.cost_usd for one in LlmUsage.objects.all())
    assert 0 < spent <= limit


def test_a_decision_cost_what_every_call_for_it_did() -> None:
    with in_mood("wrong", chosen("refund")):
        execution = run_triage({"fallback": ["wait", "default"]})
    with in_mood("good", chosen("refund")):
        wake_all(execution)
        run_until_quiet(execution)
    calls = LlmUsage.objects.order_by("id")
    decision = decision_of(execution)
    assert decision.source == "model"
    assert decision.cost_usd == sum(one.cost_usd for one in calls) > calls[len(calls) - 1].cost_usd
    assert decision.tokens == sum(one.prompt_tokens + one.completion_tokens for one in calls)


def test_what_models_cost_in_vain_is_told_of_the_decision_by_default() -> None:
    with in_mood("wrong", chosen("refund")):
        execution = run_triage({"fallback": ["default"]})
    decision = decision_of(execution)
    assert decision.source == "default"
    assert decision.cost_usd == sum(one.cost_usd for one in LlmUsage.objects.all()) > 0


def test_like_cases_decide_where_enough_of_them_agree() -> None:
    template = make_template(triage({"fallback": ["history", "default"]}), workspace=make_workspace())
    with in_mood("good", chosen("refund")):
        for _ in range(2):
            run_until_quiet(start(template))
        assert Decision.objects.count() == 2
    off: dict[str, Any] = {"enableAiDecisions": False}
    # Two of the last five agree, and three are wanted.
    assert gone_on(run_until_quiet(start(template, **off))) == {"answer"}
    with in_mood("good", chosen("refund")):
        run_until_quiet(start(template))
    execution = run_until_quiet(start(template, **off))
    assert gone_on(execution) == {"refund"}
    decision = decision_of(execution)
    assert (decision.source, decision.confidence) == ("history", 100)
    assert "3 of the last 3 like cases" in decision.reasoning


def test_another_case_is_no_precedent() -> None:
    template = make_template(
        triage({"history": {"agreeing": 1, "last": 1}, "fallback": ["history", "default"]})
    )
    other = make_template(
        triage(
            {"history": {"agreeing": 1, "last": 1}, "fallback": ["history", "default"]},
            output={"message": "x"},
        ),
        workspace=template.workspace,
    )
    with in_mood("good", chosen("refund")):
        run_until_quiet(start(template))
    for one, way in ((template, {"refund"}), (other, {"answer"})):
        assert gone_on(run_until_quiet(start(one, enableAiDecisions=False))) == way


def test_a_case_is_known_by_the_whole_of_its_values() -> None:
    """What is cut before a model sees it is not cut before cases are compared."""
    policy = {"history": {"agreeing": 1, "last": 1}, "fallback": ["history", "default"], "inputs": ["text"]}
    template = make_template(triage(policy))
    with in_mood("good", chosen("refund")):
        run_until_quiet(start(template, {"text": "x" * 5_000 + "my money"}))
    other = start(template, {"text": "x" * 5_000 + "all is well"}, enableAiDecisions=False)
    assert gone_on(run_until_quiet(other)) == {"answer"}


def test_history_may_be_switched_off() -> None:
    template = make_template(triage({"history": None}))
    with in_mood("good", chosen("refund")):
        for _ in range(4):
            run_until_quiet(start(template))
    assert gone_on(run_until_quiet(start(template, enableAiDecisions=False))) == {"answer"}


def test_the_workflows_defaults_are_for_every_block() -> None:
    blocks = triage(output=MESSAGE)
    template = make_template(blocks, globalSettings={"decisions": {"fallback": ["person"]}})
    execution = run_until_quiet(start(template, enableAiDecisions=False))
    assert execution.status == "WAITING_FOR_APPROVAL"
