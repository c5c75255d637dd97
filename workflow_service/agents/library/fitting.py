"""A straight line through points, and how far values lie from what is usual."""

import statistics
from typing import Annotated

from pydantic import Field, model_validator

from workflow_service.agents.library.shapes import MAX_RECORDS, Output, Params
from workflow_service.agents.use_cases import use_case

Points = Annotated[list[float], Field(min_length=2, max_length=MAX_RECORDS)]


class FitInput(Params):
    """``x`` and ``y`` are the points' coordinates; ``predict`` are further x to give the line's y for.

    ``holdout`` is the share of the last points that the line is not fitted to but judged by.
    """

    x: Points
    y: Points
    predict: list[float] = Field([], max_length=100_000)
    holdout: float = Field(0.0, ge=0.0, le=0.9)

    @model_validator(mode="after")
    def pairs(self) -> "FitInput":
        if len(self.x) != len(self.y):
            raise ValueError(f"'x' has {len(self.x)} values, but 'y' {len(self.y)}")
        return self


class FitOutput(Output):
    """y = ``slope`` * x + ``intercept``; ``r2`` is 1 for points on the line; ``error`` the mean distance from it.

    Both are of the points held out, where there are some.
    """

    slope: float
    intercept: float
    r2: float
    error: float
    trained: int
    tested: int
    predictions: list[float]


@use_case("stats.fit")
def fit_line(params: FitInput) -> FitOutput:
    """Fit a line to points by least squares, judge it on points held out, and predict further ones."""
    trained = len(params.x) - int(len(params.x) * params.holdout)
    try:
        slope, intercept = statistics.linear_regression(params.x[:trained], params.y[:trained])
    except statistics.StatisticsError as error:
        raise ValueError(f"no line fits: {error}") from None
    tested = len(params.x) - trained
    start = trained if tested else 0
    x, y = params.x[start:], params.y[start:]
    residuals = [actual - (slope * at + intercept) for at, actual in zip(x, y, strict=True)]
    mean = statistics.fmean(y)
    spread = sum((actual - mean) ** 2 for actual in y)
    off = sum(residual**2 for residual in residuals)
    return FitOutput(
        slope=slope,
        intercept=intercept,
        r2=1 - off / spread if spread else float(off == 0),
        error=statistics.fmean(abs(residual) for residual in residuals),
        trained=trained,
        tested=tested,
        predictions=[slope * at + intercept for at in params.predict],
    )


class OutliersInput(Params):
    """``limit`` is how many standard deviations from the mean a value may lie."""

    values: list[float] = Field(max_length=MAX_RECORDS)
    limit: float = Field(3.0, gt=0, le=100)


class Outlier(Output):
    index: int
    value: float
    deviations: float


class OutliersOutput(Output):
    outliers: list[Outlier]
    count: int
    mean: float | None
    std_dev: float | None


@use_case("stats.outliers")
def find_outliers(params: OutliersInput) -> OutliersOutput:
    """Find the values that lie far from the others, in standard deviations from the mean."""
    if not params.values:
        return OutliersOutput(outliers=[], count=0, mean=None, std_dev=None)
    mean, deviation = statistics.fmean(params.values), statistics.pstdev(params.values)
    outliers = [
        Outlier(index=index, value=value, deviations=(value - mean) / deviation)
        for index, value in enumerate(params.values)
        if deviation and abs(value - mean) > params.limit * deviation
    ]
    return OutliersOutput(outliers=outliers, count=len(outliers), mean=mean, std_dev=deviation)
