"""What is measured of the runs of an arm, read from their assignments in one statement.

A cancelled run says nothing and is left out. Success and failure count every run that completed or failed; the
duration is that of completed runs, on a logarithmic scale, so that arms are compared by ratio and one slow run does
not outweigh a hundred; the cost is that of every run that completed or failed.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from django.db import connection

from workflow_service.experiments.models import Arm, Metric
from workflow_service.experiments.sequential_test import ArmTotals


@dataclass(frozen=True, slots=True)
class Measure:
    """How a metric is compared. ``by_ratio``: values are logarithms, and a difference of means is one of ratios.

    ``floor`` is the least spread that is believed, ``floor_of_mean`` the same as a share of the mean value.
    """

    higher_is_better: bool = False
    is_rate: bool = False
    by_ratio: bool = False
    floor: float = 0.0
    floor_of_mean: float = 0.0


MEASURES: Mapping[Metric, Measure] = {
    Metric.SUCCESS_RATE: Measure(higher_is_better=True, is_rate=True),
    # No clock tells durations apart that differ by less than a percent.
    Metric.DURATION: Measure(by_ratio=True, floor=0.01),
    Metric.COST: Measure(floor_of_mean=0.01),
}


@dataclass(frozen=True, slots=True)
class ArmRuns:
    """What is known of the runs of an arm: how many began, how they ended, and the sums of each metric."""

    assigned: int
    units: int
    completed: int
    failed: int
    cancelled: int
    totals: Mapping[Metric, ArmTotals]


NOTHING = ArmRuns(0, 0, 0, 0, 0, dict.fromkeys(Metric, ArmTotals()))

READ = """
    WITH run AS (
        SELECT arm, unit, outcome, cost_usd AS usd, ln(greatest(active_ms, 1)::float8) AS log_ms
        FROM experiments_assignment WHERE experiment_id = %s
    ), unit AS (
        SELECT arm, count(*) AS assigned,
            count(*) FILTER (WHERE outcome = 'COMPLETED') AS completed,
            count(*) FILTER (WHERE outcome = 'FAILED') AS failed,
            count(*) FILTER (WHERE outcome = 'CANCELLED') AS cancelled,
            coalesce(sum(log_ms) FILTER (WHERE outcome = 'COMPLETED'), 0) AS log_ms,
            coalesce(sum(usd) FILTER (WHERE outcome IN ('COMPLETED', 'FAILED')), 0) AS usd
        FROM run GROUP BY arm, unit
    ), counted AS (SELECT *, (completed + failed)::float8 AS n, completed::float8 AS ok FROM unit)
    SELECT arm, sum(assigned)::bigint, count(*), sum(completed)::bigint, sum(failed)::bigint, sum(cancelled)::bigint,
        count(*) FILTER (WHERE n > 0), sum(n), sum(n * n),
        count(*) FILTER (WHERE ok > 0), sum(ok), sum(ok * ok), sum(ok * n),
        sum(log_ms), sum(log_ms * log_ms), sum(log_ms * ok),
        sum(usd), sum(usd * usd), sum(usd * n)
    FROM counted GROUP BY arm
"""


def read_arms(experiment_pk: int) -> Mapping[Arm, ArmRuns]:
    """Return what is known of both arms of an experiment."""
    with connection.cursor() as cursor:
        cursor.execute(READ, [experiment_pk])
        found = {Arm(row[0]): _arm(*row[1:]) for row in cursor.fetchall()}
    return {arm: found.get(arm, NOTHING) for arm in Arm}


def _arm(
    assigned: int, units: int, completed: int, failed: int, cancelled: int,
    n_units: int, n: float, n_squared: float,
    ok_units: int, ok: float, ok_squared: float, ok_by_n: float,
    log_ms: float, log_ms_squared: float, log_ms_by_ok: float,
    usd: float, usd_squared: float, usd_by_n: float,
) -> ArmRuns:  # fmt: skip
    totals = {
        Metric.SUCCESS_RATE: ArmTotals(n_units, n, ok, n_squared, ok_squared, ok_by_n),
        Metric.DURATION: ArmTotals(ok_units, ok, log_ms, ok_squared, log_ms_squared, log_ms_by_ok),
        Metric.COST: ArmTotals(n_units, n, usd, n_squared, usd_squared, usd_by_n),
    }
    return ArmRuns(assigned, units, completed, failed, cancelled, totals)
