"""Reads: how the runs of templates, or of a workspace, went in a time range. From rollups; block rows are not read."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
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
    ALL_RUNS,
    BY_BLOCK,
    BY_TEMPLATE,
    BY_VERSION,
    ERRORS,
    By,
    Live,
    Selection,
    read_live,
    read_tallies,
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
    selection = Selection.of_templates(template_ids, version)
    series = _tally_points(selection, within, granularity)
    total = Tally.of(series.values())
    states = _states(selection, within)
    errors = _errors(selection, within, total)
    return WorkflowAnalytics(
        time_range=within,
        granularity=granularity,
        statistics=_statistics(total, read_live(selection, within), set(template_ids)),
        error_analysis=errors,
        state_performance=states,
        series=_series(series),
        insights=find_insights(states, errors, _trend(selection, within)),
    )


def overview(
    workspace_id: int, start: datetime, end: datetime, granularity: Granularity = Granularity.DAY
) -> Overview:
    """Return how the runs of a workspace (primary key) went, in all and by template; raises ``TimeRangeInvalid``."""
    within = TimeRange.around(start, end)
    selection = Selection.of_workspace(workspace_id)
    series = _tally_points(selection, within, granularity)
    total = Tally.of(series.values())
    live = read_live(selection, within)
    tallies = dict.fromkeys(live, Tally()) | read_tallies(selection, within, BY_TEMPLATE)
    templates = {
        template_id: _statistics(tally, live, {template_id}) for template_id, tally in tallies.items()
    }
    return Overview(
        time_range=within,
        granularity=granularity,
        statistics=_statistics(total, live, set(live)),
        error_analysis=_errors(selection, within, total),
        templates=dict(sorted(templates.items(), key=lambda each: (-each[1].total, each[0]))),
        series=_series(series),
    )


def version_statistics(template_id: int, start: datetime, end: datetime) -> dict[int, Statistics]:
    """Return how the runs of each version (primary key) of a template went, of those that ran."""
    within = TimeRange.around(start, end)
    tallies = read_tallies(Selection.of_templates([template_id]), within, BY_VERSION)
    return {version: _statistics(tally, {}, ()) for version, tally in tallies.items()}


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
    tallies: dict[str, Tally] = read_tallies(selection, within, BY_BLOCK)
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
        tuple(ErrorCount(error_type, dict(blocks.most_common())) for error_type, blocks in most),
        troubled=runs.troubled,
        recovered=runs.recovered,
        retries=runs.retries,
    )


def _tally_points(selection: Selection, within: TimeRange, granularity: Granularity) -> dict[datetime, Tally]:
    """Return the runs of each point of a series, of the empty ones too; raises ``TimeRangeInvalid``."""
    points = within.points(granularity)
    found = read_tallies(selection, within, By.point(granularity))
    return {point: found.get(point, Tally()) for point in points}


def _series(tallies: Mapping[datetime, Tally]) -> tuple[Point, ...]:
    return tuple(Point(point, tally.outcomes, tally.durations) for point, tally in tallies.items())


def _trend(selection: Selection, within: TimeRange) -> Trend | None:
    """Return the last week of the range beside the one before, or its halves; None where it is too short."""
    length = min(TREND, within.length / 2)
    unit = Granularity.DAY if length >= DAY else Granularity.HOUR
    cut = begin_of(within.end - length, unit)
    first = max(within.start, begin_of(cut - length, unit))
    if min(within.end - cut, cut - first) < HOUR:
        return None
    earlier, later = TimeRange(first, cut), TimeRange(cut, within.end)
    before, after = (_spells(selection, each, ALL_RUNS).get("") for each in (earlier, later))
    if before is None or after is None:
        return None
    trend = Trend(length, before, after)
    if (change_of(before, after) or 0) < MIN_CHANGE:
        return trend
    then, now = (_spells(selection, each, BY_BLOCK) for each in (earlier, later))
    both = {state: (then[state], now[state]) for state in then.keys() & now.keys()}
    return replace(trend, states=both)


def _spells(selection: Selection, within: TimeRange, by: By) -> dict[str, Spell]:
    found = read_tallies(selection, within, by, with_durations=False)
    return {key: tally.spell for key, tally in found.items()}
