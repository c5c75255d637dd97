"""Rollups read by range: whole days by day and the rest by hour, so that a month costs some thirty rows a block.

What has not ended, or ended a moment ago, is counted where it stands.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from workflow_service.analytics.time_ranges import Granularity, TimeRange

# More of a backlog is counted as this many: the number is shown, not reckoned with.
MAX_UNCOUNTED = 10_000

SUMS = """sum(completed), sum(failed), sum(rejected), sum(skipped), sum(cancelled), sum(retries), sum(troubled),
    sum(recovered), sum(duration_us)"""
RUNS = """
    SELECT template_id, version_id, start, completed, failed, rejected, skipped, cancelled, retries, troubled,
        recovered, duration_us, histogram::text
    FROM analytics_rollup WHERE block_id = '' AND {of} AND {within}
"""
BLOCKS = f"""
    SELECT block_id, {SUMS} FROM analytics_rollup WHERE block_id <> '' AND {{of}} AND {{within}} GROUP BY 1
"""  # noqa: S608 - put together from constants
HISTOGRAMS = """
    SELECT block_id, key::int, sum(value::bigint)::bigint FROM analytics_rollup, jsonb_each_text(histogram)
    WHERE block_id <> '' AND {of} AND {within} GROUP BY 1, 2
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

    def rows(self, statement: str, within: TimeRange, *, by_hour: bool = False) -> list[Any]:
        """Return the rows of a statement that names ``{of}``, and ``{within}`` where it reads rollups."""
        condition, moments = within.condition(by_hour=by_hour)
        parameters = {**self.parameters, **moments, "most": MAX_UNCOUNTED}
        with connection.cursor() as cursor:
            cursor.execute(statement.format(of=self.condition, within=condition), parameters)
            return list(cursor.fetchall())


@dataclass(frozen=True, slots=True)
class RunRow:
    """One rollup of runs as wholes."""

    template_id: int
    version_id: int
    start: datetime
    sums: Sequence[Any]
    histogram: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Live:
    """Runs of a template that have not ended, those among them that had ended before, and those that just did."""

    running: int = 0
    reopened: int = 0
    uncounted: int = 0


def read_runs(selection: Selection, within: TimeRange, granularity: Granularity) -> list[RunRow]:
    """Return the rollups of runs as wholes; by hour alone where the series is."""
    found = selection.rows(RUNS, within, by_hour=granularity is Granularity.HOUR)
    return [RunRow(*row[:3], row[3:-1], json.loads(row[-1])) for row in found]


def read_live(selection: Selection, within: TimeRange) -> dict[int, Live]:
    """Return by template what the rollups do not have yet."""
    uncounted = dict(selection.rows(UNCOUNTED, within))
    running = {row[0]: row[1:] for row in selection.rows(RUNNING, within)}
    return {
        template_id: Live(*running.get(template_id, (0, 0)), uncounted.get(template_id, 0))
        for template_id in uncounted.keys() | running.keys()
    }
