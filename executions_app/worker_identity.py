"""Which worker process this is: an id of this boot, under which a lease is kept in Postgres.

The parent process of a worker renews the leases of its children (``leases.py``); a process that runs blocks without
such a parent keeps none, and its blocks are taken back like those of a dead worker.
"""

import os
import socket
from collections.abc import Iterable
from uuid import UUID, uuid4

from django.db import connection

LEASE_S = 6

REGISTER = """
    INSERT INTO executions_app_workerlease (id, boot_id, hostname, pid, started_at, expires_at, queues)
    VALUES (%s, %s, %s, %s, clock_timestamp(), clock_timestamp() + make_interval(secs => %s), %s)
    ON CONFLICT (id) DO NOTHING
"""

# Made when the parent starts and inherited by its children: what they have in common.
BOOT_ID = uuid4()
_queues: tuple[str, ...] = ()
_identity: tuple[int, UUID] | None = None


def worker_id() -> UUID:
    """Return this process's id, registering its lease on the first call in it."""
    global _identity
    if _identity is None or _identity[0] != os.getpid():
        identity = uuid4()
        register_lease(identity)
        # Not before the lease is written: without one every block of this process would be taken back.
        _identity = (os.getpid(), identity)
    return _identity[1]


def serve_queues(names: Iterable[str]) -> None:
    """Note, in a worker's parent before it has children, which queues they take messages from."""
    global _queues
    _queues = tuple(names)


def served_queues() -> list[str]:
    """Return which queues the worker that this process belongs to takes messages from."""
    return list(_queues)


def register_lease(identity: UUID) -> None:
    """Write the lease of a worker process that just began."""
    with connection.cursor() as cursor:
        cursor.execute(
            REGISTER, [identity, BOOT_ID, socket.gethostname(), os.getpid(), LEASE_S, served_queues()]
        )
