"""Answers that were good, kept for a while: document B section 8.3. Redis that does not answer is an empty cache.

The key covers everything that shapes an answer, the workspace among it; failures are never kept.
"""

import json
import logging
from functools import lru_cache
from hashlib import sha256
from typing import Any

from pydantic import JsonValue
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from workflow_service.settings.config import get_config

logger = logging.getLogger(__name__)

PREFIX = "llm_cache:"
TIMEOUT_S = 2.0


def cache_key(prefix: str = PREFIX, /, **parts: JsonValue) -> str:
    """Return the key of what ``parts`` say, in Redis: a prefix (``llm_cache:``) and a SHA-256."""
    written = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return prefix + sha256(written.encode("utf-8", "replace")).hexdigest()


def find_answer(key: str) -> dict[str, Any] | None:
    """Return what was kept under ``key``, None if nothing was."""
    try:
        kept = _redis(get_config().broker_url()).get(key)
        found = json.loads(kept) if isinstance(kept, bytes | str) else None
    except (RedisError, ValueError) as error:
        logger.warning("The cache of answers is passed over: %s", type(error).__name__)
        return None
    return found if isinstance(found, dict) else None


def keep_answer(key: str, answer: dict[str, JsonValue], ttl_ms: int | None = None) -> None:
    """Keep an answer for so many milliseconds, CACHE_TTL_S where none are given."""
    lasts_ms = get_config().cache_ttl_s * 1_000 if ttl_ms is None else ttl_ms
    try:
        _redis(get_config().broker_url()).set(key, json.dumps(answer), px=lasts_ms)
    except RedisError as error:
        logger.warning("An answer could not be cached: %s", type(error).__name__)


@lru_cache(maxsize=4)
def _redis(url: str) -> "Redis":
    # A cache is asked once: to try again with pauses would take longer than many an answer.
    retry = Retry(NoBackoff(), 0)
    return Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, retry=retry)
