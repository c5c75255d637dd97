"""Single-use tickets for WebSockets: a browser cannot send an Authorization header with one.

A ticket lives in Redis for 30 s, under the hash of its text, and is gone with its first use. It stands for
the user who asked for it, with the limits of the API key they came in with.
"""

import hashlib
import json
import secrets
from functools import cache

from django.db.models import Q, QuerySet
from django.utils import timezone
from redis import Redis

from workflow_service.accounts.models import ApiKey, User
from workflow_service.settings.config import get_config

LIFETIME_S = 30
MAX_LENGTH = 100


def issue_ticket(user: User) -> str:
    """Return a new ticket for ``user``."""
    ticket = secrets.token_urlsafe(32)
    held = {"user": user.pk, "key": user.acting_key.pk if user.acting_key else None}
    _redis().set(_name(ticket), json.dumps(held), ex=LIFETIME_S)
    return ticket


def redeem_ticket(ticket: str) -> User | None:
    """Return the user a ticket stands for and end its life; None for anything that is no living ticket."""
    text = _redis().getdel(_name(ticket)) if len(ticket) <= MAX_LENGTH else None
    if text is None:
        return None
    held = json.loads(text)
    return find_holder(held["user"], held["key"])


def find_holder(user_id: int, key_id: int | None) -> User | None:
    """Return an active user with the limits of the API key they came in with; None once either does not hold."""
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is not None and key_id is not None:
        user.acting_key = list_living_keys().filter(pk=key_id).first()
        return user if user.acting_key else None
    return user


def list_living_keys() -> QuerySet[ApiKey]:
    """Return the API keys that are neither revoked nor expired."""
    lasts = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
    return ApiKey.objects.filter(lasts, revoked_at=None)


def _name(ticket: str) -> str:
    return f"ws-ticket:{hashlib.sha256(ticket.encode()).hexdigest()}"


@cache
def _redis() -> Redis:
    return Redis.from_url(get_config().broker_url(), socket_timeout=5, socket_connect_timeout=5)
