"""The Celery application: carries hints from Postgres to workers, and decides nothing."""

import logging
import os
from typing import Any

from celery import Celery
from kombu.transport import redis

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "workflow_service.settings.development")

logger = logging.getLogger(__name__)


class ForgivingQoS(redis.QoS):  # type: ignore[misc] - kombu has no types
    """Lets a worker outlive the loss of Redis.

    Kombu 5.7 gives a worker's messages back when its connection is lost, at times through the connection that is gone;
    that AttributeError is none of those that a worker recovers from, and ends it. What is not given back is a hint
    like others: the sweeper sends it again.
    """

    def restore_unacked(self, client: Any = None) -> None:
        try:
            super().restore_unacked(client)
        except AttributeError:
            logger.warning("%d messages cannot be given back: the broker is gone", len(self._delivered))
            self._delivered.clear()


redis.Channel.QoS = ForgivingQoS

app = Celery("workflow_service")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
