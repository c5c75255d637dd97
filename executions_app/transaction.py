"""Transactions of the engine: few round trips, one commit.

The statements of a step are sent in psycopg's pipeline mode: a statement waits for the network only where its rows
are read. ``BEGIN`` and ``COMMIT`` are statements of the same pipeline. Each statement has its own snapshot (READ
COMMITTED), so what follows the lock of the execution row sees everything committed before the lock was given.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, LiteralString, TypeVar

import psycopg
from django.db import Error as DjangoDatabaseError
from django.db import InterfaceError, OperationalError, connection, transaction
from psycopg.rows import namedtuple_row

from executions_app.crash_points import opener, reach

logger = logging.getLogger(__name__)

DATABASE_RETRY_MAX_S = 2.0
T = TypeVar("T")

# The server is gone or would not wait: what was asked is to be asked again, unlike a statement that is wrong.
DATABASE_GONE = (
    OperationalError,
    InterfaceError,
    psycopg.OperationalError,
    psycopg.InterfaceError,
    # For psycopg an internal error: the server closed the connection of a process that was stopped.
    psycopg.errors.IdleInTransactionSessionTimeout,
)


class EngineTransaction:
    """One open transaction. ``run`` sends a statement; reading its rows waits for them."""

    def __init__(self, raw: psycopg.Connection[Any], operation: str) -> None:
        self._raw = raw
        self._operation = operation
        self.committed = False
        # The runs that ``lock_run`` locked, by id with their public id, and those of them that were concluded.
        self.locked: dict[int, str] = {}
        self.concluded: set[int] = set()

    def run(
        self, statement: LiteralString, parameters: Sequence[Any] | Mapping[str, Any] = ()
    ) -> psycopg.Cursor[Any]:
        """Send a statement and return its cursor."""
        # Django's own cursors bind on the client, which pipelines and prepared statements do not allow.
        return psycopg.Cursor(self._raw, row_factory=namedtuple_row).execute(statement, parameters or None)

    def run_numbered(self, statement: str, parameters: Sequence[str | None]) -> psycopg.Cursor[Any]:
        """Send a statement whose parameters are ``$1``, ``$2``, …; each is sent as text."""
        return psycopg.RawCursor(self._raw, row_factory=namedtuple_row).execute(statement, parameters)

    def one(self, statement: LiteralString, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> Any:
        """Send a statement that always answers with a row, and return that row."""
        return self.run(statement, parameters).fetchone()

    def commit(self) -> None:
        """Send ``COMMIT``; statements sent after it run on their own, in the same round trip."""
        reach(f"{self._operation}:before commit")
        self.run("COMMIT")
        self.committed = True


@contextmanager
def pipelined_transaction() -> Iterator[EngineTransaction]:
    """Open a pipeline and a transaction in it; rolled back unless ``commit`` was called.

    Raises ``RuntimeError`` inside another transaction: what follows a commit relies on its being durable.
    """
    if connection.in_atomic_block:
        raise RuntimeError("an engine transaction must be the outermost one")
    forget_broken_connection()
    connection.ensure_connection()
    raw = connection.connection
    operation = opener()
    opened = EngineTransaction(raw, operation)
    try:
        with raw.pipeline():
            opened.run("BEGIN")
            yield opened
    finally:
        if not raw.closed and raw.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            raw.execute("ROLLBACK")
    if opened.committed:
        reach(f"{operation}:after commit")


def run_alone(statement: LiteralString, parameters: Sequence[Any]) -> Any:
    """Run one statement that is a transaction by itself; return its row, or None.

    Raises ``RuntimeError`` inside another transaction.
    """
    if connection.in_atomic_block:
        raise RuntimeError("an engine transaction must be the outermost one")
    forget_broken_connection()
    connection.ensure_connection()
    operation = opener(depth=1)
    reach(f"{operation}:before commit")
    row = EngineTransaction(connection.connection, operation).run(statement, parameters).fetchone()
    reach(f"{operation}:after commit")
    return row


@contextmanager
def command_transaction() -> Iterator[EngineTransaction]:
    """Open a durable transaction in which engine statements and Django's ORM may be mixed.

    However it ends, afterwards somebody looks at every run that it locked, for blocks that others finished meanwhile
    and left to the holder of the lock: who concluded a run does that himself, for the rest the registered function
    (``on_unlock``) is called with the runs' ids and public ids.
    """
    forget_broken_connection()
    operation = opener()
    opened: EngineTransaction | None = None
    try:
        with transaction.atomic(durable=True):
            opened = EngineTransaction(connection.connection, operation)
            yield opened
            reach(f"{operation}:before commit")
    except Exception:
        # Who was to do something after the commit does not come to it.
        if opened is not None:
            _tell_unlocked(opened.locked)
        raise
    reach(f"{operation}:after commit")
    _tell_unlocked({key: name for key, name in opened.locked.items() if key not in opened.concluded})


def on_unlock(look: Callable[[Mapping[int, str]], object]) -> None:
    """Register who looks at runs whose locks were given back; called once, when the app is loaded."""
    _on_unlock[:] = [look]


_on_unlock: list[Callable[[Mapping[int, str]], object]] = []


def _tell_unlocked(runs: Mapping[int, str]) -> None:
    for look in _on_unlock if runs else ():
        look(runs)


def database_now() -> datetime:
    """Return the database's clock: what is written must not depend on the clock of the machine that writes it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone()
    assert isinstance(now, datetime)  # noqa: S101 - what Postgres answers
    return now


def forget_broken_connection() -> None:
    """Close Django's connection where it is known to be lost, so that the next statement opens another.

    Django itself keeps it until the end of a request, and a worker has none; a transaction cannot even begin on it.
    """
    raw = connection.connection
    if raw is not None and raw.closed and not connection.in_atomic_block:
        connection.close()


def persistently(operation: Callable[[], T]) -> T:
    """Call ``operation`` until the database answers; used where a result must not be lost.

    A commit whose answer was lost is repeated and finds its fence outdated, so repeating is harmless.
    """
    delay_s = 0.05
    while True:
        try:
            return operation()
        except DATABASE_GONE as error:
            logger.warning("the database did not answer, trying again in %.1f s: %s", delay_s, error)
            try:
                connection.close()
            except DjangoDatabaseError:
                logger.debug("the broken connection could not be closed")
            time.sleep(delay_s)
            delay_s = min(DATABASE_RETRY_MAX_S, delay_s * 2)
