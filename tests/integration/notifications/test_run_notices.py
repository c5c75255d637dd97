"""The end of a run is told to who asked for it: kept with the end itself, told once for each end."""

from typing import Any

import pytest
from django.core import mail

from executions_app import run_notices
from executions_app.models import Execution
from executions_app.services.restart import Restart, restart_execution
from tests import restarting
from tests.driver import run_until_quiet
from tests.factories import make_template, make_workspace, noop, start
from workflow_service.notifications.delivery import deliver_due
from workflow_service.notifications.models import Notification, WebhookDelivery, WebhookEndpoint
from workflow_service.outbox.models import Message

pytestmark = pytest.mark.django_db(transaction=True)


def ended(*blocks: dict[str, Any], notifications: dict[str, Any] | None = None) -> Execution:
    template = make_template(
        list(blocks) or [noop("one", {"secret": "swordfish"})], workspace=make_workspace()
    )
    template.owner.email = "owner@example.org"
    template.owner.save()
    options = {} if notifications is None else {"notifications": notifications}
    return run_until_quiet(start(template, **options))


@pytest.mark.parametrize(
    "notifications",
    [None, {}, {"onComplete": False}, {"onError": True}, {"channels": ["email"]}],
    ids=["none", "empty", "not then", "errors alone", "no occasion"],
)
def test_a_run_that_did_not_ask_keeps_no_message(notifications: dict[str, Any] | None) -> None:
    assert ended(notifications=notifications).status == "COMPLETED"
    assert not Message.objects.filter(channel=run_notices.CHANNEL).exists()


def test_a_completed_run_tells_its_starter_and_nothing_of_what_it_worked_with() -> None:
    run = ended(notifications={"onComplete": True, "onError": True})
    endpoint = WebhookEndpoint.objects.create(
        workspace=run.workspace, url="http://127.0.0.1:9/", topics=["execution_completed"]
    )
    deliver_due(rounds=2)
    [told] = Notification.objects.all()
    assert (told.user, told.topic, told.title) == (
        run.created_by,
        "execution_completed",
        f"{run.template.name} completed",
    )
    [sent] = mail.outbox
    assert sent.to == ["owner@example.org"]
    assert run.public_id in sent.body
    assert "swordfish" not in sent.message().as_string()
    [delivery] = WebhookDelivery.objects.filter(endpoint=endpoint)
    assert delivery.body["data"]["executionId"] == run.public_id
    assert "swordfish" not in str(delivery.body)


def test_the_channels_of_the_start_are_the_only_ones() -> None:
    run = ended(notifications={"onComplete": True, "channels": ["websocket"]})
    WebhookEndpoint.objects.create(
        workspace=run.workspace, url="http://127.0.0.1:9/", topics=["execution_completed"]
    )
    deliver_due()
    assert (Notification.objects.count(), len(mail.outbox), WebhookDelivery.objects.count()) == (1, 0, 0)


def test_each_end_is_told_once_and_a_restarted_run_ends_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restarting, "failing", {"bad"})
    run = ended(restarting.work("bad"), notifications={"onComplete": True, "onError": True})
    assert run.status == "FAILED"
    [message] = Message.objects.filter(channel=run_notices.CHANNEL)
    run_notices.announce(message.body)
    deliver_due()
    assert [told.topic for told in Notification.objects.all()] == ["execution_failed"]
    assert "Error:" in mail.outbox[0].body
    restart_execution(run.pk, restarting.ADA, Restart())
    run_until_quiet(run)
    deliver_due()
    assert len(mail.outbox) == Notification.objects.count() == 2
