"""Experiments simulated run by run, with a look after every one: how often they end, and how soon."""

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from workflow_service.experiments.sequential_test import ArmTotals, compare

# Draws the value of a run: the random numbers, the unit it is of, whether it got the treatment.
Draw = Callable[[random.Random, int, bool], float]
# Draws the unit of a run.
DrawUnit = Callable[[random.Random, int], int]


def _own_unit(_: random.Random, number: int) -> int:
    return number


@dataclass
class SimulatedArm:
    """The sums of an arm, kept up with every run."""

    units: dict[int, tuple[int, float]] = field(default_factory=dict)
    sums: list[float] = field(default_factory=lambda: [0.0] * 5)

    def add(self, unit: int, value: float) -> None:
        """Count a run of a unit."""
        n, y = self.units.get(unit, (0, 0.0))
        sums = self.sums
        sums[0] += 1
        sums[1] += value
        sums[2] += 2 * n + 1
        sums[3] += 2 * y * value + value * value
        sums[4] += n * value + y + value
        self.units[unit] = (n + 1, y + value)

    @property
    def totals(self) -> ArmTotals:
        """The sums as the test takes them."""
        return ArmTotals(len(self.units), *self.sums)


@dataclass(frozen=True)
class Scenario:
    """Many experiments of one kind. ``draw_unit``: whose run it is; each is its own unit where none is given."""

    draw: Draw
    runs: int
    is_rate: bool = False
    share: float = 0.5
    alpha: float = 0.05
    min_units: int = 30
    draw_unit: DrawUnit = _own_unit

    def of_runs(self, runs: int) -> "Scenario":
        """Return the same with so many runs."""
        return replace(self, runs=runs)

    def first_rejection(self, seed: int) -> int | None:
        """Return after how many runs the first look finds a difference; None: none of all looks does."""
        chance = random.Random(seed)
        control, treatment = SimulatedArm(), SimulatedArm()
        is_treated: dict[int, bool] = {}
        for number in range(self.runs):
            unit = self.draw_unit(chance, number)
            treated = is_treated.setdefault(unit, chance.random() < self.share)
            (treatment if treated else control).add(unit, self.draw(chance, unit, treated))
            if min(len(control.units), len(treatment.units)) < self.min_units:
                continue
            found = compare(
                control.totals,
                treatment.totals,
                alpha=self.alpha,
                min_units=self.min_units,
                is_rate=self.is_rate,
            )
            if found is not None and found.p_value <= self.alpha:
                return number + 1
        return None

    def rejections(self, experiments: int) -> list[int]:
        """Return when each of those experiments that found a difference did; seeded, so always the same."""
        found = (self.first_rejection(seed * 7_919 + 1) for seed in range(experiments))
        return [runs for runs in found if runs is not None]


def succeeds(rate: float, gain: float = 0.0) -> Draw:
    """Runs succeed at a rate, treated ones at one that is higher by ``gain``."""
    return lambda chance, unit, treated: float(chance.random() < rate + gain * treated)


def log_duration(ratio: float = 1.0) -> Draw:
    """Durations on a logarithmic scale; treated runs take ``ratio`` times as long."""
    return lambda chance, unit, treated: chance.gauss(8.0, 1.0) + treated * math.log(ratio)


def skewed_cost(chance: random.Random, unit: int, treated: bool) -> float:
    """Four runs of five cost nothing, a few cost a hundred times the median."""
    return math.exp(chance.gauss(0, 1.5)) if chance.random() < 0.2 else 0.0


def of_its_starter(chance: random.Random, unit: int, treated: bool) -> float:
    """Runs of a unit resemble each other more than those of others."""
    return 2 * math.sin(unit * 12.9898) + chance.gauss(0, 0.5)


def a_few_start_most(chance: random.Random, number: int) -> int:
    """A few of 200 units have most of the runs."""
    return int(200 * chance.random() ** 3)


A_A: Mapping[str, Scenario] = {
    "every second run succeeds": Scenario(succeeds(0.5), 2_000, is_rate=True),
    "nine of ten succeed, a tenth is treated": Scenario(succeeds(0.9), 2_000, is_rate=True, share=0.1),
    "durations": Scenario(log_duration(), 2_000),
    "skewed costs, a tenth is treated": Scenario(skewed_cost, 2_000, share=0.1),
    "starters whose runs are alike": Scenario(of_its_starter, 2_000, draw_unit=a_few_start_most),
}
# With an effect, and the number of runs in which half of all experiments are to have found it.
SOON_FOUND: Mapping[str, tuple[Scenario, int]] = {
    "70 % succeed, then 85 %": (Scenario(succeeds(0.7, 0.15), 1_200, is_rate=True), 400),
    "70 % succeed, then 55 %": (Scenario(succeeds(0.7, -0.15), 1_200, is_rate=True), 500),
    "a third faster": (Scenario(log_duration(2 / 3), 1_200), 500),
}
