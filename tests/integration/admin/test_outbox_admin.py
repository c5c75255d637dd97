"""The outbox in the admin: superusers see what was given up, and have it sent again."""

import pytest
from django.test import Client

from tests.factories import make_user, make_workspace
from workflow_service.accounts.models import Role
from workflow_service.outbox.models import Message

LIST = "/admin/outbox/message/"


def signed_in(*, superuser: bool) -> Client:
    user = make_user(make_workspace(), Role.ADMIN, is_staff=True, is_superuser=superuser)
    client = Client()
    client.force_login(user)
    return client


@pytest.mark.django_db
def test_what_was_given_up_is_sent_again() -> None:
    dead = Message.objects.create(
        channel="state-service",
        subject="exec_1",
        body={},
        status="DEAD",
        attempts=3,
        last_error="answered 422",
    )
    client = signed_in(superuser=True)
    shown = client.get(LIST)
    assert shown.status_code == 200
    assert "answered 422" in shown.content.decode()
    assert client.get(f"{LIST}{dead.pk}/change/").status_code == 200
    answer = client.post(LIST, {"action": "send_again", "_selected_action": [dead.pk]}, follow=True)
    assert "1 message(s) will be sent again." in answer.content.decode()
    dead.refresh_from_db()
    assert (dead.status, dead.attempts) == ("PENDING", 0)
    assert client.get("/admin/outbox/channel/").status_code == 200


@pytest.mark.django_db
def test_nobody_else_sees_it() -> None:
    client = signed_in(superuser=False)
    assert client.get(LIST).status_code == 403
    assert LIST not in client.get("/admin/").content.decode()
