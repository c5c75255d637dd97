"""Tests: real Postgres and Redis, cheap password hashes."""

from workflow_service.settings.common import *  # noqa: F403
from workflow_service.settings.common import CONFIG, DATABASES, EXAMPLE_USE_CASES

USE_CASE_MODULES = EXAMPLE_USE_CASES if CONFIG.use_case_modules is None else CONFIG.use_case_modules

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STATIC_ROOT = None
# Static files are looked up when they are asked for: most tests ask for none.
WHITENOISE_AUTOREFRESH = True
WHITENOISE_USE_FINDERS = True

# A test that is a transaction is idle in it whenever it computes, or waits for a processor that others have.
DATABASES["default"]["OPTIONS"]["options"] += " -c idle_in_transaction_session_timeout=60s"
