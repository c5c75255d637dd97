"""Analytics over a million block rows: how fast they are counted, and how fast questions about them are answered.

Beside each answer stands the same from the block rows themselves, as SQL would give it without rollups.
"""

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import httpx
import psycopg
from django.db import connection, transaction

from benchmarks import engine
from benchmarks.bench import Bench
from benchmarks.figures import Figure, percentile
from benchmarks.scenarios.api import authorization
from executions_app.digest import RUNS_AT_ONCE, EndedRun
from executions_app.transaction import database_now
from templates_app.models import Template
from workflow_service.analytics.counting import count_runs
from workflow_service.analytics.queries import overview, workflow_analytics
from workflow_service.analytics.time_ranges import Granularity

BLOCKS = 10
TEMPLATES = 10
DAYS = 90
TARGET_MS = 500.0
TIMEOUT_S = 60.0

# Every second run is of the first template. One block in a hundred fails, and is its run's last.
WRITE_RUNS = """
    INSERT INTO executions_app_execution (public_id, workspace_id, template_id, version_id, status, priority, door,
        depth, generation, event_seq, context_seq, active, slots, ready, waiting_for_people, total_blocks,
        completed_blocks, failed_blocks, skipped_blocks, failing, unhandled_failures, reached_end, active_ms,
        held_back, created_by_id, started_at, completed_at, digested_generation)
    SELECT 'exec_past_' || g, t.workspace_id, t.id, t.current_version_id,
        CASE WHEN g %% 10 = 0 THEN 'FAILED' ELSE 'COMPLETED' END, 'normal', 'a', 0, 1, 0, 0, 0, 0, 0, 0, %(blocks)s,
        %(blocks)s, 0, 0, false, 0, true, 0, false, t.owner_id, at, at + make_interval(secs => %(blocks)s * 0.2), 1
    FROM generate_series(1, %(runs)s) g
        JOIN templates_app_template t ON t.id = (%(templates)s::bigint[])[
            CASE WHEN g %% 2 = 0 THEN 1 ELSE 1 + g %% cardinality(%(templates)s) END],
        LATERAL (SELECT %(now)s - make_interval(secs => g * %(seconds)s / %(runs)s::float8) AS at) moment
"""
WRITE_BLOCKS = """
    INSERT INTO executions_app_blockexecution (execution_id, scope_id, node, kind, block_id, item_index, generation,
        status, fence, retries, losses, settled, unrecorded_start, holds_slot, taken, dead, lost, origins, queue,
        agent_id, error, created_at, started_at, finished_at, sends)
    SELECT e.id, 0, n, 'block', 'step' || n, 0, 1, how.status, 1, 0, 0, true, false, false, 1, 0, 0, '{}', 'default',
        '', CASE WHEN how.status = 'FAILED' THEN '{"type": "NETWORK_ERROR", "message": ""}'::jsonb END, at, at,
        at + make_interval(secs => exp(ln(0.2) + 1.2 * (random() + random() + random() - 1.5))), 0
    FROM executions_app_execution e, generate_series(0, %(blocks)s - 1) n,
        LATERAL (SELECT e.started_at + make_interval(secs => n * 0.2) AS at) moment,
        LATERAL (SELECT CASE WHEN e.status = 'FAILED' AND n = %(blocks)s - 1 THEN 'FAILED' ELSE 'COMPLETED' END
            AS status) how
    WHERE e.public_id LIKE 'exec\\_past\\_%%'
"""
RUNS_FROM_ROWS = """
    SELECT count(*) FILTER (WHERE status = 'COMPLETED'), count(*) FILTER (WHERE status = 'FAILED'), avg(ms),
        percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY ms) FILTER (WHERE status = 'COMPLETED')
    FROM (SELECT status, extract(epoch FROM completed_at - started_at) * 1000 AS ms FROM executions_app_execution
        WHERE template_id = %(template)s AND started_at >= %(start)s AND started_at < %(end)s) r
"""
BLOCKS_FROM_ROWS = """
    SELECT block_id, count(*) FILTER (WHERE status = 'COMPLETED'), count(*) FILTER (WHERE status = 'FAILED'), avg(ms),
        percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY ms) FILTER (WHERE status = 'COMPLETED')
    FROM (SELECT b.block_id, b.status, extract(epoch FROM b.finished_at - b.started_at) * 1000 AS ms
        FROM executions_app_execution e JOIN executions_app_blockexecution b ON b.execution_id = e.id
        WHERE e.template_id = %(template)s AND e.started_at >= %(start)s AND e.started_at < %(end)s) r GROUP BY 1
"""
ERRORS_FROM_ROWS = """
    SELECT b.error->>'type', b.block_id, count(*)
    FROM executions_app_execution e JOIN executions_app_blockexecution b ON b.execution_id = e.id
    WHERE e.template_id = %(template)s AND e.started_at >= %(start)s AND e.started_at < %(end)s AND b.status = 'FAILED'
    GROUP BY 1, 2
"""
PAST = """
    SELECT id, workspace_id, template_id, version_id, status, generation, 0, started_at, completed_at
    FROM executions_app_execution WHERE public_id LIKE 'exec\\_past\\_%' ORDER BY id
"""


def measure(bench: Bench) -> Iterator[Figure]:
    """Write the rows, count them, and ask."""
    runs = bench.scale(1_000_000, 100_000) // BLOCKS
    templates = [engine.chain(BLOCKS) for _ in range(TEMPLATES)]
    now = database_now()
    write_past(bench.stack.services.urls.database_url, templates, runs, now)
    bench.say(f"{runs * BLOCKS:,} block rows are written")
    seconds = count_past()
    yield Figure("analytics.counted_runs_per_s", runs / seconds, f"{runs:,} runs in {seconds:.0f} s")
    yield Figure("analytics.rows", runs * BLOCKS)
    yield from _answers(bench, templates[0], now)


def write_past(database_url: str, templates: list[Template], runs: int, now: datetime) -> None:
    """Write finished runs of these templates, spread evenly over the past ``DAYS``; the sweeper leaves them alone."""
    values = {
        "blocks": BLOCKS,
        "runs": runs,
        "templates": [template.pk for template in templates],
        "now": now,
        "seconds": timedelta(days=DAYS).total_seconds(),
    }
    with psycopg.connect(database_url, autocommit=True) as database:
        with database.transaction():
            database.execute(WRITE_RUNS, values)
            database.execute(WRITE_BLOCKS, values)
        database.execute("VACUUM (ANALYZE)")


def count_past() -> float:
    """Count all of it into the rollups, as the sweeper does, and nothing else; returns the seconds that took."""
    with connection.cursor() as cursor:
        cursor.execute(PAST)
        runs = [EndedRun(*row) for row in cursor.fetchall()]
    begun = time.monotonic()
    for first in range(0, len(runs), RUNS_AT_ONCE):
        with transaction.atomic():
            count_runs(runs[first : first + RUNS_AT_ONCE])
    return time.monotonic() - begun


def _answers(bench: Bench, template: Template, now: datetime) -> Iterator[Figure]:
    month, quarter = now - timedelta(days=30), now - timedelta(days=DAYS)
    by_day, by_hour, by_week = Granularity.DAY, Granularity.HOUR, Granularity.WEEK
    pk, workspace = template.pk, template.workspace_id
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE) analytics_rollup")

    def from_rows() -> None:
        for statement in (RUNS_FROM_ROWS, BLOCKS_FROM_ROWS, ERRORS_FROM_ROWS):
            with connection.cursor() as cursor:
                cursor.execute(statement, {"template": pk, "start": month, "end": now})
                cursor.fetchall()

    bench.stack.start_web()
    rows_ms = percentile(_timed(from_rows, bench.scale(10, 3)), 50)
    path = f"/api/v1/templates/{template.public_id}/analytics"
    with httpx.Client(base_url=bench.stack.base_url, headers=authorization(), timeout=TIMEOUT_S) as client:
        asked: dict[str, Callable[[], object]] = {
            "template_30_days": lambda: workflow_analytics([pk], month, now, by_day),
            "template_30_days_hourly": lambda: workflow_analytics([pk], month, now, by_hour),
            "template_90_days_weekly": lambda: workflow_analytics([pk], quarter, now, by_week),
            "workspace_30_days": lambda: overview(workspace, month, now, by_day),
            "workspace_90_days": lambda: overview(workspace, quarter, now, by_day),
            "http_template": lambda: client.get(path).raise_for_status(),
            "http_workspace": lambda: client.get("/api/v1/analytics").raise_for_status(),
        }
        for name, ask in asked.items():
            took = _timed(ask, bench.scale(100, 30))
            yield Figure(
                f"analytics.{name}_p95_ms",
                percentile(took, 95),
                f"p50 {percentile(took, 50):.0f} ms",
                f"{rows_ms:.0f} ms from block rows" if name == "template_30_days" else "",
                at_most=TARGET_MS,
            )
    yield Figure("analytics.from_rows_p50_ms", rows_ms, "30 days of one template, without rollups")


def _timed(ask: Callable[[], object], times: int) -> list[float]:
    """Return the milliseconds of so many calls, after three that warm up."""
    took = []
    for _ in range(times + 3):
        begun = time.perf_counter()
        ask()
        took.append((time.perf_counter() - begun) * 1_000)
    return took[3:]
