"""Links in e-mails that answer one question in one person's name.

A link is bound to a person, their address, one approval and its version: whatever changes who is asked or what they
see makes it stale, and so does every answer, so that it is used once. It is a permission to open a page that asks once
more; whether its bearer may answer is asked again when they do.
"""

from dataclasses import dataclass
from datetime import timedelta

from django.core import signing
from django.urls import reverse
from django.utils.crypto import constant_time_compare, salted_hmac

from approvals_app.models import Approval
from workflow_service.accounts.models import User

SALT = "approvals_app.mail_links"
GOOD_FOR = timedelta(days=30)
MAX_CHARACTERS = 500


class LinkInvalid(Exception):
    """The link was never made here, was altered, is too old, or its bearer's address has changed."""


@dataclass(frozen=True, slots=True)
class AnswerLink:
    """Who may answer what by a link; ``version`` is the approval's when the link was made."""

    approval_id: int
    user: User
    version: int


def sign(approval: Approval, user: User) -> str:
    """Return the path of the page where ``user`` answers ``approval`` as it now stands."""
    token = signing.dumps([approval.pk, user.pk, approval.version, _mailbox(user)], salt=SALT)
    return reverse("answer-by-link", args=[token])


def read(token: str) -> AnswerLink:
    """Return what a link says; raises ``LinkInvalid``."""
    try:
        if len(token) > MAX_CHARACTERS:
            raise LinkInvalid
        approval_id, user_id, version, mailbox = signing.loads(token, salt=SALT, max_age=GOOD_FOR)
    except (signing.BadSignature, ValueError):
        raise LinkInvalid from None
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is None or not constant_time_compare(mailbox, _mailbox(user)):
        raise LinkInvalid
    return AnswerLink(approval_id, user, version)


def _mailbox(user: User) -> str:
    # Somebody whose address was changed must not be answered for from the old one.
    return salted_hmac(SALT, f"{user.pk}:{user.email}", algorithm="sha256").hexdigest()[:16]
