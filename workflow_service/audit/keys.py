"""The keys that the audit trail is authenticated with, by id; the first one signs, all of them verify.

Old keys stay in the ring for as long as what they signed is kept.
"""

from django.conf import settings

from workflow_service.settings.config import get_config
from workflow_service.settings.keyrings import Keyring, KeySource


def audit_keys() -> Keyring:
    """Return the keys in force; raises ``KeysMissing``, and ``ImproperlyConfigured`` for what is no key."""
    return audit_key_source().ring()


def audit_key_source() -> KeySource:
    """Return where the keys come from: AUDIT_KEYS, AUDIT_KEYS_FILE, else a file of the data directory."""
    config = get_config()
    return KeySource(
        "AUDIT_KEYS",
        config.audit_keys,
        config.audit_keys_file,
        config.data_dir / "audit.keys",
        make=settings.MAKE_SECRETS_KEYS,
    )
