"""What was done about failures, as operators look it up: theirs to read, nobody's to write."""

import pytest
from django.test import Client

from executions_app.models import RecoveryAction, RecoveryStatistic
from tests.driver import run_until_quiet
from tests.factories import make_template, start
from tests.failing_work import new_key, unsteady_block
from tests.people import People, make_people
from workflow_service.accounts.models import User

ACTIONS = "/admin/executions_app/recoveryaction/"
PATTERNS = "/admin/executions_app/recoverypattern/"
RATES = "/admin/executions_app/recoverystatistic/"


@pytest.fixture
def people(transactional_db: None) -> People:
    people = make_people()
    block = unsteady_block("shaky", new_key(), fields={"optional": True}, fails=9, error="VALIDATION_ERROR")
    run_until_quiet(start(make_template([block], workspace=people.workspace)))
    return people


def page(user: User, path: str) -> str:
    client = Client()
    client.force_login(user)
    response = client.get(path)
    assert response.status_code == 200
    return response.content.decode()


def test_members_read_the_actions_and_the_rates_of_their_workspace(people: People) -> None:
    assert "the block may be done without" in page(people.alice, ACTIONS)
    # To skip is no try that could work: the page says how often it came to that, and rates nothing.
    assert "came to it 1 time<" in page(people.alice, RATES)
    assert "100 %" not in page(people.alice, RATES)
    assert "the block may be done without" not in page(people.stranger, ACTIONS)
    assert "came to it" not in page(people.stranger, RATES)


def test_a_list_has_a_plain_title_and_dates_as_elsewhere(people: People) -> None:
    listed = page(people.alice, PATTERNS)
    assert "<h1>Recovery patterns</h1>" in listed
    assert "to view" not in listed
    assert "<time datetime" in listed


def test_nobody_writes_them(people: People) -> None:
    action = RecoveryAction.objects.get()
    rate = RecoveryStatistic.objects.get()
    for path in (f"{ACTIONS}{action.pk}/change/", f"{RATES}{rate.pk}/change/"):
        assert "_save" not in page(people.admin, path)
        client = Client()
        client.force_login(people.admin)
        assert client.post(path, {"outcome": "failed"}).status_code == 403
        assert client.get(path.replace("change", "delete")).status_code == 403
