"""The client in each mood of the model: what it answers or refuses, how long it takes and what is paid."""

import time
from decimal import Decimal

import pytest
from pydantic import JsonValue

from tests.factories import make_workspace
from tests.moods import INJECTED, INJECTION, INVENTED, MOODS, Mood, in_mood
from workflow_service.ai.client import LlmRequest, UsageContext, ask
from workflow_service.ai.errors import LlmAnswerInvalid, LlmUnavailable
from workflow_service.ai.models import LlmUsage

pytestmark = pytest.mark.django_db

GOOD: JsonValue = {"result": True, "reasoning": "urgency is high", "confidence": 90}
OUTCOMES = {"good": None, "slow": LlmUnavailable, "wrong": LlmAnswerInvalid, "dead": LlmUnavailable}


@pytest.mark.parametrize("mood", MOODS)
def test_a_mood_ends_in_time_with_an_answer_or_a_reason(mood: Mood) -> None:
    request = LlmRequest("evaluate_condition", {"context": INJECTION, "condition": "urgent"}, cache=False)
    context = UsageContext(workspace_id=make_workspace().pk)
    began = time.monotonic()
    with in_mood(mood, GOOD) as server:
        expected = OUTCOMES[mood]
        if expected is None:
            assert ask(request, context).value == GOOD
        else:
            with pytest.raises(expected):
                ask(request, context)
    assert time.monotonic() - began < 10
    assert (server.calls == 0) == (mood == "dead")
    billed = sum(one.cost_usd for one in LlmUsage.objects.all())
    assert (billed > 0) == (mood != "dead")
    assert billed < Decimal("0.05")


def test_the_wrong_one_invents_and_obeys_the_data() -> None:
    request = LlmRequest("evaluate_condition", {"context": INJECTION, "condition": "urgent"}, cache=False)
    with in_mood("wrong", GOOD) as server, pytest.raises(LlmAnswerInvalid):
        ask(request, UsageContext(workspace_id=make_workspace().pk))
    said = [str(message["content"]) for message in server.requests[-1]["messages"]]
    assert any(INVENTED in one for one in said)
    assert any(f'"{INJECTED}"' in one for one in said)
