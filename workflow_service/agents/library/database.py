"""SQL: one statement, its values bound, read-only unless asked, with a time and a size it may not pass."""

import json
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import date, datetime, timedelta
from datetime import time as time_of_day
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pydantic import Field, JsonValue, model_validator

from workflow_service.agents.errors import ToolError
from workflow_service.agents.library.shapes import Output, Params, Record
from workflow_service.agents.use_cases import FROM_SECRET, LITERAL, RunContext, use_case
from workflow_service.artifacts.references import FileSource
from workflow_service.engine.states import ErrorType

MAX_DATABASE_BYTES = 256 * 1024 * 1024
MAX_VALUE_BYTES = 16 * 1024 * 1024
STEPS_BETWEEN_LOOKS = 10_000
CONNECT_TIMEOUT_S = 10
SCALAR = str | int | float | bool | None

# What an author's connection may say. Anything else (service, passfile, options, sslkey, ...) reads the worker's files
# or takes away the bounds.
_DSN_KEYS = frozenset({"host", "port", "dbname", "user", "password", "sslmode", "application_name"})
_SQLITE_ALLOWED = frozenset(
    {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
)


class SqlInput(Params):
    """Give ``connection`` (a name the operator has set up), ``dsn`` (``${secrets.NAME}``) or ``sqlite`` (a file).

    ``params`` are bound: ``%(name)s`` or ``%s`` in Postgres, ``:name`` or ``?`` in SQLite. ``query`` itself holds no
    ``${...}``. ``write`` allows changes; they are kept when the block ends.
    """

    connection: str | None = Field(None, min_length=1, max_length=100)
    dsn: str | None = Field(
        None, min_length=1, max_length=2_000, repr=False, json_schema_extra={FROM_SECRET: True}
    )
    sqlite: FileSource | None = None
    query: str = Field(min_length=1, max_length=100_000, json_schema_extra={LITERAL: True})
    params: dict[str, SCALAR | list[SCALAR]] | list[SCALAR | list[SCALAR]] | None = None
    max_rows: int = Field(10_000, ge=1, le=200_000)
    timeout_ms: int = Field(30_000, ge=1, le=3_600_000)
    write: bool = False

    @model_validator(mode="after")
    def one_database(self) -> "SqlInput":
        if sum(given is not None for given in (self.connection, self.dsn, self.sqlite)) != 1:
            raise ValueError("give one of 'connection', 'dsn' and 'sqlite'")
        if self.sqlite is not None and self.write:
            raise ValueError("SQLite files are read only; leave 'write' out")
        return self


class SqlOutput(Output):
    """``affected`` counts the rows that were changed; ``more`` tells that ``max_rows`` cut the rest."""

    columns: list[str]
    rows: list[Record]
    row_count: int
    more: bool
    affected: int


@use_case("sql.query")
def query_database(params: SqlInput, run: RunContext) -> SqlOutput:
    """Run one SQL statement with bound values on Postgres or a SQLite file."""
    timeout_s = min(params.timeout_ms / 1_000, run.remaining_s())
    try:
        if params.sqlite is not None:
            return _on_sqlite(params, run, timeout_s)
        return _on_postgres(params, run, timeout_s)
    except psycopg.errors.QueryCanceled:
        raise ToolError(ErrorType.TIMEOUT_ERROR, f"the query took longer than {timeout_s:g} s") from None
    except psycopg.errors.ReadOnlySqlTransaction:
        message = "the statement would change data; give 'write': true if it is to"
        raise ToolError(ErrorType.AUTHORIZATION_ERROR, message) from None
    except psycopg.errors.InsufficientPrivilege as error:
        raise ToolError(ErrorType.AUTHORIZATION_ERROR, _said(error)) from None
    except (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected) as error:
        raise ToolError(ErrorType.NETWORK_ERROR, _said(error)) from None
    except psycopg.OperationalError as error:
        # The server's words may hold the password's place, never the password; the address is left out.
        kind = type(error).__name__
        raise ToolError(ErrorType.NETWORK_ERROR, f"the database cannot be reached ({kind})") from None
    except psycopg.Error as error:
        raise ToolError(ErrorType.VALIDATION_ERROR, _said(error)) from None


def _on_postgres(params: SqlInput, run: RunContext, timeout_s: float) -> SqlOutput:
    values: Any = params.params or None
    with psycopg.connect(**_connection(params, run, timeout_s)) as connection:
        if not params.write:
            connection.read_only = True
            # A cursor of the server's: no more rows are sent than are wanted, and it takes queries only.
            with connection.cursor("query") as cursor:
                _refuse_commands(params.query)
                cursor.execute(params.query, values)
                return _output(cursor, params.max_rows, run.max_output_bytes, affected=0)
        with connection.cursor() as writer:
            # Prepared, because then it is one statement, whatever the text says.
            writer.execute(params.query, values, prepare=True)
            return _output(writer, params.max_rows, run.max_output_bytes, affected=max(0, writer.rowcount))


def _refuse_commands(query: str) -> None:
    word = query.lstrip(" \t\r\n(").partition(" ")[0].partition("\n")[0].lower()
    if word in ("insert", "update", "delete", "merge", "create", "drop", "alter", "truncate"):
        message = "the statement would change data; give 'write': true if it is to"
        raise ToolError(ErrorType.AUTHORIZATION_ERROR, message)


def _connection(params: SqlInput, run: RunContext, timeout_s: float) -> dict[str, Any]:
    bounds = (
        f"-c statement_timeout={max(1, int(timeout_s * 1_000))} -c idle_in_transaction_session_timeout=60s"
    )
    common: dict[str, Any] = {
        "connect_timeout": max(1, min(CONNECT_TIMEOUT_S, int(timeout_s))),
        "options": bounds,
        # Never the worker's own.
        "passfile": "/dev/null",
    }
    if params.connection is not None:
        known = run.sql_connections.get(params.connection)
        if known is None:
            message = f"there is no SQL connection '{params.connection}'; an operator sets them up"
            raise ToolError(ErrorType.CONFIGURATION_ERROR, message)
        return {**conninfo_to_dict(known), **common}
    return {**_author_connection(params.dsn or "", run), **common}


def _author_connection(dsn: str, run: RunContext) -> dict[str, Any]:
    try:
        parts = conninfo_to_dict(dsn)
    except psycopg.Error:
        raise ToolError(ErrorType.CONFIGURATION_ERROR, "the 'dsn' is not one of Postgres") from None
    unknown = parts.keys() - _DSN_KEYS
    if unknown:
        message = f"the 'dsn' may not set {', '.join(sorted(unknown))}"
        raise ToolError(ErrorType.CONFIGURATION_ERROR, message)
    host, port = str(parts.get("host") or ""), str(parts.get("port") or "5432")
    if not parts.get("user"):
        raise ToolError(ErrorType.CONFIGURATION_ERROR, "the 'dsn' must name the user")
    if not host or "/" in host or "," in host or host.startswith("@") or not port.isdecimal():
        raise ToolError(ErrorType.CONFIGURATION_ERROR, "the 'dsn' must name one host, by its name or address")
    # Resolved and checked here, and connected to that very address.
    try:
        address = run.egress.addresses(host, int(port))[0]
    except (OSError, IndexError):
        raise ToolError(ErrorType.NETWORK_ERROR, "the database's host cannot be found") from None
    return {"dbname": parts["user"], **parts, "hostaddr": str(address)}


def _on_sqlite(params: SqlInput, run: RunContext, timeout_s: float) -> SqlOutput:
    with _sqlite_path(params.sqlite or "", run) as path:
        uri = f"file:{path}?mode=ro&immutable=1"
        with closing(
            sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=True)
        ) as connection:
            _bound(connection, timeout_s)
            try:
                cursor = connection.execute(params.query, params.params or ())
                return _output(cursor, params.max_rows, run.max_output_bytes, affected=0)
            except sqlite3.Error as error:
                raise _sqlite_error(error, timeout_s) from None


def _bound(connection: sqlite3.Connection, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    connection.execute("PRAGMA trusted_schema=OFF")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.set_progress_handler(lambda: time.monotonic() > deadline, STEPS_BETWEEN_LOOKS)
    connection.set_authorizer(
        lambda action, *_: sqlite3.SQLITE_OK if action in _SQLITE_ALLOWED else sqlite3.SQLITE_DENY
    )


def _sqlite_error(error: sqlite3.Error, timeout_s: float) -> ToolError:
    name = getattr(error, "sqlite_errorname", "")
    if name == "SQLITE_INTERRUPT":
        return ToolError(ErrorType.TIMEOUT_ERROR, f"the query took longer than {timeout_s:g} s")
    if name == "SQLITE_AUTH":
        return ToolError(ErrorType.AUTHORIZATION_ERROR, "SQLite files can only be queried")
    return ToolError(ErrorType.VALIDATION_ERROR, f"SQLite: {error}")


@contextmanager
def _sqlite_path(source: str, run: RunContext) -> Iterator[str]:
    # A copy: what is queried is what was opened, whoever writes to the file meanwhile.
    with run.open_file(source) as file, tempfile.NamedTemporaryFile(prefix="query-", suffix=".db") as copy:
        room = MAX_DATABASE_BYTES
        while chunk := file.read(1024 * 1024):
            room -= len(chunk)
            if room < 0:
                message = f"the database file is larger than {MAX_DATABASE_BYTES} bytes"
                raise ToolError(ErrorType.VALIDATION_ERROR, message)
            copy.write(chunk)
        copy.flush()
        yield copy.name


def _output(cursor: Any, max_rows: int, max_bytes: int, *, affected: int) -> SqlOutput:
    if cursor.description is None:
        return SqlOutput(columns=[], rows=[], row_count=0, more=False, affected=affected)
    columns = [column[0] for column in cursor.description]
    if len(set(columns)) < len(columns):
        raise ToolError(ErrorType.VALIDATION_ERROR, "two columns have the same name; name them with AS")
    rows: list[Record] = []
    room = max_bytes
    for row in _fetched(cursor, max_rows + 1):
        if len(rows) == max_rows:
            return SqlOutput(columns=columns, rows=rows, row_count=len(rows), more=True, affected=affected)
        record = dict(zip(columns, map(_json, row), strict=True))
        room -= len(json.dumps(record))
        if room < 0:
            message = f"the rows are larger than {max_bytes} bytes; ask for fewer, or for fewer columns"
            raise ToolError(ErrorType.VALIDATION_ERROR, message)
        rows.append(record)
    return SqlOutput(columns=columns, rows=rows, row_count=len(rows), more=False, affected=affected)


def _fetched(cursor: Any, most: int) -> Iterator[Sequence[Any]]:
    left = most
    while left > 0:
        rows = cursor.fetchmany(min(left, 500))
        if not rows:
            return
        left -= len(rows)
        yield from rows


def _json(value: Any) -> JsonValue:
    """Return a value of a row as JSON: numbers as numbers, times in ISO 8601, bytes in hexadecimal."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if value - value == 0 else str(value)
        case Decimal():
            if not value.is_finite():
                return str(value)
            return int(value) if value == value.to_integral_value() and abs(value) < 10**15 else float(value)
        case datetime() | date() | time_of_day():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case bytes() | memoryview():
            return bytes(value).hex()
        case list() | tuple():
            return [_json(member) for member in value]
        case dict():
            return {str(key): _json(member) for key, member in value.items()}
    return str(value)


def _said(error: psycopg.Error) -> str:
    return error.diag.message_primary or type(error).__name__
