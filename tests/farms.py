"""Worker processes on the tests' own database, gone when the test is."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID, uuid4

from django.db import connection
from django.utils import timezone

from executions_app.models import WorkerLease
from executions_app.worker_identity import register_lease
from workflow_service.settings.config import get_config

PROJECT = Path(__file__).resolve().parents[1]


@contextmanager
def worker_farm(seed: int, *, children: int, kills_per_s: float) -> Iterator[None]:
    """Have processes run queued blocks of the tests' database; they are gone afterwards."""
    with processes(
        sys.executable, "-m", "tests.worker_farm", str(seed), str(children), str(kills_per_s)
    ) as farm:
        yield
        assert farm.poll() is None, "the worker's parent ended"


@contextmanager
def diary() -> Iterator[None]:
    """Keep the table in which the use case ``tests.farm_diary`` writes when it worked."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            CREATE TABLE farm_diary (id bigserial PRIMARY KEY, of text,
                began_at timestamptz DEFAULT clock_timestamp(), ended_at timestamptz)
            """
        )
        try:
            yield
        finally:
            cursor.execute("DROP TABLE farm_diary")


def most_at_once() -> int:
    """Return how many were at work at once, at most, by what the diary says."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT max(n) FROM (
                SELECT sum(step) OVER (ORDER BY at, step) AS n FROM (
                    SELECT began_at AS at, 1 AS step FROM farm_diary WHERE ended_at IS NOT NULL
                    UNION ALL SELECT ended_at, -1 FROM farm_diary WHERE ended_at IS NOT NULL) s) t
            """
        )
        return int(cursor.fetchone()[0])


def live_worker() -> UUID:
    """Return the id of a worker process that nobody is, with a lease for a minute."""
    worker = uuid4()
    register_lease(worker)
    WorkerLease.objects.filter(id=worker).update(expires_at=timezone.now() + timedelta(seconds=60))
    return worker


@contextmanager
def processes(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command with its children on the tests' database; all are killed afterwards."""
    database = urlsplit(get_config().postgres_url())
    url = urlunsplit(database._replace(path=f"/{connection.settings_dict['NAME']}"))
    parent = subprocess.Popen(
        command,
        cwd=PROJECT,
        env={**os.environ, "DATABASE_URL": url, "LOG_LEVEL": "CRITICAL"},
        process_group=0,
    )
    try:
        yield parent
    finally:
        with suppress(ProcessLookupError):
            os.killpg(parent.pid, signal.SIGKILL)
        parent.wait()
