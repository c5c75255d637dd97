"""Tests: real Postgres and Redis, cheap password hashes."""

from workflow_service.settings.common import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
