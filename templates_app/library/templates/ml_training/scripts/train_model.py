"""Fit a polynomial by least squares (normal equations, Gaussian elimination) and judge it on points held out."""

import json
import math
import sys

Matrix = list[list[float]]


def solve(matrix: Matrix, right: list[float]) -> list[float]:
    """Return the solution of a system of linear equations, with partial pivoting."""
    size = len(right)
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for column in range(size):
        pivot = max(range(column, size), key=lambda at: abs(rows[at][column]))
        rows[column], rows[pivot] = rows[pivot], rows[column]
        for below in range(column + 1, size):
            factor = rows[below][column] / rows[column][column]
            rows[below] = [low - factor * high for low, high in zip(rows[below], rows[column], strict=True)]
    found = [0.0] * size
    for row in reversed(range(size)):
        known = sum(rows[row][column] * found[column] for column in range(row + 1, size))
        found[row] = (rows[row][size] - known) / rows[row][row]
    return found


def main() -> None:
    given = json.load(sys.stdin)["input"]
    degree, training, held_out = given["degree"], given["training"], given["heldOut"]
    if len(training) <= degree:
        raise SystemExit(f"{len(training)} points do not determine a polynomial of degree {degree}")
    sums = [sum(point["x"] ** power for point in training) for power in range(2 * degree + 1)]
    right = [sum(point["y"] * point["x"] ** power for point in training) for power in range(degree + 1)]
    normal = [[sums[row + column] for column in range(degree + 1)] for row in range(degree + 1)]
    coefficients = solve(normal, right)

    def predict(x: float) -> float:
        return sum(coefficient * x**power for power, coefficient in enumerate(coefficients))

    residuals = [point["y"] - predict(point["x"]) for point in held_out]
    mean = sum(point["y"] for point in held_out) / len(held_out)
    spread = sum((point["y"] - mean) ** 2 for point in held_out)
    squares = sum(residual**2 for residual in residuals)
    answer = {
        "degree": degree,
        "coefficients": coefficients,
        "error": math.sqrt(squares / len(held_out)),
        "r2": 1 - squares / spread,
        "x": [point["x"] for point in held_out],
        "actual": [point["y"] for point in held_out],
        "predicted": [round(predict(point["x"]), 3) for point in held_out],
    }
    json.dump(answer, sys.stdout)


main()
