"""What worked before: rates of success by class of error and by fingerprint, read for a decision and for people.

The counts are written by ``recovery_journal.py`` with the outcome they count. A fingerprint that was not seen for
``KEPT_DAYS`` is forgotten, so that a workspace whose errors differ each time keeps a table of its recent ones.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from executions_app.models import RecoveryPattern, RecoveryStatistic
from workflow_service.engine.recovery import DEFAULT_LADDERS, Failure
from workflow_service.engine.recovery_advice import (
    DOES_THE_WORK,
    Experience,
    SuccessRate,
    fingerprint,
    prior_of,
)
from workflow_service.engine.states import ErrorClass, RecoveryStrategy

KEPT_DAYS = 90
FORGOTTEN_AT_ONCE = 200
FORGET = """
    DELETE FROM executions_app_recoverypattern WHERE id IN (
        SELECT id FROM executions_app_recoverypattern
        WHERE last_seen_at < clock_timestamp() - make_interval(days => %s)
        ORDER BY last_seen_at LIMIT %s FOR UPDATE SKIP LOCKED)
"""
RATES = """
    SELECT 'class', strategy, succeeded, failed FROM executions_app_recoverystatistic
    WHERE workspace_id = %s AND error_class = %s
    UNION ALL
    SELECT 'pattern', strategy, succeeded, failed FROM executions_app_recoverypattern
    WHERE workspace_id = %s AND fingerprint = %s
"""


@dataclass(frozen=True, slots=True)
class StrategyRecord:
    """How one strategy fares. ``expected`` and the interval (of 90 %) are rates from 0 to 1.

    They are None for what does not do the work again: to abort, skip or ask a person is how a failure ends, and no try.
    """

    strategy: str
    succeeded: int
    failed: int
    expected: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Pattern:
    """Errors that are alike, and what helps against them, the best expected first."""

    fingerprint: str
    error_class: str
    error_type: str
    example: str
    last_seen_at: datetime
    strategies: tuple[StrategyRecord, ...]


@dataclass(frozen=True, slots=True)
class ClassRecord:
    """How the strategies fare for a class of errors, the best expected first."""

    error_class: str
    strategies: tuple[StrategyRecord, ...]


def experience_of(workspace_id: int, failure: Failure) -> Experience:
    """Return how the strategies fared in a workspace for errors of the class, and for those like this one."""
    found: dict[str, dict[RecoveryStrategy, SuccessRate]] = {"class": {}, "pattern": {}}
    name = fingerprint(failure.error_type, failure.message)
    with connection.cursor() as cursor:
        cursor.execute(RATES, [workspace_id, failure.error_class, workspace_id, name])
        for of, strategy, succeeded, failed in cursor.fetchall():
            found[of][RecoveryStrategy(strategy)] = SuccessRate(succeeded, failed)
    return Experience(found["class"], found["pattern"])


def describe_patterns(rows: Sequence[RecoveryPattern]) -> list[Pattern]:
    """Return rows of one workspace, of whole fingerprints, as people read them, in the order they came in."""
    workspaces = {row.workspace_id for row in rows}
    of_class: dict[tuple[int, str], dict[RecoveryStrategy, SuccessRate]] = defaultdict(dict)
    for one in RecoveryStatistic.objects.filter(workspace__in=workspaces):
        rate = SuccessRate(one.succeeded, one.failed)
        of_class[one.workspace_id, one.error_class][RecoveryStrategy(one.strategy)] = rate
    grouped: dict[str, list[RecoveryPattern]] = defaultdict(list)
    for row in rows:
        grouped[row.fingerprint].append(row)
    return [
        _pattern(group, of_class[group[0].workspace_id, group[0].error_class]) for group in grouped.values()
    ]


def describe_classes(workspace_id: int) -> list[ClassRecord]:
    """Return how the strategies fare in a workspace, by class of error."""
    found: dict[str, dict[RecoveryStrategy, SuccessRate]] = defaultdict(dict)
    for row in RecoveryStatistic.objects.filter(workspace=workspace_id).order_by("error_class"):
        found[row.error_class][RecoveryStrategy(row.strategy)] = SuccessRate(row.succeeded, row.failed)
    return [
        ClassRecord(name, records_of(Experience(rates), ErrorClass(name), rates))
        for name, rates in found.items()
    ]


def _pattern(rows: Sequence[RecoveryPattern], of_class: dict[RecoveryStrategy, SuccessRate]) -> Pattern:
    newest = max(rows, key=lambda row: row.last_seen_at)
    experience = Experience(
        of_class, {RecoveryStrategy(row.strategy): SuccessRate(row.succeeded, row.failed) for row in rows}
    )
    records = records_of(experience, ErrorClass(newest.error_class), experience.of_pattern)
    return Pattern(
        newest.fingerprint,
        newest.error_class,
        newest.error_type,
        newest.example,
        newest.last_seen_at,
        records,
    )


def records_of(
    experience: Experience, error_class: ErrorClass, strategies: Iterable[RecoveryStrategy]
) -> tuple[StrategyRecord, ...]:
    """Return what is known of strategies, the best expected first, those without a rate last.

    The prior is that of the order without a policy.
    """
    working = [one for one in DEFAULT_LADDERS.get(error_class, ()) if one in DOES_THE_WORK]
    found: list[StrategyRecord] = []
    for strategy in strategies:
        seen = experience.of_pattern.get(strategy) or experience.of_class.get(strategy) or SuccessRate()
        if strategy not in DOES_THE_WORK:
            found.append(StrategyRecord(strategy, seen.succeeded, seen.failed, None, None, None))
            continue
        place = working.index(strategy) if strategy in working else 0
        known = experience.posterior(strategy, prior_of(place, max(len(working), 1)))
        low, high = known.interval()
        found.append(StrategyRecord(strategy, seen.succeeded, seen.failed, known.mean, low, high))
    return tuple(sorted(found, key=lambda record: 1.0 if record.expected is None else -record.expected))


def forget_patterns() -> None:
    """Forget some of the patterns that nobody has seen for ``KEPT_DAYS``; mostly there are none."""
    with connection.cursor() as cursor:
        cursor.execute(FORGET, [KEPT_DAYS, FORGOTTEN_AT_ONCE])
