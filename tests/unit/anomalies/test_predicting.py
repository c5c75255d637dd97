"""Predictions beat the base rate on later runs where there is something to predict by, and are not shown elsewhere."""

import random

import pytest

from workflow_service.anomalies.facts import BlockFacts, RunFacts
from workflow_service.anomalies.features import NAMES, features_at, is_judgeable, observe
from workflow_service.anomalies.history import Histories, learn
from workflow_service.anomalies.judging import ObservedRun, fit_and_judge
from workflow_service.anomalies.logistic import brier, fit

STEPS = ("fetch", "check", "store")


def run_of(chance: random.Random, *, fails: bool, recoveries: int) -> tuple[RunFacts, int]:
    """Return a run of three steps, the last of which is the one to fail, and the milliseconds that it took."""
    blocks, at = {}, 0
    for step in STEPS:
        took = round(2_000 * chance.lognormvariate(0, 0.2))
        failed = fails and step == STEPS[-1]
        blocks[step] = BlockFacts(at, at + took, None if failed else took, None, failed)
        at += took
    moments = sorted(chance.randrange(2_000) for _ in range(recoveries))
    return RunFacts(blocks, None if fails else at, None, moments, fails), at


def observed_history(seed: int, runs: int, *, signal: bool) -> list[ObservedRun]:
    """Return runs as they are observed: with ``signal`` there are bad times, in which steps are retried and fail."""
    chance, histories, bad = random.Random(seed), Histories(), False
    observed = []
    for _ in range(runs):
        bad = signal and (chance.random() < (0.9 if bad else 0.04))
        fails = chance.random() < (0.8 if bad else 0.1)
        recoveries = chance.randrange(1, 4) if bad and chance.random() < 0.7 else 0
        run, took = run_of(chance, fails=fails, recoveries=recoveries)
        if is_judgeable(histories):
            observed.append(ObservedRun(observe(run, took, histories), fails))
        learn(histories, run)
    return observed


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_where_there_is_signal_the_brier_score_beats_the_base_rates_on_later_runs(seed: int) -> None:
    judged = fit_and_judge(observed_history(seed, 540, signal=True))
    assert judged is not None
    assert judged.useful
    assert judged.brier < 0.9 * judged.base_brier, (judged.brier, judged.base_brier)


def test_where_there_is_none_no_prediction_is_used() -> None:
    found = [fit_and_judge(observed_history(seed, 400, signal=False)) for seed in range(4)]
    assert [judged.useful for judged in found if judged] == [False] * 4
    # It is no better, and hardly worse: what there is not is not made up.
    assert all(judged.brier < 1.1 * judged.base_brier for judged in found if judged)


def test_predictions_come_true_as_often_as_they_say() -> None:
    runs = observed_history(7, 900, signal=True)
    judged = fit_and_judge(runs)
    assert judged is not None
    later = runs[judged.fitted_on :]
    pairs = [(judged.model.probability(moment), run.failed) for run in later for moment in run.moments]
    for low, high in ((0, 0.25), (0.5, 1.01)):
        some = [(p, failed) for p, failed in pairs if low <= p < high]
        predicted = sum(p for p, _ in some) / len(some)
        happened = sum(failed for _, failed in some) / len(some)
        assert abs(predicted - happened) < 0.12, (low, predicted, happened, len(some))


@pytest.mark.parametrize(("runs", "failures"), [(50, 20), (200, 3), (200, 200)])
def test_too_few_runs_or_outcomes_are_not_predicted_by(runs: int, failures: int) -> None:
    moments = [[0.0] * len(NAMES)]
    assert fit_and_judge([ObservedRun(moments, number < failures) for number in range(runs)]) is None


def test_what_happens_later_is_not_known() -> None:
    histories = Histories()
    chance = random.Random(9)
    for _ in range(40):
        learn(histories, run_of(chance, fails=False, recoveries=0)[0])
    run, _ = run_of(chance, fails=True, recoveries=0)
    told = dict(zip(NAMES, features_at(run, 1.0, histories), strict=True))
    assert (told["failed"], told["recoveries"]) == (0, 0)
    assert told["ahead"] > 0
    at_end = dict(zip(NAMES, features_at(run, 60_000, histories), strict=True))
    assert at_end["failed"] > 0
    assert at_end["ahead"] == 0
    assert at_end["elapsed"] > 0 > told["elapsed"]


def test_a_regression_finds_the_weights_that_made_its_data() -> None:
    chance = random.Random(10)
    rows = [[chance.gauss(0, 1), chance.gauss(5, 3), 1.0] for _ in range(3_000)]
    outcomes = [chance.random() < 1 / (1 + 2.718281828 ** -(1.5 * row[0] - 1)) for row in rows]
    model = fit(rows, outcomes, [1.0] * len(rows))
    assert model.weights[0] == pytest.approx(1.5, abs=0.2)
    assert model.weights[1] == pytest.approx(0, abs=0.15)
    predicted = [model.probability(row) for row in rows]
    assert sum(predicted) / len(rows) == pytest.approx(sum(outcomes) / len(rows), abs=0.005)
    rate = sum(outcomes) / len(rows)
    assert brier(predicted, outcomes) < rate * (1 - rate)


def test_a_feature_that_tells_the_outcomes_apart_breaks_nothing() -> None:
    rows = [[float(number % 2)] for number in range(400)]
    model = fit(rows, [bool(number % 2) for number in range(400)], [1.0] * 400)
    assert model.probability([1.0]) > 0.9 > 0.1 > model.probability([0.0])
