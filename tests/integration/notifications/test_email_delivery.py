"""E-mail is never lost, and sent again only where a process died between acceptance and commit, under the same id."""

import os
import signal
from collections.abc import Iterator
from email import message_from_string, policy
from typing import Any

import pytest
from django.core.mail import get_connection
from django.db import connection
from django.utils import timezone

from tests.factories import make_user, make_workspace
from tests.mail_server import MailServer, mail_server
from workflow_service.accounts.models import Membership, Role, User, Workspace
from workflow_service.notifications import emails
from workflow_service.notifications.delivery import due_channels
from workflow_service.notifications.emails import render_email, send_emails
from workflow_service.notifications.mail_server import MailServer as ServiceMail
from workflow_service.notifications.models import Notification, Topic
from workflow_service.notifications.service import Link, Notice, Receiver, notify
from workflow_service.outbox.models import Channel, Message

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def server() -> Iterator[MailServer]:
    with mail_server() as running:
        yield running


@pytest.fixture(autouse=True)
def mailing(server: MailServer, settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_USE_TLS = "127.0.0.1", server.port, False
    settings.EMAIL_TIMEOUT = 5
    settings.DEFAULT_FROM_EMAIL = "Workflows <wf@example.org>"
    server.mails.clear()
    server.recipients.clear()
    server.refused.clear()
    server.closing, server.on_accept = False, None


@pytest.fixture
def workspace() -> Workspace:
    return make_workspace()


def person(workspace: Workspace, name: str, **fields: Any) -> User:
    return make_user(workspace, Role.APPROVER, username=name, email=f"{name}@example.org", **fields)


def tell(workspace: Workspace, *users: User, key: str = "k", **fields: Any) -> None:
    given: dict[str, Any] = {
        "topic": Topic.APPROVAL_REQUESTED,
        "title": "Approval needed: Überweisung",
        "text": "Fine?",
        "path": "/admin/",
        "data": {},
    }
    link = Link("Answer now", "https://wf.example/approvals/answer/t0ken")
    notify(workspace.pk, Notice(**{**given, **fields, "key": key}), [Receiver(u.pk, (link,)) for u in users])


def come_due() -> None:
    """Let leases, delays and pauses be over."""
    Message.objects.update(due_at=timezone.now(), leased_until=None)
    Channel.objects.update(paused_until=None)


def test_a_mail_arrives_whole(workspace: Workspace, server: MailServer) -> None:
    user = person(workspace, "alice", first_name="Zoë\r\nBcc: x@example.org", last_name="Ōhara")
    tell(workspace, user)
    assert send_emails() == 1
    [mail] = server.mails
    assert (mail["Subject"], mail["Bcc"]) == ("Approval needed: Überweisung", None)
    assert server.recipients == ["alice@example.org"]
    assert mail["To"].addresses[0].display_name == "Zoë Bcc: x@example.org Ōhara"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Message-ID"].endswith("@example.org>")
    for kind in ("plain", "html"):
        body = mail.get_body((kind,))
        assert body is not None
        assert "https://wf.example/approvals/answer/t0ken" in body.get_content()
    assert (Message.objects.count(), send_emails()) == (0, 0)


def test_a_process_that_dies_after_acceptance_sends_the_same_mail_again(
    workspace: Workspace, server: MailServer
) -> None:
    tell(workspace, person(workspace, "alice"))
    connection.close()
    child = os.fork()
    if child == 0:
        # The server has accepted the message, and this process dies before it notes that.
        server_side = os.getpid()
        setattr(emails, "MailServer", lambda: _Dying(server_side))  # noqa: B010 - a child of its own
        try:
            send_emails()
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert len(server.mails) == 1
    assert send_emails() == 0, "another process leaves it alone as long as the lease holds"
    come_due()
    assert send_emails() == 1
    first, second = server.message_ids()
    assert first == second
    assert Message.objects.count() == 0


class _Dying(ServiceMail):
    def __init__(self, pid: int) -> None:
        super().__init__()
        self._pid = pid

    def send(self, message: Any) -> Any:
        super().send(message)
        os.kill(self._pid, signal.SIGKILL)


def test_a_mail_that_is_rolled_back_is_not_sent_and_one_that_was_taken_is_not_repeated(
    workspace: Workspace, server: MailServer
) -> None:
    tell(workspace, person(workspace, "alice"))
    send_emails()
    come_due()
    tell(workspace, User.objects.get(username="alice"))
    assert (send_emails(), len(server.mails)) == (0, 1)


@pytest.mark.parametrize(
    ("answer", "given_up_after"),
    [("550 no such user", 3), ("450 try later", None)],
    ids=["refused", "not now"],
)
def test_a_refused_address_holds_up_nobody_else(
    workspace: Workspace, server: MailServer, answer: str, given_up_after: int | None
) -> None:
    users = [person(workspace, name) for name in ("alice", "bob", "carol")]
    tell(workspace, *users)
    server.refused["alice@example.org"] = answer
    assert send_emails() == 2
    assert sorted(server.recipients) == ["bob@example.org", "carol@example.org"]
    for _ in range(4):
        come_due()
        send_emails()
    [left] = Message.objects.all()
    assert (left.status == "DEAD") is (given_up_after is not None)
    assert "refused the address" in left.last_error
    server.refused.clear()
    Message.objects.update(status="PENDING")
    come_due()
    assert send_emails() == 1


def test_a_server_that_is_away_is_left_alone_and_loses_nothing(
    workspace: Workspace, server: MailServer
) -> None:
    users = [person(workspace, f"user{number}") for number in range(5)]
    tell(workspace, *users)
    server.closing = True
    before = server.connections
    assert send_emails() == 0
    assert server.connections == before + 1
    assert "email" not in due_channels()
    server.closing = False
    come_due()
    assert (send_emails(), server.connections) == (5, before + 2)


def test_a_message_at_which_the_server_hangs_up_does_not_stay_in_front(
    workspace: Workspace, server: MailServer
) -> None:
    tell(workspace, person(workspace, "alice"), person(workspace, "bob"))
    server.refused["alice@example.org"] = "421 not with me"
    assert send_emails() == 0
    Channel.objects.update(paused_until=None)
    assert send_emails() == 1
    assert server.recipients == ["bob@example.org"]


@pytest.mark.parametrize("reason", ["left", "switched off", "no address", "told too late"])
def test_who_is_gone_is_sent_nothing(workspace: Workspace, server: MailServer, reason: str) -> None:
    user = person(workspace, "alice")
    tell(workspace, user)
    match reason:
        case "left":
            Membership.objects.all().delete()
        case "switched off":
            User.objects.update(is_active=False)
        case "no address":
            User.objects.update(email="")
        case _:
            Notification.objects.all().delete()
    send_emails()
    assert (server.mails, Message.objects.count()) == ([], 0)


def test_html_is_escaped_and_a_line_break_in_a_title_makes_no_header(workspace: Workspace) -> None:
    user = person(workspace, "alice", first_name="<b>A</b>")
    tell(workspace, user, title="<script>\r\nBcc: x@example.org", text='<img src="x">\n\n& more')
    message = render_email(Notification.objects.get(), [], "<1@example.org>")
    text = message_from_string(message.message().as_string(), policy=policy.default)
    assert text["Bcc"] is None
    html = str(message.alternatives[0][0])
    assert "<script" not in html
    assert "<img" not in html
    assert "&lt;b&gt;A" in html
    assert '<img src="x">' in str(message.body)
    assert get_connection().__class__.__name__ == "EmailBackend"


def test_an_address_with_an_international_domain_is_written_as_servers_know_it(workspace: Workspace) -> None:
    user = person(workspace, "alice", first_name="Ada")
    user.email = "ada@bücher.example"
    user.save()
    tell(workspace, user)
    message = render_email(Notification.objects.get(), [], "<1@example.org>")
    assert message.to == ["Ada <ada@xn--bcher-kva.example>"]
