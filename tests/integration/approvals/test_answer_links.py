"""A link in an e-mail answers for one person, one question and one version of it; opening it changes nothing."""

from html import unescape
from typing import Any

import pytest
from django.core import mail, signing
from django.test import Client

from approvals_app import mail_links
from approvals_app.models import Approval
from approvals_app.services.approvals import respond_to_approval
from tests.people import People, asking, make_people, question_of, run_asking
from workflow_service.accounts.models import Membership
from workflow_service.audit.models import AuditEntry
from workflow_service.notifications.delivery import deliver_due
from workflow_service.notifications.models import NotificationPreference
from workflow_service.outbox.models import Message

pytestmark = pytest.mark.django_db(transaction=True)

Asked = tuple[People, Approval, Client]


@pytest.fixture
def people() -> People:
    made = make_people()
    for user in (made.alice, made.bob):
        user.email = f"{user.username}@example.org"
        user.save()
    return made


def ask(people: People, **step: Any) -> Approval:
    return question_of(run_asking(people, asking(message="Load 12 <rows>?", **step)))


def stands(approval: Approval) -> str:
    approval.refresh_from_db()
    return approval.status


def test_a_mail_brings_a_link_that_asks_once_more_and_then_decides(people: People) -> None:
    approval = ask(people, assignees=["alice"])
    deliver_due()
    [sent] = [one for one in mail.outbox if one.to == ["alice@example.org"]]
    [url] = [line for line in str(sent.body).splitlines() if "/approvals/answer/" in line]
    path = "/" + url.split("/", 3)[3]
    client = Client(enforce_csrf_checks=True)
    for _ in range(2):
        page = client.get(path)
        assert page.status_code == 200
        assert "Load 12 <rows>?" in unescape(page.content.decode())
        assert "Load 12 <rows>?" not in page.content.decode()
    assert client.head(path).status_code == 200
    assert stands(approval) == "PENDING"
    done = client.post(path, {"decision": "approve", "comments": "Fine"}, follow=True)
    assert "approved" in done.content.decode()
    assert stands(approval) == "APPROVED"
    assert (approval.responded_by, approval.source, approval.comments) == (people.alice, "email", "Fine")
    again = client.post(path, {"decision": "reject"})
    assert (again.status_code, stands(approval)) == (409, "APPROVED")
    assert client.get(path).status_code == 200


def test_the_page_is_not_kept_found_framed_or_referred_to(people: People) -> None:
    page = Client().get(mail_links.sign(ask(people), people.alice))
    assert "no-store" in page["Cache-Control"]
    assert page["Referrer-Policy"] == "no-referrer"
    assert "noindex" in page["X-Robots-Tag"]
    assert "frame-ancestors 'none'" in page["Content-Security-Policy"]
    assert Client().put(mail_links.sign(ask(people), people.alice)).status_code == 405


def _altered(path: str) -> str:
    return path[:-2] + ("A" if path[-2] != "A" else "B") + path[-1]


def test_a_link_that_is_altered_too_old_or_another_thing_signed_leads_nowhere(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    approval = ask(people)
    path = mail_links.sign(approval, people.alice)
    other = signing.dumps([approval.pk, people.alice.pk, 1, ""], salt="another")
    for wrong in (_altered(path), f"/approvals/answer/{other}", "/approvals/answer/x", path + "x" * 500):
        assert Client().post(wrong, {"decision": "approve"}).status_code == 404
    monkeypatch.setattr(mail_links, "GOOD_FOR", -1)
    assert Client().post(path, {"decision": "approve"}).status_code == 404
    assert stands(approval) == "PENDING"


@pytest.mark.parametrize("lost", ["switched off", "other address", "left", "no approver"])
def test_whoever_lost_the_right_is_refused_although_the_link_was_good(people: People, lost: str) -> None:
    approval = ask(people)
    path = mail_links.sign(approval, people.alice)
    match lost:
        case "switched off":
            people.alice.is_active = False
        case "other address":
            people.alice.email = "mallory@example.org"
        case "left":
            Membership.objects.filter(user=people.alice).delete()
        case "no approver":
            Membership.objects.filter(user=people.alice).update(role="workflow_viewer")
    people.alice.save()
    assert Client().post(path, {"decision": "approve"}).status_code in (403, 404)
    assert stands(approval) == "PENDING"


def test_a_refused_link_is_on_record_without_what_makes_it_one(people: People) -> None:
    approval = ask(people)
    path = mail_links.sign(approval, approval.execution.created_by)
    client = Client()
    client.force_login(people.bob)
    assert client.post(path, {"decision": "approve"}).status_code == 403
    entry = AuditEntry.objects.get(action="request.denied")
    assert entry.target_id == f"/approvals/answer/{path.rsplit('/', 1)[1][:8]}…"


def test_a_link_is_stale_once_somebody_else_answered_and_a_new_one_is_sent_once(people: People) -> None:
    approval = ask(people, quorum=2)
    path = mail_links.sign(approval, people.bob)
    respond_to_approval(approval_id=approval.public_id, actor=people.alice, approved=True, source="api")
    Message.objects.all().delete()
    assert Client().post(path, {"decision": "approve"}).status_code == 409
    assert stands(approval) == "PENDING"
    for _ in range(2):
        assert "on its way" in Client().post(path, {"decision": "renew"}).content.decode()
    deliver_due()
    [sent] = mail.outbox
    assert sent.to == ["bob@example.org"]
    [url] = [line for line in str(sent.body).splitlines() if "/approvals/answer/" in line]
    Client().post("/" + url.split("/", 3)[3], {"decision": "approve"})
    assert stands(approval) == "APPROVED"


def test_a_new_link_that_was_asked_for_comes_whatever_is_wanted_unasked(people: People) -> None:
    approval = ask(people, quorum=2)
    path = mail_links.sign(approval, people.bob)
    respond_to_approval(approval_id=approval.public_id, actor=people.alice, approved=True, source="api")
    Message.objects.all().delete()
    NotificationPreference.objects.create(user=people.bob, topic="approval_reminded", email=False)
    assert "on its way" in Client().post(path, {"decision": "renew"}).content.decode()
    deliver_due()
    assert [sent.to for sent in mail.outbox] == [["bob@example.org"]]


def test_a_voter_whose_vote_counts_is_told_so_and_counts_once(people: People) -> None:
    approval = ask(people, quorum=2)
    path = mail_links.sign(approval, people.alice)
    done = Client().post(path, {"decision": "approve"}, follow=True)
    assert "Your answer counts" in done.content.decode()
    assert Client().post(path, {"decision": "approve"}).status_code == 409
    assert (stands(approval), approval.votes.count()) == ("PENDING", 1)


def test_what_is_typed_wrong_is_shown_again_and_the_link_stays_good(people: People) -> None:
    schema = {"type": "object", "properties": {"rows": {"type": "integer"}}, "required": ["rows"]}
    approval = ask(people, type="INPUT", inputSchema=schema)
    path = mail_links.sign(approval, people.alice)
    wrong = Client().post(path, {"decision": "submit", "response.rows": "many", "comments": "<b>"})
    assert wrong.status_code == 422
    assert "many" in wrong.content.decode()
    assert "&lt;b&gt;" in wrong.content.decode()
    assert Client().post(path, {"decision": "fly"}).status_code == 422
    assert stands(approval) == "PENDING"
    Client().post(path, {"decision": "submit", "response.rows": "12"})
    assert (stands(approval), approval.response) == ("APPROVED", {"rows": 12})
