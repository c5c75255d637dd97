"""A worker whose connection to Redis is gone forgets the messages it held, and goes on."""

from collections import OrderedDict
from typing import Any

import pytest
from kombu.transport import redis

from celery_app import ForgivingQoS


@pytest.fixture
def closed_channel() -> Any:
    """Return what is left of a channel once kombu has closed its connection."""
    channel = redis.Channel.__new__(redis.Channel)
    channel.connection = None
    return channel


def test_a_closed_channel_answers_as_a_lost_connection(closed_channel: Any) -> None:
    with (
        pytest.raises(redis.Transport.connection_errors, match="closed"),
        closed_channel.conn_or_acquire(),
    ):
        pass


def test_messages_that_cannot_be_given_back_are_forgotten(closed_channel: Any) -> None:
    assert redis.Channel.QoS is ForgivingQoS
    held = ForgivingQoS.__new__(ForgivingQoS)
    held.channel, held._delivered = closed_channel, OrderedDict(tag="message")
    held.restore_unacked()
    assert not held._delivered
