"""Blocks that are done by agents: found, chosen, given their defaults, waited for, and taken over from."""

from typing import Any

import pytest

from executions_app.models import (
    BlockExecution,
    BlockOutput,
    ConcurrencyLimit,
    Execution,
    ExecutionEvent,
    RecoveryAction,
)
from executions_app.services.limits import save_limit
from tests.consistency import assert_consistent, assert_rebuilt
from tests.driver import run_until_quiet, wake_all
from tests.factories import error_of, make_agent, make_template, make_workspace, noop, start
from tests.failing_work import new_key, unsteady_block
from workflow_service.accounts.models import Workspace
from workflow_service.agents.breaker import BreakerState, CircuitBreaker, breaker_key
from workflow_service.agents.catalog import forget_agents
from workflow_service.agents.models import Agent

pytestmark = pytest.mark.usefixtures("db")


def named(block_id: str = "one", **fields: Any) -> dict[str, Any]:
    """Return a block without a tool of its own."""
    return {"blockId": block_id, **fields}


def run(workspace: Workspace, *blocks: dict[str, Any], **definition: Any) -> Execution:
    return drive(start(make_template(list(blocks), workspace=workspace, **definition)))


def drive(execution: Execution) -> Execution:
    for _ in range(10):
        assert_rebuilt(run_until_quiet(execution))
        if not BlockExecution.objects.filter(execution=execution, status="RETRYING").exists():
            break
        forget_agents()
        wake_all(execution)
    return assert_consistent(execution)


def output_of(execution: Execution, block_id: str = "one") -> Any:
    return BlockOutput.objects.get(execution_id=execution.pk, block_id=block_id).value


def agent_of(execution: Execution, block_id: str = "one") -> str:
    return BlockExecution.objects.get(execution=execution, block_id=block_id, kind="block").agent_id


def test_an_agent_brings_its_tool_and_its_defaults() -> None:
    workspace = make_workspace()
    defaults = {"output": {"greeting": "hello", "to": "nobody"}}
    make_agent(workspace, "greeter", tool_types=["NOOP"], configuration=defaults)
    execution = run(workspace, named(agentId="greeter", configuration={"output": {"to": "you"}}))
    assert execution.status == "COMPLETED"
    assert output_of(execution) == {"greeting": "hello", "to": "you"}


def test_a_type_is_enough_where_a_tool_does_it_or_an_agent_can() -> None:
    workspace = make_workspace()
    verse: dict[str, Any] = {"capabilities": [{"name": "verse"}], "configuration": {"output": "a rose"}}
    make_agent(workspace, "poet", tool_types=["NOOP"], **verse)
    execution = run(
        workspace,
        named("tool", agentType="NOOP", configuration={"output": 1}),
        named("poem", agentType="Verse", dependencies=["tool"]),
        named("made", agentType="tests.unsteady", configuration={"key": new_key(), "output": {"ok": True}}),
    )
    assert execution.status == "COMPLETED"
    assert (agent_of(execution, "tool"), output_of(execution, "tool")) == ("local-noop", 1)
    assert (agent_of(execution, "poem"), output_of(execution, "poem")) == ("poet", "a rose")
    assert (agent_of(execution, "made"), output_of(execution, "made")) == ("local-use-case", {"ok": True})
    started = ExecutionEvent.objects.filter(execution_id=execution.pk, type="block_started", block_id="poem")
    assert [event.data["agentId"] for event in started] == ["poet"]


def test_each_item_of_a_map_gets_an_agent() -> None:
    workspace = make_workspace()
    make_agent(workspace, "adder", tool_types=["NOOP"], capabilities=[{"name": "add"}])
    each = named(agentType="add", forEach="[1, 2, 3]", configuration={"output": "${item}"})
    execution = run(workspace, each)
    assert execution.status == "COMPLETED"
    items = BlockExecution.objects.filter(execution=execution, kind="item")
    assert set(items.values_list("agent_id", flat=True)) == {"adder"}
    assert agent_of(execution) == ""


def test_the_chosen_agent_s_limit_holds() -> None:
    workspace = make_workspace()
    make_agent(workspace, "slow", tool_types=["NOOP"], capabilities=[{"name": "add"}])
    save_limit(ConcurrencyLimit(workspace=workspace, kind="agent", key="slow", max_concurrency=1))
    blocks = [named(f"n{number}", agentType="add", configuration={"output": number}) for number in range(3)]
    execution = run(workspace, *blocks)
    assert execution.status == "COMPLETED"
    assert not BlockExecution.objects.filter(execution=execution).exclude(agent_id="slow").exists()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"agentId": "greter"}, "this workspace has no agent 'greter'; did you mean 'greeter'?"),
        ({"agentType": "sing"}, "no agent that has the capability 'sing' is available"),
        ({"agentId": "off"}, "agent 'off' is disabled"),
        ({"agentId": "down"}, "agent 'down' is unhealthy"),
    ],
)
def test_who_is_not_there_is_looked_for_again_before_the_block_fails(
    fields: dict[str, Any], said: str
) -> None:
    workspace = make_workspace()
    for agent_id, known in (("greeter", {}), ("off", {"enabled": False}), ("down", {"status": "UNHEALTHY"})):
        make_agent(workspace, agent_id, tool_types=["NOOP"], **known)
    recovery = {"maxQueued": 2, "queueDelay": 0}
    template = make_template(
        [named(**fields, recovery=recovery, retryPolicy={"maxRetries": 0})], workspace=workspace
    )
    Agent.objects.filter(workspace=workspace, public_id="greter").delete()
    forget_agents()
    execution = drive(start(template))
    assert error_of(execution)["type"] == "AGENT_UNAVAILABLE"
    assert said in error_of(execution)["message"]
    taken = (
        RecoveryAction.objects.filter(execution=execution).order_by("id").values_list("strategy", flat=True)
    )
    assert list(taken) == ["queue", "queue", "abort"]


def test_an_agent_that_comes_back_gets_the_work_that_waited_for_it() -> None:
    workspace = make_workspace()
    agent = make_agent(
        workspace, "late", tool_types=["NOOP"], status="UNHEALTHY", capabilities=[{"name": "add"}]
    )
    block = named(agentType="add", configuration={"output": 1}, recovery={"queueDelay": 0})
    execution = run_until_quiet(start(make_template([block], workspace=workspace)))
    assert agent_of(execution) == ""
    Agent.objects.filter(pk=agent.pk).update(status="HEALTHY")
    execution = drive(execution)
    assert (execution.status, agent_of(execution)) == ("COMPLETED", "late")


def test_a_tool_that_the_agent_does_not_have_is_an_error_of_configuration() -> None:
    workspace = make_workspace()
    make_agent(workspace, "poet", tool_types=["SCRIPT"])
    execution = run(workspace, noop("one", agentId="poet"))
    assert error_of(execution)["type"] == "CONFIGURATION_ERROR"
    assert "agent 'poet' does no NOOP: it has SCRIPT" in error_of(execution)["message"]


def test_one_with_the_same_capability_takes_over_where_the_block_lists_nobody() -> None:
    workspace = make_workspace()
    for agent_id, can in (("own", "add"), ("twin", "ADD"), ("other", "sub")):
        make_agent(workspace, agent_id, capabilities=[{"name": can}])
    block = unsteady_block(
        "one", new_key(), fields={"agentId": "own", "retryPolicy": {"maxRetries": 0}}, fails=1
    )
    execution = run(workspace, block)
    assert (execution.status, agent_of(execution)) == ("COMPLETED", "twin")


def test_an_open_breaker_sends_the_work_elsewhere_without_a_call() -> None:
    workspace = make_workspace()
    for agent_id in ("own", "twin"):
        make_agent(workspace, agent_id, capabilities=[{"name": "add"}])
    breaker = CircuitBreaker(breaker_key(workspace.pk, "own"))
    key = new_key()
    failing = unsteady_block("one", key, fields={"agentId": "own", "retryPolicy": {"maxRetries": 9}}, fails=5)
    execution = run(workspace, failing)
    assert breaker.state() is BreakerState.OPEN
    # The sixth try is the breaker's, and its answer the one with the same capability.
    assert (execution.status, agent_of(execution)) == ("COMPLETED", "twin")
    error = RecoveryAction.objects.filter(execution=execution, strategy="reassign").get()
    assert (error.error_type, error.agent_id) == ("AGENT_UNAVAILABLE", "twin")
    assert "agent 'own' failed too often" in error.error_message


def test_a_block_over_the_rate_waits_and_spends_no_try() -> None:
    workspace = make_workspace()
    agent = make_agent(workspace, "slow", tool_types=["NOOP"], rate_per_min=2, rate_burst=1)
    blocks = [named(f"n{number}", agentId="slow", configuration={"output": number}) for number in range(2)]
    execution = run_until_quiet(start(make_template(blocks, workspace=workspace)))
    (row,) = BlockExecution.objects.filter(execution=execution, status="RETRYING")
    (event,) = ExecutionEvent.objects.filter(execution_id=execution.pk, type="block_retrying")
    assert (event.data["waitsFor"], event.data["agentId"]) == ("rate", "slow")
    assert 15_000 < event.data["delayMs"] <= 30_000
    assert (row.retries, row.recoveries) == (0, 0)
    assert_rebuilt(execution)
    # A message that comes early finds the turn still to come, and no later one.
    wake_all(execution)
    execution = run_until_quiet(execution)
    again = ExecutionEvent.objects.filter(execution_id=execution.pk, type="block_retrying").latest("seq")
    assert again.data["delayMs"] < event.data["delayMs"]
    Agent.objects.filter(pk=agent.pk).update(rate_per_min=None)
    forget_agents()
    wake_all(execution)
    assert assert_consistent(run_until_quiet(execution)).status == "COMPLETED"
