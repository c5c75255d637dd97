"""The policy of approvals over HTTP: lists, votes, delegation, comments, history, levels and absences."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.utils import timezone

from approvals_app.models import Approval, ApprovalLevel, OutOfOffice
from executions_app.models import Execution
from tests.caller import Caller
from tests.factories import make_user
from tests.people import People, asking, make_people, question_of, run_asking
from workflow_service.accounts.models import Role, User


@pytest.fixture
def people(transactional_db: None) -> People:
    return make_people()


def call(user: User, method: str, path: str, body: Any = None, *, gives: int = 200, **query: Any) -> Any:
    given = {"get": [query], "delete": []}.get(method, [body])
    answer = getattr(Caller(user), method)(path, *given)
    assert answer.status_code == gives, answer.content
    return answer.json() if answer.content else None


def test_a_quorum_s_votes_are_counted_and_told(people: People) -> None:
    approval = question_of(run_asking(people, asking(assignees=["alice", "bob"], quorum=2)))
    path = f"approvals/{approval.public_id}"
    shown = call(people.alice, "get", path)
    assert (shown["quorum"], shown["approvals"], shown["version"], shown["canRespond"]) == (2, 0, 1, True)
    voted = call(people.alice, "post", f"{path}/respond", {"approved": True, "version": 1})
    assert (voted["status"], voted["version"], voted["respondedBy"], voted["respondedAt"]) == (
        "PENDING",
        2,
        None,
        None,
    )
    shown = call(people.alice, "get", path)
    assert (shown["approvals"], shown["canRespond"]) == (1, False)
    assert call(people.alice, "get", "approvals/pending")["total"] == 0
    assert call(people.bob, "get", "approvals/pending")["total"] == 1
    changed = call(people.bob, "post", f"{path}/respond", {"approved": True, "version": 1}, gives=409)
    assert changed["code"] == "APPROVAL_CHANGED"
    opposite = call(people.alice, "post", f"{path}/respond", {"approved": False}, gives=409)
    assert opposite["code"] == "ALREADY_VOTED"
    decided = call(people.bob, "post", f"{path}/respond", {"approved": True, "version": 2})
    assert (decided["status"], decided["respondedBy"]) == ("APPROVED", "bob")


def test_a_question_is_handed_on_talked_about_and_remembered(people: People) -> None:
    approval = question_of(run_asking(people, asking(assignees=["alice"])))
    path = f"approvals/{approval.public_id}"
    assert call(people.bob, "get", path, gives=404)["code"] == "APPROVAL_NOT_FOUND"
    for action, body in (
        ("delegate", {"to": "bob"}),
        ("comment", {"text": "?"}),
        ("respond", {"approved": True}),
    ):
        call(people.bob, "post", f"{path}/{action}", body, gives=404)
    call(people.bob, "get", f"{path}/history", gives=404)
    unfit = call(people.alice, "post", f"{path}/delegate", {"to": "dora"}, gives=422)
    assert unfit["code"] == "CANNOT_DELEGATE"
    handed = call(
        people.alice, "post", f"{path}/delegate", {"to": people.bob.public_id, "comments": "please"}
    )
    assert (handed["delegates"], handed["version"]) == (["bob"], 2)
    said = call(people.bob, "post", f"{path}/comment", {"text": "I look."}, gives=201)
    assert (said["user"], said["text"]) == ("bob", "I look.")
    call(people.bob, "post", f"{path}/comment", {"text": " "}, gives=422)
    call(people.bob, "post", f"{path}/respond", {"approved": False, "comments": "no"})
    history = call(people.alice, "get", f"{path}/history")["history"]
    assert [(one["what"], one["who"], one["door"], one["comments"]) for one in history] == [
        ("approval_requested", "", "", ""),
        ("approval_delegated", "alice", "api", "please"),
        ("approval_commented", "bob", "api", "I look."),
        ("approval_responded", "bob", "api", "no"),
    ]
    assert history[1]["details"]["to"] == "bob"


def test_everything_that_concerns_one_is_listed(people: People) -> None:
    mine = question_of(run_asking(people, asking(assignees=["alice"], message="Pay the invoice?")))
    late = question_of(run_asking(people, asking(approvalLevel="BOARD")))
    Approval.objects.filter(pk=late.pk).update(due_at=timezone.now() - timedelta(hours=1))
    others = question_of(run_asking(people, asking(assignees=["bob"])))
    started = question_of(run_asking(people, asking(assignees=["bob"])))
    Execution.objects.filter(pk=started.execution_id).update(created_by=people.alice)
    call(people.alice, "post", f"approvals/{mine.public_id}/respond", {"approved": True})

    def listed(path: str = "approvals", **query: Any) -> list[str]:
        found = call(people.alice, "get", path, **query)
        assert found["total"] == len(found["approvals"])
        return [one["approvalId"] for one in found["approvals"]]

    assert listed() == [started.public_id, late.public_id, mine.public_id]
    assert listed(sort="oldest") == [mine.public_id, late.public_id, started.public_id]
    assert listed(status="APPROVED") == listed(search="INVOICE pay") == [mine.public_id]
    assert listed(status="overdue") == [late.public_id]
    assert listed("approvals/pending", status="overdue") == [late.public_id]
    assert listed("approvals/pending", search="invoice") == []
    assert listed(level="BOARD", sort="due") == [late.public_id]
    assert others.public_id not in listed(search="load")
    assert call(people.alice, "get", f"approvals/{late.public_id}")["overdue"] is True
    for query in ("status=LATE", "sort=up", "search=" + 201 * "x"):
        assert call(people.alice, "get", f"/api/v1/approvals?{query}", gives=400)["code"] == "INVALID_QUERY"


def test_levels_are_set_by_who_manages_members(people: People) -> None:
    for name, user in (("board", people.bob), ("foreign", people.stranger)):
        user.groups.add(Group.objects.create(name=name))
    path = "approval-levels/BOARD"
    call(people.alice, "put", path, {"groups": ["board"]}, gives=403)
    made = call(people.admin, "put", path, {"groups": ["board"]})
    assert made == {"name": "BOARD", "groups": ["board"]}
    assert call(people.alice, "get", "approval-levels") == {"approvalLevels": [made]}
    assert call(people.stranger, "get", "approval-levels") == {"approvalLevels": []}
    for groups in (["nowhere"], ["foreign"], [], ["a\x00"]):
        call(people.admin, "put", path, {"groups": groups}, gives=422 if "a\x00" not in groups else 400)
    assert call(people.alice, "get", path) == made
    call(people.alice, "delete", path, gives=403)
    call(people.admin, "delete", path, gives=204)
    assert call(people.admin, "delete", path, gives=404)["code"] == "LEVEL_NOT_FOUND"
    assert not ApprovalLevel.objects.exists()


def test_who_is_away_says_so_and_comes_back(people: People) -> None:
    until = (timezone.now() + timedelta(days=1)).isoformat()
    made = call(people.alice, "post", "out-of-office", {"delegate": "bob", "endsAt": until}, gives=201)
    assert (made["user"], made["delegate"], made["reason"]) == ("alice", "bob", "")
    assert call(people.bob, "get", "out-of-office")["absences"] == [made]
    assert call(people.admin, "get", "out-of-office")["total"] == 1
    other = make_user(people.workspace, Role.APPROVER)
    assert call(other, "get", "out-of-office")["total"] == 0
    call(people.alice, "post", "out-of-office", {"delegate": "alice"}, gives=422)
    call(people.alice, "post", "out-of-office", {"delegate": "alice", "user": "bob"}, gives=403)
    call(people.admin, "post", "out-of-office", {"delegate": "alice", "user": "nobody"}, gives=422)
    path = f"out-of-office/{made['id']}"
    call(other, "delete", path, gives=404)
    call(people.bob, "delete", path, gives=403)
    call(people.stranger, "delete", path, gives=404)
    call(people.alice, "delete", f"out-of-office/{10**30}", gives=404)
    call(people.alice, "delete", path, gives=204)
    assert not OutOfOffice.objects.exists()
