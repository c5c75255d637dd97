"""Runs whose blocks are done by agents elsewhere: answered at once, called back twice, put off, broken off."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from executions_app import running
from executions_app.callback_tokens import PATH
from executions_app.errors import CallbackUsed
from executions_app.models import BlockExecution, BlockOutput, Execution, ExecutionEvent, RecoveryAction
from executions_app.services.callbacks import CallbackAnswer, take_callback
from tests.consistency import assert_consistent
from tests.driver import run_until_quiet
from tests.factories import error_of, make_agent, make_template, make_user, make_workspace, start
from tests.misbehaving_server import MisbehavingServer, misbehaving_server
from tests.waiting import go_on
from workflow_service.accounts.models import Role
from workflow_service.agents.limits import tool_limits
from workflow_service.vault.services.secrets import create_secret

pytestmark = pytest.mark.usefixtures("db", "empty_queues")

NO_RETRY = {"retryPolicy": {"maxRetries": 0}, "recovery": {"strategies": ["reassign"]}}


@pytest.fixture(scope="module")
def server() -> Iterator[MisbehavingServer]:
    with misbehaving_server() as server:
        yield server


@pytest.fixture(autouse=True)
def open_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = replace(tool_limits(), egress_allow=("127.0.0.1",))
    monkeypatch.setattr(running, "tool_limits", lambda: limits)


def run(server: MisbehavingServer, *manners: str, **fields: Any) -> Execution:
    """Run one block on the agent of the first manner; the others have the same capability."""
    workspace = make_workspace()
    for manner in manners:
        url = server.url(f"/agent/{manner}")
        capabilities = [{"name": "verse"}]
        make_agent(
            workspace, manner, runtime="endpoint", endpoint=url, tool_types=["API"], capabilities=capabilities
        )
    block = {"blockId": "one", "agentId": manners[0], "configuration": {"theme": "rain"}, **fields}
    return run_until_quiet(start(make_template([block], workspace=workspace)))


def test_an_agent_elsewhere_needs_no_tool_and_knows_its_own_configuration(server: MisbehavingServer) -> None:
    execution = run(server, "good")
    assert execution.status == "COMPLETED"
    assert BlockOutput.objects.get(execution_id=execution.pk).value == {"by": "good"}
    assert_consistent(execution)


def test_an_answer_that_is_called_back_counts_once(server: MisbehavingServer) -> None:
    execution = run(server, "later")
    assert BlockExecution.objects.get(execution=execution).waits_for == "callback"
    token = server.requests[-1].headers["workflow-callback-url"].rpartition(PATH)[2]
    assert take_callback(token, CallbackAnswer(output={"verse": "it rains"}))
    with pytest.raises(CallbackUsed):
        take_callback(token, CallbackAnswer(output={"verse": "it pours"}))
    execution = go_on(execution)
    assert execution.status == "COMPLETED"
    assert BlockOutput.objects.get(execution_id=execution.pk).value == {"verse": "it rains"}
    assert_consistent(execution)


def test_an_agent_that_asks_for_time_is_given_it(server: MisbehavingServer) -> None:
    execution = run(server, "busy")
    row = BlockExecution.objects.get(execution=execution)
    (event,) = ExecutionEvent.objects.filter(execution_id=execution.pk, type="block_retrying")
    assert (row.status, event.data["error"]["type"]) == ("RETRYING", "RATE_LIMIT_ERROR")
    assert event.data["delayMs"] >= 7_000
    assert row.due_at is not None
    assert row.due_at - event.created_at >= timedelta(seconds=6.5)


@pytest.mark.parametrize("manner", ["broken", "half", "nonsense", "odd", "gone"])
def test_work_of_one_that_misbehaves_goes_to_one_that_does_not(
    server: MisbehavingServer, manner: str
) -> None:
    execution = run(server, manner, "good", **NO_RETRY)
    assert execution.status == "COMPLETED"
    assert BlockExecution.objects.get(execution=execution).agent_id == "good"
    assert BlockOutput.objects.get(execution_id=execution.pk).value == {"by": "good"}
    assert RecoveryAction.objects.get(execution=execution).strategy == "reassign"


def test_one_that_is_too_slow_has_failed(server: MisbehavingServer) -> None:
    execution = run(server, "slow", timeout=300, **NO_RETRY)
    assert error_of(execution)["type"] == "TIMEOUT_ERROR"


def test_the_agent_s_own_secret_is_sent_and_kept_nowhere(server: MisbehavingServer) -> None:
    workspace = make_workspace()
    actor = make_user(workspace, Role.ADMIN)
    create_secret(workspace=workspace, actor=actor, name="POET_KEY", value="a-very-secret-key")
    configuration = {"headers": {"x-key": "${secrets.POET_KEY}"}, "endpoint": server.url("/json")}
    make_agent(workspace, "poet", tool_types=["API"], configuration=configuration)
    execution = run_until_quiet(
        start(make_template([{"blockId": "one", "agentId": "poet"}], workspace=workspace))
    )
    assert execution.status == "COMPLETED"
    assert server.requests[-1].headers["x-key"] == "a-very-secret-key"
    assert "a-very-secret-key" not in str(BlockExecution.objects.get(execution=execution).input)
