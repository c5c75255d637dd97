"""A tick begins the sending and waits for none of it; how much one thread sends at a time is bounded."""

import time
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from django.core import mail

from tests.factories import make_user, make_workspace
from tests.webhook_receiver import Receiver as Hook
from tests.webhook_receiver import webhook_receiver
from workflow_service.accounts.models import Role
from workflow_service.notifications import delivery, emails, webhooks
from workflow_service.notifications.delivery import send_notifications, work_off
from workflow_service.notifications.models import Topic, WebhookDelivery
from workflow_service.notifications.service import Notice, Receiver, notify
from workflow_service.notifications.services.endpoints import create_endpoint
from workflow_service.outbox.delivery import Envelope, Outcome, Sent, deliver, enqueue, enqueue_all
from workflow_service.outbox.models import Channel, Message
from workflow_service.settings.config import get_config

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def hooks() -> Iterator[list[Hook]]:
    with webhook_receiver() as silent, webhook_receiver() as well:
        silent.answers.extend(["hang"] * 100)
        yield [silent, well]


def threads(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    config = get_config().model_copy(update={"notification_threads": number, "egress_allow": ("127.0.0.1",)})
    monkeypatch.setattr(delivery, "get_config", lambda: config)
    monkeypatch.setattr(webhooks, "get_config", lambda: config)


def wait_until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


def tell(count: int, *urls: str) -> None:
    workspace = make_workspace()
    user = make_user(workspace, Role.ADMIN, email="ada@example.org")
    for url in urls:
        create_endpoint(workspace=workspace, actor=user, url=url, topics=[Topic.EXECUTION_FAILED])
    for number in range(count):
        notice = Notice(Topic.EXECUTION_FAILED, f"It failed {number}", "", "/admin/", {}, f"k{number}")
        notify(workspace.pk, notice, [Receiver(user.pk)])


def test_a_tick_waits_for_no_receiver_and_none_for_another(
    hooks: list[Hook], monkeypatch: pytest.MonkeyPatch
) -> None:
    threads(monkeypatch, 2)
    silent, well = hooks
    tell(5, silent.url(), well.url())
    began = time.monotonic()
    send_notifications()
    assert time.monotonic() - began < webhooks.TIMEOUT_S / 2
    wait_until(lambda: len(well.heard) == 5 and len(mail.outbox) == 5)
    assert len(silent.heard) <= 1
    send_notifications()
    assert len(silent.heard) <= 1, "its thread is at it still"
    silent.stop.set()
    wait_until(lambda: not delivery._under_way)
    assert WebhookDelivery.objects.filter(status="delivered").count() == 5


def test_receivers_that_hang_leave_a_thread_to_one_that_answers(
    hooks: list[Hook], monkeypatch: pytest.MonkeyPatch
) -> None:
    threads(monkeypatch, 2)
    silent, well = hooks
    # Two endpoints that did not answer before, and have waited longer.
    tell(1, silent.url(), f"{silent.url()}?second")
    for channel in set(
        Message.objects.filter(channel__startswith="webhook:").values_list("channel", flat=True)
    ):
        Channel.objects.create(name=channel, failures=1)
    tell(1, well.url())
    try:
        send_notifications()
        wait_until(lambda: len(well.heard) == 1 and len(silent.heard) == 1)
    finally:
        silent.stop.set()
        wait_until(lambda: not delivery._under_way)


def test_a_receiver_that_answers_slowly_takes_turns_with_the_others(
    hooks: list[Hook], monkeypatch: pytest.MonkeyPatch
) -> None:
    threads(monkeypatch, 1)
    monkeypatch.setattr(webhooks, "TURN_S", 0.1)
    slow, well = hooks
    slow.answers.clear()
    slow.on_message = lambda: time.sleep(0.2)
    tell(5, slow.url())
    tell(1, well.url())
    for _ in range(2):
        send_notifications()
        wait_until(lambda: not delivery._under_way)
    assert (len(slow.heard), len(well.heard)) == (1, 1)


def test_a_flood_is_sent_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emails, "MAILS_AT_ONCE", 10)
    tell(25)
    left = []
    for _ in range(3):
        work_off("email")
        left.append(Message.objects.count())
    assert left == [15, 5, 0]


def test_without_threads_a_process_sends_nothing_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    threads(monkeypatch, 0)
    tell(1)
    send_notifications()
    assert (Message.objects.count(), delivery._under_way) == (1, {})


def test_many_messages_that_wait_behind_another_hold_up_nobody() -> None:
    sent: list[str] = []

    def send(envelope: Envelope) -> Sent:
        sent.append(envelope.subject)
        return Sent(Outcome.FAILED if envelope.subject == "stuck" else Outcome.DELIVERED)

    # More than are looked at first, and all of them due before the one that may go.
    enqueue_all("a channel", [("stuck", {}, uuid4()) for _ in range(30)])
    enqueue("a channel", "free", {})
    assert deliver("a channel", send, timeout_s=1.0) == 1
    assert sent == ["stuck", "free"]
