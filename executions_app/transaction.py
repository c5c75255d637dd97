"""Transactions of the engine: few round trips, one commit.

The statements of a step are sent in psycopg's pipeline mode: a statement waits for the network only where its rows
are read. ``BEGIN`` and ``COMMIT`` are statements of the same pipeline. Each statement has its own snapshot (READ
COMMITTED), so what follows the lock of the execution row sees everything committed before the lock was given.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
from django.db import InterfaceError, OperationalError, connection, transaction
from psycopg.rows import namedtuple_row

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

    def __init__(self, raw: psycopg.Connection[Any]) -> None:
        self._raw = raw
        self.committed = False

    def run(
        self, statement: LiteralString, parameters: Sequence[Any] | Mapping[str, Any] = ()
    ) -> psycopg.Cursor[Any]:
        """Send a statement and return its cursor."""
        # Django's own cursors bind on the client, which pipelines and prepared statements do not allow.
        return psycopg.Cursor(self._raw, row_factory=namedtuple_row).execute(statement, parameters or None)

    def one(self, statement: LiteralString, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> Any:
        """Send a statement that always answers with a row, and return that row."""
        return self.run(statement, parameters).fetchone()

    def commit(self) -> None:
        """Send ``COMMIT``; statements sent after it run on their own, in the same round trip."""
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
    opened = EngineTransaction(raw)
    try:
        with raw.pipeline():
            opened.run("BEGIN")
            yield opened
    finally:
        if not raw.closed and raw.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            raw.execute("ROLLBACK")


@contextmanager
def command_transaction() -> Iterator[EngineTransaction]:
    """Open a durable transaction in which engine statements and Django's ORM may be mixed."""
    forget_broken_connection()
    with transaction.atomic(durable=True):
        yield EngineTransaction(connection.connection)


def forget_broken_connection() -> None:
    """Close Django's connection where it is known to be lost, so that the next statement opens another.

    Django itself keeps it until the end of a request, and a worker has none; a transaction cannot even begin on it.
    """
    raw = connection.connection
    if raw is not None and raw.closed and not connection.in_atomic_block:
        connection.close()
