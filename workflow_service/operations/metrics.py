"""Metrics in Prometheus' text form, computed from Postgres and Redis when they are asked for.

Nothing is counted in a process's memory: several web and worker processes would each know a part. Names follow
document B section 12.1; labels are statuses and queues, never ids, so that their number stays small.
"""

import logging
from collections.abc import Iterator

from django.db import DatabaseError, connection
from prometheus_client.core import CollectorRegistry, CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector
from redis import Redis
from redis.exceptions import RedisError

from workflow_service.engine.states import ENDED_EXECUTION_STATUSES, ApprovalStatus, ExecutionStatus
from workflow_service.settings.config import get_config

logger = logging.getLogger(__name__)

QUEUES = ("high", "default", "low", "control")
ACTIVE = tuple(status.value for status in ExecutionStatus if status not in ENDED_EXECUTION_STATUSES)
UNFINISHED = ("READY", "QUEUED", "RUNNING", "WAITING", "RETRYING")
TIMEOUT_S = 2.0

EXECUTIONS = "SELECT status, count(*) FROM executions_app_execution GROUP BY status"
BLOCKS = "SELECT status, count(*) FROM executions_app_blockexecution WHERE status = ANY(%s) GROUP BY status"
APPROVALS = "SELECT status, count(*) FROM approvals_app_approval GROUP BY status"
WORKERS = "SELECT count(*) FROM executions_app_workerlease WHERE expires_at > clock_timestamp()"
SWEEPER_AGE = "SELECT extract(epoch FROM clock_timestamp() - max(last_tick_at)) FROM executions_app_sweeperstate"
DURATIONS = """
    SELECT count(*), coalesce(sum(extract(epoch FROM completed_at - started_at)), 0)
    FROM executions_app_execution WHERE completed_at IS NOT NULL
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
        for read in (_database_metrics, _queue_metrics):
            try:
                yield from list(read())
            except (DatabaseError, RedisError) as error:
                logger.warning("Metrics are incomplete: %s", error)
                failed += 1
        yield _gauge("workflow_metrics_sources_failed", "Sources of metrics that did not answer this scrape.", failed)


def _database_metrics() -> Iterator[Metric]:
    executions = dict(_rows(EXECUTIONS))
    total = CounterMetricFamily("workflow_executions", "Executions ever started, by status.", labels=["status"])
    for status in ExecutionStatus:
        total.add_metric([status.value.lower()], executions.get(status.value, 0))
    yield total
    active = sum(executions.get(status, 0) for status in ACTIVE)
    yield _gauge("workflow_active_executions", "Executions that have not ended.", active)
    ((ended, seconds),) = _rows(DURATIONS)
    yield CounterMetricFamily("workflow_executions_ended", "Executions that have ended.", value=ended)
    yield CounterMetricFamily(
        "workflow_execution_duration_seconds_sum", "Wall-clock seconds of the ended executions, all together.", value=float(seconds)
    )
    yield _by_status("workflow_blocks", "Block executions that have not finished, by status.", UNFINISHED, BLOCKS)
    approvals = [status.value for status in ApprovalStatus]
    yield _by_status("workflow_approvals", "Approvals, by status.", approvals, APPROVALS)
    ((workers,),) = _rows(WORKERS)
    yield _gauge("workflow_workers_live", "Worker processes with a live lease.", workers)
    ((age,),) = _rows(SWEEPER_AGE)
    if age is not None:
        yield _gauge("workflow_sweeper_age_seconds", "Seconds since the sweeper last ran.", float(age))


def _queue_metrics() -> Iterator[Metric]:
    lengths = GaugeMetricFamily("workflow_queue_length", "Messages that wait in a queue.", labels=["queue"])
    client = Redis.from_url(get_config().broker_url(), socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)
    with client, client.pipeline(transaction=False) as pipeline:
        for queue in QUEUES:
            pipeline.llen(queue)
        for queue, length in zip(QUEUES, pipeline.execute(), strict=True):
            lengths.add_metric([queue], length)
    yield lengths


def _by_status(name: str, text: str, statuses: "tuple[str, ...] | list[str]", statement: str) -> GaugeMetricFamily:
    counted = dict(_rows(statement, [list(statuses)] if "%s" in statement else None))
    metric = GaugeMetricFamily(name, text, labels=["status"])
    for status in statuses:
        metric.add_metric([status.lower()], counted.get(status, 0))
    return metric


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)


def _rows(statement: str, parameters: "list[list[str]] | None" = None) -> list[tuple[str, int]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        rows: list[tuple[str, int]] = cursor.fetchall()
    return rows
