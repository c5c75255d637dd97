"""The secrets that webhooks are signed with: made here, shown once, kept encrypted."""

import base64
import secrets
from collections.abc import Sequence
from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from workflow_service.agents.library.webhooks import SECRET_PREFIX
from workflow_service.notifications.models import WebhookEndpoint, WebhookSecret
from workflow_service.vault.ciphers import Sealed, seal, unseal
from workflow_service.vault.keys import keyring

SECRET_BYTES = 32
SIGNS_ON_FOR = timedelta(hours=24)


def new_secret(endpoint: WebhookEndpoint) -> str:
    """Give an endpoint a new secret and return it; those it had sign on for a day. Raises ``NoEncryptionKey``."""
    value = SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
    sealed = seal(keyring(), workspace_id=endpoint.workspace_id, name=_name(endpoint), value=value)
    standing = WebhookSecret.objects.filter(endpoint=endpoint, expires_at=None)
    standing.update(expires_at=timezone.now() + SIGNS_ON_FOR)
    WebhookSecret.objects.create(
        workspace_id=endpoint.workspace_id, endpoint=endpoint, key_id=sealed.key_id, sealed=sealed.content
    )
    return value


def secrets_of(endpoint: WebhookEndpoint) -> Sequence[str]:
    """Return the secrets that sign for an endpoint now, the newest first; raises ``SecretUnreadable``."""
    valid = WebhookSecret.objects.filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now()))
    ring = keyring()
    return [
        unseal(
            ring,
            Sealed(row.key_id, bytes(row.sealed)),
            workspace_id=endpoint.workspace_id,
            name=_name(endpoint),
        )
        for row in valid.filter(endpoint=endpoint).order_by("-id")[:5]
    ]


def name_of(row: WebhookSecret) -> str:
    """Return the name that a secret is encrypted under: no workflow's secret can have it."""
    return _name(row.endpoint)


def _name(endpoint: WebhookEndpoint) -> str:
    return f"webhook:{endpoint.public_id}"
