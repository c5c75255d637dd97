"""Metrics of calls to language models, under document B section 12.1's names."""

from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal

from django.db import connection
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

BUCKETS_S = (0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
CALLS = """
    SELECT operation, CASE WHEN cached THEN 'cached' WHEN state = 'SETTLED' THEN 'success' ELSE 'failed' END AS status,
        width_bucket(latency_ms / 1000.0::float8, %s::float8[]) AS bucket,
        count(*), sum(latency_ms) / 1000.0, sum(cost_usd)
    FROM ai_llmusage WHERE state IN ('SETTLED', 'RELEASED', 'ASSUMED') GROUP BY 1, 2, 3
"""


def ai_metrics() -> Iterator[Metric]:
    """Yield the number, the duration and the cost of the calls that have ended, by operation."""
    with connection.cursor() as cursor:
        cursor.execute(CALLS, [list(map(float, BUCKETS_S))])
        rows = cursor.fetchall()
    calls: dict[tuple[str, str], int] = defaultdict(int)
    costs: dict[str, Decimal] = defaultdict(Decimal)
    buckets: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    seconds: dict[str, float] = defaultdict(float)
    for operation, status, bucket, count, duration, cost in rows:
        calls[operation, status] += count
        costs[operation] += cost
        if status != "cached":
            buckets[operation][bucket] += count
            seconds[operation] += float(duration)
    total = CounterMetricFamily("ai_calls", "Calls of language models.", labels=["operation", "status"])
    for labels, count in sorted(calls.items()):
        total.add_metric(labels, count)
    yield total
    spent = CounterMetricFamily("ai_cost_usd", "What they cost, in USD.", labels=["operation"])
    for operation, cost in sorted(costs.items()):
        spent.add_metric([operation], float(cost))
    yield spent
    yield _durations(buckets, seconds)


def _durations(buckets: dict[str, dict[int, int]], seconds: dict[str, float]) -> Metric:
    histogram = HistogramMetricFamily(
        "ai_call_duration_seconds", "How long calls of providers took.", labels=["operation"]
    )
    for operation, found in sorted(buckets.items()):
        cumulative, bounds = 0, []
        for index, bound in enumerate([*map(str, BUCKETS_S), "+Inf"]):
            cumulative += found.get(index, 0)
            bounds.append((bound, float(cumulative)))
        histogram.add_metric([operation], buckets=bounds, sum_value=seconds[operation])
    return histogram
