"""Metrics of what was unusual about runs."""

from collections.abc import Iterator

from django.db import connection
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

KINDS = ("duration", "error_rate", "output_size", "path")
FOUND = "SELECT kind, count(*) FROM anomalies_anomaly GROUP BY kind"
PREDICTORS = """
    SELECT count(*) FILTER (WHERE useful), count(*) FILTER (WHERE NOT useful AND model IS NOT NULL)
    FROM anomalies_failurepredictor
"""


def anomaly_metrics() -> Iterator[Metric]:
    """Yield how much was found unusual, by kind, and of how many templates failures can be predicted."""
    with connection.cursor() as cursor:
        cursor.execute(FOUND)
        found = dict(cursor.fetchall())
        cursor.execute(PREDICTORS)
        ((useful, useless),) = cursor.fetchall()
    total = CounterMetricFamily(
        "workflow_anomalies", "What was unusual about runs, by kind.", labels=["kind"]
    )
    for kind in KINDS:
        total.add_metric([kind], found.get(kind, 0))
    yield total
    predictors = GaugeMetricFamily(
        "workflow_failure_predictors",
        "Templates whose runs' failure can be predicted better than by the base rate, and not.",
        labels=["useful"],
    )
    predictors.add_metric(["true"], useful)
    predictors.add_metric(["false"], useless)
    yield predictors
