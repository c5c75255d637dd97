"""Ended runs counted into the rollups: each run once, however often it ends.

Called in the transaction that notes the runs as handed out, so a process that dies has counted nothing. A run's share
is written down beside the rollups; when the run ends again after a restart, its earlier share is taken back first.
Shares are added in the order of the rollups' key, so that two sweepers wait for each other instead of locking up.
"""

from collections.abc import Sequence
from typing import Any

from django.db import connection

from executions_app.digest import EndedRun
from workflow_service.analytics.histogram import LOG_GROWTH

# What a restart copied into its new generation was done before it: it began before its row was made.
SHARE = """
    WITH block_rows AS (
        SELECT id, execution_id, block_id, kind, status, retries, error, created_at, started_at, finished_at
        FROM executions_app_blockexecution WHERE execution_id = ANY(%(ids)s) AND NOT superseded
        UNION ALL
        SELECT id, execution_id, block_id, kind, status, retries, error, created_at, started_at, finished_at
        FROM executions_app_blockexecution WHERE execution_id = ANY(%(ids)s) AND superseded
    ), actions AS (
        SELECT block_execution_id, count(*) FILTER (WHERE suggested_by <> 'person' AND error_type <> '') AS failures,
            bool_or(suggested_by = 'person') AS by_person,
            bool_or(strategy IN ('abort', 'compensate')) AS gave_up
        FROM executions_app_recoveryaction WHERE execution_id = ANY(%(ids)s) GROUP BY 1
    ), work AS (
        SELECT b.execution_id, b.block_id, b.status, b.retries, b.kind = 'block' AS is_block,
            b.kind IN ('block', 'item') AND (coalesce(a.failures, 0) > 0 OR b.status = 'FAILED') AS troubled,
            b.status = 'COMPLETED' AND a.failures > 0 AND NOT a.by_person AS recovered,
            CASE WHEN b.status = 'FAILED' AND NOT coalesce(a.gave_up, false)
                THEN coalesce(left(b.error->>'type', 40), 'SYSTEM_ERROR') END AS last_error,
            CASE WHEN b.kind = 'block' AND b.status = 'COMPLETED'
                THEN greatest(0, extract(epoch FROM b.finished_at - b.started_at) * 1000000)::bigint END AS us
        FROM block_rows b LEFT JOIN actions a ON a.block_execution_id = b.id
        WHERE b.started_at IS NULL OR b.started_at >= b.created_at
    ), by_bucket AS (
        SELECT execution_id, block_id,
            ceil(ln(greatest(us, 1)::float8) / %(log_growth)s)::int AS bucket, count(*) AS number,
            bool_or(is_block) OR bool_or(troubled) OR sum(retries) > 0 AS counts,
            count(*) FILTER (WHERE is_block AND status = 'COMPLETED') AS completed,
            count(*) FILTER (WHERE is_block AND status = 'FAILED') AS failed,
            count(*) FILTER (WHERE is_block AND status = 'REJECTED') AS rejected,
            count(*) FILTER (WHERE is_block AND status = 'SKIPPED') AS skipped,
            count(*) FILTER (WHERE is_block AND status = 'CANCELLED') AS cancelled,
            sum(retries) AS retries, count(*) FILTER (WHERE troubled) AS troubled,
            count(*) FILTER (WHERE troubled AND recovered) AS recovered, sum(us) AS duration_us
        FROM work GROUP BY 1, 2, us IS NULL, 3
    ), by_block AS (
        SELECT execution_id, block_id, sum(completed) AS completed, sum(failed) AS failed, sum(rejected) AS rejected,
            sum(skipped) AS skipped, sum(cancelled) AS cancelled, sum(retries) AS retries, sum(troubled) AS troubled,
            sum(recovered) AS recovered, sum(duration_us) AS duration_us,
            jsonb_object_agg(bucket, number) FILTER (WHERE duration_us IS NOT NULL) AS histogram
        FROM by_bucket GROUP BY 1, 2 HAVING bool_or(counts)
    ), runs AS (
        SELECT id AS execution_id, workspace_id, template_id, version_id, started_at, status,
            CASE WHEN status = 'COMPLETED'
                THEN greatest(0, extract(epoch FROM completed_at - started_at) * 1000000)::bigint END AS us
        FROM executions_app_execution WHERE id = ANY(%(ids)s)
    ), figures AS (
        SELECT * FROM by_block
        UNION ALL
        SELECT r.execution_id, '', (status = 'COMPLETED')::int, (status = 'FAILED')::int, 0, 0,
            (status = 'CANCELLED')::int, b.retries, b.troubled, b.recovered, us,
            CASE WHEN us IS NOT NULL
                THEN jsonb_build_object(ceil(ln(greatest(us, 1)::float8) / %(log_growth)s)::int, 1) END
        FROM runs r LEFT JOIN (
            SELECT execution_id, sum(retries) AS retries, sum(troubled) AS troubled, sum(recovered) AS recovered
            FROM by_block GROUP BY 1) b USING (execution_id)
    ), figures_of_run AS (
        SELECT execution_id, jsonb_agg(jsonb_strip_nulls(jsonb_build_object('block_id', block_id,
            'completed', nullif(completed, 0), 'failed', nullif(failed, 0), 'rejected', nullif(rejected, 0),
            'skipped', nullif(skipped, 0), 'cancelled', nullif(cancelled, 0), 'retries', nullif(retries, 0),
            'troubled', nullif(troubled, 0), 'recovered', nullif(recovered, 0),
            'duration_us', nullif(duration_us, 0), 'histogram', histogram))) AS figures
        FROM figures GROUP BY 1
    ), errors AS (
        SELECT execution_id, block_id, error_type, sum(count) AS count FROM (
            SELECT execution_id, block_id, error_type, 1 AS count FROM executions_app_recoveryaction
            WHERE execution_id = ANY(%(ids)s) AND suggested_by <> 'person' AND error_type <> ''
            UNION ALL SELECT execution_id, block_id, last_error, 1 FROM work WHERE last_error IS NOT NULL) AS failures
        GROUP BY 1, 2, 3
    ), errors_of_run AS (
        SELECT execution_id, jsonb_agg(jsonb_build_object(
            'block_id', block_id, 'error_type', error_type, 'count', count)) AS errors
        FROM errors GROUP BY 1
    )
    INSERT INTO analytics_countedrun (execution_id, workspace_id, template_id, version_id, hour, figures, errors)
    SELECT execution_id, workspace_id, template_id, version_id, date_trunc('hour', started_at, 'UTC'), figures,
        coalesce(errors, '[]')
    FROM runs JOIN figures_of_run USING (execution_id) LEFT JOIN errors_of_run USING (execution_id)
"""
SPANS = "LATERAL (VALUES ('h', c.hour), ('d', date_trunc('day', c.hour, 'UTC'))) AS s(grain, start)"
ADD_FIGURES = f"""
    WITH added AS (
        SELECT c.workspace_id, c.template_id, c.version_id, s.grain, s.start, f.*
        FROM analytics_countedrun c CROSS JOIN {SPANS} CROSS JOIN jsonb_to_recordset(c.figures) AS f(
            block_id text, completed bigint, failed bigint, rejected bigint, skipped bigint, cancelled bigint,
            retries bigint, troubled bigint, recovered bigint, duration_us numeric, histogram jsonb)
        WHERE c.execution_id = ANY(%(ids)s)
    ), buckets AS (
        SELECT version_id, grain, start, block_id, key, sum(value::bigint) AS number
        FROM added, jsonb_each_text(histogram) GROUP BY 1, 2, 3, 4, 5
    ), histograms AS (
        SELECT version_id, grain, start, block_id, jsonb_object_agg(key, number * %(sign)s) AS histogram
        FROM buckets GROUP BY 1, 2, 3, 4
    ), sums AS (
        SELECT workspace_id, template_id, version_id, grain, start, block_id, sum(completed) AS completed,
            sum(failed) AS failed, sum(rejected) AS rejected, sum(skipped) AS skipped, sum(cancelled) AS cancelled,
            sum(retries) AS retries, sum(troubled) AS troubled, sum(recovered) AS recovered,
            sum(duration_us) AS duration_us
        FROM added GROUP BY 1, 2, 3, 4, 5, 6
    )
    INSERT INTO analytics_rollup AS r (workspace_id, template_id, version_id, grain, start, block_id, completed,
        failed, rejected, skipped, cancelled, retries, troubled, recovered, duration_us, histogram)
    SELECT workspace_id, template_id, version_id, grain, start, block_id, %(sign)s * coalesce(completed, 0),
        %(sign)s * coalesce(failed, 0), %(sign)s * coalesce(rejected, 0), %(sign)s * coalesce(skipped, 0),
        %(sign)s * coalesce(cancelled, 0), %(sign)s * coalesce(retries, 0), %(sign)s * coalesce(troubled, 0),
        %(sign)s * coalesce(recovered, 0), %(sign)s * coalesce(duration_us, 0), coalesce(histogram, '{{}}')
    FROM sums LEFT JOIN histograms USING (version_id, grain, start, block_id)
    ORDER BY version_id, grain, start, block_id
    ON CONFLICT (version_id, grain, start, block_id) DO UPDATE SET
        completed = r.completed + EXCLUDED.completed, failed = r.failed + EXCLUDED.failed,
        rejected = r.rejected + EXCLUDED.rejected, skipped = r.skipped + EXCLUDED.skipped,
        cancelled = r.cancelled + EXCLUDED.cancelled, retries = r.retries + EXCLUDED.retries,
        troubled = r.troubled + EXCLUDED.troubled, recovered = r.recovered + EXCLUDED.recovered,
        duration_us = r.duration_us + EXCLUDED.duration_us,
        histogram = (
            SELECT coalesce(jsonb_object_agg(key, number), '{{}}') FROM (
                SELECT key, sum(value::bigint) AS number FROM (
                    SELECT * FROM jsonb_each_text(r.histogram)
                    UNION ALL SELECT * FROM jsonb_each_text(EXCLUDED.histogram)) AS both_of_them
                GROUP BY key HAVING sum(value::bigint) <> 0) AS merged)
"""  # noqa: S608 - put together from constants
ADD_ERRORS = f"""
    INSERT INTO analytics_errorrollup AS r (
        workspace_id, template_id, version_id, grain, start, block_id, error_type, count)
    SELECT c.workspace_id, c.template_id, c.version_id, s.grain, s.start, x.block_id, x.error_type,
        %(sign)s * sum(x.count)
    FROM analytics_countedrun c CROSS JOIN {SPANS}
        CROSS JOIN jsonb_to_recordset(c.errors) AS x(block_id text, error_type text, count bigint)
    WHERE c.execution_id = ANY(%(ids)s) GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY 3, 4, 5, 6, 7
    ON CONFLICT (version_id, grain, start, block_id, error_type) DO UPDATE SET count = r.count + EXCLUDED.count
"""  # noqa: S608 - put together from constants
FORGET = "DELETE FROM analytics_countedrun WHERE execution_id = ANY(%(ids)s)"


def count_runs(runs: Sequence[EndedRun]) -> None:
    """Add ended runs to the rollups, in place of what they added before; a digester (``executions_app.digest``)."""
    again = [run.id for run in runs if run.before]
    if again:
        _add(again, -1)
        _run(FORGET, ids=again)
    ids = [run.id for run in runs]
    _run(SHARE, ids=ids, log_growth=LOG_GROWTH)
    _add(ids, 1)


def _add(ids: list[int], sign: int) -> None:
    _run(ADD_FIGURES, ids=ids, sign=sign)
    _run(ADD_ERRORS, ids=ids, sign=sign)


def _run(statement: str, **values: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
