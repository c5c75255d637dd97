"""Notifications as e-mail: HTML and text, with a Message-ID that stays the same whenever one is sent again.

What stands in a mail is the notice's title and text and the receiver's own links; no input, output or secret of a run.
Who has left the workspace since, or was switched off, is sent nothing.
"""

import json
import logging
from email.utils import formataddr, parseaddr
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMultiAlternatives
from django.core.validators import validate_email
from django.template.loader import render_to_string
from django.utils.encoding import punycode

from workflow_service.accounts.models import Membership
from workflow_service.notifications.mail_server import SEND_TIMEOUT_S, MailServer
from workflow_service.notifications.models import Notification
from workflow_service.notifications.service import EMAIL_CHANNEL, one_line
from workflow_service.outbox.delivery import Envelope, Outcome, Retries, Sent, deliver
from workflow_service.settings.config import get_config

logger = logging.getLogger(__name__)

MAILS_AT_ONCE = 100
# Opening the connection comes before the guard can cut it.
LEASE_S = SEND_TIMEOUT_S + 60
RETRIES = Retries(silence_counts=True)


def send_emails() -> int:
    """Send e-mails that are due, some at a time; returns how many the mail server took."""
    with MailServer() as server:
        return deliver(
            EMAIL_CHANNEL,
            lambda envelope: send_email(server, envelope),
            timeout_s=LEASE_S,
            most=MAILS_AT_ONCE,
            retries=RETRIES,
        )


def send_email(server: MailServer, envelope: Envelope) -> Sent:
    """Send one notification to its receiver; what nobody may or can have any more counts as sent."""
    body: dict[str, Any] = json.loads(envelope.body)
    found = Notification.objects.select_related("user", "workspace").filter(pk=body["notification"]).first()
    if found is None or not _may_have(found):
        logger.info("the e-mail %s is dropped: its receiver is gone", envelope.subject)
        return Sent(Outcome.DELIVERED)
    try:
        validate_email(found.user.email)
    except ValidationError:
        logger.info("the e-mail %s is dropped: its receiver has no address", envelope.subject)
        return Sent(Outcome.DELIVERED)
    try:
        message = render_email(found, body["links"], message_id_of(envelope))
    except Exception as error:
        logger.exception("the e-mail %s could not be made", envelope.subject)
        return Sent(Outcome.FAILED, f"it could not be made: {type(error).__name__}")
    return server.send(message)


def message_id_of(envelope: Envelope) -> str:
    """Return the Message-ID, made of the id that the message keeps."""
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2] or "localhost"
    return f"<{envelope.message_id.hex}@{domain}>"


def render_email(
    notification: Notification, links: list[dict[str, str]], message_id: str
) -> EmailMultiAlternatives:
    """Return the message, in both forms."""
    own = get_config().own_url()
    user = notification.user
    name = one_line(user.get_full_name(), 100)
    context = {
        "title": notification.title,
        "text": notification.text,
        "name": name or user.get_username(),
        "workspace": one_line(notification.workspace.name),
        "page": own + notification.path if notification.path else "",
        "links": links,
        "preferences": f"{own}/admin/notifications/notification/preferences/",
    }
    message = EmailMultiAlternatives(
        subject=one_line(notification.title, 200),
        body=render_to_string("notifications/email.txt", context),
        from_email=settings.DEFAULT_FROM_EMAIL,
        to=[formataddr((name, _ascii(user.email))) if name else user.email],
        headers={
            "Message-ID": message_id,
            "Auto-Submitted": "auto-generated",
            "X-Auto-Response-Suppress": "All",
        },
    )
    message.attach_alternative(render_to_string("notifications/email.html", context), "text/html")
    return message


def _ascii(address: str) -> str:
    # ``formataddr`` takes no other; of what ``validate_email`` lets pass, the domain alone can be anything else.
    local, _, domain = address.rpartition("@")
    return f"{local}@{punycode(domain)}"


def _may_have(notification: Notification) -> bool:
    user = notification.user
    return (
        user.is_active
        and Membership.objects.filter(user=user, workspace_id=notification.workspace_id).exists()
    )
