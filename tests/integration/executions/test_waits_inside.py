"""Waits where blocks run more than once, and behind people: rounds, items, and blocks that were approved first."""

from typing import Any

import pytest

from approvals_app.models import Approval
from approvals_app.services.approvals import respond_to_approval
from executions_app.models import BlockExecution, BlockOutput, Execution
from executions_app.selectors import children_of
from executions_app.services.signals import send_signal
from tests.consistency import assert_consistent
from tests.driver import run_until_quiet
from tests.factories import branch, make_template, make_user, noop, start
from tests.waiting import go_on, let_time_pass, wait_block
from workflow_service.accounts.models import Role

pytestmark = pytest.mark.usefixtures("db", "empty_queues")


def call(child: Any, **fields: Any) -> dict[str, Any]:
    configuration = {"template": child.public_id, "input": fields.pop("given", {})}
    return {"blockId": "call", "toolType": "SUBWORKFLOW", "configuration": configuration, **fields}


def output_of(execution: Execution, block_id: str) -> Any:
    rows = BlockOutput.objects.filter(execution_id=execution.pk, block_id=block_id).order_by("-pk")
    return rows[0].value


def test_every_item_of_a_map_has_a_child_of_its_own() -> None:
    child = make_template([noop("double", {"twice": "${workflow.input.n * 2}"})])
    block = call(child, given={"n": "${item}"}, forEach="workflow.input.all", maxConcurrency=2)
    execution = start(make_template([block], workspace=child.workspace), {"all": [1, 2, 3]})
    run_until_quiet(execution)
    assert children_of(execution).count() == 2
    assert_consistent(execution)
    execution = go_on(execution)
    assert execution.status == "COMPLETED"
    assert output_of(execution, "call")["results"] == [{"twice": 2}, {"twice": 4}, {"twice": 6}]
    assert children_of(execution).count() == 3
    assert_consistent(execution)


def test_every_item_of_a_map_waits_for_itself() -> None:
    block = wait_block(signal="paid-${item}", timeout=1_000, onTimeout="continue")
    execution = run_until_quiet(
        start(make_template([block | {"forEach": "workflow.input.all"}]), {"all": ["a", "b"]})
    )
    send_signal(execution=execution, name="paid-b", payload=7)
    execution = let_time_pass(execution)
    assert execution.status == "COMPLETED"
    results = output_of(execution, "wait")["results"]
    assert [(one["payload"], one["timedOut"]) for one in results] == [(None, True), (7, False)]
    assert_consistent(execution)


def test_every_round_of_a_loop_waits_anew() -> None:
    ways = {"branches": [branch("payload < 3", "wait"), branch(None, "after")]}
    block = wait_block(signal="count") | {"dependencies": ["start"], "conditions": ways}
    execution = start(make_template([block, noop("after")]))
    for number in (1, 2):
        execution = run_until_quiet(execution)
        assert send_signal(execution=execution, name="count", payload=number).delivered
        execution = go_on(execution)
        assert execution.status == "RUNNING"
        assert_consistent(execution)
    send_signal(execution=execution, name="count", payload=3)
    execution = go_on(execution)
    assert execution.status == "COMPLETED"
    assert (
        BlockExecution.objects.filter(execution=execution, block_id="wait", status="COMPLETED").count() == 3
    )
    assert_consistent(execution)


def test_an_approved_sub_workflow_says_who_approved() -> None:
    child = make_template([noop("a", {"loaded": 1})])
    block = call(child, humanInLoop={"required": True})
    execution = run_until_quiet(start(make_template([block], workspace=child.workspace)))
    assert execution.status == "WAITING_FOR_APPROVAL"
    assert not children_of(execution).exists()
    approver = make_user(child.workspace, Role.APPROVER)
    approval = Approval.objects.get(execution=execution)
    respond_to_approval(
        approval_id=approval.public_id,
        actor=approver,
        approved=True,
        response=None,
        comments="",
        source="test",
    )
    execution = go_on(execution)
    assert execution.status == "COMPLETED"
    output = output_of(execution, "call")
    assert (output["loaded"], output["approved"], output["approver"]) == (1, True, approver.username)
    assert_consistent(execution)


def test_a_run_that_waits_for_a_person_and_a_time_is_not_waiting_for_people_alone() -> None:
    asks = {"blockId": "ask", "toolType": "HUMAN"}
    execution = run_until_quiet(start(make_template([asks, wait_block(duration=3_600_000)])))
    assert execution.status == "RUNNING"
    execution = let_time_pass(execution)
    assert execution.status == "WAITING_FOR_APPROVAL"
    assert_consistent(execution)
