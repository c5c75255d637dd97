"""Metrics in Prometheus' text form, computed from Postgres and Redis when they are asked for.

Nothing is counted in a process's memory: several web and worker processes would each know a part. Names
follow document B section 12.1; labels are statuses and queues, never ids, so that their number stays small.
"""

import logging
from collections.abc import Iterator, Sequence
from typing import Any

from django.db import DatabaseError, connection
from prometheus_client.core import (
    CollectorRegistry,
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector
from redis import Redis
from redis.exceptions import RedisError

from workflow_service.agents.selection import AgentStatus
from workflow_service.engine.states import ENDED_EXECUTION_STATUSES, ApprovalStatus, ExecutionStatus
from workflow_service.operations.ai_metrics import ai_metrics
from workflow_service.operations.anomaly_metrics import anomaly_metrics
from workflow_service.operations.decision_metrics import decision_metrics
from workflow_service.operations.work_metrics import work_metrics
from workflow_service.settings.config import get_config

logger = logging.getLogger(__name__)

QUEUES = ("high", "default", "low", "control")
UNFINISHED = ("READY", "QUEUED", "RUNNING", "WAITING", "RETRYING")
TIMEOUT_S = 2.0

EXECUTIONS = "SELECT status, count(*) FROM executions_app_execution GROUP BY status"
# One query a status, so that each finds its partial index; finished rows are never touched.
BLOCKS = " UNION ALL ".join(
    f"SELECT '{status}', count(*) FROM executions_app_blockexecution WHERE status = '{status}'"  # noqa: S608
    for status in UNFINISHED
)
APPROVALS = "SELECT status, count(*) FROM approvals_app_approval GROUP BY status"
AGENTS = "SELECT CASE WHEN enabled THEN status ELSE 'DISABLED' END, count(*) FROM agents_agent GROUP BY 1"
WORKERS = "SELECT count(*) FROM executions_app_workerlease WHERE expires_at > clock_timestamp()"
SWEEPER_AGE = (
    "SELECT extract(epoch FROM clock_timestamp() - max(last_tick_at)) FROM executions_app_sweeperstate"
)
BUCKETS_S = (1, 5, 15, 60, 300, 900, 3_600, 14_400)
DURATIONS = """
    SELECT width_bucket(seconds, %s::float8[]), count(*), sum(seconds) FROM (
        SELECT extract(epoch FROM completed_at - started_at)::float8 AS seconds
        FROM executions_app_execution WHERE completed_at IS NOT NULL) AS ended
    GROUP BY 1
"""


def render_metrics() -> bytes:
    """Return the metrics as they are now; what cannot be read is left out and counted as an error."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ServiceCollector())
    return generate_latest(registry)


class ServiceCollector(Collector):
    """Reads every metric once per scrape."""

    def collect(self) -> Iterator[Metric]:
        failed = 0
        for read in (
            _database_metrics,
            work_metrics,
            ai_metrics,
            anomaly_metrics,
            decision_metrics,
            _queue_metrics,
        ):
            try:
                yield from list(read())
            except (DatabaseError, RedisError) as error:
                logger.warning("Metrics are incomplete: %s", error)
                failed += 1
        yield _gauge(
            "workflow_metrics_sources_failed", "Sources of metrics that did not answer this scrape.", failed
        )


def _database_metrics() -> Iterator[Metric]:
    executions = dict(_rows(EXECUTIONS))
    total = CounterMetricFamily(
        "workflow_executions", "Executions that have ended, by status.", labels=["status"]
    )
    active = GaugeMetricFamily(
        "workflow_active_executions", "Executions that have not ended, by status.", labels=["status"]
    )
    for status in ExecutionStatus:
        family = total if status in ENDED_EXECUTION_STATUSES else active
        family.add_metric([status.value.lower()], executions.get(status.value, 0))
    yield total
    yield active
    yield _duration_histogram()
    yield _by_status(
        "workflow_blocks", "Block executions that have not finished, by status.", UNFINISHED, BLOCKS
    )
    approvals = [status.value for status in ApprovalStatus]
    yield _by_status("workflow_approvals", "Approvals, by status.", approvals, APPROVALS)
    healths = [status.value for status in AgentStatus]
    yield _by_status("workflow_agents", "Agents, by health.", healths, AGENTS)
    ((workers,),) = _rows(WORKERS)
    yield _gauge("workflow_workers_live", "Worker processes with a live lease.", workers)
    ((age,),) = _rows(SWEEPER_AGE)
    if age is not None:
        yield _gauge("workflow_sweeper_age_seconds", "Seconds since the sweeper last ran.", float(age))


def _queue_metrics() -> Iterator[Metric]:
    lengths = GaugeMetricFamily("workflow_queue_length", "Messages that wait in a queue.", labels=["queue"])
    client = Redis.from_url(
        get_config().broker_url(), socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S
    )
    with client, client.pipeline(transaction=False) as pipeline:
        for queue in QUEUES:
            pipeline.llen(queue)
        for queue, length in zip(QUEUES, pipeline.execute(), strict=True):
            lengths.add_metric([queue], length)
    yield lengths


def _duration_histogram() -> HistogramMetricFamily:
    found = {bucket: (count, seconds) for bucket, count, seconds in _rows(DURATIONS, [list(BUCKETS_S)])}
    cumulative, buckets = 0, []
    for index, bound in enumerate([*map(str, BUCKETS_S), "+Inf"]):
        cumulative += found.get(index, (0, 0.0))[0]
        buckets.append((bound, float(cumulative)))
    return HistogramMetricFamily(
        "workflow_execution_duration_seconds",
        "Wall-clock seconds from start to end of an execution.",
        buckets=buckets,
        sum_value=sum(seconds for _, seconds in found.values()),
    )


def _by_status(name: str, text: str, statuses: Sequence[str], statement: str) -> GaugeMetricFamily:
    counted = dict(_rows(statement))
    metric = GaugeMetricFamily(name, text, labels=["status"])
    for status in statuses:
        metric.add_metric([status.lower()], counted.get(status, 0))
    return metric


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)


def _rows(statement: str, parameters: list[Any] | None = None) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows
