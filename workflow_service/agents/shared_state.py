"""What workers know together about agents from one moment to the next: small states in Redis, changed by scripts.

Nothing here is a fact about a run. Where Redis is gone the answer is None, at once, and whoever asked goes on without:
work never stands still for want of a counter.
"""

import logging
import time
from collections.abc import Sequence
from functools import cache
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.retry import Retry

from workflow_service.settings.config import get_config

logger = logging.getLogger(__name__)

PREFIX = "agents:"
TIMEOUT_S = 0.5
# So long nobody waits for a Redis that did not answer.
LEAVE_ALONE_S = 5.0
_left_alone_until = 0.0


def make_client(url: str) -> redis.Redis:
    """Return a client that gives up at once."""
    return redis.Redis.from_url(
        url,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        # Of itself redis-py tries three times more, for some seconds.
        retry=Retry(NoBackoff(), 0),
        health_check_interval=30,
        client_name="agents",
    )


def run_script(script: str, keys: Sequence[str], arguments: Sequence[str | int | float]) -> Any:
    """Run a Lua script on keys, which are prefixed; returns its answer, or None where Redis does not answer."""
    global _left_alone_until
    if time.monotonic() < _left_alone_until:
        return None
    try:
        return _script(script)(keys=[PREFIX + key for key in keys], args=list(arguments))
    except redis.RedisError as error:
        _left_alone_until = time.monotonic() + LEAVE_ALONE_S
        logger.warning("Redis does not answer; breakers and rates of agents are left out for now: %s", error)
        return None


@cache
def _client() -> redis.Redis:
    return make_client(get_config().broker_url())


@cache
def _script(source: str) -> Script:
    return _client().register_script(source)
