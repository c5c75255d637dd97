"""What stands out in the figures of a workflow, as sentences with their numbers: rules, no language model.

A rule says nothing of few runs or small changes, so that a healthy workflow has no insights.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from workflow_service.analytics.figures import ErrorAnalysis, StatePerformance
from workflow_service.engine.recovery import CLASS_OF
from workflow_service.engine.states import ErrorClass

# Below these a figure is chance, or nothing worth a person's time.
MIN_RUNS = 20
MIN_ERROR_RATE = 1.0
MIN_CHANGE = 10.0
MIN_TIME_SHARE = 50.0
MIN_RETRY_SHARE = 10.0
LOW_RECOVERY_RATE = 50.0
MIN_DROP = 2.0
# Errors that may be gone when the work is tried again.
PASSING = frozenset(
    error.value
    for error, kind in CLASS_OF.items()
    if kind in (ErrorClass.TRANSIENT, ErrorClass.AGENT_UNAVAILABLE, ErrorClass.SYSTEM)
)


class InsightKind(StrEnum):
    ERROR_RATE = "error_rate"
    RECOVERY = "recovery"
    RETRIES = "retries"
    BOTTLENECK = "bottleneck"
    DURATION = "duration"
    SUCCESS_RATE = "success_rate"


@dataclass(frozen=True, slots=True)
class Insight:
    """One thing that stands out; ``figures`` are the numbers in its text, ``state`` the block that it is about."""

    kind: InsightKind
    text: str
    state: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Spell:
    """Runs, or the executions of a block, in one stretch of time."""

    completed: int
    failed: int
    avg_ms: float | None

    @property
    def judged(self) -> int:
        return self.completed + self.failed


@dataclass(frozen=True, slots=True)
class Trend:
    """The last stretch of a time range beside the one before it, as long; of blocks by id what both have."""

    length: timedelta
    before: Spell
    after: Spell
    states: Mapping[str, tuple[Spell, Spell]] = field(default_factory=dict)


def find_insights(
    states: Sequence[StatePerformance], errors: ErrorAnalysis, trend: Trend | None
) -> tuple[Insight, ...]:
    """Return what stands out, what costs runs before what costs time."""
    found = (
        _highest_error_rate(states, errors),
        _falling_success(trend),
        _low_recovery(errors),
        _many_retries(states),
        _slower(trend),
        _bottleneck(states),
    )
    return tuple(insight for insight in found if insight is not None)


def change_of(before: Spell, after: Spell) -> float | None:
    """Return by how many percent the average duration changed; None of few runs."""
    if min(before.completed, after.completed) < MIN_RUNS or not before.avg_ms or after.avg_ms is None:
        return None
    return 100 * (after.avg_ms - before.avg_ms) / before.avg_ms


def _highest_error_rate(states: Sequence[StatePerformance], errors: ErrorAnalysis) -> Insight | None:
    rated = [
        (state.error_rate, state)
        for state in states
        if state.error_rate is not None and state.outcomes.completed + state.outcomes.failed >= MIN_RUNS
    ]
    if not rated:
        return None
    rate, worst = max(rated, key=lambda each: (each[0], each[1].outcomes.failed))
    if rate < MIN_ERROR_RATE:
        return None
    judged = worst.outcomes.completed + worst.outcomes.failed
    types = {error.error_type: error.by_state.get(worst.state, 0) for error in errors.most_common_errors}
    most = max(types, key=lambda each: types[each], default="")
    cause = f", most often with {most}" if types.get(most) else ""
    mend = "more retries, or other work as a fallback" if worst.retries else "a retry policy"
    if cause and most not in PASSING:
        mend = "a look at what it is given, or other work as a fallback"
    return Insight(
        InsightKind.ERROR_RATE,
        f"'{worst.state}' has the highest error rate: {_number(rate)} % ({worst.outcomes.failed} of {judged}){cause}. "
        f"Consider {mend}.",
        worst.state,
        {"errorRate": rate, "failed": worst.outcomes.failed, "executions": judged},
    )


def _falling_success(trend: Trend | None) -> Insight | None:
    if trend is None or min(trend.before.judged, trend.after.judged) < MIN_RUNS:
        return None
    before, after = (100 * spell.completed / spell.judged for spell in (trend.before, trend.after))
    if before - after < MIN_DROP:
        return None
    return Insight(
        InsightKind.SUCCESS_RATE,
        f"The success rate fell from {_number(before)} % to {_number(after)} % in the last {_time(trend.length)}.",
        figures={"before": round(before, 2), "after": round(after, 2)},
    )


def _low_recovery(errors: ErrorAnalysis) -> Insight | None:
    rate = errors.auto_recovery_rate
    if rate is None or errors.troubled < MIN_RUNS or rate >= LOW_RECOVERY_RATE:
        return None
    return Insight(
        InsightKind.RECOVERY,
        f"Of {errors.troubled} blocks that failed, {errors.recovered} went on without a person ({_number(rate)} %). "
        "Look at what their recovery policies allow.",
        figures={"autoRecoveryRate": rate, "troubled": errors.troubled, "recovered": errors.recovered},
    )


def _many_retries(states: Sequence[StatePerformance]) -> Insight | None:
    tried = [state for state in states if state.outcomes.completed + state.outcomes.failed >= MIN_RUNS]
    if not tried:
        return None
    most = max(tried, key=lambda state: state.retries)
    executions = most.outcomes.completed + most.outcomes.failed
    share = 100 * most.retries / executions
    if share < MIN_RETRY_SHARE:
        return None
    return Insight(
        InsightKind.RETRIES,
        f"'{most.state}' is retried {_number(share)} times per 100 executions ({most.retries} in {executions}): "
        "what it depends on is not steady.",
        most.state,
        {"retries": most.retries, "executions": executions},
    )


def _slower(trend: Trend | None) -> Insight | None:
    change = change_of(trend.before, trend.after) if trend else None
    if trend is None or change is None or change < MIN_CHANGE:
        return None
    slowed = _slowed_most(trend)
    advice = f" Look at '{slowed}' first: it grew most." if slowed else ""
    return Insight(
        InsightKind.DURATION,
        f"Runs took {_number(change)} % longer in the last {_time(trend.length)} than in those before: "
        f"{_duration(trend.after.avg_ms)} on average, up from {_duration(trend.before.avg_ms)}.{advice}",
        slowed,
        {"change": round(change, 2)},
    )


def _slowed_most(trend: Trend) -> str:
    """Return the block whose average grew most in milliseconds; none where none grew."""
    grown = {
        state: (after.avg_ms or 0) - (before.avg_ms or 0)
        for state, (before, after) in trend.states.items()
        if (change_of(before, after) or 0) > 0
    }
    return max(grown, key=lambda state: (grown[state], state)) if grown else ""


def _bottleneck(states: Sequence[StatePerformance]) -> Insight | None:
    timed = [
        state for state in states if state.time_share is not None and state.outcomes.completed >= MIN_RUNS
    ]
    if len(states) < 2 or not timed:
        return None
    most = max(timed, key=lambda state: state.time_share or 0)
    share = most.time_share or 0
    if share < MIN_TIME_SHARE:
        return None
    return Insight(
        InsightKind.BOTTLENECK,
        f"'{most.state}' takes {_number(share)} % of the time of all blocks: {_duration(most.durations.avg_ms)} "
        f"on average, {_duration(most.durations.p95_ms)} at the 95th percentile.",
        most.state,
        {"timeShare": share},
    )


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _duration(milliseconds: float | None) -> str:
    if milliseconds is None:
        return "no time"
    if milliseconds < 1_000:
        return f"{_number(milliseconds)} ms"
    seconds = milliseconds / 1_000
    return f"{_number(seconds)} s" if seconds < 120 else f"{_number(seconds / 60)} min"


def _time(length: timedelta) -> str:
    days = length / timedelta(days=1)
    return f"{days:.0f} days" if days >= 2 else f"{length / timedelta(hours=1):.0f} hours"
