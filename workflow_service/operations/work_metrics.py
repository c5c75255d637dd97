"""Metrics of what failed and what was done about it, under document B section 12.1's names.

The document labels them by workflow and state too; there may be any number of those, so the analytics of each answer
that instead.
"""

from collections.abc import Iterator

from django.db import connection
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from workflow_service.engine.states import ErrorType, RecoveryStrategy

# By day: every failure is in the rollups by hour as well.
ERRORS = "SELECT error_type, sum(count) FROM analytics_errorrollup WHERE grain = 'd' GROUP BY error_type"
RECOVERIES = """
    SELECT strategy, sum(succeeded), sum(failed) FROM executions_app_recoverystatistic GROUP BY strategy
"""
MAX_UNCOUNTED = 10_000
UNCOUNTED = """
    SELECT count(*) FROM (SELECT FROM executions_app_execution
        WHERE completed_at IS NOT NULL AND digested_generation <> generation LIMIT %s) AS ended
"""


def work_metrics() -> Iterator[Metric]:
    """Yield the failures by type, the recovery attempts by strategy, and how many runs are yet to be counted."""
    with connection.cursor() as cursor:
        cursor.execute(ERRORS)
        failures = dict.fromkeys((error.value for error in ErrorType), 0) | dict(cursor.fetchall())
        cursor.execute(RECOVERIES)
        attempts = {strategy: outcomes for strategy, *outcomes in cursor.fetchall()}
        cursor.execute(UNCOUNTED, [MAX_UNCOUNTED])
        ((uncounted,),) = cursor.fetchall()
    errors = CounterMetricFamily(
        "workflow_errors", "Failures of work in runs that have ended, by error type.", labels=["error_type"]
    )
    for error_type, count in sorted(failures.items()):
        errors.add_metric([error_type], int(count))
    yield errors
    recoveries = CounterMetricFamily(
        "recovery_attempts", "Recovery steps that have led to something.", labels=["strategy", "success"]
    )
    for strategy in RecoveryStrategy:
        succeeded, failed = attempts.get(strategy.value, (0, 0))
        recoveries.add_metric([strategy.value, "true"], int(succeeded))
        recoveries.add_metric([strategy.value, "false"], int(failed))
    yield recoveries
    yield GaugeMetricFamily(
        "workflow_executions_uncounted",
        f"Executions that have ended and are not in the analytics yet, {MAX_UNCOUNTED} at most.",
        value=uncounted,
    )
