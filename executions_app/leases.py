"""Leases of worker processes, kept by their parent.

A thread in the Celery worker's parent renews the leases of its living children every two seconds and drops those of
dead ones at once; so a busy child cannot starve its own lease, and a killed one is noticed without waiting for it to
run out. Database time alone decides what has expired.
"""

import logging
import os
import threading
from typing import Any
from uuid import UUID

import psycopg
from celery import signals
from django.db import Error as DjangoDatabaseError
from django.db import connection

from executions_app import worker_identity
from executions_app.sweeper import GAP_S, sweep, take_back_blocks_of
from executions_app.worker_identity import LEASE_S

logger = logging.getLogger(__name__)

WATCH_INTERVAL_S = 0.25
RENEW_INTERVAL_S = 2.0

CHILDREN = "SELECT id, pid FROM executions_app_workerlease WHERE boot_id = %s"
RENEW = """
    UPDATE executions_app_workerlease SET expires_at = clock_timestamp() + make_interval(secs => %s)
    WHERE id = ANY(%s)
"""
DROP = "DELETE FROM executions_app_workerlease WHERE id = ANY(%s)"
SWEEP_OVERDUE = """
    SELECT coalesce(max(last_tick_at) < clock_timestamp() - make_interval(secs => %s), true)
    FROM executions_app_sweeperstate
"""


class LeaseKeeper(threading.Thread):
    """Renews the leases of this process's living children; sweeps where nobody else does."""

    def __init__(self) -> None:
        super().__init__(name="lease-keeper", daemon=True)
        self._stopped = threading.Event()
        self._children: dict[UUID, int] = {}

    def stop(self) -> None:
        self._stopped.set()

    def run(self) -> None:
        since_renewal_s = RENEW_INTERVAL_S
        while not self._stopped.wait(WATCH_INTERVAL_S):
            since_renewal_s += WATCH_INTERVAL_S
            try:
                self._drop_dead()
                if since_renewal_s >= RENEW_INTERVAL_S:
                    self._renew()
                    since_renewal_s = 0.0
                    self._sweep_if_overdue()
            except (DjangoDatabaseError, psycopg.Error) as error:
                logger.warning("leases could not be kept, trying again: %s", error)
                connection.close()
        connection.close()

    def _drop_dead(self) -> None:
        dead = [identity for identity, pid in self._children.items() if not is_running(pid)]
        if not dead:
            return
        with connection.cursor() as cursor:
            cursor.execute(DROP, [dead])
        for identity in dead:
            logger.warning("worker process %s died", self._children.pop(identity))
        take_back_blocks_of(dead)

    def _renew(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(CHILDREN, [worker_identity.BOOT_ID])
            self._children = dict(cursor.fetchall())
            living = [identity for identity, pid in self._children.items() if is_running(pid)]
            cursor.execute(RENEW, [LEASE_S, living])

    def _sweep_if_overdue(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(SWEEP_OVERDUE, [GAP_S])
            (overdue,) = cursor.fetchone()
        if overdue:
            sweep()


def is_running(pid: int) -> bool:
    """Tell whether a child of this process runs, without reaping it."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    except ChildProcessError:
        return False


_keepers: list[LeaseKeeper] = []


@signals.worker_process_init.connect
def register_child(**_: Any) -> None:
    """Give a new worker process its lease."""
    worker_identity.worker_id()


@signals.worker_ready.connect
def start_keeper(**_: Any) -> None:
    """Start keeping leases in a worker's parent."""
    keeper = LeaseKeeper()
    _keepers.append(keeper)
    keeper.start()


@signals.worker_shutdown.connect
def stop_keepers(**_: Any) -> None:
    """Stop keeping leases; those of processes that still finish their block run out on their own."""
    for keeper in _keepers:
        keeper.stop()
