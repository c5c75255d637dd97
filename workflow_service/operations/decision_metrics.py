"""Metrics of the answers to questions of runs."""

from collections.abc import Iterator

from django.db import connection
from prometheus_client.core import CounterMetricFamily, Metric

DECISIONS = """
    SELECT source, count(*), count(*) FILTER (WHERE override IS NOT NULL AND override <> chosen)
    FROM decisions_decision GROUP BY source
"""


def decision_metrics() -> Iterator[Metric]:
    """Yield how many questions were answered by whom, and how many of those answers people called wrong."""
    with connection.cursor() as cursor:
        cursor.execute(DECISIONS)
        rows = sorted(cursor.fetchall())
    made = CounterMetricFamily(
        "ai_decisions", "Questions of runs that were answered, by who answered.", labels=["source"]
    )
    wrong = CounterMetricFamily(
        "ai_decisions_overridden", "Those of them that a person called wrong.", labels=["source"]
    )
    for source, count, overridden in rows:
        made.add_metric([source], count)
        wrong.add_metric([source], overridden)
    yield made
    yield wrong
