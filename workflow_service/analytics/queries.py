"""Reads: how the runs of templates, or of a workspace, went in a time range. From rollups; block rows are not read."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from workflow_service.analytics.figures import (
    ErrorAnalysis,
    ErrorCount,
    Point,
    StatePerformance,
    Statistics,
    percentage,
)
from workflow_service.analytics.insights import MIN_CHANGE, Spell, Trend, change_of, find_insights
from workflow_service.analytics.reports import Overview, WorkflowAnalytics
from workflow_service.analytics.rollups import (
    BLOCKS,
    ERRORS,
    HISTOGRAMS,
    Live,
    RunRow,
    Selection,
    read_live,
    read_runs,
)
from workflow_service.analytics.tallies import Tally
from workflow_service.analytics.time_ranges import DAY, HOUR, Granularity, TimeRange, begin_of

TREND = 7 * DAY


def workflow_analytics(
    template_ids: Collection[int],
    start: datetime,
    end: datetime,
    granularity: Granularity = Granularity.DAY,
    version: int | None = None,
) -> WorkflowAnalytics:
    """Return how the runs of templates (primary keys), or of one version of theirs, went: document B section 7.1.

    Runs count where they were started; the range is widened to whole hours. Raises ``TimeRangeInvalid``.
    """
    within = TimeRange.around(start, end)
    points = within.points(granularity)
    selection = Selection.of_templates(template_ids, version)
    runs = read_runs(selection, within, granularity)
    total = Tally.of(runs)
    states = _states(selection, within)
    errors = _errors(selection, within, total)
    return WorkflowAnalytics(
        time_range=within,
        granularity=granularity,
        statistics=_statistics(total, read_live(selection, within), set(template_ids)),
        error_analysis=errors,
        state_performance=states,
        series=_series(points, runs, granularity),
        insights=find_insights(states, errors, _trend(selection, within, runs)),
    )


def overview(
    workspace_id: int, start: datetime, end: datetime, granularity: Granularity = Granularity.DAY
) -> Overview:
    """Return how the runs of a workspace (primary key) went, in all and by template; raises ``TimeRangeInvalid``."""
    within = TimeRange.around(start, end)
    points = within.points(granularity)
    selection = Selection.of_workspace(workspace_id)
    runs = read_runs(selection, within, granularity)
    live = read_live(selection, within)
    by_template: dict[int, list[RunRow]] = {template_id: [] for template_id in live}
    for row in runs:
        by_template.setdefault(row.template_id, []).append(row)
    total = Tally.of(runs)
    templates = {
        template_id: _statistics(Tally.of(rows), live, {template_id})
        for template_id, rows in by_template.items()
    }
    return Overview(
        time_range=within,
        granularity=granularity,
        statistics=_statistics(total, live, set(live)),
        error_analysis=_errors(selection, within, total),
        templates=dict(sorted(templates.items(), key=lambda each: (-each[1].total, each[0]))),
        series=_series(points, runs, granularity),
    )


def version_statistics(template_id: int, start: datetime, end: datetime) -> dict[int, Statistics]:
    """Return how the runs of each version (primary key) of a template went, of those that ran."""
    within = TimeRange.around(start, end)
    by_version: dict[int, list[RunRow]] = defaultdict(list)
    for row in read_runs(Selection.of_templates([template_id]), within, Granularity.DAY):
        by_version[row.version_id].append(row)
    return {version: _statistics(Tally.of(rows), {}, ()) for version, rows in by_version.items()}


def _statistics(total: Tally, live: Mapping[int, Live], template_ids: Collection[int]) -> Statistics:
    own = [live[template_id] for template_id in template_ids if template_id in live]
    return Statistics(
        total.outcomes,
        total.durations,
        running=sum(each.running for each in own),
        reopened=sum(each.reopened for each in own),
        uncounted=sum(each.uncounted for each in own),
    )


def _states(selection: Selection, within: TimeRange) -> tuple[StatePerformance, ...]:
    histograms: dict[str, Counter[int]] = defaultdict(Counter)
    for block_id, bucket, count in selection.rows(HISTOGRAMS, within):
        histograms[block_id][bucket] += count
    tallies = {
        row[0]: Tally(*map(int, row[1:]), histograms[row[0]]) for row in selection.rows(BLOCKS, within)
    }
    all_us = sum(tally.duration_us for tally in tallies.values())
    ordered = sorted(tallies.items(), key=lambda each: (-each[1].duration_us, each[0]))
    return tuple(
        StatePerformance(
            block_id,
            tally.outcomes,
            tally.durations,
            retries=tally.retries,
            troubled=tally.troubled,
            recovered=tally.recovered,
            time_share=percentage(tally.duration_us, all_us),
        )
        for block_id, tally in ordered
    )


def _errors(selection: Selection, within: TimeRange, runs: Tally) -> ErrorAnalysis:
    by_type: dict[str, Counter[str]] = defaultdict(Counter)
    for error_type, block_id, count in selection.rows(ERRORS, within):
        by_type[error_type][block_id] += count
    most = sorted(by_type.items(), key=lambda each: (-each[1].total(), each[0]))
    return ErrorAnalysis(
        tuple(
            ErrorCount(error_type, blocks.total(), tuple(block_id for block_id, _ in blocks.most_common()))
            for error_type, blocks in most
        ),
        troubled=runs.troubled,
        recovered=runs.recovered,
        retries=runs.retries,
    )


def _series(
    points: Sequence[datetime], runs: Iterable[RunRow], granularity: Granularity
) -> tuple[Point, ...]:
    by_point: dict[datetime, list[RunRow]] = defaultdict(list)
    for row in runs:
        by_point[begin_of(row.start, granularity)].append(row)
    tallies = ((point, Tally.of(by_point[point])) for point in points)
    return tuple(Point(point, tally.outcomes, tally.durations) for point, tally in tallies)


def _trend(selection: Selection, within: TimeRange, runs: Sequence[RunRow]) -> Trend | None:
    """Return the last week of the range beside the one before, or its halves; None where it is too short."""
    length = min(TREND, within.length / 2)
    unit = Granularity.DAY if length >= DAY else Granularity.HOUR
    cut = begin_of(within.end - length, unit)
    first = max(within.start, begin_of(cut - length, unit))
    if min(within.end - cut, cut - first) < HOUR:
        return None
    before = Tally.of(row for row in runs if first <= row.start < cut).spell
    after = Tally.of(row for row in runs if row.start >= cut).spell
    trend = Trend(length, before, after)
    if (change_of(before, after) or 0) < MIN_CHANGE:
        return trend
    earlier = _spells(selection, TimeRange(first, cut))
    later = _spells(selection, TimeRange(cut, within.end))
    both = {state: (earlier[state], later[state]) for state in earlier.keys() & later.keys()}
    return replace(trend, states=both)


def _spells(selection: Selection, within: TimeRange) -> dict[str, Spell]:
    return {row[0]: Tally(*map(int, row[1:])).spell for row in selection.rows(BLOCKS, within)}
