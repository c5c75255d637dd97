"""A POST that asks a language model and bears an Idempotency-Key: money is reserved in transactions of its own."""

import pytest

from templates_app.models import Template
from tests.house import make_house
from tests.integration.generation.test_generate_with_model import GOAL, GOOD
from tests.llm_server import asking, llm_server, say, say_json
from workflow_service.ai.models import LlmUsage

pytestmark = pytest.mark.django_db(transaction=True)
KEY = {"Idempotency-Key": "the-same-goal"}


def test_a_goal_that_is_posted_twice_is_asked_once() -> None:
    developer = make_house().caller()
    with llm_server() as server, asking(server):
        server.then(say_json(GOOD))
        first = developer.post("templates/generate", {"goal": GOAL, "method": "llm"}, **KEY)
        second = developer.post("templates/generate", {"goal": GOAL, "method": "llm"}, **KEY)
        calls = server.calls
    assert first.status_code == 201, first.content.decode()
    assert (second.status_code, second.json()) == (201, first.json())
    assert (calls, Template.objects.count(), LlmUsage.objects.count()) == (1, 1, 1)


@pytest.mark.parametrize("path", ["workflows/translate", "workflows/explain"])
def test_what_saves_nothing_answers_too(path: str) -> None:
    developer = make_house().caller()
    blocks = [{"blockId": "ship", "name": "Ship", "toolType": "NOOP"}]
    body = {"blocks": blocks} if path.endswith("explain") else {"nl_description": GOAL}
    with llm_server() as server, asking(server):
        server.then(say("It ships.") if path.endswith("explain") else say_json(GOOD))
        answer = developer.post(path, body, **KEY)
    assert answer.status_code == 200, answer.content.decode()
    assert answer.json()["method"] == "llm"
