"""Callbacks of agents: kept, counted once, and refused when they come too late."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from executions_app import parking, running
from executions_app.aftermath import follow_up
from executions_app.callback_tokens import PATH
from executions_app.claiming import claim_block
from executions_app.errors import CallbackExpired, CallbackNotFound, CallbackRejected, CallbackUsed
from executions_app.models import BlockExecution, BlockOutput, Callback, Execution, RecoveryAction
from executions_app.progress import Claim
from executions_app.running import work_on, write_outcome
from executions_app.services.blocks import reassign_block
from executions_app.services.callbacks import CallbackAnswer, take_callback
from executions_app.services.control import Asked
from executions_app.sweeper import sweep
from executions_app.worker_identity import worker_id
from tests.consistency import assert_consistent
from tests.driver import queued_blocks, run_until_quiet
from tests.factories import event_types, make_template, noop, start, statuses
from tests.misbehaving_server import MisbehavingServer, misbehaving_server
from tests.restarting import assert_told
from tests.waiting import assert_waits, go_on, let_time_pass, waiting_row
from workflow_service.agents.limits import tool_limits

pytestmark = pytest.mark.usefixtures("db", "empty_queues")

HEADER = "workflow-callback-url"
DONE = CallbackAnswer(output={"pages": 12})
FAILED = CallbackAnswer(error={"type": "AUTHORIZATION_ERROR", "message": "no pages", "retryable": False})


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Iterator[MisbehavingServer]:
    limits = replace(tool_limits(), egress_allow=("127.0.0.1",))
    monkeypatch.setattr(running, "tool_limits", lambda: limits)
    with misbehaving_server() as server:
        yield server


def calling(agent: MisbehavingServer, path: str = "/status/202", /, **fields: Any) -> dict[str, Any]:
    configuration = {"endpoint": agent.url(path), "method": "POST", "body": {}, "callback": True}
    configuration |= fields.pop("configuration", {})
    return {"blockId": "wait", "toolType": "API", "configuration": configuration, **fields}


def run_calling(agent: MisbehavingServer, *others: dict[str, Any], **fields: Any) -> Execution:
    return run_until_quiet(start(make_template([calling(agent, **fields), *others])))


def token_of(agent: MisbehavingServer, request: int = -1) -> str:
    return agent.requests[request].headers[HEADER].rpartition(PATH)[2]


def claim_one(execution: Execution) -> Claim:
    claim = claim_block(execution.pk, queued_blocks(execution)[0], worker_id()).claim
    assert claim is not None
    return claim


def test_what_the_agent_calls_back_is_the_block_s_output(agent: MisbehavingServer) -> None:
    execution = run_calling(agent, noop("after", {"got": "${pages}"}, dependencies=["wait"]))
    row = waiting_row(execution)
    assert row.waits_for == "callback"
    assert execution.slots == 0
    assert take_callback(token_of(agent), DONE)
    execution = go_on(execution)
    assert execution.status == "COMPLETED"
    assert BlockOutput.objects.get(block_execution=row).value == {"pages": 12}
    types = event_types(execution)
    assert types.index("block_waiting") < types.index("callback_received")
    assert_consistent(execution)


def test_the_address_is_the_service_s_and_no_other_block_s(agent: MisbehavingServer) -> None:
    run_calling(agent)
    run_calling(agent)
    first, second = (request.headers[HEADER] for request in agent.requests)
    assert first.startswith("http://127.0.0.1:8080/api/v1/callbacks/cb_")
    assert first != second


def test_an_agent_may_say_that_it_failed(agent: MisbehavingServer) -> None:
    execution = run_calling(agent)
    take_callback(token_of(agent), FAILED)
    execution = go_on(execution)
    assert execution.status == "FAILED"
    assert execution.error is not None
    assert (execution.error["type"], execution.error["message"]) == ("AUTHORIZATION_ERROR", "no pages")
    assert_consistent(execution)


def test_a_mapping_picks_from_what_is_called_back(agent: MisbehavingServer) -> None:
    mapping = {"responseMapping": {"count": "body.pages"}}
    execution = run_calling(agent, configuration=mapping)
    take_callback(token_of(agent), DONE)
    go_on(execution)
    assert BlockOutput.objects.get(execution_id=execution.pk).value == {"count": 12}
    execution = run_calling(agent, configuration=mapping, recovery={"strategies": ["retry"]})
    take_callback(token_of(agent), CallbackAnswer(output={}))
    execution = go_on(execution)
    assert execution.error is not None
    assert "responseMapping" in execution.error["message"]


def test_another_answer_than_202_is_the_result_itself(agent: MisbehavingServer) -> None:
    execution = run_until_quiet(start(make_template([calling(agent, "/status/200")])))
    assert execution.status == "COMPLETED"
    with pytest.raises(CallbackExpired):
        take_callback(token_of(agent), DONE)


def test_202_is_a_result_where_no_callback_was_asked_for(agent: MisbehavingServer) -> None:
    execution = run_calling(agent, configuration={"callback": False})
    assert execution.status == "COMPLETED"
    assert HEADER not in agent.requests[0].headers


def test_a_callback_that_comes_before_the_block_waits_is_kept_for_it(agent: MisbehavingServer) -> None:
    execution = start(make_template([calling(agent)]))
    claim = claim_one(execution)
    outcome = work_on(claim)
    assert not take_callback(token_of(agent), DONE)
    assert statuses(execution) == {"wait": "RUNNING"}
    follow_up(write_outcome(claim, outcome, None), execution.pk)
    execution = go_on(execution)
    assert execution.status == "COMPLETED"
    assert_consistent(execution)


def test_a_kept_callback_outlives_the_worker_that_asked(agent: MisbehavingServer) -> None:
    execution = start(make_template([calling(agent)]))
    claim = claim_one(execution)
    work_on(claim)
    take_callback(token_of(agent), DONE)
    parking.take_back(execution.pk, [(claim.block_execution_id, claim.fence)])
    execution = run_until_quiet(execution)
    assert execution.status == "COMPLETED"
    assert [request.headers["idempotency-key"] for request in agent.requests] == [
        agent.requests[0].headers["idempotency-key"]
    ] * 2
    assert token_of(agent, 0) == token_of(agent, 1)


def test_each_try_is_called_back_about_once_and_an_earlier_one_s_result_counts(
    agent: MisbehavingServer,
) -> None:
    execution = start(make_template([calling(agent)]))
    claim = claim_one(execution)
    work_on(claim)
    # The answer was lost on its way, and the work is tried again.
    parking.recover(claim, {"type": "NETWORK_ERROR", "message": "lost", "retryable": True}, ())
    assert not take_callback(token_of(agent), FAILED)
    BlockExecution.objects.filter(execution=execution).update(status="QUEUED", holds_slot=True)
    Execution.objects.filter(pk=execution.pk).update(slots=1)
    run_until_quiet(execution)
    assert_waits(execution)
    assert token_of(agent, 0) != token_of(agent, 1)
    with pytest.raises(CallbackUsed):
        take_callback(token_of(agent, 0), FAILED)
    assert take_callback(token_of(agent, 1), DONE)
    assert go_on(execution).status == "COMPLETED"


def test_a_callback_counts_once(agent: MisbehavingServer) -> None:
    execution = run_calling(agent, noop("after", dependencies=["wait"]))
    take_callback(token_of(agent), DONE)
    with pytest.raises(CallbackUsed):
        take_callback(token_of(agent), FAILED)
    go_on(execution)
    with pytest.raises(CallbackUsed):
        take_callback(token_of(agent), DONE)
    assert event_types(execution).count("callback_received") == 1
    assert Callback.objects.filter(block_execution__execution=execution).count() == 1


def test_an_agent_that_does_not_call_back_in_time_has_failed(agent: MisbehavingServer) -> None:
    execution = run_calling(agent, timeout=5_000, retryPolicy={"maxRetries": 0})
    row = waiting_row(execution)
    assert row.due_at is not None
    assert row.started_at is not None
    assert 4 < (row.due_at - row.started_at).total_seconds() < 60
    execution = let_time_pass(execution)
    assert execution.status == "FAILED"
    assert execution.error is not None
    assert execution.error["type"] == "TIMEOUT_ERROR"
    with pytest.raises(CallbackExpired):
        take_callback(token_of(agent), DONE)


def test_work_that_failed_elsewhere_is_retried_as_its_policy_says(agent: MisbehavingServer) -> None:
    execution = run_calling(agent, retryPolicy={"maxRetries": 1, "baseDelay": 0})
    lost = CallbackAnswer(error={"type": "NETWORK_ERROR", "message": "no scanner", "retryable": True})
    assert take_callback(token_of(agent), lost)
    assert statuses(execution) == {"wait": "RETRYING"}
    assert_consistent(execution)
    sweep()
    execution = go_on(execution)
    assert_waits(execution)
    assert len(agent.requests) == 2
    assert take_callback(token_of(agent), DONE)
    execution = go_on(execution)
    assert execution.status == "COMPLETED"
    assert_consistent(execution)


def test_without_a_timeout_an_agent_has_a_day(agent: MisbehavingServer) -> None:
    row = waiting_row(run_calling(agent))
    assert row.due_at is not None
    assert row.started_at is not None
    assert round((row.due_at - row.started_at).total_seconds() / 3_600) == 24


@pytest.mark.parametrize("change", [{"status": "CANCELLED"}, {"superseded": True}], ids=str)
def test_a_callback_for_work_that_was_dropped_is_refused(
    agent: MisbehavingServer, change: dict[str, Any]
) -> None:
    execution = run_calling(agent)
    BlockExecution.objects.filter(execution=execution).update(**change)
    with pytest.raises(CallbackExpired):
        take_callback(token_of(agent), DONE)


def test_a_paused_run_records_callbacks(agent: MisbehavingServer) -> None:
    execution = run_calling(agent, noop("after", dependencies=["wait"]))
    Execution.objects.filter(pk=execution.pk).update(status="PAUSED")
    assert take_callback(token_of(agent), DONE)
    assert statuses(execution) == {"wait": "COMPLETED", "after": "READY"}


def test_a_token_that_was_never_given_is_none(agent: MisbehavingServer) -> None:
    run_calling(agent)
    token = token_of(agent)
    forged = token[:-1] + ("A" if token[-1] != "A" else "B")
    later = token.replace("_0_", "_1_")
    for wrong in (forged, later, "", "cb_1_0_x", token + "x", token.replace("cb_", "cb_9")):
        with pytest.raises(CallbackNotFound):
            take_callback(wrong, DONE)


def test_an_output_that_cannot_be_kept_is_refused_and_the_token_still_good(agent: MisbehavingServer) -> None:
    execution = run_calling(agent)
    with pytest.raises(CallbackRejected) as refused:
        take_callback(token_of(agent), CallbackAnswer(output={"a": "\x00"}))
    assert refused.value.problems[0].pointer == "/output/a"
    assert take_callback(token_of(agent), DONE)
    assert go_on(execution).status == "COMPLETED"


def test_an_agent_s_early_call_ends_work_that_undoes(agent: MisbehavingServer) -> None:
    undo = {"toolType": "API", "configuration": calling(agent)["configuration"]}
    broken = {
        "blockId": "broken",
        "toolType": "USE_CASE",
        "configuration": {"useCase": "json.select", "input": {"value": {}, "paths": {"a": "gone"}}},
        "retryPolicy": {"maxRetries": 0},
        "dependencies": ["done"],
    }
    execution = start(make_template([noop("done", {}, recovery={"compensate": undo}), broken]))
    while not BlockExecution.objects.filter(execution=execution, kind="undo").exists():
        running.run_blocks(execution.pk, queued_blocks(execution)[0], "another queue: nothing in place")
    claim = claim_one(execution)
    outcome = work_on(claim)
    assert not take_callback(token_of(agent), CallbackAnswer(output={})), "kept until the block waits"
    follow_up(write_outcome(claim, outcome, None), execution.pk)
    assert run_until_quiet(execution).status == "FAILED", "the agent has answered, and may not answer again"
    assert_consistent(execution)


def test_work_that_is_given_to_another_agent_is_sent_to_it(agent: MisbehavingServer) -> None:
    execution = run_calling(agent, agentId="slow", recovery={"agents": ["quick"]})
    reassign_block(execution.pk, "wait", Asked("ada"), "quick")
    assert_told(execution)
    execution = run_until_quiet(execution)
    row = waiting_row(execution)
    assert (row.agent_id, row.waits_for, len(agent.requests)) == ("quick", "callback", 2)
    assert token_of(agent, 0) != token_of(agent, 1)
    assert take_callback(token_of(agent, 1), DONE)
    assert go_on(execution).status == "COMPLETED"
    action = RecoveryAction.objects.get(execution=execution)
    assert (action.strategy, action.suggested_by, action.outcome) == ("reassign", "person", "succeeded")
    assert_consistent(execution)
    assert_told(execution)
