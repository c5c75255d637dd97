"""The Beta distribution: what is known of a rate of success after some successes and failures.

The distribution function is the regularised incomplete beta function, by the continued fraction of Lentz's method
(Press et al., Numerical Recipes, 3rd edition, section 6.4); quantiles are found by bisection.
"""

from dataclasses import dataclass
from math import exp, lgamma, log, log1p

TINY = 1e-300
PRECISION = 1e-10
MAX_STEPS = 500
HALVINGS = 40


@dataclass(frozen=True, slots=True)
class Beta:
    """A distribution over rates of success; ``successes`` and ``failures`` count the prior in, and are positive."""

    successes: float
    failures: float

    @property
    def weight(self) -> float:
        return self.successes + self.failures

    @property
    def mean(self) -> float:
        return self.successes / self.weight

    @classmethod
    def around(cls, mean: float, weight: float) -> "Beta":
        """Return the one with a mean strictly between 0 and 1 that counts as ``weight`` observations."""
        return cls(mean * weight, (1 - mean) * weight)

    def after(self, succeeded: int, failed: int) -> "Beta":
        """Return the posterior once so many more were seen."""
        return Beta(self.successes + succeeded, self.failures + failed)

    def below(self, rate: float) -> float:
        """Return the probability that the true rate is at most ``rate``."""
        if rate <= 0 or rate >= 1:
            return float(rate >= 1)
        a, b = self.successes, self.failures
        front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(rate) + b * log1p(-rate))
        # The fraction converges fast on one side of the mean, and the other side is its mirror.
        if rate < (a + 1) / (a + b + 2):
            return front * _fraction(a, b, rate) / a
        return 1 - front * _fraction(b, a, 1 - rate) / b

    def quantile(self, probability: float) -> float:
        """Return the rate that the true one is below with this probability."""
        low, high = 0.0, 1.0
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if self.below(middle) < probability else (low, middle)
        return (low + high) / 2

    def interval(self, level: float = 0.9) -> tuple[float, float]:
        """Return the central credible interval: the true rate lies within it with probability ``level``."""
        return self.quantile((1 - level) / 2), self.quantile((1 + level) / 2)


def _fraction(a: float, b: float, x: float) -> float:
    c, d = 1.0, 1 / _away_from_zero(1 - (a + b) * x / (a + 1))
    found = d
    for m in range(1, MAX_STEPS):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _away_from_zero(1 + numerator * d)
            c = _away_from_zero(1 + numerator / c)
            found *= c * d
        if abs(c * d - 1) < PRECISION:
            break
    return found


def _away_from_zero(value: float) -> float:
    return value if abs(value) > TINY else TINY
