"""The client against a scripted server: what it sends, what it makes of answers, and when it asks whom again."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.factories import make_workspace
from tests.llm_server import (
    LlmServer,
    Scripted,
    asking,
    fail,
    half_body,
    llm_server,
    say,
    say_json,
    slow,
)
from workflow_service.ai.client import LlmAnswer, LlmRequest, UsageContext, ask, is_configured
from workflow_service.ai.errors import LlmAnswerInvalid, LlmUnavailable, NotConfigured
from workflow_service.ai.models import LlmUsage

pytestmark = pytest.mark.django_db

CONDITION: dict[str, Any] = {"context": {"urgency": "high"}, "condition": "the matter is urgent"}
GOOD: dict[str, Any] = {"result": True, "reasoning": "urgency is high", "confidence": 90}


@pytest.fixture(scope="module")
def running() -> Iterator[LlmServer]:
    with llm_server() as described:
        yield described


@pytest.fixture
def server(running: LlmServer) -> LlmServer:
    running.requests.clear()
    running.headers.clear()
    running.script.clear()
    running.otherwise = say("ok")
    return running


@pytest.fixture
def context() -> UsageContext:
    return UsageContext(workspace_id=make_workspace().pk)


def decide(context: UsageContext, **how: Any) -> LlmAnswer:
    request = LlmRequest("evaluate_condition", CONDITION, operation="decide", **{"cache": False, **how})
    return ask(request, context)


def rows() -> list[tuple[str, str]]:
    return list(LlmUsage.objects.order_by("id").values_list("state", "outcome"))


def test_an_answer_is_checked_and_its_call_is_written_down(server: LlmServer, context: UsageContext) -> None:
    server.then(say_json(GOOD, tokens=(100, 50)))
    with asking(server):
        answer = decide(context)
    assert answer.value == GOOD
    assert (answer.provider, answer.model, answer.repairs, answer.cached) == ("p1", "m", 0, False)
    assert answer.cost_usd == Decimal("0.0003")
    (sent,) = server.requests
    assert sent["model"] == "m"
    assert sent["response_format"]["type"] == "json_schema"
    assert server.headers[0]["authorization"] == "Bearer key-1"
    usage = LlmUsage.objects.get()
    assert (usage.state, usage.operation, usage.prompt) == ("SETTLED", "decide", "evaluate_condition@1")
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cost_usd) == (100, 50, Decimal("0.0003"))


@pytest.mark.parametrize(
    "bad",
    [
        say("I think so."),
        say('{"result": true'),
        say_json({"result": "yes", "reasoning": "r", "confidence": 90}),
        say_json([]),
        say(""),
        say('{"result": tr', finish_reason="length"),
    ],
    ids=["text", "half", "wrong type", "list", "empty", "cut"],
)
def test_a_bad_answer_is_mended(server: LlmServer, context: UsageContext, bad: Scripted) -> None:
    server.then(bad, say_json(GOOD))
    with asking(server):
        answer = decide(context)
    assert (answer.value, answer.repairs) == (GOOD, 1)
    told = server.requests[1]["messages"][-1]["content"]
    assert told.startswith("This answer cannot be used")
    assert [state for state, _ in rows()] == ["SETTLED", "SETTLED"]


@pytest.mark.parametrize(
    "around", ["Here it is:\n```json\n{}\n```\nDone.", "Sure! {} I hope this helps [1]."]
)
def test_json_is_found_in_the_text_around_it(server: LlmServer, context: UsageContext, around: str) -> None:
    server.then(say(around.replace("{}", '{"result": true, "reasoning": "{x}", "confidence": 1}')))
    with asking(server):
        assert decide(context).repairs == 0


def test_a_refusal_is_not_argued_with(server: LlmServer, context: UsageContext) -> None:
    server.otherwise = say("I cannot help with that.", finish_reason="content_filter")
    with asking(server), pytest.raises(LlmAnswerInvalid, match="refused"):
        decide(context)
    assert server.calls == 1


@pytest.mark.parametrize("tokens", [(-1, 5), (1, 10**30)])
def test_a_bill_that_cannot_be_counts_as_none(
    server: LlmServer, context: UsageContext, tokens: tuple[int, int]
) -> None:
    server.then(say_json(GOOD, tokens=tokens))
    with asking(server):
        assert decide(context).value == GOOD
    assert rows() == [("ASSUMED", "NO_USAGE")]


def test_what_the_caller_finds_wrong_is_told_to_the_model(server: LlmServer, context: UsageContext) -> None:
    server.then(say_json(GOOD | {"confidence": 10}), say_json(GOOD))

    def check(value: Any) -> list[str]:
        return [] if value["confidence"] > 50 else ["be more confident"]

    with asking(server):
        assert decide(context, check=check).value == GOOD
    assert "be more confident" in server.requests[1]["messages"][-1]["content"]


def test_repairs_are_bounded(server: LlmServer, context: UsageContext) -> None:
    server.otherwise = say_json({"result": 1})
    with asking(server), pytest.raises(LlmAnswerInvalid) as caught:
        decide(context, max_repairs=2)
    assert server.calls == 3
    assert {one.pointer for one in caught.value.problems} == {"", "/result"}


def test_a_refusal_does_not_tell_the_operators_key(server: LlmServer, context: UsageContext) -> None:
    server.then(fail(401, "Invalid API key: key-1"))
    with asking(server), pytest.raises(LlmUnavailable) as caught:
        decide(context)
    assert "Invalid API key: ***" in caught.value.message
    assert "key-1" not in caught.value.message


@pytest.mark.parametrize(
    ("failure", "state"),
    [
        (fail(429, retry_after="0.05"), "RELEASED"),
        (fail(500), "RELEASED"),
        (fail(504), "ASSUMED"),
        (half_body(), "ASSUMED"),
        (Scripted(raw=b"<html>"), "ASSUMED"),
        (slow(5), "ASSUMED"),
    ],
    ids=["429", "500", "504", "half", "html", "slow"],
)
def test_a_call_that_failed_is_made_again(
    server: LlmServer, context: UsageContext, failure: Scripted, state: str
) -> None:
    server.then(failure, say_json(GOOD))
    with asking(server, llm_service_timeout_ms=400):
        assert decide(context).value == GOOD
    assert [one for one, _ in rows()] == [state, "SETTLED"]


@pytest.mark.parametrize(("status", "kind"), [(429, "RATE_LIMIT"), (503, "NETWORK"), (401, "REFUSED")])
def test_the_next_provider_is_asked_when_one_is_down(context: UsageContext, status: int, kind: str) -> None:
    with llm_server(otherwise=fail(status)) as down, llm_server([say_json(GOOD)]) as up:
        with asking(down, up):
            assert decide(context).provider == "p2"
        assert down.calls == (1 if status == 401 else 3)
        with asking(down), pytest.raises(LlmUnavailable) as caught:
            decide(context)
        assert caught.value.kind == kind


def test_a_provider_that_keeps_failing_is_passed_over(context: UsageContext) -> None:
    with (
        llm_server(otherwise=fail(503)) as down,
        llm_server(otherwise=say_json(GOOD)) as up,
        asking(down, up),
    ):
        for _ in range(3):
            decide(context)
        assert (down.calls, up.calls) == (3, 3)


@pytest.mark.parametrize(
    ("refused", "calls"),
    [({"json_schema"}, 2), ({"json_schema", "json_object"}, 3), ({"max_tokens"}, 2), ({"temperature"}, 2)],
)
def test_what_an_endpoint_does_not_know_is_left_out(
    context: UsageContext, refused: set[str], calls: int
) -> None:
    model = [{"name": "without-" + "-".join(sorted(refused))}]
    with (
        llm_server(otherwise=say_json(GOOD), refuses=frozenset(refused)) as server,
        asking(server, models=model),
    ):
        assert decide(context).value == GOOD
        assert server.calls == calls
        decide(context)
        assert server.calls == calls + 1, "what it does not know is remembered"
        assert "JSON Schema" in server.requests[-1]["messages"][-1]["content"]


def test_good_answers_are_cached_for_their_workspace(server: LlmServer, context: UsageContext) -> None:
    server.otherwise = say_json(GOOD)
    elsewhere = UsageContext(workspace_id=make_workspace().pk)
    with asking(server):
        first, second = decide(context, cache=True), decide(context, cache=True)
        decide(elsewhere, cache=True)
        refused = decide(context, cache=True, check=lambda value: [] if server.calls > 2 else ["stale"])
    assert (first.cached, second.cached, second.value) == (False, True, GOOD)
    assert second.cost_usd == 0
    assert not refused.cached
    assert server.calls == 3
    assert LlmUsage.objects.filter(cached=True, cost_usd=0).count() == 1


def test_what_failed_is_not_cached(server: LlmServer, context: UsageContext) -> None:
    server.then(say("no"), say_json(GOOD))
    with asking(server):
        with pytest.raises(LlmAnswerInvalid):
            decide(context, cache=True, max_repairs=0)
        assert decide(context, cache=True).value == GOOD


def test_without_a_provider_it_says_so(context: UsageContext) -> None:
    with asking():
        assert not is_configured()
        with pytest.raises(NotConfigured):
            decide(context)
