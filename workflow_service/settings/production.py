"""Production: behind TLS, with everything secret given from outside."""

from django.core.exceptions import ImproperlyConfigured

from workflow_service.settings.common import *  # noqa: F403
from workflow_service.settings.common import BASE_DIR, CONFIG

for name in ("secret_key", "database_url", "redis_url"):
    if getattr(CONFIG, name) is None:
        raise ImproperlyConfigured(f"{name.upper()} must be set in production")

if CONFIG.audit_keys is None and CONFIG.audit_keys_file is None:
    raise ImproperlyConfigured("AUDIT_KEYS or AUDIT_KEYS_FILE must be set in production, see docs/audit.md")

# Each host would make its own, and none could read what another one wrote.
MAKE_SECRETS_KEYS = False
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_HSTS_SECONDS = 31_536_000
# Part of the release, not of the data: a new image brings its own files, whatever volume it is given.
STATIC_ROOT = BASE_DIR / "static"
STORAGES = {
    **STORAGES,
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
