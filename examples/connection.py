"""Where the examples keep their tables: ANALYTICS_DATABASE_URL, else the service's own database.

A connection is opened for one call and closed after it: use cases run in forked workers and keep no sockets.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from workflow_service.settings.config import get_config

Row = tuple[Any, ...]


@contextmanager
def transaction(schema: str, tables: str) -> Iterator[psycopg.Connection[Row]]:
    """Yield a connection inside one transaction, its search path ``schema``, made with ``tables`` if missing.

    ``tables`` is DDL, each statement ``IF NOT EXISTS``. Commits on leaving, rolls back on an exception.
    Raises ``ConnectionError`` when the database cannot be reached, so that the block is tried again.
    """
    config = get_config()
    own = config.analytics_database_url
    url = own.get_secret_value() if own else config.postgres_url()
    try:
        connection = psycopg.connect(url, connect_timeout=max(1, config.database_connect_timeout_ms // 1000))
    except psycopg.OperationalError as error:
        raise ConnectionError(f"the analytics database cannot be reached: {error}") from error
    with connection, connection.transaction():
        _ensure_tables(connection, schema, tables)
        yield connection


def fetch_one(cursor: psycopg.Cursor[Row]) -> Row:
    """Return the one row that the statement is sure to give; raises ``LookupError`` otherwise."""
    row = cursor.fetchone()
    if row is None:
        raise LookupError("the statement gave no row")
    return row


def _ensure_tables(connection: psycopg.Connection[Row], schema: str, tables: str) -> None:
    name = sql.Identifier(schema)
    connection.execute(sql.SQL("SET LOCAL search_path TO {}").format(name))
    if fetch_one(connection.execute("SELECT to_regnamespace(%s)", [schema])) == (None,):
        # Two first callers at once: IF NOT EXISTS alone lets the second fail.
        connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [f"{schema} tables"])
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(name))
        connection.execute(tables.encode())
