"""Signals over HTTP: who may send one, and what is answered."""

import pytest

from executions_app.models import Execution, Signal
from executions_app.services import signals
from tests.caller import problem_of
from tests.driver import run_until_quiet
from tests.factories import make_template, start
from tests.house import House
from tests.waiting import wait_block
from workflow_service.accounts.models import Role

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def waiting(house: House) -> Execution:
    return run_until_quiet(start(make_template([wait_block(signal="paid")], workspace=house.workspace)))


def path(execution: Execution, name: str = "paid") -> str:
    return f"executions/{execution.public_id}/signals/{name}"


def test_a_signal_is_taken_with_202(house: House, waiting: Execution) -> None:
    operator = house.caller(Role.OPERATOR)
    headers = {"Idempotency-Key": "once"}
    answer = operator.post(path(waiting), {"payload": {"sum": [1, None]}}, **headers)
    assert answer.status_code == 202, answer.content
    signal = Signal.objects.get(execution=waiting)
    assert answer.json() == {"signalId": signal.public_id, "delivered": True}
    assert signal.payload == {"sum": [1, None]}
    again = operator.post(path(waiting), {"payload": {"sum": [1, None]}}, **headers)
    assert (again.status_code, again.json()) == (202, answer.json())
    assert again["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in answer
    other = operator.post(path(waiting), {"payload": 2}, **headers)
    problem_of(other, 409, "IDEMPOTENCY_CONFLICT")


def test_signals_are_for_those_who_may_send_them(
    house: House, other_house: House, waiting: Execution
) -> None:
    for role in (Role.DEVELOPER, Role.APPROVER, Role.VIEWER):
        problem_of(house.caller(role).post(path(waiting)), 403, "FORBIDDEN")
    problem_of(other_house.caller(Role.ADMIN).post(path(waiting)), 404, "EXECUTION_NOT_FOUND")
    assert not Signal.objects.exists()
    Execution.objects.filter(pk=waiting.pk).update(created_by=house.developer)
    assert house.caller().post(path(waiting)).status_code == 202


def test_a_run_that_keeps_too_many_signals_is_in_the_way_of_another(
    house: House, waiting: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signals, "MAX_KEPT", 0)
    answer = house.caller(Role.OPERATOR).post(path(waiting, "other"))
    problem_of(answer, 409, "TOO_MANY_SIGNALS")


def test_what_is_wrong_with_a_signal_is_said(house: House, waiting: Execution) -> None:
    admin = house.caller(Role.ADMIN)
    problem_of(admin.post(path(waiting, "no name")), 422, "SIGNAL_REJECTED")
    problem_of(admin.post(path(waiting), {"data": 1}), 422, "INVALID_REQUEST")
    problem_of(admin.post(path(waiting), [1]), 400, "BODY_NOT_AN_OBJECT")
    problem_of(admin.post(path(waiting), {"payload": "x" * 300_000}), 422, "SIGNAL_REJECTED")
    assert admin.post(path(waiting)).status_code == 202
    run_until_quiet(waiting)
    problem_of(admin.post(path(waiting)), 409, "EXECUTION_ENDED")
