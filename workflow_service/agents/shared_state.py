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
from redis.commands.core import Script

from workflow_service.settings.config import get_config

logger = logging.getLogger(__name__)

PREFIX = "agents:"
TIMEOUT_S = 0.5
# So long nobody waits for a Redis that did not answer.
LEAVE_ALONE_S = 5.0
_left_alone_until = 0.0


@cache
def shared_redis() -> "redis.Redis":
    """Return this process's client."""
    return redis.Redis.from_url(
        get_config().broker_url(),
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=None,
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
def _script(source: str) -> Script:
    return shared_redis().register_script(source)
