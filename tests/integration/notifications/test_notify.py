"""Telling people: once for each key and person, as they prefer, and only as far as the caller's transaction goes."""

import json
from typing import Any

import pytest
from django.db import transaction

from tests.factories import make_user, make_workspace
from workflow_service.accounts.models import Role, User, Workspace
from workflow_service.notifications.models import (
    Notification,
    NotificationPreference,
    Topic,
    WebhookDelivery,
    WebhookEndpoint,
)
from workflow_service.notifications.service import Link, Notice, Receiver, notify, one_line
from workflow_service.outbox.models import Message

pytestmark = pytest.mark.django_db


@pytest.fixture
def workspace() -> Workspace:
    return make_workspace()


@pytest.fixture
def alice(workspace: Workspace) -> User:
    return make_user(workspace, Role.APPROVER, email="alice@example.org")


def notice(key: str = "k1", **fields: Any) -> Notice:
    given: dict[str, Any] = {
        "topic": Topic.APPROVAL_REQUESTED,
        "title": "Approval needed: load",
        "text": "Load 12 rows?",
        "path": "/admin/",
        "data": {"approvalId": "appr_1"},
        "key": key,
    }
    return Notice(**{**given, **fields})


def mails() -> list[dict[str, Any]]:
    return [row.body for row in Message.objects.filter(channel="email").order_by("id")]


def test_one_notice_is_told_once_to_each_person(workspace: Workspace, alice: User) -> None:
    bob = make_user(workspace, Role.APPROVER)
    link = Link("Answer now", "https://wf.example/approvals/answer/t")
    notify(workspace.pk, notice(), [Receiver(alice.pk, (link,))])
    notify(workspace.pk, notice(), [Receiver(alice.pk, (link,)), Receiver(bob.pk)])
    notify(workspace.pk, notice("k2"), [Receiver(alice.pk)])
    assert [row.user_id for row in Notification.objects.order_by("id")] == [alice.pk, bob.pk, alice.pk]
    assert [mail["links"] for mail in mails()] == [[{"label": link.label, "url": link.url}], [], []]


def test_a_link_stands_in_its_receivers_mail_and_nowhere_else(workspace: Workspace, alice: User) -> None:
    url = "https://wf.example/approvals/answer/secret-token"
    WebhookEndpoint.objects.create(
        workspace=workspace, url="https://hooks.example/", topics=[Topic.APPROVAL_REQUESTED]
    )
    notify(workspace.pk, notice(), [Receiver(alice.pk, (Link("Answer", url),))])
    kept = [*Notification.objects.values(), *WebhookDelivery.objects.values()]
    assert "secret-token" not in json.dumps(kept, default=str)
    [mail] = mails()
    assert mail["links"][0]["url"] == url


@pytest.mark.parametrize(
    ("email", "in_app", "mailed", "shown"),
    [(True, True, 1, [True]), (True, False, 1, [False]), (False, True, 0, [True]), (False, False, 0, [])],
    ids=["both", "mail alone", "here alone", "not at all"],
)
def test_people_are_told_as_they_prefer(
    workspace: Workspace, alice: User, email: bool, in_app: bool, mailed: int, shown: list[bool]
) -> None:
    NotificationPreference.objects.create(
        user=alice, topic=Topic.APPROVAL_REQUESTED, email=email, in_app=in_app
    )
    notify(workspace.pk, notice(), [Receiver(alice.pk)])
    assert len(mails()) == mailed
    assert [row.shown for row in Notification.objects.all()] == shown


def test_channels_narrow_how_and_unknown_ones_mean_nothing(workspace: Workspace, alice: User) -> None:
    endpoint = WebhookEndpoint.objects.create(
        workspace=workspace, url="https://hooks.example/", topics=[Topic.APPROVAL_REQUESTED]
    )
    notify(workspace.pk, notice(), [Receiver(alice.pk)], channels=["webhook", "pigeon"])
    assert (Notification.objects.count(), mails()) == (0, [])
    [delivery] = WebhookDelivery.objects.all()
    assert delivery.endpoint_id == endpoint.pk
    assert (delivery.body["type"], delivery.body["data"]) == ("approval_requested", {"approvalId": "appr_1"})
    [message] = Message.objects.filter(channel=endpoint.channel)
    assert message.message_id == delivery.message_id
    notify(workspace.pk, notice(), [Receiver(alice.pk)], channels=[])
    assert Notification.objects.count() == 0


def test_endpoints_hear_of_their_workspace_and_their_topics_alone(workspace: Workspace) -> None:
    topics = [Topic.APPROVAL_REQUESTED]
    for about in (
        {"workspace": make_workspace()},
        {"workspace": workspace, "topics": [Topic.EXECUTION_FAILED]},
        {"workspace": workspace, "enabled": False},
    ):
        WebhookEndpoint.objects.create(**{"url": "https://hooks.example/", "topics": topics, **about})
    notify(workspace.pk, notice(), [])
    assert WebhookDelivery.objects.count() == 0


def test_what_is_rolled_back_is_not_told(workspace: Workspace, alice: User) -> None:
    with transaction.atomic():
        notify(workspace.pk, notice(), [Receiver(alice.pk)])
        transaction.set_rollback(True)
    assert (Notification.objects.count(), Message.objects.count()) == (0, 0)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\r\nBcc: all@example.org", "a Bcc: all@example.org"),
        ("Überweisung — 承認 ✓", "Überweisung — 承認 ✓"),
        ("a\u202eb\u2028c\u0000d", "a b c d"),
        ("x" * 400, "x" * 299 + "…"),
    ],
    ids=["header injection", "unicode", "invisible", "long"],
)
def test_a_title_is_one_visible_line(text: str, line: str) -> None:
    assert one_line(text) == line
