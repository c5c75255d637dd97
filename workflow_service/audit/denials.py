"""How many refusals of one asker are written down: enough to see what was tried, not enough to fill a disk."""

import hashlib
import logging
import time

from django.core.cache import cache
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

MOST = 100
WINDOW_S = 3_600


def may_record_denial(asker: str) -> bool | None:
    """Count a refusal; None: it is not to be recorded; True: it is, and is the last one in this window.

    Where Redis does not count, every one is recorded.
    """
    who = hashlib.sha256(asker.encode("utf-8", "replace")).hexdigest()
    key = f"audit-denied:{who}:{int(time.time() // WINDOW_S)}"
    try:
        cache.add(key, 0, timeout=WINDOW_S)
        count = int(cache.incr(key))
    except (RedisError, ValueError):
        logger.warning("Refusals are not counted: Redis does not answer")
        return False
    return None if count > MOST else count == MOST
