"""LLM blocks: what they ask, what they answer, how they fail, and what validation says of them."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import timezone

from executions_app.sweeper import sweep
from tests.driver import run_until_quiet
from tests.factories import error_of, make_template, make_workspace, start, statuses
from tests.invocations import make_invocation, make_limits
from tests.llm_server import LlmServer, Scripted, asking, fail, llm_server, say, say_json
from workflow_service.accounts.models import Workspace
from workflow_service.agents.errors import ToolError
from workflow_service.agents.runtimes import invoke
from workflow_service.ai.findings import llm_findings
from workflow_service.ai.models import Budget, BudgetAccount, LlmUsage
from workflow_service.engine.documents import load_definition
from workflow_service.engine.states import ErrorType, ToolType

SCHEMA = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
PRICED = [{"name": "m", "outputUsdPerMTok": "1000"}]


@pytest.fixture(scope="module")
def running() -> Iterator[LlmServer]:
    with llm_server() as described:
        yield described


@pytest.fixture
def server(running: LlmServer) -> Iterator[LlmServer]:
    running.requests.clear()
    running.script.clear()
    running.otherwise = say("fine")
    with asking(running, models=PRICED, llm_budget_wait_ms=0, llm_retry_attempts=0):
        yield running


@pytest.fixture
def workspace(db: None) -> Workspace:
    return make_workspace()


def run(workspace: Workspace, tmp_path: Any, configuration: dict[str, Any], **how: Any) -> Any:
    invocation = make_invocation(ToolType.LLM, configuration, workspace_id=workspace.public_id, **how)
    return invoke(invocation, make_limits(tmp_path))


def test_text_and_json(server: LlmServer, workspace: Workspace, tmp_path: Any) -> None:
    assert run(workspace, tmp_path, {"prompt": "Say something."}) == {"text": "fine"}
    server.then(say_json({"ok": True}))
    asked = {
        "prompt": "Judge it.",
        "outputSchema": SCHEMA,
        "temperature": 0,
        "maxTokens": 7,
        "letter": "Dear",
    }
    assert run(workspace, tmp_path, asked) == {"ok": True}
    sent = server.requests[-1]
    assert (sent["temperature"], sent["max_tokens"]) == (0, 7)
    user = sent["messages"][-1]["content"]
    assert user.startswith("Judge it.")
    assert '<data name="input">' in user
    assert '"letter": "Dear"' in user


def test_the_input_stands_where_the_author_wants_it(
    server: LlmServer, workspace: Workspace, tmp_path: Any
) -> None:
    run(
        workspace, tmp_path, {"prompt": "Read {{ input }} twice.", "system": "Be brief.", "input": "a letter"}
    )
    system, user = (message["content"] for message in server.requests[-1]["messages"])
    assert system.startswith("Be brief.")
    assert user == 'Read <data name="input">\na letter\n</data> twice.'


def test_a_prompt_by_name(server: LlmServer, workspace: Workspace, tmp_path: Any) -> None:
    good: dict[str, Any] = {"result": True, "reasoning": "r", "confidence": 9}
    server.then(say_json(good))
    given = {"context": {"n": 1}, "condition": "n is one"}
    assert run(workspace, tmp_path, {"promptName": "evaluate_condition", "input": given}) == good


def test_a_retry_of_the_same_work_reuses_the_answer(
    server: LlmServer, workspace: Workspace, tmp_path: Any
) -> None:
    asked = {"prompt": "Say something.", "cache": False}
    for key in ("exec_1:a", "exec_1:a", "exec_2:a"):
        run(workspace, tmp_path, asked, idempotency_key=key)
    assert server.calls == 2


@pytest.mark.parametrize(
    ("answer", "error_type", "retryable"),
    [
        (fail(429, retry_after="7"), ErrorType.RATE_LIMIT_ERROR, True),
        (fail(503), ErrorType.NETWORK_ERROR, True),
        (fail(401), ErrorType.CONFIGURATION_ERROR, False),
        (say("no json"), ErrorType.VALIDATION_ERROR, False),
    ],
    ids=["429", "503", "401", "no json"],
)
def test_failures_have_the_types_that_recovery_knows(
    server: LlmServer,
    workspace: Workspace,
    tmp_path: Any,
    answer: Scripted,
    error_type: ErrorType,
    retryable: bool,
) -> None:
    server.otherwise = answer
    with pytest.raises(ToolError) as caught:
        run(workspace, tmp_path, {"prompt": "Judge it.", "schema": SCHEMA})
    assert (caught.value.error_type, caught.value.retryable) == (error_type, retryable)
    if answer.status == 429:
        assert caught.value.details["retryAfterS"] == 7


@pytest.mark.parametrize(
    ("policy", "error_type"),
    [("stop", ErrorType.AUTHORIZATION_ERROR), ("ask", ErrorType.VALIDATION_ERROR)],
)
def test_over_budget_the_policy_decides(
    server: LlmServer, workspace: Workspace, tmp_path: Any, policy: str, error_type: ErrorType
) -> None:
    Budget.objects.create(workspace=workspace, limit_usd="0.01", policy=policy)
    with pytest.raises(ToolError) as caught:
        run(workspace, tmp_path, {"prompt": "Say something."})
    assert caught.value.error_type == error_type
    assert caught.value.details["code"] == "BUDGET_EXCEEDED"
    assert server.calls == 0


def test_a_cost_of_its_own_bounds_a_block(server: LlmServer, workspace: Workspace, tmp_path: Any) -> None:
    with pytest.raises(ToolError, match="USD for the call"):
        run(workspace, tmp_path, {"prompt": "Say something.", "maxCostUsd": 0.5})


@pytest.mark.django_db(transaction=True)
def test_a_run_asks_and_is_charged_to_its_template_and_starter(server: LlmServer) -> None:
    server.otherwise = say_json({"ok": True})
    configuration = {"prompt": "Judge it.", "schema": SCHEMA, "input": "${workflow.input}"}
    template = make_template([{"blockId": "judge", "toolType": "LLM", "configuration": configuration}])
    execution = run_until_quiet(start(template, {"letter": "Dear"}))
    assert statuses(execution) == {"judge": "COMPLETED"}
    usage = LlmUsage.objects.get()
    assert (usage.template_id, usage.execution_id, usage.block_id, usage.user) == (
        template.public_id,
        execution.public_id,
        "judge",
        template.owner,
    )
    assert "Dear" in json.dumps(server.requests[-1])
    budget = Budget.objects.create(workspace=template.workspace, limit_usd="0.01", policy="ask")
    asking_people = run_until_quiet(start(template, {"letter": "other"}))
    assert asking_people.status == "WAITING_FOR_APPROVAL"
    BudgetAccount.objects.update(reserved_usd=1)
    LlmUsage.objects.filter(pk=usage.pk).update(
        state="RESERVED", reserved_usd=1, lease_expires_at=timezone.now(), accounts=[budget.accounts.get().pk]
    )
    sweep()
    assert (LlmUsage.objects.get().outcome, budget.accounts.get().reserved_usd) == ("worker_lost", 0)
    with asking():
        assert "no language model is configured" in error_of(run_until_quiet(start(template)))["message"]


def findings(**configuration: Any) -> list[tuple[str, str, str]]:
    block = {"blockId": "a", "toolType": "LLM", "configuration": configuration}
    found = llm_findings(load_definition({"blocks": [block]}))
    return [(one.code, one.severity, one.pointer.removeprefix("/blocks/0/configuration")) for one in found]


def test_validation_says_what_a_block_lacks(server: LlmServer) -> None:
    assert findings(prompt="Say something.") == []
    assert findings(prompt="x", model="gone") == [("LLM_NOT_CONFIGURED", "WARNING", "")]
    assert findings(prompt="x", model="${workflow.input.model}") == []
    assert findings(promptName="gone") == [("PROMPT_NOT_FOUND", "ERROR", "/promptName")]
    assert findings(promptName="${workflow.input.name}") == []
    missing = [("PROMPT_VARIABLE", "ERROR", "/promptName")]
    assert findings(promptName="evaluate_condition", input={"context": 1}) == missing
    assert findings(prompt="x", outputSchema={"type": "thing"}) == [
        ("BAD_SCHEMA", "ERROR", "/outputSchema/type")
    ]
    with asking():
        assert findings(prompt="x") == [("LLM_NOT_CONFIGURED", "WARNING", "")]
        assert findings() == [("LLM_NOT_CONFIGURED", "WARNING", "")]
