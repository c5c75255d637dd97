"""Quorum, delegation, absences and what is out of date: who decides in the end, and that it is decided once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.utils import timezone

from approvals_app.assignment import receivers_of, responder_of
from approvals_app.errors import (
    AbsenceInvalid,
    AlreadyVoted,
    ApprovalClosed,
    ApprovalNotFound,
    CannotDelegate,
    NotYourApproval,
    OutOfDate,
)
from approvals_app.models import Approval, ApprovalEvent, OutOfOffice
from approvals_app.selectors import history_of
from approvals_app.services.approvals import respond_to_approval
from approvals_app.services.delegation import comment_on_approval, delegate_approval
from approvals_app.services.levels import set_level
from approvals_app.services.out_of_office import clear_out_of_office, set_out_of_office
from executions_app.errors import FourEyes
from executions_app.models import BlockExecution, Execution, ExecutionEvent
from executions_app.services.blocks import skip_block
from executions_app.services.control import Asked
from executions_app.services.restart import Restart, restart_execution
from tests.driver import run_until_quiet
from tests.factories import make_template, make_user, start
from tests.failing_work import new_key, unsteady_block
from tests.people import People, asking, make_people, question_of, run_asking
from workflow_service.accounts.errors import Forbidden
from workflow_service.accounts.models import ApiKey, Membership, Role, User
from workflow_service.engine.errors import WorkflowError


@pytest.fixture
def people(transactional_db: None) -> People:
    return make_people()


def approvers(people: People, *names: str) -> list[User]:
    return [make_user(people.workspace, Role.APPROVER, username=name) for name in names]


def answer(approval: Approval, actor: User, approved: bool = True, **given: Any) -> Approval:
    return respond_to_approval(
        approval_id=approval.public_id, actor=actor, approved=approved, source="test", **given
    )


def hand(approval: Approval, actor: User, to: User) -> Approval:
    return delegate_approval(approval_id=approval.public_id, actor=actor, to=to.get_username(), source="test")


def kinds(approval: Approval) -> list[str]:
    events = ApprovalEvent.objects.filter(approval=approval).order_by("id")
    return [kind.removeprefix("approval_") for kind in events.values_list("type", flat=True)]


def ask(people: People, *who: User, **step: Any) -> Approval:
    names = [f"user:{user.get_username()}" for user in who]
    return question_of(run_asking(people, asking(assignees=names, **step)))


def test_as_many_as_the_quorum_must_approve(people: People) -> None:
    (carl,) = approvers(people, "carl")
    approval = ask(people, people.alice, people.bob, carl, quorum=2)
    first = answer(approval, people.alice)
    assert (first.status, first.version, first.responded_at) == ("PENDING", 2, None)
    # A second click counts once, and a vote is not taken back.
    assert answer(approval, people.alice).status == "PENDING"
    with pytest.raises(AlreadyVoted, match="you have approved it"):
        answer(approval, people.alice, approved=False)
    second = answer(approval, carl, comments="fine")
    assert (second.status, second.responded_by, second.version) == ("APPROVED", carl, 3)
    assert approval.votes.count() == 2
    assert kinds(approval) == ["requested", "voted", "responded"]
    execution = run_until_quiet(approval.execution)
    assert execution.status == "COMPLETED"
    assert ExecutionEvent.objects.filter(execution_id=execution.pk, type="approval_responded").count() == 1


def test_a_quorum_that_cannot_be_reached_any_more_rejects(people: People) -> None:
    (carl,) = approvers(people, "carl")
    approval = ask(people, people.alice, people.bob, carl, quorum=2)
    assert answer(approval, people.alice, approved=False).status == "PENDING"
    # A manager's vote stands in for one of those asked.
    assert answer(approval, people.admin, approved=False).status == "REJECTED"
    assert run_until_quiet(approval.execution).status == "FAILED"


def test_a_quorum_is_of_one_answer(people: People) -> None:
    (carl,) = approvers(people, "carl")
    schema = {"type": "object", "properties": {"limit": {"type": "integer"}}}
    approval = ask(people, people.alice, people.bob, carl, quorum=2, type="INPUT", inputSchema=schema)
    answer(approval, people.alice, response={"limit": 5})
    assert answer(approval, people.bob, response={"limit": 6}).status == "PENDING"
    with pytest.raises(AlreadyVoted, match="another answer"):
        answer(approval, people.bob, response={"limit": 5})
    decided = answer(approval, carl, response={"limit": 5})
    assert (decided.status, decided.response) == ("APPROVED", {"limit": 5})

    other = ask(people, people.alice, people.bob, quorum=2, type="INPUT", inputSchema=schema)
    answer(other, people.alice, response={"limit": 5})
    rejected = answer(other, people.bob, response={"limit": 6})
    assert (rejected.status, rejected.response) == ("REJECTED", None)


def test_who_left_after_voting_leaves_the_others_their_seats(people: People) -> None:
    (carl,) = approvers(people, "carl")
    approval = ask(people, people.alice, people.bob, carl, quorum=2)
    answer(approval, carl, approved=False)
    Membership.objects.filter(user=carl).delete()
    assert answer(approval, people.alice).status == "PENDING"
    assert answer(approval, people.bob).status == "APPROVED"


@pytest.mark.parametrize("quorum", [2, 3])
def test_votes_at_the_same_moment_are_each_counted_once(people: People, quorum: int) -> None:
    voters = [people.alice, people.bob, *approvers(people, "carl", "dan")]
    approval = ask(people, *voters, quorum=quorum)
    together = Barrier(2 * len(voters))

    def vote(actor: User) -> str:
        together.wait(timeout=20)
        try:
            return answer(approval, actor).status
        except WorkflowError as error:
            return error.code
        finally:
            connection.close()

    with ThreadPoolExecutor(2 * len(voters)) as pool:
        outcomes = list(pool.map(vote, [*voters, *voters]))
    assert set(outcomes) <= {"PENDING", "APPROVED"}
    approval.refresh_from_db()
    assert (approval.status, approval.votes.count(), approval.version) == ("APPROVED", quorum, quorum + 1)
    assert kinds(approval) == ["requested", *["voted"] * (quorum - 1), "responded"]
    assert len(set(approval.votes.values_list("user", flat=True))) == quorum
    assert BlockExecution.objects.get(execution=approval.execution).status in ("READY", "QUEUED")


def test_what_has_changed_since_one_looked_is_not_answered(people: People) -> None:
    approval = ask(people, people.alice, people.bob, quorum=2)
    answer(approval, people.alice, version=1)
    with pytest.raises(OutOfDate) as caught:
        answer(approval, people.bob, version=1)
    assert caught.value.version == 2
    # The same click again is the same answer, whatever it was about.
    assert answer(approval, people.alice, version=1).status == "PENDING"
    assert answer(approval, people.bob, version=2).status == "APPROVED"
    assert answer(approval, people.bob, version=1).status == "APPROVED"


def test_a_vote_on_a_run_that_ended_closes_the_question(people: People) -> None:
    approval = ask(people, people.alice, people.bob, quorum=2)
    BlockExecution.objects.filter(execution=approval.execution).update(status="CANCELLED")
    Execution.objects.filter(pk=approval.execution_id).update(status="CANCELLED")
    with pytest.raises(ApprovalClosed):
        answer(approval, people.alice)
    assert not approval.votes.exists()
    assert kinds(approval) == ["requested", "closed"]


def test_of_who_hands_a_question_on_and_who_takes_it_one_vote_counts(people: People) -> None:
    carl, dan = approvers(people, "carl", "dan")
    approval = ask(people, people.alice, people.bob, quorum=2)
    with pytest.raises(ApprovalNotFound):
        answer(approval, carl)
    assert hand(approval, people.alice, carl).version == 2
    assert hand(approval, people.alice, carl).version == 2, "the same again changes nothing"
    hand(approval, carl, dan)
    assert answer(approval, dan).status == "PENDING"
    assert approval.votes.get().on_behalf_of == people.alice
    for late in (people.alice, carl):
        with pytest.raises(AlreadyVoted):
            answer(approval, late)
    assert answer(approval, people.bob).status == "APPROVED"
    assert kinds(approval) == ["requested", "delegated", "delegated", "voted", "responded"]
    assert [(one.what, one.who, one.details.get("to")) for one in history_of(approval)][1:3] == [
        ("approval_delegated", "alice", "carl"),
        ("approval_delegated", "carl", "dan"),
    ]


def test_who_has_voted_leaves_nothing_to_who_was_handed_it(people: People) -> None:
    (carl,) = approvers(people, "carl")
    approval = ask(people, people.alice, people.bob, quorum=2)
    hand(approval, people.alice, carl)
    answer(approval, people.alice)
    with pytest.raises(AlreadyVoted, match="who handed it to you"):
        answer(approval, carl)
    with pytest.raises(CannotDelegate, match="your answer is given"):
        hand(approval, people.alice, carl)


def test_a_question_is_handed_to_nobody_who_may_not_decide(people: People) -> None:
    approval = ask(people, people.alice, fourEyes=True)
    Execution.objects.filter(pk=approval.execution_id).update(created_by=people.bob)
    for unfit in (people.bob, people.alice, people.developer, people.stranger):
        with pytest.raises(CannotDelegate):
            hand(approval, people.alice, unfit)
    with pytest.raises(CannotDelegate):
        delegate_approval(approval_id=approval.public_id, actor=people.alice, to="a\x00b", source="test")
    with pytest.raises(NotYourApproval):
        hand(approval, people.bob, people.alice)
    with pytest.raises(CannotDelegate, match="does not let"):
        hand(ask(people, people.alice, allowDelegation=False), people.alice, people.bob)
    approval.refresh_from_db()
    assert (approval.delegate_ids, approval.version) == ([], 1)
    answer(approval, people.alice)
    with pytest.raises(ApprovalClosed):
        hand(approval, people.alice, people.admin)


def test_who_is_away_is_stood_in_for_as_long_as_they_are(people: People) -> None:
    first, second, third = (ask(people, people.alice) for _ in range(3))
    absence = set_out_of_office(
        workspace=people.workspace, actor=people.alice, delegate="bob", reason="on holiday"
    )
    assert answer(first, people.bob).status == "APPROVED"
    assert first.votes.get().on_behalf_of == people.alice
    # She answers herself if she likes.
    assert answer(second, people.alice).status == "APPROVED"
    clear_out_of_office(workspace=people.workspace, actor=people.alice, absence_id=absence.pk)
    with pytest.raises(ApprovalNotFound):
        answer(third, people.bob)


def test_nobody_stands_in_where_the_workflow_lets_nothing_be_handed_on(people: People) -> None:
    approval, other = (ask(people, people.alice, allowDelegation=allowed) for allowed in (False, True))
    set_out_of_office(workspace=people.workspace, actor=people.alice, delegate="bob")
    bob = responder_of(people.bob, people.workspace)
    for each, receivers in ((approval, {people.alice.pk}), (other, {people.alice.pk, people.bob.pk})):
        asked = Approval.objects.select_related("execution").get(pk=each.pk)
        assert receivers_of([asked])[asked.pk] == receivers
    assert set(Approval.objects.filter(bob.awaited())) == {other}
    with pytest.raises(ApprovalNotFound):
        answer(approval, people.bob)
    # As one who sees it bob is told why.
    Execution.objects.filter(pk=approval.execution_id).update(created_by=people.bob)
    with pytest.raises(NotYourApproval, match="lets nobody stand in for them"):
        answer(approval, people.bob)
    assert answer(other, people.bob).status == "APPROVED"
    assert answer(approval, people.alice).status == "APPROVED"


def test_nobody_stands_in_through_the_starter_where_four_eyes_are_wanted(people: People) -> None:
    (starter,) = approvers(people, "stella")
    approval, other = (ask(people, people.bob, fourEyes=four_eyes) for four_eyes in (True, False))
    Execution.objects.filter(pk__in=(approval.execution_id, other.execution_id)).update(created_by=starter)
    for actor, delegate in ((people.bob, "stella"), (starter, "alice")):
        set_out_of_office(workspace=people.workspace, actor=actor, delegate=delegate)
    approval.execution.refresh_from_db()
    assert receivers_of([approval])[approval.pk] == {people.bob.pk}
    with pytest.raises(ApprovalNotFound):
        answer(approval, people.alice)
    assert answer(other, people.alice).votes.get().on_behalf_of == people.bob
    # A way around the starter leads there as well.
    set_out_of_office(workspace=people.workspace, actor=people.bob, delegate="alice")
    assert answer(approval, people.alice).status == "APPROVED"


def test_an_absence_names_somebody_fit_and_a_time_to_come(people: People) -> None:
    now = timezone.now()
    cases: list[tuple[type[WorkflowError], dict[str, Any]]] = [
        (AbsenceInvalid, {"delegate": "alice"}),
        (AbsenceInvalid, {"delegate": "dora"}),
        (AbsenceInvalid, {"delegate": "sam"}),
        (AbsenceInvalid, {"delegate": "bob", "ends_at": now - timedelta(hours=1)}),
        (AbsenceInvalid, {"delegate": "bob", "starts_at": now + timedelta(2), "ends_at": now + timedelta(1)}),
        (Forbidden, {"delegate": "alice", "user": people.bob}),
    ]
    for refusal, given in cases:
        with pytest.raises(refusal):
            set_out_of_office(workspace=people.workspace, actor=people.alice, **given)
    with pytest.raises(Forbidden):
        set_out_of_office(workspace=people.workspace, actor=people.developer, delegate="bob")
    made = set_out_of_office(
        workspace=people.workspace, actor=people.admin, user=people.alice, delegate="bob"
    )
    with pytest.raises(Forbidden):
        clear_out_of_office(workspace=people.workspace, actor=people.bob, absence_id=made.pk)
    assert OutOfOffice.objects.get() == made


def test_a_key_that_may_only_read_names_no_deputy(people: People) -> None:
    alice = User.objects.get(pk=people.alice.pk)
    people.alice.acting_key = ApiKey(workspace=people.workspace, user=people.alice, scopes=["approval:read"])
    for user in (None, alice):
        with pytest.raises(Forbidden):
            set_out_of_office(workspace=people.workspace, actor=people.alice, user=user, delegate="bob")


def test_whoever_sees_a_question_may_talk_about_it(people: People) -> None:
    approval = ask(people, people.alice)
    Execution.objects.filter(pk=approval.execution_id).update(created_by=people.developer)
    said = comment_on_approval(
        approval_id=approval.public_id, actor=people.developer, text="It is urgent.", source="test"
    )
    assert said.text == "It is urgent."
    with pytest.raises(ApprovalNotFound):
        comment_on_approval(approval_id=approval.public_id, actor=people.bob, text="?", source="test")
    people.alice.acting_key = ApiKey(workspace=people.workspace, user=people.alice, scopes=["approval:read"])
    with pytest.raises(Forbidden):
        comment_on_approval(approval_id=approval.public_id, actor=people.alice, text="?", source="test")
    approval.refresh_from_db()
    assert (approval.status, approval.version) == ("PENDING", 1)
    entry = history_of(approval)[-1]
    assert (entry.what, entry.who, entry.comments, entry.source) == (
        "approval_commented",
        "dora",
        "It is urgent.",
        "test",
    )


def test_a_level_asks_the_groups_that_the_workspace_has_for_it(people: People) -> None:
    managers = Group.objects.create(name="managers")
    people.bob.groups.add(managers)
    set_level(workspace=people.workspace, actor=people.admin, name="MANAGER", groups=["managers"])
    approval = question_of(run_asking(people, asking(approvalLevel="MANAGER")))
    assert (approval.level, approval.assignees) == ("MANAGER", ["group:managers"])
    with pytest.raises(ApprovalNotFound):
        answer(approval, people.alice)
    assert answer(approval, people.bob).status == "APPROVED"
    # Named assignees come before the level, and a level that nobody has defined asks every approver.
    named = question_of(run_asking(people, asking(approvalLevel="MANAGER", assignees=["alice"])))
    assert named.assignees == ["alice"]
    unknown = question_of(run_asking(people, asking(approvalLevel="BOARD")))
    assert answer(unknown, people.alice).status == "APPROVED"


@pytest.mark.parametrize("rejected", [False, True], ids=["asked", "rejected"])
def test_the_starter_does_not_pass_by_what_wants_four_eyes(people: People, rejected: bool) -> None:
    approval = ask(people, people.alice, fourEyes=True)
    execution = Execution.objects.get(pk=approval.execution_id)
    Execution.objects.filter(pk=execution.pk).update(created_by=people.admin)
    if rejected:
        answer(approval, people.alice, approved=False)
        run_until_quiet(execution)
    with pytest.raises(FourEyes, match="wants four eyes"):
        skip_block(execution.pk, approval.block_id, Asked.by(people.admin))
    if rejected:
        with pytest.raises(FourEyes):
            restart_execution(execution.pk, Asked.by(people.admin), Restart(skip_failed=True))
    # Somebody else may.
    skip_block(execution.pk, approval.block_id, Asked.by(people.bob))
    assert run_until_quiet(execution).status == "COMPLETED"


def test_the_starter_does_not_skip_a_failed_block_whose_question_wants_four_eyes(people: People) -> None:
    escalate = {"recovery": {"escalate": {"fourEyes": True}}}
    block = unsteady_block("shaky", new_key(), fields=escalate, fails=9, error="VALIDATION_ERROR")
    execution = run_until_quiet(start(make_template([block], workspace=people.workspace)))
    Execution.objects.filter(pk=execution.pk).update(created_by=people.admin)
    with pytest.raises(FourEyes):
        skip_block(execution.pk, "shaky", Asked.by(people.admin))
    skip_block(execution.pk, "shaky", Asked.by(people.bob))
    assert run_until_quiet(execution).status == "COMPLETED"
