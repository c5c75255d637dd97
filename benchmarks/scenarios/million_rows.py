"""The same steps in tables that hold a million finished block rows, with all that belongs to them."""

import time
from collections.abc import Iterator
from typing import Any

import psycopg
from django.utils import timezone
from psycopg import sql

from benchmarks import bare, engine
from benchmarks.bench import Bench
from benchmarks.figures import Figure, medians, ratio_of_pairs
from executions_app.api.documents import read_run
from templates_app.models import Template

STEPS = 40
COPIED_STEPS = 10
TIMEOUT_S = 60.0
STATISTICS_LATE_S = 1.5
TABLES = """
    SELECT table_name FROM information_schema.columns
    WHERE table_schema = 'public' AND column_name = 'execution_id' AND table_name LIKE 'executions\\_app\\_%'
    ORDER BY table_name
"""
COLUMNS = """
    SELECT column_name FROM information_schema.columns
    WHERE table_schema = 'public' AND table_name = %s AND is_generated = 'NEVER' ORDER BY ordinal_position
"""
# Whoever reads a whole table of a million rows has no index for what it asks. By rows read, not by scans begun: what a
# process read while the table was small it reports late.
SCANNED = """
    SELECT relname, seq_tup_read::float / n_live_tup FROM pg_stat_user_tables
    WHERE relname LIKE 'executions\\_app\\_%%' AND n_live_tup >= %s ORDER BY relname
"""
EXECUTION, BLOCKS = "executions_app_execution", "executions_app_blockexecution"


def measure(bench: Bench) -> Iterator[Figure]:
    """Measure without the rows, write them, and measure again; bare Celery beside both tells what is the machine's."""
    rows = bench.scale(1_000_000, 100_000)
    template = engine.chain(STEPS)
    model = engine.run_once(engine.chain(COPIED_STEPS), TIMEOUT_S)[1]
    before = _pairs(bench, template)
    copies = rows // COPIED_STEPS
    copy_run(bench.stack.services.urls.database_url, model.pk, copies)
    bench.say(f"{rows:,} finished block rows are written")
    scanned = _scans(bench, copies)
    after = _pairs(bench, template)
    read_run(engine.run_once(template, TIMEOUT_S)[1], timezone.now())
    again = _scans(bench, copies)
    scans = {table: int(again[table] - read) for table, read in scanned.items()}
    scans = {table: times for table, times in scans.items() if times}
    ours_before, theirs_before = medians(before)
    ours_after, theirs_after = medians(after)
    yield Figure(
        "million_rows.ratio",
        ours_after / ours_before,
        f"{ours_after * 1_000 / STEPS:.2f} ms a step, before {ours_before * 1_000 / STEPS:.2f}",
        f"{theirs_after * 1_000 / STEPS:.2f} ms a step, before {theirs_before * 1_000 / STEPS:.2f}",
        at_most=1.2,
    )
    yield Figure("million_rows.ratio_beside_celery", ratio_of_pairs(after) / ratio_of_pairs(before))
    yield Figure("million_rows.table_scans", sum(scans.values()), ", ".join(sorted(scans)), at_most=0)
    yield Figure("million_rows.rows", copies * COPIED_STEPS)


def _pairs(bench: Bench, template: Template) -> list[tuple[float, float]]:
    rounds = [
        (engine.run_once(template, TIMEOUT_S)[0], bare.run_chain(STEPS, TIMEOUT_S))
        for _ in range(bench.runs + 2)
    ]
    return rounds[2:]


def _scans(bench: Bench, rows: int) -> dict[str, float]:
    """Return how often each of the large tables was read from end to end, in parts of it."""
    with psycopg.connect(bench.stack.services.urls.database_url, autocommit=True) as database:
        time.sleep(STATISTICS_LATE_S)
        database.execute("SELECT pg_stat_clear_snapshot()")
        return {str(name): float(read) for name, read in database.execute(SCANNED, [rows]).fetchall()}


def copy_run(database_url: str, execution_id: int, copies: int) -> None:
    """Write a finished run's rows again and again, under new ids, in every table that has rows of a run.

    Then the statistics are brought up to date, dead rows are cleared and the log is checkpointed, as a database
    does by itself in time.
    """
    with psycopg.connect(database_url, autocommit=True) as database:
        with database.transaction():
            _copy(database, EXECUTION, execution_id, copies)
            for (table,) in database.execute(TABLES).fetchall():
                _copy(database, table, execution_id, copies)
        database.execute("VACUUM (ANALYZE)")
        database.execute("CHECKPOINT")


def _copy(database: psycopg.Connection[Any], table: str, execution_id: int, copies: int) -> None:
    columns = [name for (name,) in database.execute(COLUMNS, [table]).fetchall()]
    changed = {
        # An execution's copies follow one another; a block's keep their order within each.
        "execution_id": "e.next + g",
        "block_execution_id": "t.block_execution_id + b.shift + g * b.per_run",
        "public_id": "t.public_id || '_' || g",
    }
    if table == EXECUTION:
        changed["id"] = "e.next + g"
    elif table == BLOCKS:
        changed["id"] = "t.id + b.shift + g * b.per_run"
    elif "id" in columns:
        columns.remove("id")  # the sequence gives one
    own = sql.Identifier("id" if table == EXECUTION else "execution_id")
    statement = sql.SQL("""
        INSERT INTO {table} ({columns}) SELECT {values} FROM {table} t, generate_series(1, {copies}) g,
            (SELECT {execution} + 1000 AS next) e,
            (SELECT max(id) - min(id) + 1 AS per_run, 1000000 AS shift FROM {blocks} WHERE execution_id = {execution}) b
        WHERE t.{own} = {execution} ORDER BY g, t.{own}
    """).format(
        table=sql.Identifier(table),
        columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
        values=sql.SQL(", ").join(
            sql.SQL(changed[name]) if name in changed else sql.Identifier("t", name) for name in columns
        ),
        copies=sql.Literal(copies),
        execution=sql.Literal(execution_id),
        blocks=sql.Identifier(BLOCKS),
        own=own,
    )
    database.execute(statement)
    if table in (EXECUTION, BLOCKS):
        database.execute(
            sql.SQL("SELECT setval(pg_get_serial_sequence({name}, 'id'), max(id)) FROM {table}").format(
                name=sql.Literal(table), table=sql.Identifier(table)
            )
        )
