"""The service's worker without continuation in place: every block is queued, sent and claimed."""

import django

from celery_app import app

django.setup()

from executions_app import running  # noqa: E402 - Django must be set up first

__all__ = ["app"]

running.TIME_SLICE_S = 0.0
