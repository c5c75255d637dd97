"""Anomalies and predictions over HTTP: those of one's workspace, filtered and paged; documents and metrics say so."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from executions_app.models import Execution
from tests.caller import Caller, problem_of
from tests.driver import run_until_quiet
from tests.factories import make_template, noop, start
from tests.house import House, make_house
from workflow_service.accounts.models import Role
from workflow_service.anomalies.detection import Finding, Kind
from workflow_service.anomalies.telling import Found, record
from workflow_service.operations.metrics import render_metrics

SLOW = Finding(Kind.DURATION, "a", 60_000, 100, 900, 1e-7, 120)
RARE = Finding(Kind.PATH, "", 0, 1, 300, 0.003, 300)


@pytest.fixture
def house(transactional_db: None) -> House:
    return make_house()


def unusual_run(house: House) -> Execution:
    run = run_until_quiet(start(make_template([noop("a")], workspace=house.workspace)))
    record([Found(run.pk, [SLOW, RARE])])
    run.refresh_from_db()
    return run


def test_what_was_unusual_is_listed_with_what_was_expected(house: House) -> None:
    run, viewer = unusual_run(house), house.caller(Role.VIEWER)
    page = viewer.get("/api/v1/anomalies").json()
    assert (page["total"], page["limit"], page["offset"]) == (2, 20, 0)
    slow = next(one for one in page["anomalies"] if one["kind"] == "duration")
    assert slow["executionId"] == run.public_id
    assert slow["blockId"] == "a"
    assert (slow["value"], slow["expected"], slow["unit"]) == (60_000, {"low": 100, "high": 900}, "ms")
    assert slow["score"] == 7
    assert (
        slow["explanation"] == "Block 'a' took 1 min; 100 ms to 900 ms is to be expected, judged by 120 runs."
    )
    rare = next(one for one in page["anomalies"] if one["kind"] == "path")
    assert rare["blockId"] is None
    for query, total in (
        (f"executionId={run.public_id}", 2),
        (f"templateId={run.template.public_id}&kind=path", 1),
        ("executionId=exec_none", 0),
        ("kind=output_size", 0),
    ):
        assert viewer.get(f"/api/v1/anomalies?{query}").json()["total"] == total
    assert len(viewer.get("/api/v1/anomalies?limit=1&offset=1").json()["anomalies"]) == 1
    assert viewer.get("/api/v1/anomalies?kind=mood").status_code == 400


def test_the_run_says_so_in_both_documents_and_the_metrics_count_it(house: House) -> None:
    run, viewer = unusual_run(house), house.caller(Role.VIEWER)
    as_a = viewer.get(f"/api/v1/executions/{run.public_id}?view=a").json()
    as_b = viewer.get(f"/api/v1/executions/{run.public_id}?view=b").json()
    assert (as_a["anomalyDetected"], as_b["anomaly_detected"]) == (True, True)
    assert (as_a["failureRisk"], as_b["failure_risk"]) == (None, None)
    families = text_string_to_metric_families(render_metrics().decode())
    found = {
        sample.labels["kind"]: sample.value
        for family in families
        for sample in family.samples
        if sample.name == "workflow_anomalies_total"
    }
    assert found == {"duration": 1, "error_rate": 0, "output_size": 0, "path": 1}


def test_a_prediction_says_why_there_is_none(house: House) -> None:
    run, viewer = unusual_run(house), house.caller(Role.VIEWER)
    ended = viewer.get(f"/api/v1/executions/{run.public_id}/prediction").json()
    assert (ended["failureRisk"], ended["reasonCode"], ended["predictor"]) == (None, "ENDED", None)
    going = start(run.template)
    fresh = viewer.get(f"/api/v1/executions/{going.public_id}/prediction").json()
    assert (fresh["failureRisk"], fresh["reasonCode"], fresh["factors"]) == (None, "TOO_FEW_RUNS", [])
    assert "Too few runs" in fresh["reason"]


def test_other_workspaces_see_nothing_of_it(house: House) -> None:
    run = unusual_run(house)
    stranger = make_house().caller(Role.ADMIN)
    assert stranger.get("/api/v1/anomalies").json()["total"] == 0
    answer = stranger.get(f"/api/v1/executions/{run.public_id}/prediction")
    problem_of(answer, 404, "EXECUTION_NOT_FOUND")
    assert Caller().get("/api/v1/anomalies").status_code == 401
