"""A comparison of two arms that may be looked at after every run, and stopped at any look.

The test is the mixture sequential probability ratio test with a normal mixture, and its inversion the confidence
sequence: at level alpha the chance that *any* of endlessly many looks excludes the true difference is at most alpha.
Sources: Robbins (1970), "Statistical methods related to the law of the iterated logarithm"; Johari, Pekelis and Walsh,
"Always valid inference: continuous monitoring of A/B tests", sections 4 and 5 (always-valid p-values); Waudby-Smith,
Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit theory and asymptotic confidence sequences"
(arXiv 2103.06476), whose boundary this is, with the spread estimated from the data.

The bound is asymptotic, so four things keep it honest on few and skewed values, each of them shown by the simulations
in the tests: nothing is decided below a least number of units an arm; the spread is the greater of the one estimated
arm by arm and the pooled one (a small arm that has not met a rare large value yet looks calmer than it is); rates are
given one success and one failure more an arm when their spread is estimated (Agresti and Caffo, 2000); and what is
measured never counts as more exact than ``spread_floor``.

What is assigned is the unit, not the run: runs of one starter go the same way and resemble each other. So the mean of
an arm is a ratio of sums over units, and its variance that of a ratio (linearised; Deng, Knoblich and Lu, 2018,
"Applying the delta method in metric analytics"). Where each run is a unit of its own this is the usual variance.
"""

import math
from dataclasses import dataclass

# The number of units, of both arms, at which the sequence is tightest relative to a test with one look.
TUNED_FOR_UNITS = 500


@dataclass(frozen=True, slots=True)
class ArmTotals:
    """Sums over the units of an arm, of the runs that were measured: n runs of a unit, y the sum of their values."""

    units: int = 0
    runs: float = 0.0
    values: float = 0.0
    runs_squared: float = 0.0
    values_squared: float = 0.0
    runs_by_values: float = 0.0

    @property
    def mean(self) -> float:
        """The mean value of a run; 0 where there is none."""
        return self.values / self.runs if self.runs else 0.0

    def smoothed(self) -> "ArmTotals":
        """Return the totals with two units more of the usual size: one of failures, one of successes."""
        size = self.runs / self.units
        return ArmTotals(
            self.units + 2,
            self.runs + 2 * size,
            self.values + size,
            self.runs_squared + 2 * size**2,
            self.values_squared + size**2,
            self.runs_by_values + size**2,
        )

    @property
    def residuals_squared(self) -> float:
        """The sum over units of (y - mean * n) squared."""
        mean = self.mean
        found = self.values_squared - 2 * mean * self.runs_by_values + mean**2 * self.runs_squared
        return max(found, 0.0)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two arms say at one look: ``difference`` is treatment minus control, in (``lower``, ``upper``) at 1 - alpha.

    ``p_value`` is always valid: the least of those of all looks is one, too.
    """

    difference: float
    lower: float
    upper: float
    p_value: float


def compare(
    control: ArmTotals,
    treatment: ArmTotals,
    *,
    alpha: float,
    min_units: int,
    is_rate: bool = False,
    spread_floor: float = 0.0,
) -> Comparison | None:
    """Compare two arms; None below ``min_units`` (at least 2) in either.

    ``is_rate``: values are 0 or 1. ``spread_floor``: the least standard deviation of a unit's value, in its unit.
    """
    if min(control.units, treatment.units) < max(min_units, 2):
        return None
    variance = _variance(control, treatment, is_rate, spread_floor)
    difference = treatment.mean - control.mean
    # How far the mixture has come; it is tightest relative to a fixed test where ``information`` meets the tuning.
    log_level = -2 * math.log(alpha)
    mixing = (log_level + math.log(log_level + 1)) / TUNED_FOR_UNITS
    information = (control.units + treatment.units) * mixing
    if variance <= 0:
        return Comparison(difference, difference, difference, float(difference == 0))
    widening = (information + 1) / information
    radius = math.sqrt(variance * widening * (math.log(information + 1) + log_level))
    log_p = 0.5 * math.log(information + 1) - difference**2 / (2 * variance * widening)
    return Comparison(difference, difference - radius, difference + radius, math.exp(min(log_p, 0.0)))


def _variance(control: ArmTotals, treatment: ArmTotals, is_rate: bool, spread_floor: float) -> float:
    """Return the variance of the difference of the arms' means: by arm or pooled, whichever is greater."""
    if is_rate:
        control, treatment = control.smoothed(), treatment.smoothed()
    arms = (control, treatment)
    pooled = sum(arm.residuals_squared for arm in arms) / (control.units + treatment.units - 2)
    by_arm = sum(arm.residuals_squared / (arm.units - 1) * arm.units / arm.runs**2 for arm in arms)
    together = sum(pooled * arm.units / arm.runs**2 for arm in arms)
    return max(by_arm, together) + sum(spread_floor**2 / arm.units for arm in arms)


def sample_ratio_p_value(control_units: int, treatment_units: int, treatment_share: float) -> float:
    """Return an always-valid p-value that units were divided otherwise than by ``treatment_share`` (0 to 1).

    Where it is tiny, something loses or doubles units of one arm, and the comparison means nothing. The beta-binomial
    mixture of Lindon and Malek, "Anytime-valid inference for multinomial count data" (2022); exact at every count.
    """
    units = control_units + treatment_units
    prior = 100.0
    a, b = prior * treatment_share, prior * (1 - treatment_share)
    log_mixture = _log_beta(a + treatment_units, b + control_units) - _log_beta(a, b)
    log_null = treatment_units * math.log(treatment_share) + control_units * math.log(1 - treatment_share)
    return math.exp(min(log_null - log_mixture, 0.0)) if units else 1.0


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
