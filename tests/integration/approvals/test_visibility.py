"""Who sees an approval and whom it awaits: as conditions on many and as answers about one, which must agree."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count, product
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from approvals_app.assignment import NOBODY, Responder, receivers_of, responders_of
from approvals_app.models import Approval, ApprovalVote, OutOfOffice
from approvals_app.selectors import awaiting, list_approvals, list_pending, narrow, visible_to
from executions_app.models import Execution
from tests.factories import make_template, make_user, make_workspace, noop
from workflow_service.accounts.models import ApiKey, Membership, Role, User, Workspace

_blocks = count(1)


@dataclass
class Office:
    """A workspace whose people differ in all that matters here, and runs by two starters."""

    workspace: Workspace
    people: dict[str, User]
    runs: dict[str, Execution] = field(default_factory=dict)

    def ask(self, run: str = "dora", **fields: Any) -> Approval:
        execution = self.runs[run]
        return Approval.objects.create(
            **{
                "workspace": execution.workspace,
                "execution": execution,
                "block_execution_id": next(_blocks),
                "block_id": "load",
                "type": "APPROVAL",
                "input_sha256": "",
                "requested_at": timezone.now(),
                "due_at": timezone.now() + timedelta(hours=1),
                **fields,
            }
        )


@pytest.fixture
def office(db: None) -> Office:
    workspace, elsewhere = make_workspace(), make_workspace()
    finance = Group.objects.create(name="finance")
    roles = {
        "alice": [Role.APPROVER],
        "bob": [Role.APPROVER],
        "carl": [Role.APPROVER, Role.DEVELOPER],
        "dora": [Role.DEVELOPER],
        "olga": [Role.OPERATOR],
        "vera": [Role.VIEWER],
        "ada": [Role.ADMIN],
        "gone": [Role.APPROVER],
        "away": [Role.APPROVER],
        "afar": [Role.APPROVER],
        "keyed": [Role.APPROVER],
        "reader": [Role.ADMIN],
    }
    people = {name: make_user(workspace, *held, username=name) for name, held in roles.items()}
    people["sam"] = make_user(elsewhere, Role.ADMIN, username="sam")
    Membership.objects.create(workspace=elsewhere, user=people["alice"], role=Role.VIEWER)
    for name in ("alice", "away", "vera", "sam"):
        people[name].groups.add(finance)
    people["gone"].is_active = False
    people["gone"].save()
    for name, scopes in (("keyed", ["approval:read", "approval:respond"]), ("reader", ["approval:read"])):
        key = ApiKey(workspace=workspace, user=people[name], scopes=scopes)
        people[name].acting_key = key
    for user, delegate, start, end in (
        ("away", "bob", -1, 1),
        ("afar", "away", -1, None),
        ("bob", "keyed", -3, -1),
        ("alice", "carl", 1, 2),
        ("ada", "keyed", -1, None),
        ("dora", "alice", -1, None),
        ("away", "vera", -1, None),
    ):
        OutOfOffice.objects.create(
            workspace=workspace,
            user=people[user],
            delegate=people[delegate],
            starts_at=hours(start),
            ends_at=None if end is None else hours(end),
        )
    office = Office(workspace, people)
    template = make_template([noop("load")], workspace=workspace)
    foreign = make_template([noop("load")], workspace=elsewhere)
    for name in ("dora", "alice", "away"):
        office.runs[name] = run_of(template, people[name])
    office.runs["sam"] = run_of(foreign, people["sam"])
    return office


def hours(number: int) -> datetime:
    return timezone.now() + timedelta(hours=number)


def run_of(template: Any, starter: User) -> Execution:
    return Execution.objects.create(
        workspace=template.workspace,
        template=template,
        version=template.current_version,
        created_by=starter,
        status="WAITING_FOR_APPROVAL",
        started_at=timezone.now(),
    )


def responder(user: User, approval: Approval) -> Responder:
    return responders_of(user).get(approval.workspace_id, NOBODY)


def every_kind(office: Office) -> Iterator[Approval]:
    """Ask every kind of question there is: some 400."""
    people = office.people
    assignees: tuple[list[str], ...] = (
        [],
        ["alice"],
        ["group:finance"],
        ["role:workflow_approver"],
        ["user:afar", "user:gone"],
        ["nobody"],
    )
    delegates: tuple[list[int], ...] = ([], [people["bob"].pk], [people["dora"].pk, people["away"].pk])
    for names, handed, run, four_eyes in product(assignees, delegates, office.runs, (False, True)):
        for involved, quorum, status in (
            ([], 1, "PENDING"),
            ([people["vera"].pk], 1, "REJECTED"),
            ([people["bob"].pk, people["away"].pk], 2, "PENDING"),
        ):
            approval = office.ask(
                run,
                assignees=names,
                delegate_ids=handed,
                involved_ids=involved,
                four_eyes=four_eyes,
                allow_delegation=bool(handed) or not four_eyes,
                quorum=quorum,
                status=status,
            )
            if quorum > 1:
                vote(approval, people["bob"], on_behalf_of=people["away"])
            yield approval


def vote(approval: Approval, user: User, **fields: Any) -> None:
    given = {"approved": True, "source": "test", "version": 1, "created_at": timezone.now(), **fields}
    ApprovalVote.objects.create(approval=approval, user=user, **given)


def test_conditions_on_many_agree_with_answers_about_one(office: Office) -> None:
    for _ in every_kind(office):
        pass
    approvals = list(Approval.objects.select_related("execution").prefetch_related("votes"))
    receivers = receivers_of(approvals)
    seen_by: dict[str, int] = {}
    for name, user in office.people.items():
        responders = responders_of(user)
        sees = {one.pk for one in approvals if responders.get(one.workspace_id, NOBODY).sees(one)}
        awaits = {one.pk for one in approvals if responders.get(one.workspace_id, NOBODY).awaits(one)}
        everything = Approval.objects.all()
        assert set(visible_to(user, everything).values_list("pk", flat=True)) == sees, name
        assert set(awaiting(user, everything).values_list("pk", flat=True)) == awaits, name
        assert awaits <= sees, f"{name} is to answer what they may not see"
        seen_by[name] = len(sees)
        for one in approvals:
            me = responders.get(one.workspace_id, NOBODY)
            if user.acting_key is None:
                asked = me.person.is_approver and me.is_for(one) and not me.person.is_bound(one)
                assert (user.pk in receivers[one.pk]) == asked, (name, one.assignees)
    here = sum(one.workspace_id == office.workspace.pk for one in approvals)
    # The table tells people apart: nobody's place is taken by everything or nothing by accident.
    assert seen_by["ada"] == seen_by["olga"] == here
    assert seen_by["gone"] == 0
    assert 0 < seen_by["bob"] < here
    assert 0 < seen_by["vera"] < seen_by["alice"] < here


@pytest.mark.parametrize(
    ("fields", "who"),
    [
        ({}, "alice bob carl away afar keyed ada"),
        ({"assignees": ["alice"]}, "alice ada"),
        ({"assignees": ["user:bob"]}, "bob ada"),
        # Bob stands in for who is away, and by that for who named them; the viewer whom they named too cannot.
        ({"assignees": ["user:away"]}, "away bob ada"),
        ({"assignees": ["user:afar"]}, "afar away bob ada"),
        ({"assignees": ["group:finance"]}, "alice away bob ada"),
        ({"assignees": ["nobody"]}, "ada"),
        # What a manager may is not handed on with what they are asked.
        ({"assignees": ["user:ada"]}, "ada keyed"),
        ({"assignees": ["nobody"], "delegates": ["carl"]}, "carl ada"),
        ({"assignees": ["nobody"], "delegates": ["dora"]}, "ada"),
        ({"run": "alice", "four_eyes": True, "assignees": ["alice"]}, "ada"),
        # Who stands in for the starter is bound with them.
        ({"run": "away", "four_eyes": True, "assignees": ["user:away"]}, "ada"),
        ({"run": "sam"}, "sam"),
    ],
    ids=range(13),
)
def test_who_is_awaited(office: Office, fields: dict[str, Any], who: str) -> None:
    delegates = [office.people[name].pk for name in fields.pop("delegates", ())]
    approval = office.ask(delegate_ids=delegates, **fields)
    found = {
        name
        for name, user in office.people.items()
        if awaiting(user, Approval.objects.filter(pk=approval.pk))
    }
    assert found == set(who.split())


@pytest.mark.parametrize(
    ("fields", "who"),
    [
        ({"assignees": ["bob"], "run": "dora"}, "bob dora ada olga"),
        ({"assignees": ["bob"], "status": "APPROVED"}, "bob dora ada olga"),
        ({"assignees": ["bob"], "involved": ["vera"]}, "bob dora vera ada olga"),
        # A key sees with its scopes: what asks its user, not all that the user may read.
        ({}, "alice bob carl away afar keyed dora ada olga reader"),
        ({"run": "sam", "assignees": ["alice"]}, "sam"),
        ({"run": "sam", "assignees": ["alice"], "involved": ["alice", "bob"]}, "alice sam"),
    ],
    ids=["pending", "answered", "involved", "everybody's", "foreign", "involved there"],
)
def test_who_sees(office: Office, fields: dict[str, Any], who: str) -> None:
    involved = [office.people[name].pk for name in fields.pop("involved", ())]
    approval = office.ask(involved_ids=involved, **fields)
    approvals = Approval.objects.filter(pk=approval.pk)
    assert {name for name, user in office.people.items() if visible_to(user, approvals)} == set(who.split())


def test_who_has_voted_is_awaited_no_more(office: Office) -> None:
    approval = office.ask(assignees=["alice", "user:away"], quorum=2)
    approvals = Approval.objects.filter(pk=approval.pk)
    vote(approval, office.people["bob"], on_behalf_of=office.people["away"])
    found = {name for name, user in office.people.items() if awaiting(user, approvals)}
    assert found == {"alice", "ada"}


def test_a_list_costs_the_same_however_long(office: Office) -> None:
    user = office.people["bob"]
    now = timezone.now()
    costs = []
    for total in (2, 60):
        while Approval.objects.count() < total:
            office.ask(quorum=2)
        with CaptureQueriesContext(connection) as queries:
            responders = responders_of(user)
            shown = list(list_pending(user, office.workspace)[:total])
            assert len(shown) == total
            assert all(responders[one.workspace_id].awaits(one) for one in shown)
            assert list(list_approvals(user)[:1])
            receivers_of(shown)
        costs.append(len(queries))
    assert costs[0] == costs[1] <= 22
    assert narrow(list_approvals(user), search="LOAD dora", sort="due", overdue_at=now).count() == 0
    assert narrow(list_approvals(user), search="LOAD dora", level="", sort="oldest").count() == 60
    assert narrow(list_approvals(user), search="load nowhere").count() == 0
