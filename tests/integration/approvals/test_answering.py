"""Who may answer, what an answer must hold, and that of many answers one decides."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from django.db import connection
from django.utils import timezone

from approvals_app.errors import (
    AlreadyAnswered,
    ApprovalClosed,
    ApprovalNotFound,
    NotYourApproval,
    ResponseInvalid,
)
from approvals_app.models import Approval, ApprovalEvent
from approvals_app.services.approvals import respond_to_approval
from approvals_app.services.timers import run_due_timers
from executions_app.models import BlockExecution, Execution, ExecutionEvent
from executions_app.services.blocks import skip_block
from executions_app.services.control import Asked, cancel_execution, pause_execution
from executions_app.services.restart import Restart, restart_execution
from tests.consistency import assert_consistent
from tests.driver import run_until_quiet
from tests.factories import make_user
from tests.locks import locked_elsewhere
from tests.patience import wait_until
from tests.people import People, asking, make_people, question_of, run_asking
from workflow_service.accounts.errors import Forbidden
from workflow_service.accounts.models import Role, User
from workflow_service.engine.definition import JsonObject
from workflow_service.engine.errors import WorkflowError


@pytest.fixture
def people(transactional_db: None) -> People:
    return make_people()


def answer(
    approval: Approval, actor: User, approved: bool = True, response: JsonObject | None = None
) -> Approval:
    return respond_to_approval(
        approval_id=approval.public_id, actor=actor, approved=approved, response=response, source="test"
    )


def waiting_for_locks() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        (count,) = cursor.fetchone()
    return int(count)


def test_of_two_approvers_at_once_one_decides(people: People) -> None:
    execution = run_asking(people)
    approval = question_of(execution)
    together = Barrier(2)

    def decide(actor: User, approved: bool) -> WorkflowError | Approval:
        together.wait(timeout=10)
        try:
            return answer(approval, actor, approved)
        except WorkflowError as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        outcomes = [
            future.result(timeout=30)
            for future in (pool.submit(decide, people.alice, True), pool.submit(decide, people.bob, False))
        ]
    decided = [outcome for outcome in outcomes if isinstance(outcome, Approval)]
    refused = [outcome for outcome in outcomes if isinstance(outcome, AlreadyAnswered)]
    assert (len(decided), len(refused)) == (1, 1)
    approval.refresh_from_db()
    assert approval.status == decided[0].status
    assert ExecutionEvent.objects.filter(execution_id=execution.pk, type="approval_responded").count() == 1
    assert ApprovalEvent.objects.filter(approval=approval, type="approval_responded").count() == 1


def test_the_same_answer_again_is_inert(people: People) -> None:
    execution = run_asking(people)
    approval = question_of(execution)
    first = answer(approval, people.alice)
    again = answer(approval, people.bob)
    assert (again.status, again.responded_by, again.responded_at) == (
        "APPROVED",
        people.alice,
        first.responded_at,
    )
    assert ApprovalEvent.objects.filter(approval=approval).count() == 2
    assert run_until_quiet(execution).status == "COMPLETED"
    assert answer(approval, people.bob).responded_by == people.alice


def test_the_opposite_answer_is_refused_and_names_who_decided(people: People) -> None:
    approval = question_of(run_asking(people))
    answer(approval, people.alice)
    with pytest.raises(AlreadyAnswered, match="approved by alice"):
        answer(approval, people.bob, approved=False)


def test_another_form_than_the_one_that_counts_is_refused(people: People) -> None:
    approval = question_of(run_asking(people, asking(type="INPUT", inputSchema={"type": "object"})))
    answer(approval, people.alice, response={"limit": 1})
    assert answer(approval, people.alice, response={"limit": 1}).response == {"limit": 1}
    with pytest.raises(AlreadyAnswered, match="answered otherwise by alice"):
        answer(approval, people.bob, response={"limit": 2})


def test_an_answer_after_the_run_ended_changes_nothing(people: People) -> None:
    execution = run_asking(people)
    approval = question_of(execution)
    Execution.objects.filter(pk=execution.pk).update(status="CANCELLED")
    BlockExecution.objects.filter(execution=execution).update(status="CANCELLED")
    with pytest.raises(ApprovalClosed):
        answer(approval, people.alice)
    approval.refresh_from_db()
    assert (approval.status, approval.responded_by) == ("CANCELLED", None)
    with pytest.raises(ApprovalClosed):
        answer(approval, people.alice, approved=False)


def test_a_foreign_approval_does_not_exist(people: People) -> None:
    approval = question_of(run_asking(people))
    with pytest.raises(ApprovalNotFound):
        answer(approval, people.stranger)
    people.alice.is_active = False
    with pytest.raises(ApprovalNotFound):
        answer(approval, people.alice)
    approval.refresh_from_db()
    assert approval.status == "PENDING"


@pytest.mark.parametrize(
    ("role", "refusal"),
    [
        (Role.VIEWER, ApprovalNotFound),
        (Role.DEVELOPER, ApprovalNotFound),
        (Role.OPERATOR, Forbidden),
    ],
    ids=["viewer", "developer", "operator"],
)
def test_a_role_that_only_reads_may_not_answer(
    people: People, role: Role, refusal: type[WorkflowError]
) -> None:
    approval = question_of(run_asking(people))
    with pytest.raises(refusal):
        answer(approval, make_user(people.workspace, role))
    approval.refresh_from_db()
    assert approval.status == "PENDING"


def test_four_eyes_bind_the_starter_even_as_admin(people: People) -> None:
    execution = run_asking(people, asking(fourEyes=True))
    approval = question_of(execution)
    Execution.objects.filter(pk=execution.pk).update(created_by=people.admin)
    with pytest.raises(NotYourApproval, match="you started this run"):
        answer(approval, people.admin)
    assert answer(approval, people.alice).status == "APPROVED"


@pytest.mark.parametrize("assignee", ["alice", "user:alice"])
def test_an_assigned_approval_is_for_its_assignees(people: People, assignee: str) -> None:
    approval = question_of(run_asking(people, asking(assignees=[assignee])))
    with pytest.raises(ApprovalNotFound):
        answer(approval, people.bob)
    Execution.objects.filter(pk=approval.execution_id).update(created_by=people.bob)
    with pytest.raises(NotYourApproval, match=f"assigned to {assignee}"):
        answer(approval, people.bob)
    assert answer(approval, people.alice).status == "APPROVED"


def test_assignees_may_be_a_role_or_a_group(people: People) -> None:
    people.bob.groups.create(name="finance")
    for assignee in ("role:workflow_approver", "workflow_approver", "group:finance", "finance"):
        approval = question_of(run_asking(people, asking(assignees=["user:nobody", assignee])))
        assert answer(approval, people.bob).status == "APPROVED"


def test_who_manages_members_may_stand_in_for_an_assignee(people: People) -> None:
    approval = question_of(run_asking(people, asking(assignees=["user:gone"])))
    assert answer(approval, people.admin).responded_by == people.admin


SCHEMA: JsonObject = {
    "type": "object",
    "properties": {"limit": {"type": "integer", "minimum": 1}},
    "required": ["limit"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("response", "pointer", "words"),
    [
        (None, "", "'limit' is a required property"),
        ({"limit": "many"}, "/limit", "'many' is not of type 'integer'"),
        ({"limit": 0}, "/limit", "less than the minimum"),
        ({"limit": 1, "more": True}, "", "Additional properties are not allowed"),
    ],
)
def test_a_response_must_fit_what_is_asked_for(
    people: People, response: JsonObject | None, pointer: str, words: str
) -> None:
    approval = question_of(run_asking(people, asking(type="INPUT", inputSchema=SCHEMA)))
    with pytest.raises(ResponseInvalid) as caught:
        answer(approval, people.alice, response=response)
    (problem,) = caught.value.problems
    assert problem.pointer == pointer
    assert words in problem.message
    approval.refresh_from_db()
    assert approval.status == "PENDING"
    assert answer(approval, people.alice, response={"limit": 3}).response == {"limit": 3}


def test_a_rejection_needs_no_response(people: People) -> None:
    approval = question_of(run_asking(people, asking(type="INPUT", inputSchema=SCHEMA)))
    with pytest.raises(ResponseInvalid, match="limit"):
        answer(approval, people.alice, approved=False, response={"limit": "many"})
    assert answer(approval, people.alice, approved=False).status == "REJECTED"


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "https://schemas.example/response.json"},
        {"type": "wrong"},
        {"$ref": "#"},
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
    ],
    ids=["elsewhere", "no such type", "itself", "circle"],
)
def test_a_schema_that_cannot_be_used_is_a_clear_error(people: People, schema: JsonObject) -> None:
    approval = question_of(run_asking(people, asking(inputSchema=schema)))
    with pytest.raises(ResponseInvalid, match="response schema cannot be used"):
        answer(approval, people.alice, response={})


@pytest.mark.parametrize("command", ["cancel", "skip", "pause", "restart", "timer"])
def test_of_an_answer_and_a_command_at_once_one_comes_first_and_the_other_finds_what_stands(
    people: People, command: str
) -> None:
    """An answer is accepted if and only if its block goes on by it, whatever happens to the run meanwhile."""
    execution = run_asking(people, asking(onTimeout="reject", dueIn=1_000))
    approval = question_of(execution)
    Approval.objects.filter(pk=approval.pk).update(next_timer_at=timezone.now() + timedelta(hours=1))
    by = Asked.by(people.admin)
    commands: dict[str, Callable[[], object]] = {
        "cancel": lambda: cancel_execution(execution.pk, by),
        "skip": lambda: skip_block(execution.pk, "load", by, {"skipped": True}),
        "pause": lambda: pause_execution(execution.pk, by),
        "restart": lambda: restart_execution(execution.pk, by, Restart(from_block="load", force=True)),
        "timer": lambda: run_due_timers(now=timezone.now() + timedelta(hours=2)),
    }
    steps: list[Callable[[], object]] = [lambda: answer(approval, people.alice), commands[command]]

    def outcome(step: Callable[[], object]) -> str:
        try:
            step()
        except WorkflowError as error:
            return error.code
        finally:
            connection.close()
        return "done"

    with ThreadPoolExecutor(2) as pool:
        with locked_elsewhere(execution.pk):
            # Both have read that it is pending before either goes on.
            both = [pool.submit(outcome, step) for step in steps]
            assert wait_until(lambda: waiting_for_locks() == 2)
        answered, commanded = (future.result(timeout=20) for future in both)
    assert answered in ("done", "APPROVAL_CLOSED", "ALREADY_ANSWERED")
    assert commanded in ("done", "BLOCK_STATE_FORBIDS")
    approval.refresh_from_db()
    assert (approval.status == "APPROVED") == (answered == "done")
    assert approval.votes.count() == (answered == "done")
    assert approval.events.filter(type="approval_responded").count() == (
        approval.status in ("APPROVED", "REJECTED")
    )
    row = BlockExecution.objects.filter(execution=execution, block_id="load", superseded=False).get()
    if command in ("skip", "timer"):
        # One decided: the block either is to work, or did not.
        assert (row.status in ("READY", "QUEUED")) == (answered == "done")
    if command == "pause":
        assert (answered, commanded) == ("done", "done")
    if command == "restart" and row.status == "WAITING":
        assert question_of(execution).pk != approval.pk
    assert_consistent(execution)
