"""What stands out: said with its numbers where it matters, and not of few runs, small changes or a healthy workflow."""

from datetime import timedelta

import pytest

from workflow_service.analytics.figures import (
    Durations,
    ErrorAnalysis,
    ErrorCount,
    Outcomes,
    StatePerformance,
)
from workflow_service.analytics.insights import Insight, InsightKind, Spell, Trend, find_insights

NO_ERRORS = ErrorAnalysis()
WEEK = timedelta(days=7)


def state(
    name: str,
    completed: int = 100,
    failed: int = 0,
    retries: int = 0,
    share: float = 30.0,
    avg_ms: float = 100.0,
) -> StatePerformance:
    outcomes = Outcomes(completed=completed, failed=failed)
    durations = Durations(avg_ms, avg_ms, 2 * avg_ms, 3 * avg_ms)
    return StatePerformance(name, outcomes, durations, retries=retries, time_share=share)


def only(found: tuple[Insight, ...], kind: InsightKind) -> Insight:
    (insight,) = found
    assert insight.kind is kind
    return insight


def test_a_healthy_workflow_has_no_insights() -> None:
    trend = Trend(WEEK, Spell(100, 0, 300.0), Spell(100, 1, 310.0))
    assert find_insights([state("a"), state("b", retries=5), state("c")], NO_ERRORS, trend) == ()


def test_the_highest_error_rate_and_its_cause() -> None:
    errors = ErrorAnalysis(
        (
            ErrorCount("TIMEOUT_ERROR", {"a": 9, "b": 1}),
            ErrorCount("NETWORK_ERROR", {"b": 5, "a": 1}),
        )
    )
    states = [state("a", 99, 1), state("b", 95, 5)]
    insight = only(find_insights(states, errors, None), InsightKind.ERROR_RATE)
    assert insight.state == "b"
    assert insight.text == (
        "'b' has the highest error rate: 5 % (5 of 100), most often with NETWORK_ERROR. Consider a retry policy."
    )
    assert insight.figures == {"errorRate": 5.0, "failed": 5, "executions": 100}
    retried = find_insights([state("b", 95, 5, retries=2)], errors, None)
    assert only(retried, InsightKind.ERROR_RATE).text.endswith(
        "Consider more retries, or other work as a fallback."
    )


def test_what_more_tries_do_not_mend_is_not_told_to_be_retried() -> None:
    errors = ErrorAnalysis((ErrorCount("VALIDATION_ERROR", {"b": 5}),))
    insight = only(find_insights([state("b", 95, 5)], errors, None), InsightKind.ERROR_RATE)
    assert insight.text.endswith("Consider a look at what it is given, or other work as a fallback.")


def test_runs_that_take_longer_and_the_block_that_grew_most() -> None:
    states = {
        "steady": (Spell(50, 0, 100.0), Spell(50, 0, 100.0)),
        "slowed": (Spell(50, 0, 1_000.0), Spell(50, 0, 1_500.0)),
        "rare": (Spell(2, 0, 1.0), Spell(2, 0, 9_000.0)),
    }
    trend = Trend(WEEK, Spell(50, 0, 2_000.0), Spell(60, 0, 2_500.0), states)
    insight = only(find_insights([], NO_ERRORS, trend), InsightKind.DURATION)
    assert insight.text == (
        "Runs took 25 % longer in the last 7 days than in those before: 2.5 s on average, up from 2 s. "
        "Look at 'slowed' first: it grew most."
    )
    assert insight.figures == {"change": 25.0}


def test_a_block_that_takes_most_of_the_time() -> None:
    insight = only(
        find_insights([state("a", share=80, avg_ms=200_000), state("b")], NO_ERRORS, None),
        InsightKind.BOTTLENECK,
    )
    assert insight.text == (
        "'a' takes 80 % of the time of all blocks: 3.3 min on average, 6.7 min at the 95th percentile."
    )
    assert find_insights([state("a", share=100)], NO_ERRORS, None) == ()


def test_success_that_falls_and_recovery_that_does_not_come() -> None:
    trend = Trend(timedelta(hours=12), Spell(100, 0, 10.0), Spell(90, 10, 10.0))
    fell = only(find_insights([], NO_ERRORS, trend), InsightKind.SUCCESS_RATE)
    assert fell.text == "The success rate fell from 100 % to 90 % in the last 12 hours."
    low = only(find_insights([], ErrorAnalysis(troubled=40, recovered=10), None), InsightKind.RECOVERY)
    assert low.text.startswith("Of 40 blocks that failed, 10 went on without a person (25 %).")


def test_work_that_is_retried_often() -> None:
    insight = only(
        find_insights([state("a", retries=25), state("b", retries=3)], NO_ERRORS, None), InsightKind.RETRIES
    )
    assert (insight.state, insight.figures) == ("a", {"retries": 25, "executions": 100})


@pytest.mark.parametrize(
    ("states", "errors", "trend"),
    [
        ([state("a", 8, 8, 8, 99)], NO_ERRORS, None),
        ([state("a", 996, 4)], NO_ERRORS, None),
        ([], ErrorAnalysis(troubled=19), None),
        ([], NO_ERRORS, Trend(WEEK, Spell(19, 0, 1.0), Spell(90, 90, 900.0))),
        ([], NO_ERRORS, Trend(WEEK, Spell(90, 0, 100.0), Spell(90, 0, 109.0))),
        ([], NO_ERRORS, Trend(WEEK, Spell(90, 0, 100.0), Spell(90, 0, 50.0))),
        ([], NO_ERRORS, Trend(WEEK, Spell(0, 50, None), Spell(0, 50, None))),
    ],
    ids=[
        "few executions",
        "few errors",
        "few in trouble",
        "few runs",
        "little slower",
        "faster",
        "none completed",
    ],
)
def test_chance_is_not_mentioned(
    states: list[StatePerformance], errors: ErrorAnalysis, trend: Trend | None
) -> None:
    assert find_insights(states, errors, trend) == ()
