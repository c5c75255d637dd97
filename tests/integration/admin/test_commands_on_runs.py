"""Pause, resume and cancel on a run's page: by POST alone, for those who may, and kept with who gave them."""

from typing import Any

import pytest
from django.test import Client

from approvals_app.models import Approval
from executions_app.models import Execution, ExecutionEvent
from tests.consistency import assert_consistent
from tests.driver import run_until_quiet
from tests.factories import make_template, make_user, noop, start
from tests.people import People, make_people, run_asking
from workflow_service.accounts.models import Role, User


@pytest.fixture
def people(transactional_db: None) -> People:
    return make_people()


@pytest.fixture
def operator(people: People) -> User:
    return make_user(people.workspace, Role.OPERATOR, username="olga", is_staff=True)


def signed_in(user: User, *, csrf: bool = False) -> Client:
    client = Client(enforce_csrf_checks=csrf)
    client.force_login(user)
    return client


def page_of(execution: Execution) -> str:
    return f"/admin/executions_app/execution/{execution.pk}/change/"


def command(user: User, execution: Execution, name: str, **form: str) -> Any:
    path = f"/admin/executions_app/execution/{execution.pk}/command/"
    return signed_in(user).post(path, {"command": name, **form}, follow=True)


def messages_of(response: Any) -> list[str]:
    return [str(message) for message in response.context["messages"]]


def status_of(execution: Execution) -> str:
    return str(assert_consistent(execution).status)


def test_an_operator_pauses_resumes_and_cancels(people: People, operator: User) -> None:
    execution = run_asking(people)
    assert messages_of(command(operator, execution, "pause")) == ["Paused: nothing more starts."]
    assert status_of(execution) == "PAUSED"
    assert messages_of(command(operator, execution, "pause")) == ["It was paused already."]
    assert messages_of(command(operator, execution, "resume")) == ["Resumed."]
    assert status_of(execution) == "WAITING_FOR_APPROVAL"
    asked = command(operator, execution, "cancel")
    assert "Cancel this execution?" in asked.content.decode()
    assert status_of(execution) == "WAITING_FOR_APPROVAL", "asking is not cancelling"
    done = command(operator, execution, "cancel", confirmed="yes", reason=" wrong file\x00 ")
    assert messages_of(done) == ["Cancelled."]
    assert status_of(execution) == "CANCELLED"
    assert Approval.objects.get(execution=execution).status == "CANCELLED"
    given = ExecutionEvent.objects.filter(execution_id=execution.pk, data__actor="olga").order_by("seq")
    assert [(event.type, event.data.get("reason")) for event in given] == [
        ("execution_paused", None),
        ("execution_resumed", None),
        ("execution_cancelled", "wrong file"),
    ]


def test_a_page_offers_what_would_change_something(people: People, operator: User) -> None:
    def offered(execution: Execution) -> set[str]:
        page = signed_in(operator).get(page_of(execution)).content.decode()
        return {name for name in ("pause", "resume", "cancel") if f'data-command="{name}"' in page} - {
            name
            for name in ("pause", "resume", "cancel")
            if f'data-command="{name}" hidden' in page
            or f'data-command="{name}" class="wf-reject" hidden' in page
        }

    execution = run_asking(people)
    assert offered(execution) == {"pause", "cancel"}
    command(operator, execution, "pause")
    assert offered(execution) == {"resume", "cancel"}
    command(operator, execution, "cancel", confirmed="yes")
    assert offered(execution) == set()
    live = signed_in(operator).get(f"/admin/executions_app/execution/{execution.pk}/live/").content.decode()
    assert 'data-commands="restart"' in live


def test_a_run_that_has_ended_says_so(people: People, operator: User) -> None:
    execution = run_until_quiet(start(make_template([noop("one")], workspace=people.workspace)))
    for name in ("pause", "resume", "cancel"):
        (message,) = messages_of(command(operator, execution, name))
        assert message.endswith("any more."), message
    assert messages_of(command(operator, execution, "restart")) == [
        "The command must be one of pause, resume, cancel."
    ]
    assert status_of(execution) == "COMPLETED"


def test_starters_control_their_own_runs_and_others_none(people: People) -> None:
    execution = run_asking(people)
    for user in (people.alice, people.developer):
        assert 'name="command"' not in signed_in(user).get(page_of(execution)).content.decode()
        for name in ("pause", "cancel"):
            (message,) = messages_of(command(user, execution, name, confirmed="yes"))
            assert "no permission 'execution:control'" in message
    assert status_of(execution) == "WAITING_FOR_APPROVAL"
    Execution.objects.filter(pk=execution.pk).update(created_by=people.developer)
    assert messages_of(command(people.developer, execution, "pause")) == ["Paused: nothing more starts."]


def test_foreign_runs_are_not_found_and_superusers_only_look(people: People) -> None:
    execution = run_asking(people)
    assert command(people.stranger, execution, "cancel", confirmed="yes").status_code == 404
    root = make_user(username="root", is_staff=True, is_superuser=True)
    (message,) = messages_of(command(root, execution, "cancel", confirmed="yes"))
    assert "no permission" in message
    assert status_of(execution) == "WAITING_FOR_APPROVAL"


def test_a_command_wants_post_and_the_csrf_token(people: People, operator: User) -> None:
    execution = run_asking(people)
    path = f"/admin/executions_app/execution/{execution.pk}/command/"
    assert signed_in(operator).get(path, {"command": "pause"}).status_code == 405
    strict = signed_in(operator, csrf=True)
    assert strict.post(path, {"command": "pause"}).status_code == 403
    page = strict.get(page_of(execution))
    token = page.context["csrf_token"]
    assert strict.post(path, {"command": "pause", "csrfmiddlewaretoken": token}).status_code == 302
    assert status_of(execution) == "PAUSED"
    assert Client().post(path, {"command": "pause"}).status_code == 302, "to the sign-in"
