"""Logistic regression, small: fitted by Newton's method with a ridge, judged by its Brier score. Pure.

Features are standardised; the ridge holds the weights where failures are few, and not the intercept, so the mean
prediction of what it was fitted on is the rate of failures there.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

Vector = Sequence[float]
RIDGE = 5.0
STEPS = 8
# No prediction is more certain than this.
LEAST = 0.005


@dataclass(frozen=True, slots=True)
class Model:
    """Weights of standardised features, the intercept apart."""

    means: Vector
    scales: Vector
    intercept: float
    weights: Vector

    def probability(self, features: Vector) -> float:
        """Return the predicted probability."""
        return min(1 - LEAST, max(LEAST, _sigmoid(self.intercept + sum(self.contributions(features)))))

    def contributions(self, features: Vector) -> list[float]:
        """Return by how much each feature moves the log-odds away from those of an average moment."""
        return [
            weight * (value - mean) / scale
            for weight, value, mean, scale in zip(
                self.weights, features, self.means, self.scales, strict=True
            )
        ]


def fit(rows: Sequence[Vector], outcomes: Sequence[bool], importances: Sequence[float]) -> Model:
    """Return the model of ``outcomes`` by ``rows``; each row counts as much as its importance says.

    Both outcomes must occur.
    """
    width, total = len(rows[0]), sum(importances)
    means = [sum(w * row[i] for row, w in zip(rows, importances, strict=True)) / total for i in range(width)]
    scales = [
        math.sqrt(sum(w * (row[i] - means[i]) ** 2 for row, w in zip(rows, importances, strict=True)) / total)
        or 1.0
        for i in range(width)
    ]
    standard = [[1.0, *((row[i] - means[i]) / scales[i] for i in range(width))] for row in rows]
    rate = sum(w for outcome, w in zip(outcomes, importances, strict=True) if outcome) / total
    weights = [math.log(rate / (1 - rate)), *([0.0] * width)]
    for _ in range(STEPS):
        step = _newton_step(standard, outcomes, importances, weights)
        # A step too far, as where a feature tells the outcomes apart, is cut back; the ridge does the rest.
        longest = max(map(abs, step))
        damping = min(1.0, 3.0 / longest) if longest > 0 else 0.0
        weights = [weight + damping * change for weight, change in zip(weights, step, strict=True)]
        if longest < 1e-6:
            break
    return Model(means, scales, weights[0], weights[1:])


def brier(predictions: Sequence[float], outcomes: Sequence[bool]) -> float:
    """Return the mean squared difference of probabilities and what came of them (Brier 1950): 0 is perfect."""
    return sum((p - outcome) ** 2 for p, outcome in zip(predictions, outcomes, strict=True)) / len(outcomes)


def _newton_step(
    rows: Sequence[Vector], outcomes: Sequence[bool], importances: Sequence[float], weights: Vector
) -> list[float]:
    width = len(weights)
    slope = [0.0] + [-RIDGE * weight for weight in weights[1:]]
    curve = [[RIDGE if i == j and i else 0.0 for j in range(width)] for i in range(width)]
    for row, outcome, importance in zip(rows, outcomes, importances, strict=True):
        p = _sigmoid(sum(weight * value for weight, value in zip(weights, row, strict=True)))
        miss, bend = importance * (outcome - p), importance * max(1e-6, p * (1 - p))
        for i in range(width):
            slope[i] += miss * row[i]
            bent, line = bend * row[i], curve[i]
            for j in range(i, width):
                line[j] += bent * row[j]
    for i in range(width):
        for j in range(i):
            curve[i][j] = curve[j][i]
    return _solve(curve, slope)


def _solve(matrix: list[list[float]], values: list[float]) -> list[float]:
    """Solve a symmetric positive definite system, by Gauss with pivots; ``matrix`` is used up."""
    size = len(values)
    rows = [[*line, value] for line, value in zip(matrix, values, strict=True)]
    for i in range(size):
        pivot = max(range(i, size), key=lambda k: abs(rows[k][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        for k in range(i + 1, size):
            factor = rows[k][i] / rows[i][i]
            for j in range(i, size + 1):
                rows[k][j] -= factor * rows[i][j]
    solution = [0.0] * size
    for i in reversed(range(size)):
        rest = sum(rows[i][j] * solution[j] for j in range(i + 1, size))
        solution[i] = (rows[i][size] - rest) / rows[i][i]
    return solution


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
