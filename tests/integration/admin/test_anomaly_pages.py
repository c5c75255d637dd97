"""What was unusual about runs, and what predicts their failure, in the admin: to be read, and not written."""

import pytest
from django.test import Client

from executions_app.models import Execution
from tests.copied_runs import make_predictor
from tests.driver import run_until_quiet
from tests.factories import make_template, noop, start
from tests.people import People, make_people
from workflow_service.accounts.models import User
from workflow_service.anomalies.detection import Finding, Kind
from workflow_service.anomalies.models import Anomaly, BlockHistory, FailurePredictor
from workflow_service.anomalies.prediction import Prediction
from workflow_service.anomalies.telling import Found, record

ANOMALIES = "/admin/anomalies/anomaly/"
PREDICTORS = "/admin/anomalies/failurepredictor/"
FINDINGS = [
    Finding(Kind.DURATION, "a", 95_000, 5_000, 17_000, 1e-7, 120),
    Finding(Kind.ERROR_RATE, "a", 40, 0, 15, 1e-4, 120),
    Finding(Kind.OUTPUT_SIZE, "a", 2, 1_000, 2_000, 1e-4, 120),
    Finding(Kind.PATH, "", 0, 2, 300, 0.003, 300),
]


@pytest.fixture
def people(transactional_db: None) -> People:
    people = make_people()
    run = run_until_quiet(start(make_template([noop("a")], workspace=people.workspace)))
    record([Found(run.pk, FINDINGS)])
    BlockHistory.objects.create(
        version=run.version,
        template=run.template,
        block_id="a",
        durations_ms=[4_000, 6_000, 9_000] * 20,
        updated_at=run.started_at,
    )
    make_predictor(run.template)
    return people


def page(user: User, path: str, status: int = 200) -> str:
    client = Client()
    client.force_login(user)
    response = client.get(path)
    assert response.status_code == status
    return response.content.decode()


def test_members_see_what_was_unusual_in_their_workspace(people: People) -> None:
    listed = page(people.alice, ANOMALIES)
    assert "1 min 35 s" in listed
    assert "5 s to 17 s expected" in listed
    assert "up to 15 % expected" in listed
    assert "1 min 35 s" not in page(people.stranger, ANOMALIES)
    for anomaly in Anomaly.objects.all():
        shown = page(people.alice, f"{ANOMALIES}{anomaly.pk}/change/")
        assert ("wf-strip" in shown) == (anomaly.kind == "duration")
        page(people.stranger, f"{ANOMALIES}{anomaly.pk}/change/", 302)


def test_the_run_says_so_on_its_page(people: People) -> None:
    run = Execution.objects.get()
    shown = page(people.alice, f"/admin/executions_app/execution/{run.pk}/change/")
    assert "Unusual about this run" in shown
    assert "Block &#x27;a&#x27; took 1 min 35 s" in shown
    assert "likely to fail" not in shown


def test_a_run_that_goes_on_shows_its_risk(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    run = start(Execution.objects.get().template)
    path = f"/admin/executions_app/execution/{run.pk}/change/"
    assert "likely to fail" not in page(people.alice, path)
    predictor = FailurePredictor.objects.get()
    told = Prediction(0.83, None, predictor)
    monkeypatch.setattr("workflow_service.anomalies.page_part.predict", lambda execution: told)
    shown = page(people.alice, path)
    assert "83 % likely to fail" in shown
    assert "20 % of the runs" in shown


def test_a_predictor_shows_what_it_is_worth(people: People) -> None:
    predictor = FailurePredictor.objects.get()
    path = f"{PREDICTORS}{predictor.pk}/change/"
    shown = page(people.alice, path)
    assert "Predictions are shown" in shown
    assert "0.1200" in shown
    assert "25 %" in shown
    FailurePredictor.objects.update(useful=False)
    assert "No predictions are shown" in page(people.alice, path)
    FailurePredictor.objects.update(model=None)
    assert "Not known yet" in page(people.alice, path)
    page(people.stranger, path, 302)


def test_nobody_writes_them(people: People) -> None:
    anomaly = Anomaly.objects.filter(kind="duration").get()
    client = Client()
    client.force_login(people.admin)
    for path in (f"{ANOMALIES}{anomaly.pk}", f"{PREDICTORS}{FailurePredictor.objects.get().pk}"):
        assert client.post(f"{path}/change/", {"score": 1}).status_code == 405
        assert client.get(f"{path}/delete/").status_code == 403
