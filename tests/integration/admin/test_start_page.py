"""Starting runs from the admin: the form of the input schema, its problems at their fields, and who may."""

import re
from html import unescape
from typing import Any

import pytest
from django.test import Client

from executions_app.models import Execution, ExecutionInput
from templates_app.models import Template
from templates_app.services.sharing import share_template
from tests.factories import make_template, make_user, noop, start
from tests.people import People, make_people
from workflow_service.accounts.models import Role, User
from workflow_service.accounts.policies import ShareRight
from workflow_service.accounts.throttles import ExecutionThrottle
from workflow_service.engine.states import TemplateStatus

ADD = "/admin/executions_app/execution/add/"
SCHEMA = {
    "type": "object",
    "required": ["who", "address"],
    "properties": {
        "who": {"type": "string", "title": "Who", "minLength": 2, "description": "<b>whom</b> to greet"},
        "times": {"type": "integer", "default": 2, "maximum": 9},
        "address": {
            "type": "object",
            "required": ["city"],
            "properties": {"city": {"type": "string"}, "floor": {"type": "integer"}},
        },
    },
}
TYPED = {
    "once": "a",
    "input.who": "Ada",
    "input.times": "3",
    "input.address.city": "Linz",
    "priority": "high",
}


@pytest.fixture
def people(transactional_db: None) -> People:
    return make_people()


@pytest.fixture
def operator(people: People) -> User:
    return make_user(people.workspace, Role.OPERATOR, username="olga", is_staff=True)


@pytest.fixture
def template(people: People) -> Template:
    return make_template([noop("greet")], workspace=people.workspace, inputSchema=SCHEMA)


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def of(template: Template, query: str = "") -> str:
    return f"{ADD}?template={template.public_id}{query}"


def words(response: Any) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", response.content.decode())).split())


def test_a_run_starts_with_what_the_form_says(operator: User, template: Template) -> None:
    client = signed_in(operator)
    page = client.get(of(template))
    assert "<b>whom</b>" not in page.content.decode()
    assert 'value="2"' in page.content.decode()
    assert not Execution.objects.exists(), "looking starts nothing"
    done = client.post(of(template), TYPED)
    execution = Execution.objects.select_related("given").get()
    assert done["Location"] == f"/admin/executions_app/execution/{execution.pk}/change/"
    assert execution.given.input == {"who": "Ada", "times": 3, "address": {"city": "Linz"}}
    assert (execution.priority, execution.created_by) == ("high", operator)
    client.post(of(template), TYPED)
    assert Execution.objects.count() == 1, "a form that is sent twice starts one run"
    client.post(of(template), TYPED | {"input.who": "Bob"})
    assert Execution.objects.count() == 2


def test_problems_stand_at_their_fields_and_what_was_typed_stays(operator: User, template: Template) -> None:
    typed = {"input.who": "A", "input.times": "many", "input.address.floor": "3", "minutes": "soon"}
    refused = signed_in(operator).post(of(template), typed)
    assert refused.status_code == 200
    page = refused.content.decode()

    def said_at(name: str) -> str:
        field = re.search(rf'id="{re.escape(name)}_(?:help|error)">(.*?)</', page, flags=re.S)
        assert field is not None, name
        return field[1]

    assert "wf-problem" in said_at("id_input.times")
    assert "must be a number of minutes" in page.split('id="id_minutes_error"')[1][:80].lower()
    for kept in ('value="A"', 'value="many"', 'value="3"', 'value="soon"'):
        assert kept in page
    fits = {"input.who": "A", "input.times": "12", "input.address.floor": "3"}
    page = signed_in(operator).post(of(template), fits).content.decode()
    assert "too short" in said_at("id_input.who")
    assert "greater than the maximum of 9" in said_at("id_input.times")
    assert "Is needed." in said_at("id_input.address.city")
    assert not Execution.objects.exists()
    for odd in ({"input.who": "a\x00b"}, {"input.times": "9" * 400}):
        assert signed_in(operator).post(of(template), TYPED | odd).status_code == 200
    assert not Execution.objects.exists()


def test_without_a_schema_the_input_is_one_text(people: People, operator: User) -> None:
    template = make_template([noop("one")], workspace=people.workspace)
    client = signed_in(operator)
    page = client.get(of(template)).content.decode()
    assert 'name="input"' in page
    assert "Write the input as JSON" not in page
    refused = client.post(of(template), {"input": '{"a": '})
    assert "{&quot;a&quot;: " in refused.content.decode()
    assert "Not started" in words(refused)
    assert client.post(of(template), {"input": '{"a": [1, {"b": null}]}'}).status_code == 302
    assert ExecutionInput.objects.get().input == {"a": [1, {"b": None}]}


def test_a_run_is_run_again_with_its_input_changed(operator: User, template: Template) -> None:
    given = {"who": "Ada", "more": [1], "address": {"city": "Linz", "lift": True}}
    first = start(template, given, priority="low", enableAutoRecovery=True)
    client = signed_in(operator)
    again = f"{ADD}?again={first.public_id}"
    page = client.get(again).content.decode()
    assert 'value="Ada"' in page
    assert f"{first.public_id}</a> was" in page
    assert "Run again…" in words(client.get(f"/admin/executions_app/execution/{first.pk}/change/"))
    typed = {"input.who": "Eve", "input.address.city": "Linz", "priority": "low", "recovery": "true"}
    assert client.post(again, typed).status_code == 302
    second = Execution.objects.select_related("given").exclude(pk=first.pk).get()
    assert second.given.input == given | {"who": "Eve"}
    assert second.given.options == {"priority": "low", "enableAutoRecovery": True}
    as_json = client.get(f"{again}&json=yes").content.decode()
    assert "&quot;lift&quot;: true" in as_json


def test_who_may_not_start_a_template_does_not(people: People, template: Template) -> None:
    page = signed_in(people.alice).get(of(template))
    assert "You may look at this template, and not start it." in words(page)
    denied = signed_in(people.alice).post(of(template), TYPED)
    assert "has no permission" in words(denied) or "not start it" in words(denied)
    for name in (template.public_id, str(template.pk), "nothing", "%00"):
        assert signed_in(people.stranger).get(f"{ADD}?template={name}").status_code == 404
    run = start(template, {"who": "Ada", "address": {"city": "Linz"}})
    assert signed_in(people.stranger).get(f"{ADD}?again={run.public_id}").status_code == 404
    assert Client().get(of(template)).status_code == 302
    assert Client(enforce_csrf_checks=True).post(of(template), TYPED).status_code in (302, 403)
    csrf = Client(enforce_csrf_checks=True)
    csrf.force_login(people.admin)
    assert csrf.post(of(template), TYPED).status_code == 403
    assert Execution.objects.count() == 1


def test_whom_a_template_is_shared_with_may_start_it(people: People, template: Template) -> None:
    assert "There is no template that you may start." in words(signed_in(people.alice).get(ADD))
    share_template(template=template, actor=template.owner, grantee="user:alice", rights=[ShareRight.EXECUTE])
    assert template.name in words(signed_in(people.alice).get(ADD))
    assert signed_in(people.alice).post(of(template), TYPED).status_code == 302
    assert Execution.objects.get().created_by == people.alice


def test_the_templates_that_may_be_started_are_offered(
    people: People, operator: User, template: Template
) -> None:
    other = make_template([noop("one")], workspace=people.workspace)
    foreign = make_template([noop("one")], workspace=people.stranger.workspaces.get())
    Template.objects.filter(pk=other.pk).update(status=TemplateStatus.ARCHIVED)
    shown = words(signed_in(operator).get(ADD))
    assert template.name in shown
    assert other.name not in shown
    assert foreign.name not in shown
    assert "No template that you may start fits." in words(signed_in(operator).get(f"{ADD}?q=zebra%00"))
    archived = words(signed_in(operator).get(of(other)))
    assert "It cannot be started" in archived
    refused = signed_in(operator).post(of(other), {"input": "{}"})
    assert refused.status_code == 200
    assert not Execution.objects.exists()
    page = words(signed_in(operator).get(f"/admin/templates_app/template/{template.pk}/change/"))
    assert "Start…" in page
    page = words(signed_in(people.alice).get(f"/admin/templates_app/template/{template.pk}/change/"))
    assert "Start…" not in page


def test_starts_from_the_admin_count_as_those_of_the_api(
    operator: User, template: Template, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ExecutionThrottle, "allow_request", lambda self, request, view: False)
    refused = signed_in(operator).post(of(template), TYPED)
    assert "as many runs as one may in an hour" in words(refused)
    assert 'value="Ada"' in refused.content.decode()


@pytest.mark.parametrize(
    "schema",
    [{"$ref": "http://127.0.0.1:1/schema"}, {"$ref": "#/$defs/nowhere"}, {"$ref": "#"}],
    ids=["elsewhere", "nowhere", "itself"],
)
def test_a_schema_that_cannot_be_used_is_said_and_nothing_is_fetched(
    people: People, operator: User, schema: Any
) -> None:
    template = make_template([noop("one")], workspace=people.workspace, inputSchema=schema)
    refused = signed_in(operator).post(of(template), {"input": "{}"})
    assert "inputSchema cannot be used" in words(refused)
    assert not Execution.objects.exists()
