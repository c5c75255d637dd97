"""The Celery application: carries hints from Postgres to workers, and decides nothing."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "workflow_service.settings.development")

app = Celery("workflow_service")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
