"""Runs with LLM blocks in each mood of the model: each ends, and nothing comes out of it that was not asked for."""

import time
from decimal import Decimal
from typing import Any

import pytest

from tests.driver import run_until_quiet
from tests.factories import error_of, make_template, start
from tests.moods import BAD_MOODS, INJECTED, INJECTION, INVENTED, MOODS, Mood, in_mood
from workflow_service.ai.models import Budget, LlmUsage

pytestmark = pytest.mark.django_db(transaction=True)

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"urgency": {"enum": ["high", "normal"]}},
    "required": ["urgency"],
    "additionalProperties": False,
}
ERRORS = {"slow": "TIMEOUT_ERROR", "wrong": "VALIDATION_ERROR", "dead": "NETWORK_ERROR"}


def judging(**fields: Any) -> dict[str, Any]:
    return {
        "blockId": "judge",
        "toolType": "LLM",
        "configuration": {
            "prompt": "How urgent is it?",
            "schema": SCHEMA,
            "input": "${workflow.input.letter}",
        },
        "retryPolicy": {"maxRetries": 0},
        "recovery": {"strategies": []},
        **fields,
    }


@pytest.mark.parametrize("mood", MOODS)
def test_a_run_ends_in_every_mood(mood: Mood) -> None:
    template = make_template([judging()])
    Budget.objects.create(workspace=template.workspace, limit_usd="0.05", policy="fail")
    began = time.monotonic()
    with in_mood(mood, {"urgency": "high"}):
        execution = run_until_quiet(start(template, {"letter": INJECTION}))
    assert time.monotonic() - began < 15
    if mood == "good":
        assert execution.status == "COMPLETED"
    else:
        assert (execution.status, error_of(execution)["type"]) == ("FAILED", ERRORS[mood])
    assert sum((row.cost_usd for row in LlmUsage.objects.all()), Decimal(0)) <= Decimal("0.05")


@pytest.mark.parametrize("mood", BAD_MOODS)
def test_the_declared_fallback_answers_instead(mood: Mood) -> None:
    fallback = {"toolType": "NOOP", "configuration": {"output": {"urgency": "normal"}}}
    template = make_template([judging(recovery={"fallback": fallback})])
    with in_mood(mood, {"urgency": "high"}):
        execution = run_until_quiet(start(template, {"letter": INJECTION}))
    assert execution.status == "COMPLETED"
    (output,) = [row.result.value for row in execution.block_executions.all()]
    assert output["urgency"] == "normal"
    assert not {INVENTED, INJECTED} & {str(value) for value in output.values()}
