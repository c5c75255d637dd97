"""Leases of worker processes, kept by their parent.

A thread in the Celery worker's parent renews the leases of its living children every two seconds and drops those of
dead ones at once; so a busy child cannot starve its own lease, and a killed one is noticed without waiting for it to
run out. Database time alone decides what has expired. What takes longer, giving the blocks of the dead to others and
sweeping where nobody else does, is done by a second thread: it may wait for locks, and a lease must not.
"""

import logging
import os
import queue
import signal
import socket
import threading
import time
from typing import Any
from uuid import UUID

import psycopg
from celery import signals
from django.db import Error as DjangoDatabaseError
from django.db import connection

from executions_app import work_board, worker_identity
from executions_app.running import hand_back
from executions_app.sweeper import sweep, take_back_blocks_of
from executions_app.transaction import forget_broken_connection
from executions_app.worker_identity import LEASE_S

logger = logging.getLogger(__name__)

WATCH_INTERVAL_S = 0.25
RENEW_INTERVAL_S = 2.0
REPAIR_INTERVAL_S = 0.5
# With the interval it stays below the sweeper's GAP_S: after a longer gap no lease expires, so a stand-in that came
# later would never take a block back.
SWEEP_OVERDUE_S = 2

OVERRUN_INTERVAL_S = 1.0
# After such a silence of the database a child may be about to write a result that it could not write in time.
SILENCE_S = 3.0
MERCY_S = 5.0

SEARCH_INTERVAL_S = 2.0

CHILDREN = "SELECT id, pid FROM executions_app_workerlease WHERE boot_id = %s"
RENEW = """
    INSERT INTO executions_app_workerlease (id, pid, boot_id, hostname, started_at, expires_at, queues)
    SELECT l.id, l.pid, %s, %s, clock_timestamp(), clock_timestamp() + make_interval(secs => %s), %s::text[]
    FROM unnest(%s::uuid[], %s::int[]) AS l(id, pid)
    ON CONFLICT (id) DO UPDATE SET expires_at = EXCLUDED.expires_at, queues = EXCLUDED.queues
"""
DROP = "DELETE FROM executions_app_workerlease WHERE id = ANY(%s)"
OVERRUN = """
    SELECT DISTINCT worker_id FROM executions_app_blockexecution
    WHERE worker_id = ANY(%s) AND status = 'RUNNING' AND due_at <= clock_timestamp()
"""
RUNNING = """
    SELECT worker_id, execution_id, id, fence FROM executions_app_blockexecution
    WHERE worker_id = ANY(%s) AND status = 'RUNNING'
"""
SWEEP_OVERDUE = """
    SELECT coalesce(max(last_tick_at) < clock_timestamp() - make_interval(secs => %s), true)
    FROM executions_app_sweeperstate
"""


# Worker's id, execution's id, row's id, fence.
Orphan = tuple[UUID, int, int, int]


class _Watch(threading.Thread):
    """Does ``look`` every ``interval_s`` seconds until it is stopped, whatever becomes of the database."""

    def __init__(self, name: str, interval_s: float) -> None:
        super().__init__(name=name, daemon=True)
        self._interval_s = interval_s
        self._stopped = threading.Event()

    def stop(self) -> None:
        self._stopped.set()

    def run(self) -> None:
        while not self._stopped.wait(self._interval_s):
            try:
                forget_broken_connection()
                self.look()
            except (DjangoDatabaseError, psycopg.Error) as error:
                logger.warning("%s could not look, trying again: %s", self.name, error)
                connection.close()
            except Exception:
                # Without this thread the leases of a healthy worker would run out.
                logger.exception("%s failed, trying again", self.name)
        connection.close()

    def look(self) -> None:
        raise NotImplementedError


class LeaseKeeper(_Watch):
    """Renews the leases of this process's living children, drops those of dead ones, and kills those that overran.

    A child is killed where its block is still at work after the block's timeout and a grace: it did not stop when its
    own timer rang. What it held is then taken back like the blocks of any dead child.
    """

    def __init__(self, repairer: "Repairer") -> None:
        super().__init__("lease-keeper", WATCH_INTERVAL_S)
        self._repairer = repairer
        self._children: dict[UUID, int] = {}
        self._renewed_at = -RENEW_INTERVAL_S
        self._searched_at = time.monotonic()
        self._kills_after = 0.0

    def look(self) -> None:
        self._drop_dead()
        if time.monotonic() - self._searched_at >= OVERRUN_INTERVAL_S:
            self._kill_overrun()
        if time.monotonic() - self._renewed_at >= RENEW_INTERVAL_S:
            self._renew()
            self._renewed_at = time.monotonic()

    def _drop_dead(self) -> None:
        dead = [identity for identity, pid in self._children.items() if not is_running(pid)]
        if not dead:
            return
        with connection.cursor() as cursor:
            cursor.execute(DROP, [dead])
        for identity in dead:
            logger.warning("worker process %s died", self._children.pop(identity))
        self._repairer.take_back(dead)

    def _kill_overrun(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(OVERRUN, [list(self._children)])
            overrun = [identity for (identity,) in cursor.fetchall()]
        now = time.monotonic()
        if now - self._searched_at > SILENCE_S:
            self._kills_after = now + MERCY_S
        self._searched_at = now
        if now < self._kills_after:
            return
        for identity in overrun:
            pid = self._children[identity]
            # Itself it cannot kill: a worker without children is left to the sweeper.
            if pid != os.getpid() and is_running(pid):
                logger.error("worker process %s overran the timeout of its block and is killed", pid)
                os.kill(pid, signal.SIGKILL)

    def _renew(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(CHILDREN, [worker_identity.BOOT_ID])
            self._children |= dict(cursor.fetchall())
            living = {identity: pid for identity, pid in self._children.items() if is_running(pid)}
            # A lease that is gone, as after hours without a renewal, is written anew.
            cursor.execute(
                RENEW,
                [
                    worker_identity.BOOT_ID,
                    socket.gethostname(),
                    LEASE_S,
                    worker_identity.served_queues(),
                    list(living),
                    list(living.values()),
                ],
            )


class Repairer(_Watch):
    """Gives the blocks of dead children to others, and those of idle ones; where nobody sweeps, it sweeps.

    A claim that was committed and its answer lost leaves a block with a child that is not at work on it. The child
    looks for such orphans itself, before it claims and when it was disturbed; this is for what it could not do then.
    """

    def __init__(self) -> None:
        super().__init__("repairer", REPAIR_INTERVAL_S)
        self._dead: queue.SimpleQueue[list[UUID]] = queue.SimpleQueue()
        self._searched_at = -SEARCH_INTERVAL_S

    def take_back(self, dead: list[UUID]) -> None:
        """Have the blocks of these worker processes given to others, soon."""
        self._dead.put(dead)

    def look(self) -> None:
        while not self._dead.empty():
            take_back_blocks_of(self._dead.get())
        if time.monotonic() - self._searched_at >= SEARCH_INTERVAL_S:
            self._hand_back_orphans()
            self._searched_at = time.monotonic()
        with connection.cursor() as cursor:
            cursor.execute(SWEEP_OVERDUE, [SWEEP_OVERDUE_S])
            (overdue,) = cursor.fetchone()
        if overdue:
            sweep()

    def _hand_back_orphans(self) -> None:
        for worker, execution_id, row_id, fence in find_orphans_of_children():
            logger.warning("block execution %s was left with an idle worker process", row_id)
            # What the child began it alone knows: the block counts as lost, and ``onWorkerLost`` is obeyed.
            hand_back([(execution_id, row_id, fence)], worker, begun=None)


def find_orphans_of_children() -> list[Orphan]:
    """Return the running blocks that bear the ids of children of this process which are idle."""
    with connection.cursor() as cursor:
        cursor.execute(CHILDREN, [worker_identity.BOOT_ID])
        pids = dict(cursor.fetchall())
        cursor.execute(RUNNING, [list(pids)])
        rows: list[Orphan] = cursor.fetchall()
    # Asked after the rows were read: whoever is idle by now has let go of what it had then.
    return [row for row in rows if work_board.is_idle(pids[row[0]])]


def is_running(pid: int) -> bool:
    """Tell whether a child of this process runs, without reaping it. The process itself does."""
    if pid == os.getpid():
        return True
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    except ChildProcessError:
        return False


_watches: list[_Watch] = []


@signals.celeryd_after_setup.connect
def note_queues(instance: Any, **_: Any) -> None:
    """Note which queues a worker serves, before it forks the children that inherit it."""
    worker_identity.serve_queues(instance.app.amqp.queues.consume_from)


@signals.worker_process_init.connect
def register_child(**_: Any) -> None:
    """Give a new worker process its lease."""
    work_board.note_idle()
    worker_identity.worker_id()


@signals.worker_ready.connect
def start_watches(**_: Any) -> None:
    """Start keeping leases in a worker's parent."""
    repairer = Repairer()
    _watches.extend([LeaseKeeper(repairer), repairer])
    for watch in _watches:
        watch.start()


@signals.worker_shutdown.connect
def stop_watches(**_: Any) -> None:
    """Stop keeping leases; those of processes that still finish their block run out on their own."""
    for watch in _watches:
        watch.stop()
