"""The Celery application: carries hints from Postgres to workers, and decides nothing.

Kombu 5.7 lets a worker die when Redis goes: it acknowledges messages and gives them back through channels whose
connection is closed already, and the AttributeError is none of the errors that a worker recovers from. Here such a
channel answers as a lost connection does, and what is not given back is a hint like others: the sweeper sends it again.
"""

import logging
import os
from typing import Any

from celery import Celery
from kombu.transport.redis import Channel, QoS
from redis.exceptions import ConnectionError as ConnectionLost

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "workflow_service.settings.development")

logger = logging.getLogger(__name__)
# Kombu's functions have no types.
_channel: Any = Channel
_connparams_of_open_channel: Any = Channel._connparams
_new_client: Any = Channel._create_client


def _connparams(channel: Any, *arguments: Any, **options: Any) -> Any:
    if channel.connection is None or channel.connection.client is None:
        raise ConnectionLost("the channel's connection is closed")
    return _connparams_of_open_channel(channel, *arguments, **options)


def _create_client(channel: Any, asynchronous: bool = False) -> Any:
    # Kombu makes a client for every message, which costs a fifth of sending it; the connections are the pool's.
    if asynchronous:
        return _new_client(channel, asynchronous)
    client = channel.__dict__.get("sending_client")
    if client is None or client.connection_pool is not channel.pool:
        client = channel.__dict__["sending_client"] = _new_client(channel)
    return client


class ForgivingQoS(QoS):
    """Forgets a lost connection's messages where they cannot be given back."""

    def restore_unacked(self, client: Any = None) -> None:
        try:
            super().restore_unacked(client)  # type: ignore[no-untyped-call]
        except ConnectionLost:
            logger.warning("%d messages cannot be given back: the broker is gone", len(self._delivered))
            self._delivered.clear()


_channel._connparams = _connparams
_channel._create_client = _create_client
_channel.QoS = ForgivingQoS

app = Celery("workflow_service")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
