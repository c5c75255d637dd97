"""API keys: ``wfk_PREFIX.SECRET``. The prefix finds the row; of the secret only the SHA-256 is kept.

A fast hash is right here: the secret is 256 random bits, which no dictionary holds.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from workflow_service.accounts.errors import ApiKeyInvalid
from workflow_service.accounts.models import ApiKey, User, Workspace
from workflow_service.accounts.policies import KEY_SCOPES, Action, require
from workflow_service.accounts.recording import record_by
from workflow_service.engine.errors import Problem

DEFAULT_LIFETIME = timedelta(days=90)
MAX_LIFETIME = timedelta(days=366)
_FORMAT = re.compile(r"wfk_([0-9a-f]{12})\.([A-Za-z0-9_-]{43})", re.ASCII)
_NOBODY = hashlib.sha256(b"").hexdigest()
# A key that is used all day writes this often at most.
_USE_RECORDED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """A key just made; ``secret`` is the whole text to send, and is never shown again."""

    key: ApiKey
    secret: str


def create_api_key(
    *,
    user: User,
    workspace: Workspace,
    name: str,
    now: datetime,
    scopes: Collection[str] | None = None,
    expires_at: datetime | None = None,
) -> NewApiKey:
    """Make a key that acts as ``user`` in ``workspace``; by default with every scope, for 90 days.

    Raises ``Forbidden`` and ``ApiKeyInvalid``.
    """
    require(user, workspace, Action.KEY_CREATE)
    wanted = sorted(KEY_SCOPES if scopes is None else set(scopes))
    ends = now + DEFAULT_LIFETIME if expires_at is None else expires_at
    _check(wanted, ends, now)
    prefix, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    with transaction.atomic():
        key = ApiKey.objects.create(
            workspace=workspace,
            user=user,
            name=name,
            prefix=prefix,
            digest=_digest(secret),
            scopes=wanted,
            expires_at=ends,
        )
        record_by(
            user,
            "key.create",
            workspace,
            "api_key",
            prefix,
            name=name,
            scopes=wanted,
            expires_at=ends.isoformat(),
        )
    return NewApiKey(key, f"wfk_{prefix}.{secret}")


@transaction.atomic
def revoke_api_key(key: ApiKey, *, actor: User, now: datetime) -> None:
    """End the key's life; a key that is revoked already keeps its first time."""
    if ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=now):
        user = key.user.get_username()
        record_by(actor, "key.revoke", key.workspace_id, "api_key", key.prefix, name=key.name, user=user)


def find_api_key(text: str, *, now: datetime) -> ApiKey | None:
    """Return the living key that ``text`` spells, and note its use; None for anything else."""
    match = _FORMAT.fullmatch(text)
    if match is None:
        return None
    key = ApiKey.objects.select_related("user", "workspace").filter(prefix=match[1]).first()
    # Compare in any case, so that the time taken does not tell which prefixes exist.
    same = hmac.compare_digest(key.digest if key else _NOBODY, _digest(match[2]))
    if key is None or not same or key.revoked_at or (key.expires_at and key.expires_at <= now):
        return None
    stale = Q(last_used_at=None) | Q(last_used_at__lt=now - _USE_RECORDED_EVERY)
    if key.last_used_at is None or key.last_used_at < now - _USE_RECORDED_EVERY:
        ApiKey.objects.filter(stale, pk=key.pk).update(last_used_at=now)
    return key


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _check(scopes: list[str], expires_at: datetime, now: datetime) -> None:
    problems = [
        Problem(
            "UNKNOWN_SCOPE", f"'{scope}' is no scope", "/scopes", f"one of {', '.join(sorted(KEY_SCOPES))}"
        )
        for scope in scopes
        if scope not in KEY_SCOPES
    ]
    if not scopes:
        problems.append(
            Problem("SCOPES_EMPTY", "a key without scopes may do nothing", "/scopes", "name one or more")
        )
    if not now < expires_at <= now + MAX_LIFETIME:
        problems.append(
            Problem("EXPIRY_OUT_OF_RANGE", "must lie in the future, at most 366 days ahead", "/expiresAt")
        )
    if problems:
        raise ApiKeyInvalid("the API key cannot be made as asked", problems)
