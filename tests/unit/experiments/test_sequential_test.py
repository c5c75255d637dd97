"""The sequential test: no more than alpha of all A/A experiments find a difference, with a look after every run."""

from random import Random

import pytest

from tests.simulated_arms import A_A, SOON_FOUND, Scenario, SimulatedArm, a_few_start_most, of_its_starter
from workflow_service.experiments.sequential_test import ArmTotals, compare, sample_ratio_p_value

ALPHA = 0.05


@pytest.mark.parametrize("scenario", A_A.values(), ids=A_A)
def test_a_a_finds_a_difference_in_no_more_than_alpha_of_all_experiments(scenario: Scenario) -> None:
    assert len(scenario.of_runs(300).rejections(120)) <= 120 * ALPHA


def test_runs_that_are_alike_would_mislead_a_test_that_took_them_for_independent() -> None:
    """So the simulation above can fail: what it shows is owed to counting by unit."""
    by_run = 0
    for seed in range(40):
        chance = Random(seed)
        arms = SimulatedArm(), SimulatedArm()
        is_treated: dict[int, bool] = {}
        for number in range(500):
            unit = a_few_start_most(chance, number)
            treated = is_treated.setdefault(unit, chance.random() < 0.5)
            arms[treated].add(number, of_its_starter(chance, unit, treated))
        found = compare(arms[0].totals, arms[1].totals, alpha=ALPHA, min_units=30)
        by_run += found is not None and found.p_value <= ALPHA
    assert by_run > 40 * 0.15


@pytest.mark.parametrize(("scenario", "soon"), SOON_FOUND.values(), ids=SOON_FOUND)
def test_a_real_effect_is_found_and_soon(scenario: Scenario, soon: int) -> None:
    found = sorted(scenario.rejections(40))
    assert len(found) >= 38
    assert found[len(found) // 2] <= soon


def test_the_confidence_sequence_covers_the_true_difference_at_every_look() -> None:
    missed = 0
    for seed in range(60):
        chance = Random(seed)
        arms = SimulatedArm(), SimulatedArm()
        for number in range(300):
            treated = chance.random() < 0.3
            arms[treated].add(number, chance.gauss(1.0 + 0.4 * treated, 1.0 + treated))
            found = compare(arms[0].totals, arms[1].totals, alpha=ALPHA, min_units=30)
            if found is not None and not found.lower <= 0.4 <= found.upper:
                missed += 1
                break
    assert missed <= 60 * ALPHA


def test_p_value_and_confidence_sequence_say_the_same() -> None:
    control = ArmTotals(200, 200, 100, 200, 100, 100)
    for successes in range(100, 160, 5):
        treatment = ArmTotals(200, 200, successes, 200, successes, successes)
        found = compare(control, treatment, alpha=ALPHA, min_units=30, is_rate=True)
        assert found is not None
        assert (found.lower > 0 or found.upper < 0) == (found.p_value < ALPHA)


def test_nothing_is_said_below_the_least_number_of_units() -> None:
    few, many = ArmTotals(29, 29, 0, 29, 0, 0), ArmTotals(500, 500, 500, 500, 500, 500)
    assert compare(few, many, alpha=ALPHA, min_units=30, is_rate=True) is None
    assert compare(many, few, alpha=ALPHA, min_units=30, is_rate=True) is None
    assert compare(ArmTotals(), ArmTotals(), alpha=ALPHA, min_units=0) is None


def test_values_without_any_spread() -> None:
    """Two constants differ beyond doubt; with a floor under the spread one percent is no difference."""
    same = ArmTotals(40, 40, 40, 40, 40, 40)
    other = ArmTotals(40, 40, 40.2, 40, 40.401, 40.2)
    assert compare(same, same, alpha=ALPHA, min_units=30).p_value == 1.0  # type: ignore[union-attr]
    doubtful = compare(same, other, alpha=ALPHA, min_units=30, spread_floor=0.01)
    assert doubtful is not None
    assert doubtful.p_value > ALPHA


def test_a_failure_of_every_treated_run_is_beyond_doubt_at_once() -> None:
    good, bad = ArmTotals(20, 20, 20, 20, 20, 20), ArmTotals(20, 20, 0, 20, 0, 0)
    found = compare(good, bad, alpha=ALPHA, min_units=20, is_rate=True)
    assert found is not None
    assert found.upper < 0


@pytest.mark.parametrize(
    ("control", "treatment", "share", "suspicious"),
    [
        (0, 0, 0.5, False),
        (500, 500, 0.5, False),
        (900, 100, 0.1, False),
        (700, 500, 0.5, True),
        (950, 20, 0.1, True),
    ],
    ids=["none", "even", "one in ten", "too few treated", "far too few treated"],
)
def test_units_that_were_lost_in_an_arm_are_noticed(
    control: int, treatment: int, share: float, suspicious: bool
) -> None:
    assert (sample_ratio_p_value(control, treatment, share) < 0.001) == suspicious
