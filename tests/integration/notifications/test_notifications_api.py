"""Notifications and webhooks over HTTP: one's own alone, secrets once, strangers nowhere."""

from typing import Any

import pytest

from tests.caller import Caller
from tests.factories import make_user, make_workspace
from workflow_service.accounts.models import Membership, Role, User, Workspace
from workflow_service.notifications.models import Notification, Topic, WebhookDelivery, WebhookEndpoint
from workflow_service.notifications.service import Notice, Receiver, notify

pytestmark = pytest.mark.django_db

HOOK = {"url": "https://hooks.example/in", "topics": ["execution_failed"]}


@pytest.fixture
def workspace() -> Workspace:
    return make_workspace()


@pytest.fixture
def admin(workspace: Workspace) -> User:
    return make_user(workspace, Role.ADMIN)


def tell(workspace: Workspace, *users: User, key: str = "k") -> None:
    notice = Notice(Topic.EXECUTION_FAILED, "It failed", "Look", "/admin/", {}, key)
    notify(workspace.pk, notice, [Receiver(user.pk) for user in users])


def test_one_reads_ones_own_notifications_and_nobody_elses(workspace: Workspace, admin: User) -> None:
    bob = make_user(workspace, Role.VIEWER)
    tell(workspace, admin, bob)
    tell(workspace, bob, key="k2")
    listed = Caller(bob).get("notifications").json()
    assert (listed["total"], listed["unread"]) == (2, 2)
    first = listed["notifications"][0]
    assert (first["title"], first["topic"], first["readAt"]) == ("It failed", "execution_failed", None)
    others = Notification.objects.get(user=admin).pk
    assert Caller(bob).post(f"notifications/{others}/read").status_code == 404
    assert Caller(bob).post(f"notifications/{first['id']}/read").json()["readAt"] is not None
    assert Caller(bob).get("notifications", {"unread": "true"}).json()["total"] == 1
    assert Caller(bob).post("notifications/read").json() == {"marked": 1}
    assert Caller(admin).get("notifications").json()["unread"] == 1
    assert Caller().get("notifications").status_code == 401


def test_what_was_told_in_a_workspace_that_one_left_is_gone(workspace: Workspace) -> None:
    bob = make_user(workspace, Role.VIEWER)
    tell(workspace, bob)
    Membership.objects.filter(user=bob).delete()
    assert Caller(bob).get("notifications").json()["total"] == 0


def test_preferences_are_ones_own_and_change_what_is_named(workspace: Workspace) -> None:
    bob = make_user(workspace, Role.VIEWER)
    body = {"preferences": [{"topic": "execution_failed", "email": False, "inApp": False}]}
    changed = Caller(bob).put("notifications/preferences", body).json()["preferences"]
    assert len(changed) == len(Topic)
    assert [one for one in changed if not one["email"]] == body["preferences"]
    assert Caller(bob).get("notifications/preferences").json()["preferences"] == changed
    tell(workspace, bob)
    assert Notification.objects.count() == 0
    wrong = {"preferences": [{"topic": "weather", "email": True, "inApp": True}]}
    assert Caller(bob).put("notifications/preferences", wrong).status_code == 422


def test_an_endpoint_shows_its_secret_once(admin: User) -> None:
    caller = Caller(admin)
    made = caller.post("webhooks", HOOK)
    assert made.status_code == 201
    assert made.json()["secret"].startswith("whsec_")
    path = made["Location"].removeprefix("/api/v1/")
    assert "secret" not in caller.get(path).json()
    assert "secret" not in caller.get("webhooks").json()["webhooks"][0]
    again = caller.post(f"{path}/secret").json()["secret"]
    assert again != made.json()["secret"]


def test_an_endpoint_is_changed_tried_replayed_and_deleted(admin: User) -> None:
    caller = Caller(admin)
    path = caller.post("webhooks", HOOK)["Location"].removeprefix("/api/v1/")
    assert caller.patch(path, {"description": "Ours"}).json()["description"] == "Ours"
    tried = caller.post(f"{path}/test")
    assert (tried.status_code, tried.json()["status"]) == (202, "pending")
    delivery = f"{path}/deliveries/{tried.json()['id']}"
    assert caller.get(delivery).json()["body"]["type"] == "webhook_test"
    assert caller.post(f"{delivery}/replay").status_code == 202
    assert caller.get(f"{path}/deliveries", {"status": "pending"}).json()["total"] == 1
    assert caller.patch(path, {"enabled": False}).json()["enabled"] is False
    assert WebhookDelivery.objects.get().status == "failed"
    assert caller.post(f"{path}/test").json()["code"] == "WEBHOOK_DISABLED"
    caller.patch(path, {"enabled": True})
    assert caller.post(f"{path}/replay", {"since": "2020-01-01T00:00:00Z"}).json() == {"replayed": 1}
    assert caller.delete(path).status_code == 204
    assert caller.get(path).status_code == 404


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"url": "ftp://hooks.example/"}, "/url"),
        ({"url": "https://user:pw@hooks.example/"}, "/url"),
        ({"url": "http://0x7f.1/"}, "/url"),
        ({"url": "https://hooks.example/#part"}, "/url"),
        ({"url": "nonsense"}, "/url"),
        ({"topics": []}, "/topics"),
        ({"topics": ["weather"]}, "/topics/0"),
    ],
    ids=["scheme", "credentials", "odd address", "fragment", "no URL", "no topic", "unknown topic"],
)
def test_what_cannot_be_an_endpoint_is_refused_with_its_place(
    admin: User, change: dict[str, Any], pointer: str
) -> None:
    answer = Caller(admin).post("webhooks", {**HOOK, **change})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer


def test_a_workspace_has_a_bounded_number_of_endpoints(admin: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workflow_service.notifications.services.endpoints.MAX_ENDPOINTS", 1)
    assert Caller(admin).post("webhooks", HOOK).status_code == 201
    assert Caller(admin).post("webhooks", HOOK).json()["code"] == "TOO_MANY_WEBHOOKS"


@pytest.mark.parametrize("role", [Role.DEVELOPER, Role.APPROVER, Role.VIEWER])
def test_who_does_not_manage_webhooks_reads_and_changes_none(
    workspace: Workspace, admin: User, role: Role
) -> None:
    path = Caller(admin).post("webhooks", HOOK)["Location"].removeprefix("/api/v1/")
    other = Caller(make_user(workspace, role))
    assert other.get("webhooks").status_code == 403
    assert other.post("webhooks", HOOK).status_code == 403
    assert other.get(path).status_code == 403
    assert other.post(f"{path}/secret").status_code == 403
    assert WebhookEndpoint.objects.count() == 1


def test_endpoints_of_another_workspace_do_not_exist(admin: User) -> None:
    path = Caller(admin).post("webhooks", HOOK)["Location"].removeprefix("/api/v1/")
    stranger = Caller(make_user(make_workspace(), Role.ADMIN))
    for method, rest in (
        ("get", ""),
        ("patch", ""),
        ("delete", ""),
        ("get", "/deliveries"),
        ("post", "/test"),
    ):
        assert getattr(stranger, method)(path + rest).status_code == 404, (method, rest)
    assert stranger.get("webhooks").json()["total"] == 0
