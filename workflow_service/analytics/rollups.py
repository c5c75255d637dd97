"""Rollups read by range: whole days by day and the rest by hour, so that a month costs some thirty rows a block.

What has not ended, or ended a moment ago, is counted where it stands.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import connection

from workflow_service.analytics.tallies import Tally
from workflow_service.analytics.time_ranges import Granularity, TimeRange

# More of a backlog is counted as this many: the number is shown, not reckoned with.
MAX_UNCOUNTED = 10_000

SUMS = """
    SELECT {by}, sum(completed), sum(failed), sum(rejected), sum(skipped), sum(cancelled), sum(retries), sum(troubled),
        sum(recovered), sum(duration_us)
    FROM analytics_rollup WHERE {of} AND {within} GROUP BY 1
"""
# One row a key: thousands of small ones would cost more than they are summed in.
HISTOGRAMS = """
    SELECT grouped, jsonb_object_agg(bucket, number)::text FROM (
        SELECT {by} AS grouped, key AS bucket, sum(value::bigint)::bigint AS number
        FROM analytics_rollup, jsonb_each_text(histogram) WHERE {of} AND {within} GROUP BY 1, 2) AS buckets
    GROUP BY 1
"""
ERRORS = """
    SELECT error_type, block_id, sum(count)::bigint FROM analytics_errorrollup
    WHERE {of} AND {within} GROUP BY 1, 2 HAVING sum(count) > 0
"""
# A run that was restarted is counted by its earlier end until it ends again.
RUNNING = """
    SELECT template_id, count(*), count(*) FILTER (WHERE digested_generation > 0) FROM executions_app_execution
    WHERE completed_at IS NULL AND {of} AND started_at >= %(start)s AND started_at < %(end)s GROUP BY 1
"""
UNCOUNTED = """
    SELECT template_id, count(*) FROM (
        SELECT template_id, version_id, workspace_id, started_at FROM executions_app_execution
        WHERE completed_at IS NOT NULL AND digested_generation <> generation LIMIT %(most)s) AS ended
    WHERE {of} AND started_at >= %(start)s AND started_at < %(end)s GROUP BY 1
"""


@dataclass(frozen=True, slots=True)
class Selection:
    """Whose rollups are read, as SQL and its parameters."""

    condition: str
    parameters: Mapping[str, object]

    @classmethod
    def of_templates(cls, template_ids: Collection[int], version_id: int | None = None) -> "Selection":
        parameters: dict[str, object] = {"templates": list(template_ids)}
        if version_id is None:
            return cls("template_id = ANY(%(templates)s)", parameters)
        narrowed = "template_id = ANY(%(templates)s) AND version_id = %(version)s"
        return cls(narrowed, {**parameters, "version": version_id})

    @classmethod
    def of_workspace(cls, workspace_id: int) -> "Selection":
        return cls("workspace_id = %(workspace)s", {"workspace": workspace_id})

    def rows(self, statement: str, within: TimeRange, by: "By | None" = None) -> list[Any]:
        """Return the rows of a statement that names ``{of}``, and ``{by}`` and ``{within}`` where it reads rollups."""
        condition, moments = within.condition(by_hour=by is not None and by.hours_only)
        rolled_up = f"{by.condition} AND {self.condition}" if by else self.condition
        parameters: dict[str, Any] = {**self.parameters, **moments, "most": MAX_UNCOUNTED}
        with connection.cursor() as cursor:
            cursor.execute(
                statement.format(of=rolled_up, within=condition, by=by.expression if by else ""), parameters
            )
            return list(cursor.fetchall())


@dataclass(frozen=True, slots=True)
class By:
    """What tallies are grouped by: the SQL of the key, and of whether runs or blocks are tallied."""

    expression: str
    condition: str = "block_id = ''"
    hours_only: bool = False

    @classmethod
    def point(cls, granularity: Granularity) -> "By":
        """Group the runs by the points of a series."""
        return cls(f"date_trunc('{granularity}', start, 'UTC')", hours_only=granularity is Granularity.HOUR)


BY_TEMPLATE = By("template_id")
BY_VERSION = By("version_id")
BY_BLOCK = By("block_id", "block_id <> ''")
ALL_RUNS = By("''")


def read_tallies(
    selection: Selection, within: TimeRange, by: By, *, with_durations: bool = True
) -> dict[Any, Tally]:
    """Return the sums of rollups by key; without the histograms where the durations do not matter."""
    found = selection.rows(HISTOGRAMS, within, by) if with_durations else []
    histograms = {key: _histogram(text) for key, text in found}
    return {
        row[0]: Tally.from_sums(row[1:], histograms.get(row[0], {}))
        for row in selection.rows(SUMS, within, by)
    }


def _histogram(text: str) -> dict[int, int]:
    return {int(bucket): count for bucket, count in json.loads(text).items()}


@dataclass(frozen=True, slots=True)
class Live:
    """Runs of a template that have not ended, those among them that had ended before, and those that just did."""

    running: int = 0
    reopened: int = 0
    uncounted: int = 0


def read_live(selection: Selection, within: TimeRange) -> dict[int, Live]:
    """Return by template what the rollups do not have yet."""
    uncounted = dict(selection.rows(UNCOUNTED, within))
    running = {row[0]: (int(row[1]), int(row[2])) for row in selection.rows(RUNNING, within)}
    return {
        template_id: Live(
            running.get(template_id, (0, 0))[0],
            running.get(template_id, (0, 0))[1],
            uncounted.get(template_id, 0),
        )
        for template_id in uncounted.keys() | running.keys()
    }
