"""Webhooks: signed, sent until taken or given up, each endpoint for itself, and nowhere that is not open."""

import base64
import hashlib
import hmac
import os
import signal
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from tests.factories import make_user, make_workspace
from tests.webhook_receiver import Heard, Receiver, webhook_receiver
from workflow_service.accounts.models import Role, User, Workspace
from workflow_service.notifications import webhooks
from workflow_service.notifications.delivery import deliver_due, due_channels
from workflow_service.notifications.models import Topic, WebhookDelivery, WebhookEndpoint, WebhookSecret
from workflow_service.notifications.service import Notice, notify
from workflow_service.notifications.services.endpoints import (
    change_endpoint,
    create_endpoint,
    replay_delivery,
    replay_failed,
    rotate_secret,
    send_test,
)
from workflow_service.notifications.webhooks import send_webhooks
from workflow_service.outbox.models import Channel, Message
from workflow_service.settings.config import get_config
from workflow_service.vault.services.rotation import rotate_secrets

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with webhook_receiver() as running:
        yield running


@pytest.fixture(autouse=True)
def open_to_loopback(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    receiver.heard.clear()
    receiver.answers.clear()
    receiver.on_message = None
    allowed = get_config().model_copy(update={"egress_allow": ("127.0.0.1",)})
    monkeypatch.setattr(webhooks, "get_config", lambda: allowed)


@pytest.fixture
def admin() -> User:
    return make_user(make_workspace(), Role.ADMIN)


def workspace_of(admin: User) -> Workspace:
    return Workspace.objects.get(memberships__user=admin)


def register(admin: User, url: str) -> tuple[WebhookEndpoint, str]:
    return create_endpoint(
        workspace=workspace_of(admin), actor=admin, url=url, topics=[Topic.EXECUTION_FAILED]
    )


def tell(admin: User, key: str = "k") -> None:
    data = {"executionId": "exec_1", "name": "Überweisung"}
    notice = Notice(Topic.EXECUTION_FAILED, "It failed", "", "/admin/", {**data}, key)
    notify(workspace_of(admin).pk, notice, [])


def come_due() -> None:
    Message.objects.update(due_at=timezone.now(), leased_until=None)
    Channel.objects.update(paused_until=None)


def verifies(secret: str, heard: Heard) -> bool:
    """Verify as Standard Webhooks has it, written from its text."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{heard.headers['webhook-id']}.{heard.headers['webhook-timestamp']}.".encode() + heard.body
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return expected in heard.headers["webhook-signature"].split(" ")


def test_a_message_is_signed_and_arrives_once(admin: User, receiver: Receiver) -> None:
    endpoint, secret = register(admin, receiver.url())
    tell(admin)
    tell(admin)
    assert send_webhooks(endpoint.pk) == 1
    [heard] = receiver.heard
    assert verifies(secret, heard)
    assert not verifies("whsec_" + base64.b64encode(b"another").decode(), heard)
    assert abs(int(heard.headers["webhook-timestamp"]) - timezone.now().timestamp()) < 60
    assert '"type":"execution_failed"' in heard.body.decode()
    assert "Überweisung" in heard.body.decode()
    delivery = WebhookDelivery.objects.get()
    assert (delivery.status, delivery.attempts, delivery.last_status) == ("delivered", 1, 200)
    assert Message.objects.count() == 0


def test_the_secret_is_kept_encrypted_and_a_replaced_one_signs_on_for_a_day(
    admin: User, receiver: Receiver
) -> None:
    endpoint, old = register(admin, receiver.url())
    assert all(
        old.removeprefix("whsec_").encode() not in bytes(row.sealed) for row in WebhookSecret.objects.all()
    )
    new = rotate_secret(endpoint=endpoint, actor=admin)
    tell(admin)
    send_webhooks(endpoint.pk)
    assert verifies(old, receiver.heard[0])
    assert verifies(new, receiver.heard[0])
    WebhookSecret.objects.exclude(expires_at=None).update(expires_at=timezone.now() - timedelta(seconds=1))
    tell(admin, "k2")
    send_webhooks(endpoint.pk)
    assert verifies(new, receiver.heard[1])
    assert not verifies(old, receiver.heard[1])


def test_secrets_of_webhooks_are_rotated_with_all_others(
    admin: User, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workflow_service.vault import keys
    from workflow_service.vault.services import rotation

    endpoint, secret = register(admin, receiver.url())
    ring = keys.keyring()
    newer = keys.Keyring("newer", {"newer": b"n" * 32, **ring.keys})
    monkeypatch.setattr(rotation, "keyring", lambda: newer)
    assert rotate_secrets().rotated == 1
    assert WebhookSecret.objects.get().key_id == "newer"
    from workflow_service.notifications.services import secrets as own

    monkeypatch.setattr(own, "keyring", lambda: keys.Keyring("newer", {"newer": b"n" * 32}))
    tell(admin)
    send_webhooks(endpoint.pk)
    assert verifies(secret, receiver.heard[0])


def test_a_process_that_dies_after_the_answer_sends_the_same_id_again(
    admin: User, receiver: Receiver
) -> None:
    endpoint, _ = register(admin, receiver.url())
    tell(admin)
    connection.close()
    child = os.fork()
    if child == 0:
        webhooks.post = _answered_and_killed  # type: ignore[assignment]
        try:
            send_webhooks(endpoint.pk)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert (len(receiver.heard), WebhookDelivery.objects.get().status) == (1, "pending")
    come_due()
    assert send_webhooks(endpoint.pk) == 1
    assert receiver.ids()[0] == receiver.ids()[1]
    assert receiver.heard[0].body == receiver.heard[1].body


_post = webhooks.post


def _answered_and_killed(*given: object) -> None:
    _post(*given)  # type: ignore[arg-type]
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("answer", ["500", "404", "429 1", "302 http://127.0.0.1:9/", "401"])
def test_whatever_is_no_2xx_is_tried_again_later(admin: User, receiver: Receiver, answer: str) -> None:
    endpoint, _ = register(admin, receiver.url())
    receiver.answers.append(answer)
    tell(admin)
    assert send_webhooks(endpoint.pk) == 0
    delivery = WebhookDelivery.objects.get()
    assert (delivery.status, delivery.attempts, delivery.last_status) == ("pending", 1, int(answer[:3]))
    assert due_channels() == [], "not before its time"
    come_due()
    assert send_webhooks(endpoint.pk) == 1
    assert len(set(receiver.ids())) == 1


def test_a_message_that_is_not_taken_lets_the_others_pass(admin: User, receiver: Receiver) -> None:
    endpoint, _ = register(admin, receiver.url())
    receiver.answers.append("500")
    for number in range(3):
        tell(admin, f"k{number}")
    assert send_webhooks(endpoint.pk) == 2


def test_a_dead_receiver_holds_up_no_other(
    admin: User, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "TIMEOUT_S", 0.3)
    with webhook_receiver() as silent:
        silent.answers.extend(["hang"] * 50)
        for url in (silent.url(), "http://127.0.0.1:9/", receiver.url()):
            register(admin, url)
        for number in range(10):
            tell(admin, f"k{number}")
        deliver_due(rounds=1)
        assert len(receiver.heard) == 10
        assert len(silent.heard) == 1, "who does not answer is left alone, with all that waits"
    waiting = WebhookDelivery.objects.filter(status="pending")
    assert waiting.count() == 20


def test_after_three_days_a_message_is_given_up_and_a_dead_endpoint_switched_off(
    admin: User, receiver: Receiver
) -> None:
    endpoint, _ = register(admin, receiver.url())
    for number in range(3):
        tell(admin, f"k{number}")
    old = timezone.now() - timedelta(days=3)
    Message.objects.update(created_at=old)
    WebhookDelivery.objects.update(created_at=old)
    receiver.answers.append("500")
    send_webhooks(endpoint.pk)
    endpoint.refresh_from_db()
    assert (endpoint.enabled, Message.objects.filter(status="PENDING").count()) == (False, 0)
    assert "took nothing" in endpoint.disabled_reason
    assert set(WebhookDelivery.objects.values_list("status", flat=True)) == {"failed"}
    tell(admin, "later")
    assert WebhookDelivery.objects.count() == 3
    change_endpoint(endpoint=endpoint, actor=admin, enabled=True)
    assert replay_failed(endpoint=endpoint, actor=admin, since=old - timedelta(minutes=1)) == 3
    send_webhooks(endpoint.pk)
    assert set(WebhookDelivery.objects.values_list("status", flat=True)) == {"delivered"}
    assert len(receiver.heard) == 4
    assert len(set(receiver.ids())) == 3


def test_410_switches_an_endpoint_off_at_once(admin: User, receiver: Receiver) -> None:
    endpoint, _ = register(admin, receiver.url())
    receiver.answers.append("410")
    tell(admin)
    tell(admin, "k2")
    send_webhooks(endpoint.pk)
    endpoint.refresh_from_db()
    assert (endpoint.enabled, len(receiver.heard), Message.objects.count()) == (False, 1, 0)


@pytest.mark.parametrize("state", ["delivered", "waiting", "given up"])
def test_a_replay_keeps_the_id(admin: User, receiver: Receiver, state: str) -> None:
    endpoint, _ = register(admin, receiver.url())
    tell(admin)
    if state != "delivered":
        receiver.answers.append("500")
    send_webhooks(endpoint.pk)
    if state == "given up":
        Message.objects.update(status="DEAD")
        WebhookDelivery.objects.update(status="failed")
    delivery = WebhookDelivery.objects.get()
    replay_delivery(endpoint=endpoint, actor=admin, delivery_id=delivery.public_id)
    assert send_webhooks(endpoint.pk) == 1
    assert receiver.ids() == [delivery.webhook_id] * 2
    delivery.refresh_from_db()
    assert (delivery.status, delivery.attempts) == ("delivered", 2)


def test_a_test_message_says_nothing_of_any_run(admin: User, receiver: Receiver) -> None:
    endpoint, secret = register(admin, receiver.url())
    send_test(endpoint=endpoint, actor=admin)
    send_webhooks(endpoint.pk)
    assert b'"type":"webhook_test"' in receiver.heard[0].body
    assert verifies(secret, receiver.heard[0])


def test_nothing_goes_where_workflows_may_not_go(
    admin: User, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = get_config().model_copy(update={"egress_allow": ()})
    monkeypatch.setattr(webhooks, "get_config", lambda: closed)
    endpoint, _ = register(admin, receiver.url())
    tell(admin)
    assert send_webhooks(endpoint.pk) == 0
    delivery = WebhookDelivery.objects.get()
    assert (receiver.heard, delivery.last_status) == ([], None)
    assert "not public" in delivery.last_error


def test_what_waits_for_a_deleted_endpoint_is_nobodys(admin: User, receiver: Receiver) -> None:
    endpoint, _ = register(admin, receiver.url())
    tell(admin)
    WebhookEndpoint.objects.filter(pk=endpoint.pk).delete()
    deliver_due()
    assert (receiver.heard, Message.objects.count()) == ([], 0)


def test_a_process_that_dies_while_messages_are_given_up_leaves_none_that_waits_for_ever(
    admin: User, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint, _ = register(admin, receiver.url())
    tell(admin)
    WebhookEndpoint.objects.filter(pk=endpoint.pk).update(enabled=False)

    def die(*_: object, **__: object) -> None:
        raise SystemExit

    with monkeypatch.context() as dying:
        dying.setattr(QuerySet, "update", die)
        with pytest.raises(SystemExit):
            deliver_due()
    assert Message.objects.count() == 1
    deliver_due()
    assert (WebhookDelivery.objects.get().status, Message.objects.count()) == ("failed", 0)
