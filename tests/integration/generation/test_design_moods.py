"""Words made a workflow, and a workflow words, in each mood of the model: an answer always, and it says whose it is."""

import time
from decimal import Decimal
from typing import Any

import pytest

from tests.caller import Caller
from tests.house import make_house
from tests.moods import INJECTED, INJECTION, INVENTED, MOODS, Mood, in_mood
from workflow_service.ai.models import LlmUsage

pytestmark = pytest.mark.django_db

WORDS = "Check the order. If valid, ship the order. If invalid, reject the order."
DESIGN: dict[str, Any] = {
    "name": "Order shipping",
    "description": "Checks orders and ships them.",
    "steps": [
        {"id": "check_order", "title": "Check the order", "next": [{"to": "ship_order"}]},
        {"id": "ship_order", "title": "Ship the order", "next": []},
    ],
    "notes": [],
    "improvements": [],
}
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "generate": ("templates/generate", {"goal": f"{WORDS} {INJECTION}"}),
    "translate": ("workflows/translate", {"nl_description": f"{WORDS} {INJECTION}"}),
    "explain": (
        "workflows/explain",
        {
            "dsl": "start->check_order;check_order->end;",
            "states": {"check_order": {"toolType": "LLM", "configuration": {"prompt": INJECTION}}},
        },
    ),
}


@pytest.fixture
def developer() -> Caller:
    return make_house().caller()


@pytest.mark.parametrize("mood", MOODS)
@pytest.mark.parametrize("call", ["generate", "translate"])
def test_a_workflow_comes_of_words_in_every_mood(developer: Caller, call: str, mood: Mood) -> None:
    path, body = CALLS[call]
    began = time.monotonic()
    with in_mood(mood, DESIGN):
        answer = developer.post(path, body)
    assert time.monotonic() - began < 20
    assert answer.status_code in (200, 201), answer.content.decode()
    given = answer.json()
    assert given["method"] == ("llm" if mood == "good" else "rules")
    if mood != "good":
        assert given["notes"][0].startswith("The language model was not used: ")
    steps = _steps(given)
    assert {"check_order", "ship_order"} <= set(steps)
    assert not {INVENTED, INJECTED} & set(steps)
    _assert_paid_within_reason(mood)


@pytest.mark.parametrize("mood", MOODS)
def test_a_workflow_is_told_in_every_mood(developer: Caller, mood: Mood) -> None:
    path, body = CALLS["explain"]
    with in_mood(mood, "First the order is checked."):
        answer = developer.post(path, body)
    assert answer.status_code == 200, answer.content.decode()
    # Whatever text it answers with is one; what it cannot do is change anything.
    assert answer.json()["method"] == ("llm" if mood in ("good", "wrong") else "rules")
    _assert_paid_within_reason(mood)


def _steps(given: dict[str, Any]) -> list[str]:
    if "states" in given:
        return list(given["states"])
    return [block["blockId"] for block in given["template"]["blocks"]]


def _assert_paid_within_reason(mood: Mood) -> None:
    paid = sum((row.cost_usd for row in LlmUsage.objects.all()), Decimal(0))
    assert (paid == 0) == (mood == "dead")
    assert paid < Decimal("0.2")
