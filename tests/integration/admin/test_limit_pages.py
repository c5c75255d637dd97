"""The admin page of concurrency limits: who may set them where, and that they hold at once."""

import pytest
from django.test import Client

from executions_app.models import AgentSlot, ConcurrencyLimit, Execution
from tests.driver import run_until_quiet
from tests.factories import make_template, make_user, noop, start
from tests.people import People, make_people
from workflow_service.accounts.models import Role, User, Workspace

LIST = "/admin/executions_app/concurrencylimit/"


@pytest.fixture
def people(transactional_db: None) -> People:
    return make_people()


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def operator(workspace: Workspace) -> User:
    return make_user(workspace, Role.OPERATOR, username="olga", is_staff=True)


def post(client: Client, path: str, **fields: object) -> int:
    return client.post(path, fields).status_code


def test_an_operator_sets_changes_and_takes_away_a_limit(people: People) -> None:
    client = signed_in(operator(people.workspace))
    fields = {"workspace": people.workspace.pk, "kind": "agent", "key": "crm", "max_concurrency": 2}
    assert post(client, f"{LIST}add/", **fields) == 302
    limit = ConcurrencyLimit.objects.get()
    assert AgentSlot.objects.filter(limit=limit).count() == 2
    assert b"crm" in client.get(LIST).content

    assert post(client, f"{LIST}{limit.pk}/change/", key="erp", max_concurrency=3) == 302
    limit.refresh_from_db()
    assert (limit.key, limit.max_concurrency) == ("crm", 3)

    assert post(client, f"{LIST}{limit.pk}/delete/", post="yes") == 302
    assert not ConcurrencyLimit.objects.exists()


def test_a_limit_of_a_template_that_is_raised_lets_runs_begin(people: People) -> None:
    template = make_template([noop("only")], workspace=people.workspace)
    client = signed_in(operator(people.workspace))
    fields = {"workspace": people.workspace.pk, "kind": "template", "key": template.public_id}
    assert post(client, f"{LIST}add/", **fields, max_concurrency=1) == 302
    first, second = start(template), start(template)
    assert Execution.objects.get(pk=second.pk).held_back
    assert client.get(f"/admin/executions_app/execution/{second.pk}/change/").status_code == 200
    limit = ConcurrencyLimit.objects.get()
    assert post(client, f"{LIST}{limit.pk}/change/", max_concurrency=2) == 302
    assert not Execution.objects.get(pk=second.pk).held_back
    assert run_until_quiet(first).status == run_until_quiet(second).status == "COMPLETED"


def test_a_limit_that_would_hold_nothing_is_refused(people: People) -> None:
    client = signed_in(operator(people.workspace))
    fields = {"workspace": people.workspace.pk, "kind": "template", "key": "tpl_none", "max_concurrency": 1}
    answer = client.post(f"{LIST}add/", fields)
    assert b"has no template" in answer.content
    assert post(client, f"{LIST}add/", **{**fields, "kind": "agent", "max_concurrency": 0}) == 200
    assert not ConcurrencyLimit.objects.exists()


def test_nobody_sets_limits_who_does_not_control_runs(people: People) -> None:
    limit = ConcurrencyLimit.objects.create(
        workspace=people.workspace, kind="agent", key="crm", max_concurrency=1
    )
    for user in (people.alice, people.developer):
        client = signed_in(user)
        assert client.get(f"{LIST}add/").status_code == 403
        assert post(client, f"{LIST}{limit.pk}/change/", max_concurrency=9) == 403
    stranger = signed_in(people.stranger)
    assert b"crm" not in stranger.get(LIST).content
    fields = {"workspace": people.workspace.pk, "kind": "agent", "key": "erp", "max_concurrency": 1}
    assert post(stranger, f"{LIST}add/", **fields) == 200
    assert ConcurrencyLimit.objects.count() == 1
