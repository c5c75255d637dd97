"""The pages of decisions: what members read, and what those may say was right who may override runs."""

import pytest
from django.test import Client

from tests.driver import run_until_quiet
from tests.moods import in_mood
from tests.people import People, make_people
from tests.questions import chosen, decision_of, run_triage
from workflow_service.accounts.models import User
from workflow_service.decisions.models import Decision

LIST = "/admin/decisions/decision/"


@pytest.fixture
def people(transactional_db: None) -> People:
    people = make_people()
    with in_mood("good", chosen("calm", 88)):
        run_triage(workspace=people.workspace)
    return people


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_members_read_decisions_of_their_workspace(people: People) -> None:
    decision = Decision.objects.get()
    listed = client_of(people.alice).get(LIST).content.decode()
    assert "the customer is angry" in listed
    assert "88 %" in listed
    page = client_of(people.alice).get(f"{LIST}{decision.public_id}/change/").content.decode()
    for part in ("the message says so", "decide_first@1", "Where is my money?"):
        assert part in page
    assert "Say what was right" not in page
    assert "the customer is angry" not in client_of(people.stranger).get(LIST).content.decode()
    assert client_of(people.stranger).get(f"{LIST}{decision.pk}/change/").status_code == 302


def test_an_admin_says_what_was_right(people: People) -> None:
    decision = Decision.objects.get()
    admin = client_of(people.admin)
    assert "Say what was right" in admin.get(f"{LIST}{decision.pk}/change/").content.decode()
    path = f"{LIST}{decision.pk}/override/"
    assert admin.get(path).status_code == 405
    assert admin.post(path, {"choice": "delete_everything"}).status_code == 422
    answer = admin.post(path, {"choice": "refund", "reason": "<b>clear</b>"}, follow=True)
    page = answer.content.decode()
    assert "like cases go that way" in page
    assert "&lt;b&gt;clear&lt;/b&gt;" in page
    decision.refresh_from_db()
    assert (decision.override, decision.overridden_by) == (["refund"], people.admin)


def test_others_do_not(people: People) -> None:
    path = f"{LIST}{Decision.objects.get().pk}/override/"
    assert client_of(people.alice).post(path, {"choice": "refund"}).status_code == 403
    assert client_of(people.stranger).post(path, {"choice": "refund"}).status_code == 404
    assert Decision.objects.get().override is None


def test_the_page_of_a_question_tells_what_it_is_decided_by(people: People) -> None:
    with in_mood("good", chosen("calm", 20)):
        execution = run_triage(workspace=people.workspace, output={"message": "Hm."})
    approval = execution.approvals.get()
    page = (
        client_of(people.alice).get(f"/admin/approvals_app/approval/{approval.pk}/change/").content.decode()
    )
    for part in (
        "What it is decided by",
        "20 % sure",
        "Which way the workflow goes",
        "Choose",
        "Let it fail",
    ):
        assert part in page
    answer = client_of(people.alice).post(
        f"/admin/approvals_app/approval/{approval.pk}/respond/",
        {"decision": "choose", "response.choice": "refund", "version": approval.version},
    )
    assert answer.status_code == 302
    run_until_quiet(execution)
    assert decision_of(execution).chosen == ["refund"]
