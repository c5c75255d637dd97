"""Predictions of runs that go on: fitted beside the sweeper, shown where they are worth something, and only there."""

import random
from dataclasses import asdict
from datetime import timedelta

import pytest

from executions_app.digest import digest_ended_runs
from executions_app.models import Execution
from tests.copied_runs import Past, copy_run
from tests.driver import run_until_quiet
from tests.factories import make_template, noop, start
from workflow_service.anomalies.features import NAMES
from workflow_service.anomalies.fitting import fit_template, fit_what_is_due
from workflow_service.anomalies.judging import LEAST_SINCE
from workflow_service.anomalies.logistic import Model
from workflow_service.anomalies.models import FailurePredictor, Observation
from workflow_service.anomalies.prediction import Unknown, predict

pytestmark = pytest.mark.usefixtures("db")


def outages(chance: random.Random, runs: int) -> list[Past]:
    """Return runs that fail mostly in bad times, which last."""
    bad, pasts = False, []
    for number in range(runs):
        bad = chance.random() < (0.92 if bad else 0.05)
        failed = chance.random() < (0.9 if bad else 0.05)
        took = round(5_000 * chance.lognormvariate(0, 0.1))
        pasts.append(Past(took, timedelta(hours=runs - number), failed))
    return pasts


def past_with_outages(runs: int) -> Execution:
    """Return a completed run of a template with so many others in its past, of which some failed."""
    run = run_until_quiet(start(make_template([noop("load"), noop("check", dependencies=["load"])])))
    digest_ended_runs(500)
    copy_run(run, outages(random.Random(21), runs), failing_block="check")
    digest_ended_runs(500)
    return run


def test_where_past_runs_tell_something_the_risk_is_told() -> None:
    original = past_with_outages(480)
    assert FailurePredictor.objects.get(template=original.template).unfitted >= 25
    while fit_what_is_due():
        pass
    predictor = FailurePredictor.objects.get(template=original.template)
    assert predictor.useful
    assert predictor.brier is not None
    assert predictor.base_brier is not None
    assert predictor.brier < predictor.base_brier
    calm = [Past(5_000)] * 15
    copy_run(original, calm)
    digest_ended_runs(500)
    low = predict(start(original.template)).risk
    copy_run(original, [Past(5_000, failed=True)] * 15, failing_block="check")
    digest_ended_runs(500)
    bad = predict(start(original.template))
    assert low is not None
    assert bad.risk is not None
    assert low < 0.3 < 0.5 < bad.risk
    assert bad.factors


def test_a_run_that_has_ended_or_has_no_past_is_not_predicted() -> None:
    assert predict(past_with_outages(5)).unknown is Unknown.ENDED
    fresh = start(make_template([noop("a")]))
    assert predict(fresh).unknown is Unknown.TOO_FEW_RUNS


def test_a_predictor_that_is_no_better_than_the_base_rate_is_not_used() -> None:
    run, chance = run_until_quiet(start(make_template([noop("load")]))), random.Random(22)
    digest_ended_runs(500)
    pasts = [Past(5_000, timedelta(hours=400 - hour), chance.random() < 0.2) for hour in range(300)]
    copy_run(run, pasts, failing_block="load")
    digest_ended_runs(500)
    fit_template(run.template_id)
    predictor = FailurePredictor.objects.get(template=run.template)
    assert predictor.judged_on > 0
    assert not predictor.useful
    prediction = predict(start(run.template))
    assert (prediction.risk, prediction.unknown) == (None, Unknown.NO_BETTER_THAN_BASE_RATE)


def test_a_predictor_that_the_runs_since_speak_against_is_dropped_at_once() -> None:
    original = past_with_outages(160)
    predictor = FailurePredictor.objects.filter(template=original.template)
    # It was judged to be of worth, and now foresees the failure of every run.
    wrong = Model([0.0] * len(NAMES), [1.0] * len(NAMES), 4.0, [0.0] * len(NAMES))
    predictor.update(model=asdict(wrong), useful=True, base_rate=0.3, unfitted=0)
    copy_run(original, [Past(5_000)] * (LEAST_SINCE - 1))
    digest_ended_runs(500)
    assert predict(start(original.template)).risk is not None
    copy_run(original, [Past(5_000)])
    digest_ended_runs(500)
    assert predict(start(original.template)).unknown is Unknown.NO_BETTER_THAN_BASE_RATE
    right = Model([0.0] * len(NAMES), [1.0] * len(NAMES), -4.0, [0.0] * len(NAMES))
    predictor.update(model=asdict(right), useful=True)
    copy_run(original, [Past(5_000)])
    digest_ended_runs(500)
    assert predictor.get().useful


def test_observations_are_kept_of_the_newest_runs_only(monkeypatch: pytest.MonkeyPatch) -> None:
    run = past_with_outages(120)
    kept = Observation.objects.filter(template=run.template).order_by("-execution")
    newest = list(kept.values_list("execution", flat=True))[:20]
    assert len(newest) == 20 < kept.count()
    monkeypatch.setattr("workflow_service.anomalies.fitting.RUNS_KEPT", 20)
    fit_template(run.template_id)
    assert list(kept.values_list("execution", flat=True)) == newest
