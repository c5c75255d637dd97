"""Admin pages of notifications and webhooks: one's own, secrets once, and every change through its service."""

import pytest
from django.test import Client

from tests.people import People, make_people
from workflow_service.accounts.models import User
from workflow_service.notifications.models import (
    Notification,
    Topic,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookSecret,
)
from workflow_service.notifications.service import Notice, Receiver, notify

pytestmark = pytest.mark.django_db

LIST = "/admin/notifications/notification/"
PREFERENCES = f"{LIST}preferences/"
HOOKS = "/admin/notifications/webhookendpoint/"
SENT = "/admin/notifications/webhookdelivery/"


@pytest.fixture
def people() -> People:
    return make_people()


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def tell(people: People, *users: User, title: str = "It <failed>") -> None:
    notice = Notice(Topic.EXECUTION_FAILED, title, "Look", "/admin/", {"a": 1}, title)
    notify(people.workspace.pk, notice, [Receiver(user.pk) for user in users])


def test_one_sees_and_marks_ones_own(people: People) -> None:
    people.admin.is_superuser = True
    people.admin.save()
    tell(people, people.alice)
    mine, theirs = signed_in(people.alice), signed_in(people.admin)
    assert "It &lt;failed&gt;" in mine.get(LIST).content.decode()
    assert "failed&gt;" not in theirs.get(LIST).content.decode()
    [told] = Notification.objects.all()
    chosen = {"action": "mark_as_read", "_selected_action": str(told.pk)}
    theirs.post(LIST, chosen)
    told.refresh_from_db()
    assert told.read_at is None
    mine.post(LIST, chosen)
    told.refresh_from_db()
    assert told.read_at is not None


def test_preferences_are_shown_and_saved(people: People) -> None:
    client = signed_in(people.alice)
    assert client.get(PREFERENCES).content.decode().count(" checked") == 2 * len(Topic)
    saved = client.post(PREFERENCES, {"email.execution_failed": "on"}, follow=True)
    assert saved.content.decode().count(" checked") == 1
    tell(people, people.alice)
    assert [told.shown for told in Notification.objects.all()] == [False]
    assert client.put(PREFERENCES).status_code == 405
    assert Client().get(PREFERENCES).status_code == 302


def test_an_endpoint_is_registered_and_its_secret_shown_once(people: People) -> None:
    client = signed_in(people.admin)
    form = {
        "workspace": people.workspace.pk,
        "url": "https://hooks.example/in",
        "topics": ["execution_failed"],
        "description": "",
    }
    refused = client.post(f"{HOOKS}add/", {**form, "url": "ftp://hooks.example/"})
    assert "scheme" in refused.content.decode()
    made = client.post(f"{HOOKS}add/", form)
    assert "whsec_" in made.content.decode()
    assert "no-store" in made["Cache-Control"]
    [endpoint] = WebhookEndpoint.objects.all()
    assert endpoint.secrets.count() == 1
    page = f"{HOOKS}{endpoint.pk}/change/"
    assert "whsec_" not in client.get(page).content.decode()
    changed = {"url": endpoint.url, "topics": ["execution_completed"], "description": "Ours", "enabled": "on"}
    assert client.post(page, changed).status_code == 302
    endpoint.refresh_from_db()
    assert (endpoint.topics, endpoint.description) == (["execution_completed"], "Ours")
    rotated = client.post(HOOKS, {"action": "make_new_secret", "_selected_action": str(endpoint.pk)})
    assert "whsec_" in rotated.content.decode()
    assert WebhookSecret.objects.filter(expires_at=None).count() == 1
    client.post(HOOKS, {"action": "send_a_test", "_selected_action": str(endpoint.pk)})
    [delivery] = WebhookDelivery.objects.all()
    assert "webhook_test" in client.get(f"{SENT}{delivery.pk}/change/").content.decode()
    assert client.get(f"{SENT}?endpoint__id__exact={endpoint.pk}").status_code == 200
    client.post(SENT, {"action": "send_again", "_selected_action": str(delivery.pk)})
    client.post(f"{HOOKS}{endpoint.pk}/delete/", {"post": "yes"})
    assert WebhookEndpoint.objects.count() == 0


def test_strangers_and_approvers_have_no_pages_of_webhooks(people: People) -> None:
    endpoint = WebhookEndpoint.objects.create(
        workspace=people.workspace, url="https://hooks.example/in", topics=["execution_failed"]
    )
    assert signed_in(people.alice).get(HOOKS).status_code == 403
    stranger = signed_in(people.stranger)
    assert "hooks.example" not in stranger.get(HOOKS).content.decode()
    stranger.post(HOOKS, {"action": "send_a_test", "_selected_action": str(endpoint.pk)})
    stranger.post(f"{HOOKS}{endpoint.pk}/delete/", {"post": "yes"})
    assert (WebhookDelivery.objects.count(), WebhookEndpoint.objects.count()) == (0, 1)
