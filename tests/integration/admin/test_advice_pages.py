"""The advisor's pages: what a suggestion is worth, what it changes, and who may decide about it there."""

import pytest
from django.test import Client

from tests.advised import make_suggestion
from tests.factories import make_template, noop
from tests.people import People, make_people
from workflow_service.accounts.models import User
from workflow_service.advisor.models import OptimizationRecord
from workflow_service.advisor.vocabulary import Status

pytestmark = pytest.mark.django_db
PAGES = "/admin/advisor/optimizationrecord"


@pytest.fixture
def people() -> People:
    return make_people()


@pytest.fixture
def record(people: People) -> OptimizationRecord:
    template = make_template([noop("load"), noop("store", dependencies=["load"])], workspace=people.workspace)
    return make_suggestion(template)


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def decide(user: User, record: OptimizationRecord, decision: str) -> int:
    answer = signed_in(user).post(
        f"{PAGES}/{record.pk}/decide/", {"decision": decision, "reason": "said here"}, follow=True
    )
    record.refresh_from_db()
    return answer.status_code


def test_a_suggestion_is_shown_with_its_worth_and_what_it_changes(
    people: People, record: OptimizationRecord
) -> None:
    page = signed_in(people.admin).get(f"{PAGES}/{record.pk}/change/").content.decode()
    for part in (
        record.title.replace("'", "&#x27;"),
        "25.0 %",
        "0.8 %",
        "retryPolicy",
        "97 % less",
        "Error types",
    ):
        assert part in page, part
    assert 'value="accept"' in page
    assert (
        'value="accept"' not in signed_in(people.alice).get(f"{PAGES}/{record.pk}/change/").content.decode()
    )
    assert signed_in(people.stranger).get(f"{PAGES}/{record.pk}/change/").status_code == 302


def test_a_template_has_a_page_of_its_advice(people: People, record: OptimizationRecord) -> None:
    place = f"{PAGES}/of/{record.template_id}/"
    page = signed_in(people.admin).get(place).content.decode()
    assert "no run has ended yet" in page
    assert f"{PAGES}/{record.pk}/change/" in page
    assert signed_in(people.stranger).get(place).status_code == 404
    listed = signed_in(people.admin).get(f"{PAGES}/").content.decode()
    assert "97 % less failures" in listed
    linked = signed_in(people.admin).get(f"/admin/templates_app/template/{record.template_id}/change/")
    assert place in linked.content.decode()


def test_it_is_accepted_by_whoever_may_change_the_template(
    people: People, record: OptimizationRecord
) -> None:
    decide(people.alice, record, "accept")
    assert record.status == Status.SUGGESTED
    assert decide(people.admin, record, "accept") == 200
    assert record.status == Status.ACCEPTED
    assert record.accepted_version is not None
    assert record.accepted_version.change_note == "said here"
    decide(people.admin, record, "reject")
    assert record.status == Status.ACCEPTED


def test_it_is_rejected_with_a_reason(people: People, record: OptimizationRecord) -> None:
    decide(people.admin, record, "reject")
    assert (record.status, record.reason, record.decided_by) == (Status.REJECTED, "said here", people.admin)


def test_an_analysis_is_asked_for_by_a_post(people: People, record: OptimizationRecord) -> None:
    place = f"{PAGES}/of/{record.template_id}/analyse/"
    assert signed_in(people.admin).get(place).status_code == 405
    assert signed_in(people.alice).post(place).status_code == 403
    page = signed_in(people.admin).post(place, follow=True).content.decode()
    assert "0 runs looked at" in page
    record.refresh_from_db()
    assert record.status == Status.OUTDATED
