"""How many rows Postgres reads for a step, as it would in tables of millions of rows."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

ROWS_READ = """
    SELECT (SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE relname LIKE 'executions\\_app\\_%')
        + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname LIKE 'executions\\_app\\_%')
"""


@contextmanager
def reading_by_index() -> Iterator[None]:
    """Let Postgres read small tables as it reads those of millions of rows."""
    connection.close()  # and with it the plans that were made before
    with connection.cursor() as cursor:
        for way in ("seqscan", "hashjoin", "mergejoin"):
            cursor.execute(f"SET enable_{way} = off")
    yield
    connection.close()


def rows_read() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(ROWS_READ)
        return int(cursor.fetchone()[0])
