"""What becomes of questions that nobody answers, on an injected clock."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection

from approvals_app.models import Approval, ApprovalEvent
from approvals_app.services.approvals import respond_to_approval
from approvals_app.services.levels import set_level
from approvals_app.services.timers import run_due_timers
from executions_app.models import BlockExecution, Execution, ExecutionEvent
from executions_app.services.control import Asked, pause_execution, resume_execution
from tests.driver import run_until_quiet
from tests.factories import branch, error_of, noop, statuses
from tests.people import People, asking, make_people, question_of, run_asking
from workflow_service.accounts.models import User
from workflow_service.engine.errors import WorkflowError

HOUR_MS = 3_600_000


@pytest.fixture
def people(transactional_db: None) -> People:
    return make_people()


def at(approval: Approval, hours: float) -> datetime:
    """Return the time so many hours after a question was asked."""
    return approval.requested_at + timedelta(hours=hours, seconds=1)


def kinds(approval: Approval) -> list[str]:
    events = ApprovalEvent.objects.filter(approval=approval).order_by("id")
    return [kind.removeprefix("approval_") for kind in events.values_list("type", flat=True)]


def answer(approval: Approval, actor: User, approved: bool = True) -> Approval:
    return respond_to_approval(approval_id=approval.public_id, actor=actor, approved=approved, source="test")


def test_a_chain_asks_level_by_level_and_then_the_question_stays_open(people: People) -> None:
    board = Group.objects.create(name="board")
    people.bob.groups.add(board)
    set_level(workspace=people.workspace, actor=people.admin, name="BOARD", groups=["board"])
    chain = [{"approvalLevel": "BOARD"}, {"after": 2 * HOUR_MS, "assignees": ["user:ada"]}]
    step = asking(
        assignees=["user:alice"],
        approvalLevel="LEAD",
        dueIn=HOUR_MS,
        remindEvery=HOUR_MS // 2,
        escalationChain=chain,
    )
    approval = question_of(run_asking(people, step))
    assert run_due_timers(now=at(approval, 0.4)) == 0
    told = []
    for hours in (0.5, 1.0, 1.5, 3.0, 3.0, 3.5, 4.0, 4.5):
        before = len(kinds(approval))
        run_due_timers(now=at(approval, hours))
        approval.refresh_from_db()
        told.append((hours, kinds(approval)[before:], approval.level, approval.assignees))
    lead, first, both = (
        ["user:alice"],
        ["user:alice", "group:board"],
        ["user:alice", "group:board", "user:ada"],
    )
    assert told == [
        (0.5, ["reminded"], "LEAD", lead),
        (1.0, ["escalated"], "BOARD", first),
        (1.5, ["reminded"], "BOARD", first),
        # Two hours after the level before, which was a second late.
        (3.0, ["escalated"], "BOARD", both),
        (3.0, [], "BOARD", both),
        (3.5, ["reminded"], "BOARD", both),
        (4.0, ["timeout"], "BOARD", both),
        (4.5, ["reminded"], "BOARD", both),
    ]
    assert (approval.status, approval.version) == ("PENDING", 3)
    assert answer(approval, people.alice).status == "APPROVED", "who was asked first may still answer"
    assert run_due_timers(now=at(approval, 90)) == 0


def test_to_ask_others_too_takes_it_from_nobody(people: People) -> None:
    step = asking(dueIn=HOUR_MS, escalationChain=[{"assignees": ["user:bob"]}, {"approvalLevel": "NOWHERE"}])
    approval = question_of(run_asking(people, step))
    for hours in (1, 2.1):
        run_due_timers(now=at(approval, hours))
    approval.refresh_from_db()
    assert approval.assignees == ["role:workflow_admin", "role:workflow_approver", "user:bob"]
    assert (approval.escalation_step, approval.level) == (2, "NOWHERE")
    assert answer(approval, people.alice).status == "APPROVED"


@pytest.mark.parametrize(
    ("action", "status", "run", "block"),
    [
        ("approve", "APPROVED", "COMPLETED", "COMPLETED"),
        ("reject", "REJECTED", "FAILED", "REJECTED"),
        ("fail", "EXPIRED", "FAILED", "FAILED"),
    ],
    ids=["approve", "reject", "fail"],
)
def test_the_end_of_the_time_decides_where_the_workflow_says_so(
    people: People, action: str, status: str, run: str, block: str
) -> None:
    approval = question_of(run_asking(people, asking(dueIn=HOUR_MS, onTimeout=action)))
    assert run_due_timers(now=at(approval, 1)) == 1
    execution = run_until_quiet(approval.execution)
    approval.refresh_from_db()
    assert (approval.status, approval.responded_by, approval.source) == (status, None, "timeout")
    assert (execution.status, statuses(execution)) == (run, {"load": block})
    assert kinds(approval) == ["requested", "timeout" if action == "fail" else "responded"]
    if action == "fail":
        assert error_of(execution)["type"] == "APPROVAL_TIMEOUT"
        assert not ExecutionEvent.objects.filter(execution_id=execution.pk, type="block_retrying").exists()
    with pytest.raises(WorkflowError, match=r"end of its time|closed"):
        answer(approval, people.alice, approved=action == "reject")


def test_a_failure_by_timeout_takes_the_error_edge(people: People) -> None:
    ask = asking(dueIn=HOUR_MS, onTimeout="fail", fields={"onError": ["mend"]})
    approval = question_of(run_asking(people, ask, noop("mend")))
    run_due_timers(now=at(approval, 1))
    execution = run_until_quiet(approval.execution)
    assert statuses(execution) == {"load": "FAILED", "mend": "COMPLETED"}


def test_a_rejection_by_timeout_is_a_way_on_where_it_is_read(people: People) -> None:
    ways = {"branches": [branch("approved == True", "keep"), branch(None, "drop")]}
    ask = asking(dueIn=HOUR_MS, onTimeout="reject", fields={"conditions": ways})
    approval = question_of(run_asking(people, ask, noop("keep"), noop("drop")))
    run_due_timers(now=at(approval, 1))
    execution = run_until_quiet(approval.execution)
    assert execution.status == "COMPLETED"
    assert statuses(execution)["drop"] == "COMPLETED"


def test_no_clock_fills_in_what_people_must(people: People) -> None:
    schema = {"type": "object", "required": ["limit"]}
    ask = asking(type="INPUT", inputSchema=schema, dueIn=HOUR_MS, onTimeout="approve")
    approval = question_of(run_asking(people, ask))
    for hours in (1, 2):
        run_due_timers(now=at(approval, hours))
    approval.refresh_from_db()
    assert (approval.status, kinds(approval)) == ("PENDING", ["requested", "timeout"])


def test_timers_of_a_paused_run_wait_for_its_resumption(people: People) -> None:
    approval = question_of(run_asking(people, asking(dueIn=HOUR_MS, onTimeout="approve")))
    pause_execution(approval.execution_id, Asked("ada"))
    assert run_due_timers(now=at(approval, 5)) == 0
    approval.refresh_from_db()
    assert approval.status == "PENDING"
    resume_execution(approval.execution_id, Asked("ada"))
    assert run_due_timers(now=at(approval, 5)) == 1
    assert run_until_quiet(approval.execution).status == "COMPLETED"


def test_of_a_click_and_the_end_of_the_time_one_decides(people: People) -> None:
    approval = question_of(run_asking(people, asking(dueIn=HOUR_MS, onTimeout="approve")))
    together = Barrier(4)

    def act(number: int) -> str:
        together.wait(timeout=20)
        try:
            if number % 2:
                return "timer" if run_due_timers(now=at(approval, 1)) else ""
            return answer(approval, people.alice, approved=False).status
        except WorkflowError as error:
            return error.code
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(act, range(4)))
    approval.refresh_from_db()
    clicked = approval.status == "REJECTED"
    assert outcomes.count("REJECTED") == (2 if clicked else 0), outcomes
    assert outcomes.count("ALREADY_ANSWERED") == (0 if clicked else 2), outcomes
    assert kinds(approval) == ["requested", "responded"]
    told = ExecutionEvent.objects.filter(execution_id=approval.execution_id, type="approval_responded")
    assert told.count() == 1


def test_a_timer_of_a_run_that_ended_closes_the_question(people: People) -> None:
    approval = question_of(run_asking(people, asking(dueIn=HOUR_MS, onTimeout="approve")))
    BlockExecution.objects.filter(execution=approval.execution).update(status="CANCELLED")
    Execution.objects.filter(pk=approval.execution_id).update(status="CANCELLED")
    run_due_timers(now=at(approval, 1))
    assert kinds(approval) == ["requested", "closed"]


def test_one_question_that_cannot_be_dealt_with_does_not_keep_the_others(people: People) -> None:
    broken, sound = (question_of(run_asking(people, asking(dueIn=HOUR_MS))) for _ in range(2))
    chain: list[Any] = [{"afterMs": "soon"}]
    Approval.objects.filter(pk=broken.pk).update(escalation_chain=chain)
    assert run_due_timers(now=at(sound, 2)) == 1
    assert kinds(sound) == ["requested", "timeout"]
    assert kinds(broken) == ["requested"]
