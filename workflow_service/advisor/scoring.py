"""The optimization score, 0 to 100: how near a workflow is to the best that is known of it, part by part.

Each part has its points and says what it lost and why; the total is their sum. Without recorded runs nothing is held
against a workflow but its definition, and the parts that need runs say so.
"""

from dataclasses import dataclass

from workflow_service.plurals import counted

RELIABILITY_POINTS = 40
SPEED_POINTS = 30
COST_POINTS = 15
UPKEEP_POINTS = 15
POINTS = {
    "reliability": RELIABILITY_POINTS,
    "speed": SPEED_POINTS,
    "cost": COST_POINTS,
    "upkeep": UPKEEP_POINTS,
}
POINTS_PER_WARNING = 3
CANNOT_RUN = "the definition has errors: it cannot run"


@dataclass(frozen=True, slots=True)
class ScorePart:
    """``points`` of ``maximum``, and the figures they come from. ``known``: there were runs to judge by."""

    name: str
    points: float
    maximum: int
    explanation: str
    known: bool = True


@dataclass(frozen=True, slots=True)
class Score:
    """``total`` of 100, rounded, and the parts it is the sum of."""

    parts: tuple[ScorePart, ...]

    @property
    def total(self) -> int:
        return max(0, min(100, round(sum(part.points for part in self.parts))))


@dataclass(frozen=True, slots=True)
class Standing:
    """How a workflow runs, and how it would with all that is suggested; shares are 0 to 1.

    ``left_duration`` and ``left_cost`` are what would be left of the time and the cost of a run. ``has_errors``: its
    definition cannot run.
    """

    runs: int = 0
    failure_share: float = 0.0
    left_failure_share: float = 0.0
    left_duration: float = 1.0
    left_cost: float = 1.0
    warnings: int = 0
    dead_ways: int = 0
    has_errors: bool = False


def score_of(standing: Standing) -> Score:
    """Return the score of a workflow as it is; one that cannot run has none of the points."""
    if standing.has_errors:
        return Score(tuple(ScorePart(name, 0.0, most, CANNOT_RUN) for name, most in POINTS.items()))
    known = standing.runs > 0
    of_runs = f"of {counted(standing.runs, 'run')}" if known else "no run has ended yet"
    failed = f"{standing.failure_share:.1%} {of_runs} failed" if known else of_runs
    saved, cheaper = 1 - standing.left_duration, 1 - standing.left_cost
    faults = standing.warnings + standing.dead_ways
    return Score(
        (
            _part("reliability", RELIABILITY_POINTS, 1 - standing.failure_share, failed, known=known),
            _part(
                "speed",
                SPEED_POINTS,
                standing.left_duration,
                _saving_words(saved, "a run's time") if known else of_runs,
                known=known,
            ),
            _part(
                "cost",
                COST_POINTS,
                standing.left_cost,
                _saving_words(cheaper, "what a run costs") if known else of_runs,
                known=known,
            ),
            _part(
                "upkeep",
                UPKEEP_POINTS,
                1 - min(1.0, faults * POINTS_PER_WARNING / UPKEEP_POINTS),
                f"{counted(standing.warnings, 'warning')} about the definition, "
                f"{counted(standing.dead_ways, 'way')} nobody can take",
            ),
        )
    )


def potential_of(standing: Standing) -> int:
    """Return the total of the score if all that is suggested were done."""
    better = Standing(
        runs=standing.runs,
        failure_share=standing.left_failure_share,
        warnings=standing.warnings,
        has_errors=standing.has_errors,
    )
    return max(score_of(standing).total, score_of(better).total)


def _saving_words(share: float, what: str) -> str:
    """Return how much of ``what`` could be saved; nothing found is no figure."""
    return (
        f"{share:.1%} of {what} could be saved"
        if share >= 0.0005
        else f"nothing found that would save of {what}"
    )


def _part(name: str, maximum: int, share: float, explanation: str, *, known: bool = True) -> ScorePart:
    return ScorePart(name, round(maximum * max(0.0, min(1.0, share)), 1), maximum, explanation, known)
