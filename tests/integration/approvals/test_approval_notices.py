"""Whom approvals are told to: who is asked, by links of their own; the starter, of the answer; webhooks, of all."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core import mail
from django.db import transaction

from approvals_app import notices
from approvals_app.models import Approval
from approvals_app.services.approvals import respond_to_approval
from approvals_app.services.delegation import delegate_approval
from approvals_app.services.questions import close_of_runs
from approvals_app.services.timers import run_due_timers
from tests.driver import run_until_quiet
from tests.people import People, asking, make_people, question_of, run_asking
from workflow_service.accounts.models import User
from workflow_service.notifications.delivery import deliver_due
from workflow_service.notifications.models import Notification, WebhookDelivery, WebhookEndpoint
from workflow_service.outbox.models import Message
from workflow_service.settings.config import get_config
from workflow_service.vault.services.secrets import create_secret

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def people() -> People:
    made = make_people()
    for user in User.objects.all():
        user.email = f"{user.username}@example.org"
        user.save()
    return made


def ask(people: People, **step: Any) -> Approval:
    return question_of(run_asking(people, asking(message="Load 12 rows?", **step)))


def told() -> set[tuple[str, str]]:
    return {(one.user.username, one.topic) for one in Notification.objects.select_related("user")}


def test_those_who_are_asked_are_told_each_with_a_link_of_their_own(people: People) -> None:
    people.bob.groups.add(Group.objects.create(name="treasury"))
    ask(people, assignees=["alice", "group:treasury"])
    deliver_due()
    assert told() == {("alice", "approval_requested"), ("bob", "approval_requested")}
    links = {line for one in mail.outbox for line in one.body.splitlines() if "/approvals/answer/" in line}
    assert len(links) == 2
    assert {one.subject for one in mail.outbox} == {"Approval needed: Load rows"}


def test_nobody_named_means_every_approver_and_four_eyes_leave_the_starter_out(people: People) -> None:
    ask(people)
    deliver_due()
    assert {name for name, _ in told()} == {"alice", "bob", "ada"}


def test_a_question_that_was_answered_meanwhile_is_told_to_nobody_but_its_starter(people: People) -> None:
    approval = ask(people, assignees=["alice", "bob"])
    User.objects.update(email="all@example.org")
    respond_to_approval(
        approval_id=approval.public_id, actor=people.alice, approved=False, comments="Too many", source="api"
    )
    deliver_due()
    starter = approval.execution.created_by
    assert told() == {(starter.username, "approval_responded")}
    [sent] = mail.outbox
    assert "alice: rejected." in sent.body
    assert "Too many" in sent.body


def test_a_delegate_is_told_and_nobody_else_again(people: People) -> None:
    approval = ask(people, assignees=["alice"])
    deliver_due()
    delegate_approval(approval_id=approval.public_id, actor=people.alice, to="bob", source="api")
    deliver_due()
    assert told() == {("alice", "approval_requested"), ("bob", "approval_delegated")}


def test_of_two_delegations_at_once_each_is_told_to_its_own_delegate(people: People) -> None:
    approval = ask(people, assignees=["alice"])
    Message.objects.all().delete()
    delegate_approval(approval_id=approval.public_id, actor=people.alice, to="bob", source="api")
    delegate_approval(approval_id=approval.public_id, actor=people.bob, to="ada", source="api")
    deliver_due()
    topics = Notification.objects.values_list("user__username", "topic").order_by("user__username")
    assert list(topics) == [("ada", "approval_delegated"), ("bob", "approval_delegated")]


def test_reminders_and_escalations_reach_who_has_not_answered_and_the_end_of_the_time_the_starter_too(
    people: People,
) -> None:
    chain = [{"after": 300_000, "approvalLevel": "BOSS", "assignees": ["ada"]}]
    approval = ask(
        people,
        assignees=["alice", "bob"],
        quorum=2,
        dueIn=600_000,
        remindEvery=120_000,
        escalationChain=chain,
    )
    respond_to_approval(approval_id=approval.public_id, actor=people.alice, approved=True, source="api")
    Message.objects.all().delete()
    for seconds, expected in (
        (121, {("bob", "approval_reminded")}),
        (301, {("bob", "approval_escalated"), ("ada", "approval_escalated")}),
    ):
        run_due_timers(now=approval.requested_at + timedelta(seconds=seconds))
        deliver_due()
        assert told() >= expected
        assert "alice" not in {name for name, _ in told()}
    for seconds in (1_000, 2_000):
        run_due_timers(now=approval.requested_at + timedelta(seconds=seconds))
    deliver_due()
    starter = approval.execution.created_by.username
    assert {("bob", "approval_timeout"), ("ada", "approval_timeout"), (starter, "approval_timeout")} <= told()
    assert "alice" not in {name for name, _ in told()}


def test_webhooks_get_the_feeds_own_words_of_every_event_at_its_time(people: People) -> None:
    WebhookEndpoint.objects.create(
        workspace=people.workspace,
        url="http://127.0.0.1:9/",
        topics=["approval_requested", "approval_responded"],
    )
    approval = ask(people)
    respond_to_approval(approval_id=approval.public_id, actor=people.alice, approved=True, source="api")
    deliver_due(rounds=1)
    bodies = [one.body for one in WebhookDelivery.objects.order_by("id")]
    assert [body["type"] for body in bodies] == ["approval_requested", "approval_responded"]
    assert [body["data"]["status"] for body in bodies] == ["PENDING", "APPROVED"]
    assert bodies[0]["data"]["approvalId"] == approval.public_id
    assert "input" not in bodies[0]["data"]


def test_what_is_told_twice_by_a_process_that_died_is_heard_once(people: People) -> None:
    ask(people, assignees=["alice"])
    [message] = Message.objects.filter(channel=notices.CHANNEL)
    for _ in range(2):
        notices.announce(message.body)
    assert Message.objects.filter(channel="email").count() == Notification.objects.count() == 1


def test_a_closed_question_is_told_to_nobody(people: People) -> None:
    approval = ask(people)
    with transaction.atomic():
        close_of_runs([approval.execution_id])
    deliver_due()
    assert told() == set()


def test_the_operator_says_in_which_ways_approvals_are_told(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet = get_config().model_copy(update={"human_in_loop_notification_channels": ("websocket",)})
    monkeypatch.setattr(notices, "get_config", lambda: quiet)
    ask(people, assignees=["alice"])
    deliver_due()
    assert (told(), mail.outbox) == ({("alice", "approval_requested")}, [])


def test_no_secret_output_or_input_of_a_run_stands_in_what_is_told(people: People) -> None:
    create_secret(workspace=people.workspace, actor=people.admin, name="TOKEN", value="swordfish-9")
    block = asking(message="Use it?", assignees=["alice"])
    block["configuration"] = {
        "useCase": "noop",
        "input": {"password": "${secrets.TOKEN}", "rows": "r0ws-inside"},
    }
    run_until_quiet(run_asking(people, block))
    deliver_due()
    everything = mail.outbox[0].message().as_string() + str(list(Notification.objects.values()))
    for hidden in ("swordfish", "secrets.TOKEN", "r0ws-inside"):
        assert hidden not in everything
