"""A worker whose connection to Redis is gone forgets the messages it held, and goes on."""

from collections import OrderedDict
from contextlib import contextmanager

from kombu.transport import redis

from celery_app import ForgivingQoS


class ChannelWithoutConnection:
    """What is left of a channel once kombu has closed its connection."""

    @contextmanager
    def conn_or_acquire(self, client: object = None):  # type: ignore[no-untyped-def]
        conninfo = None
        yield conninfo.hostname  # type: ignore[attr-defined]


def test_messages_that_cannot_be_given_back_are_forgotten() -> None:
    assert redis.Channel.QoS is ForgivingQoS
    held = ForgivingQoS.__new__(ForgivingQoS)
    held.channel, held._delivered = ChannelWithoutConnection(), OrderedDict(tag="message")
    held.restore_unacked()
    assert not held._delivered
