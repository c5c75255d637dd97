"""When a run asks people, what it asks, and what becomes of the question and of the block."""

from datetime import timedelta

import pytest

from approvals_app.models import Approval, ApprovalEvent
from approvals_app.services.approvals import respond_to_approval
from approvals_app.services.timers import run_due_timers
from executions_app.models import BlockExecution, BlockOutput, Execution, ExecutionEvent
from executions_app.services.control import Asked
from executions_app.services.restart import Restart, restart_execution
from executions_app.sweeper import sweep
from tests.driver import run_until_quiet
from tests.factories import branch, event_types, make_template, noop, start, statuses
from tests.people import People, asking, make_people, question_of, run_asking
from tests.restarting import ran, work
from workflow_service.accounts.models import User
from workflow_service.engine.definition import JsonObject


@pytest.fixture
def people(transactional_db: None) -> People:
    return make_people()


def answer(
    execution: Execution,
    actor: User,
    *,
    approved: bool = True,
    response: JsonObject | None = None,
    comments: str = "",
) -> Execution:
    """Answer what a run asks and let it go on."""
    respond_to_approval(
        approval_id=question_of(execution).public_id,
        actor=actor,
        approved=approved,
        response=response,
        comments=comments,
        source="test",
    )
    return run_until_quiet(execution)


def feed_types(approval: Approval) -> list[str]:
    rows = ApprovalEvent.objects.filter(approval=approval).order_by("id")
    return list(rows.values_list("type", flat=True))


def test_a_block_that_needs_a_person_stops_and_says_what_it_asks(people: People) -> None:
    execution = run_asking(
        people,
        noop("check", {"bad": 250, "rows": 10_000}),
        asking(
            fields={"dependencies": ["check"], "configuration": {"output": {"rows": "${rows}"}}},
            message="${bad} of ${blocks.check.output.rows} rows of ${workflow.input.file} are bad. Load the rest?",
            approvalLevel="MANAGER",
            assignees=["role:workflow_approver"],
            dueIn=3_600_000,
        ),
        given={"file": "sales.csv"},
    )
    approval = question_of(execution)
    assert execution.status == "WAITING_FOR_APPROVAL"
    assert statuses(execution) == {"check": "COMPLETED", "load": "WAITING"}
    assert approval.message == "250 of 10000 rows of sales.csv are bad. Load the rest?"
    assert (approval.block_id, approval.block_name, approval.type) == ("load", "Load rows", "APPROVAL")
    assert (approval.level, approval.assignees) == ("MANAGER", ["role:workflow_approver"])
    assert approval.input == {"output": {"rows": 10_000}}
    assert approval.due_at is not None
    assert approval.due_at - approval.requested_at == timedelta(hours=1)
    asked = ["block_waiting", "approval_requested", "execution_waiting", "recovery_point_created"]
    assert event_types(execution)[-4:] == asked
    requested = ExecutionEvent.objects.get(execution_id=execution.pk, type="approval_requested")
    assert requested.data["approvalId"] == approval.public_id
    assert feed_types(approval) == ["approval_requested"]


def test_an_approved_block_does_its_work_and_its_output_says_who_approved(people: People) -> None:
    execution = answer(run_asking(people), people.alice, comments="go on")
    assert execution.status == "COMPLETED"
    assert BlockOutput.objects.get(block_id="load").value == {
        "loaded": True,
        "approved": True,
        "comments": "go on",
        "approver": "alice",
    }
    approval = Approval.objects.get(execution=execution)
    assert (approval.status, approval.responded_by, approval.source) == ("APPROVED", people.alice, "test")
    assert feed_types(approval) == ["approval_requested", "approval_responded"]


def test_a_rejected_block_ends_its_run(people: People) -> None:
    execution = answer(run_asking(people), people.alice, approved=False, comments="too many")
    assert execution.status == "FAILED"
    assert statuses(execution) == {"load": "REJECTED"}
    assert execution.error is not None
    assert execution.error["type"] == "APPROVAL_REJECTED"
    assert "alice" in execution.error["message"]
    assert "too many" in execution.error["message"]


def test_a_rejection_that_the_workflow_reads_is_a_way_on(people: People) -> None:
    ways = {"branches": [branch("approved == True", "keep"), branch("approved == False", "drop")]}
    execution = run_asking(people, asking(fields={"conditions": ways}), noop("keep"), noop("drop"))
    execution = answer(execution, people.alice, approved=False)
    assert execution.status == "COMPLETED"
    assert statuses(execution) == {"load": "COMPLETED", "keep": "SKIPPED", "drop": "COMPLETED"}


def test_a_step_that_is_nothing_but_a_question_gives_the_response(people: People) -> None:
    schema = {"type": "object", "properties": {"limit": {"type": "integer"}}, "required": ["limit"]}
    step = {
        "blockId": "ask",
        "toolType": "HUMAN",
        "humanInLoop": {"required": True, "type": "INPUT", "inputSchema": schema},
    }
    execution = run_asking(people, step, noop("use", {"limit": "${limit}"}, dependencies=["ask"]))
    execution = answer(execution, people.alice, response={"limit": 5})
    assert execution.status == "COMPLETED"
    assert BlockOutput.objects.get(block_id="use").value == {"limit": 5}


def test_a_human_block_asks_even_where_it_does_not_say_required(people: People) -> None:
    execution = run_asking(people, {"blockId": "ask", "toolType": "HUMAN"})
    assert execution.status == "WAITING_FOR_APPROVAL"


def test_what_a_block_leaves_open_the_workflow_s_defaults_say(people: People) -> None:
    template = make_template(
        [asking(message="Sure?")],
        workspace=people.workspace,
        globalSettings={
            "humanInLoopDefaults": {"message": "Really?", "assignees": ["user:bob"], "fourEyes": True}
        },
    )
    approval = question_of(run_until_quiet(start(template)))
    assert (approval.message, approval.assignees, approval.four_eyes) == ("Sure?", ["user:bob"], True)


def test_a_question_whose_figures_are_missing_fails_its_block(people: People) -> None:
    execution = run_asking(people, asking(message="Load ${nothing.there}?"))
    assert execution.status == "FAILED"
    assert execution.error is not None
    assert execution.error["type"] == "CONFIGURATION_ERROR"
    assert "nothing" in execution.error["message"]
    assert not Approval.objects.exists()


def test_an_approval_stands_for_a_block_that_runs_again_with_the_same_input(people: People) -> None:
    execution = answer(run_asking(people), people.alice)
    row = BlockExecution.objects.get(execution=execution, block_id="load")
    # What a restart does with a row: another generation of the same block.
    Execution.objects.filter(pk=execution.pk).update(status="RUNNING", active=1, slots=1, completed_at=None)
    BlockExecution.objects.filter(pk=row.pk).update(status="QUEUED", settled=False, holds_slot=True)
    BlockOutput.objects.filter(block_execution=row).delete()
    execution = run_until_quiet(execution)
    assert execution.status == "COMPLETED"
    assert Approval.objects.filter(execution=execution).count() == 1


@pytest.mark.parametrize(("counted", "questions"), [("fetch_runs", 2), ("name", 1)])
def test_after_a_restart_a_yes_stands_for_the_figures_that_were_asked_about(
    people: People, counted: str, questions: int
) -> None:
    ran.clear()
    step = {"required": True, "message": f"Pay ${{{counted}}}?"}
    gate = {"blockId": "gate", "toolType": "HUMAN", "dependencies": ["fetch"], "humanInLoop": step}
    execution = answer(run_asking(people, work("fetch", gives={"name": "one"}), gate), people.alice)
    assert execution.status == "COMPLETED"
    restart_execution(execution.pk, Asked("ada"), Restart(from_block="fetch"))
    execution = run_until_quiet(execution)
    assert execution.status == ("COMPLETED" if questions == 1 else "WAITING_FOR_APPROVAL")
    assert Approval.objects.filter(execution=execution).count() == questions


def test_a_question_of_a_run_that_ended_is_closed_by_the_sweeper(people: People) -> None:
    execution = run_asking(people)
    approval = question_of(execution)
    BlockExecution.objects.filter(execution=execution).update(status="CANCELLED")
    Execution.objects.filter(pk=execution.pk).update(status="CANCELLED")
    sweep()
    approval.refresh_from_db()
    assert approval.status == "CANCELLED"
    assert feed_types(approval) == ["approval_requested", "approval_closed"]


def test_an_overdue_question_is_announced_once_and_stays_open(people: People) -> None:
    execution = run_asking(people)
    approval = question_of(execution)
    assert approval.due_at is not None
    for _ in range(2):
        run_due_timers(now=approval.due_at + timedelta(seconds=1))
    assert feed_types(approval) == ["approval_requested", "approval_timeout"]
    assert answer(execution, people.alice).status == "COMPLETED"
