"""Whether the service and what it stands on answer: checks that take at most two seconds each.

Readiness rests on the database, its migrations and Redis; services beside us are reported and do not gate it.
What a check says never holds a URL or a password. Checks of other services are remembered for a few seconds,
so that nobody can make us call them at will.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock

import httpx
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from redis import Redis
from redis.exceptions import RedisError

from workflow_service.agents.isolation import isolation
from workflow_service.ai.providers import configured_providers
from workflow_service.settings.config import get_config

logger = logging.getLogger(__name__)

TIMEOUT_S = 2.0
REMEMBERED_S = 5.0


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. ``required``: the service is not ready without it."""

    name: str
    healthy: bool
    required: bool
    latency_ms: float
    detail: str = ""


def check_database() -> Check:
    """Ask Postgres for one row."""

    def ask() -> str:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.fetchone()
        return ""

    return _timed("database", ask, required=True)


def check_migrations() -> Check:
    """Say whether the database has every migration of this code."""

    def ask() -> str:
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
        if missing:
            raise NotHealthy(f"{len(missing)} migration(s) are missing: run `manage.py migrate`")
        return ""

    return _timed("migrations", ask, required=True)


def check_cache() -> Check:
    """Ping Redis: broker, cache and channel layer in one."""

    def ask() -> str:
        client = Redis.from_url(
            get_config().broker_url(), socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S
        )
        with client:
            client.ping()
        return ""

    return _timed("cache", ask, required=True)


def check_services() -> tuple[Check, ...]:
    """Ask the services beside us that are configured; those that are not are healthy without being asked."""
    config = get_config()
    services: dict[str, list[str | None]] = {
        "llm_service": [provider.url for provider in configured_providers(config)],
        "agent_service": [config.agent_service_url],
        "state_service": [config.state_service_url],
    }
    return tuple(_remembered(name, [url for url in urls if url]) for name, urls in services.items())


def check_scripts() -> Check:
    """Say whether this host isolates scripts; which fences stand is for ``manage.py check --deploy`` to say."""

    def ask() -> str:
        found = isolation()
        if found.missing:
            raise NotHealthy("scripts are refused: this host cannot isolate them")
        return "isolated" if found.is_whole else "isolated in part"

    return _timed("scripts", ask, required=False)


class NotHealthy(Exception):
    """A check found something that keeps the service from working; its text may be shown."""


def _timed(name: str, ask: Callable[[], str], *, required: bool) -> Check:
    began = time.monotonic()
    try:
        detail, healthy = ask(), True
    except NotHealthy as error:
        detail, healthy = str(error), False
    except (DatabaseError, RedisError, httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        # The error's text may hold an address or a user name; the log has it, the answer has its kind.
        logger.warning("The health check of %s failed: %s", name, error)
        detail, healthy = f"does not answer ({type(error).__name__})", False
    return Check(name, healthy, required, round((time.monotonic() - began) * 1_000, 1), detail)


_memory: dict[str, tuple[float, Check]] = {}
_memory_lock = Lock()


def _remembered(name: str, urls: Sequence[str]) -> Check:
    if not urls:
        return Check(name, healthy=True, required=False, latency_ms=0.0, detail="not configured")
    with _memory_lock:
        known = _memory.get(name)
        if known is None or time.monotonic() - known[0] > REMEMBERED_S:
            known = time.monotonic(), _timed(name, lambda: _ask_any(urls), required=False)
            _memory[name] = known
    return known[1]


def _ask_any(urls: Sequence[str]) -> str:
    """Ask the services that may stand in for each other until one answers; raises what was wrong with the last."""
    for number, url in enumerate(urls, 1):
        try:
            return _ask_service(url)
        except (NotHealthy, httpx.HTTPError, httpx.InvalidURL, OSError):
            if number == len(urls):
                raise
    return ""


def _ask_service(url: str) -> str:
    """Any answer below 500 shows that somebody is there; not every service has the same health address."""
    answer = httpx.get(url, timeout=TIMEOUT_S, trust_env=False)
    if answer.status_code >= 500:
        raise NotHealthy(f"answers {answer.status_code}")
    return ""
