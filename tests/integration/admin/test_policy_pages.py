"""Approval levels and absences in the admin, through the same services as over HTTP."""

from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from approvals_app.models import ApprovalLevel, OutOfOffice
from tests.people import People, make_people
from workflow_service.accounts.models import User

LEVELS = "/admin/approvals_app/approvallevel/"
ABSENCES = "/admin/approvals_app/outofoffice/"


@pytest.fixture
def people(db: None) -> People:
    return make_people()


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def errors_of(response: Any) -> str:
    return str(response.context["adminform"].form.errors)


def test_levels_are_kept_by_who_manages_members(people: People) -> None:
    board, foreign = (Group.objects.create(name=name) for name in ("board", "foreign"))
    people.bob.groups.add(board)
    people.stranger.groups.add(foreign)
    form = {"workspace": people.workspace.pk, "name": "BOARD", "groups": [board.pk]}
    assert signed_in(people.alice).post(f"{LEVELS}add/", form).status_code == 403
    assert signed_in(people.stranger).post(f"{LEVELS}add/", form).status_code == 200
    client = signed_in(people.admin)
    offered = client.get(f"{LEVELS}add/").content.decode()
    assert "board" in offered
    assert "foreign" not in offered
    assert "groups" in errors_of(client.post(f"{LEVELS}add/", form | {"groups": [foreign.pk]}))
    assert not ApprovalLevel.objects.exists()
    assert client.post(f"{LEVELS}add/", form).status_code == 302
    level = ApprovalLevel.objects.get()
    assert list(level.groups.all()) == [board]
    assert "already exists" in client.post(f"{LEVELS}add/", form).content.decode()
    assert "BOARD" in signed_in(people.alice).get(LEVELS).content.decode()
    assert "BOARD" not in signed_in(people.stranger).get(LEVELS).content.decode()
    other = Group.objects.create(name="other")
    people.alice.groups.add(other)
    assert client.post(f"{LEVELS}{level.pk}/change/", {"groups": [other.pk]}).status_code == 302
    assert list(level.groups.all()) == [other]
    assert client.post(f"{LEVELS}{level.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not ApprovalLevel.objects.exists()


def test_absences_are_one_s_own(people: People) -> None:
    form = {
        "workspace": people.workspace.pk,
        "user": "",
        "delegate": people.bob.pk,
        "starts_at_0": "2026-01-01",
        "starts_at_1": "00:00:00",
        "ends_at_0": "",
        "ends_at_1": "",
        "reason": "on holiday",
    }
    assert signed_in(people.developer).post(f"{ABSENCES}add/", form).status_code == 403
    client = signed_in(people.alice)
    assert client.get(f"{ABSENCES}add/").status_code == 200
    refused = client.post(f"{ABSENCES}add/", form | {"delegate": people.alice.pk})
    assert "Nobody stands in for themselves" in errors_of(refused)
    assert "delegate" in errors_of(client.post(f"{ABSENCES}add/", form | {"delegate": people.stranger.pk}))
    assert "user" in errors_of(client.post(f"{ABSENCES}add/", form | {"user": people.bob.pk}))
    past = form | {"ends_at_0": "2026-01-02", "ends_at_1": "00:00:00"}
    assert "not in the past" in errors_of(client.post(f"{ABSENCES}add/", past))
    assert not OutOfOffice.objects.exists()
    assert client.post(f"{ABSENCES}add/", form).status_code == 302
    absence = OutOfOffice.objects.get()
    assert (absence.user, absence.delegate, absence.reason) == (people.alice, people.bob, "on holiday")
    for user, seen in ((people.bob, True), (people.admin, True), (people.developer, False)):
        assert ("on holiday" in signed_in(user).get(ABSENCES).content.decode()) is seen
    page = f"{ABSENCES}{absence.pk}"
    assert signed_in(people.bob).post(f"{page}/delete/", {"post": "yes"}).status_code == 403
    assert client.get(f"{page}/change/").status_code == 200
    assert client.post(f"{page}/delete/", {"post": "yes"}).status_code == 302
    assert not OutOfOffice.objects.exists()


def test_an_admin_sends_others_on_holiday(people: People) -> None:
    form = {
        "workspace": people.workspace.pk,
        "user": people.alice.pk,
        "delegate": people.bob.pk,
        "starts_at_0": "2026-01-01",
        "starts_at_1": "00:00:00",
    }
    assert signed_in(people.admin).post(f"{ABSENCES}add/", form).status_code == 302
    assert OutOfOffice.objects.get().user == people.alice
