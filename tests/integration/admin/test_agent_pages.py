"""The admin pages of agents: who sees and changes what, and what they show."""

from typing import Any

import pytest
from django.test import Client

from executions_app.models import ConcurrencyLimit
from tests.factories import make_agent, make_user
from tests.people import People, make_people
from workflow_service.accounts.models import Role
from workflow_service.agents.breaker import CircuitBreaker, Outcome, breaker_key
from workflow_service.agents.health import record_status
from workflow_service.agents.models import Agent, AgentStatistic
from workflow_service.agents.selection import AgentStatus

LIST = "/admin/agents/agent/"


@pytest.fixture
def people(db: None) -> People:
    return make_people()


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def text(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return answer.content.decode()


def fields(people: People, **changes: Any) -> dict[str, Any]:
    given = {
        "workspace": people.workspace.pk,
        "public_id": "crm",
        "name": "Customers",
        "tool_types": ["API", "SCRIPT"],
        "endpoint": "https://crm.example/agent",
        "configuration": '{"headers": {"x": "1"}}',
        "capabilities": '[{"name": "lead.find"}]',
        "tags": "sales, crm",
        "enabled": "on",
        "rate_per_min": 60,
        "max_concurrency": 3,
    }
    return given | changes


def test_the_list_shows_health_load_and_success(people: People) -> None:
    agent = make_agent(people.workspace, "crm", name="Customers")
    AgentStatistic.objects.create(
        workspace=people.workspace,
        agent_id="crm",
        tries=4,
        succeeded=3,
        average_ms=1_250,
        running=1,
        capacity=2,
    )
    breaker = CircuitBreaker(breaker_key(people.workspace.pk, "crm"))
    for _ in range(5):
        breaker.report(breaker.admit(1), Outcome.FAILURE)
    make_agent(people.stranger.workspaces.get(), "theirs")
    page = text(signed_in(people.developer), LIST)
    for shown in ("Customers", "Healthy", "Breaker open", "75 %", "1.2 s", "1 of 2 at work", "local-api"):
        assert shown in page, shown
    assert "theirs" not in page
    record_status(agent, AgentStatus.UNHEALTHY, "it burns")
    page = text(signed_in(people.developer), f"{LIST}{agent.pk}/change/")
    for shown in ("it burns", "Unhealthy", "How its health changed"):
        assert shown in page, shown


def test_a_developer_registers_an_operator_changes(people: People) -> None:
    developer = signed_in(people.developer)
    answer = developer.post(f"{LIST}add/", fields(people))
    assert answer.status_code == 302, answer.context["errors"]
    agent = Agent.objects.get(public_id="crm")
    assert (agent.runtime, agent.tool_types, agent.tags) == ("endpoint", ["API", "SCRIPT"], ["sales", "crm"])
    assert agent.created_by == people.developer
    assert ConcurrencyLimit.objects.get(key="crm").max_concurrency == 3
    path = f"{LIST}{agent.pk}/change/"
    assert developer.post(path, fields(people, name="Mine")).status_code == 403
    operator = signed_in(make_user(people.workspace, Role.OPERATOR, is_staff=True))
    assert 'value="3"' in text(operator, path)
    changes = fields(people, endpoint="", tool_types=["USE_CASE", "SCRIPT"], max_concurrency="", enabled="")
    assert operator.post(path, changes).status_code == 302
    agent.refresh_from_db()
    assert (agent.runtime, agent.tool_types, agent.enabled) == ("local", ["SCRIPT", "USE_CASE"], False)
    assert not ConcurrencyLimit.objects.exists()
    assert operator.post(f"{LIST}{agent.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not Agent.objects.filter(public_id="crm").exists()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"public_id": "no spaces"}, "public_id"),
        ({"public_id": "discover"}, "public_id"),
        ({"tool_types": []}, "tool_types"),
        ({"endpoint": "file:///etc/passwd"}, "endpoint"),
        ({"configuration": "[]x"}, "configuration"),
        ({"configuration": "[1]"}, "configuration"),
        ({"capabilities": '["x"]'}, "capabilities"),
        ({"rate_per_min": "", "rate_burst": 3}, "rate_per_min"),
        ({"workspace": ""}, "workspace"),
    ],
)
def test_what_is_no_agent_is_refused_at_its_field(
    people: People, changes: dict[str, Any], field: str
) -> None:
    answer = signed_in(people.developer).post(f"{LIST}add/", fields(people, **changes))
    assert answer.status_code == 200
    assert field in answer.context["adminform"].form.errors
    assert not Agent.objects.filter(workspace=people.workspace).exists()


def test_agents_of_all_workspaces_are_shown_and_not_changed(people: People) -> None:
    client = signed_in(people.admin)
    text(client, LIST)
    agent = Agent.objects.get(public_id="local-api")
    path = f"{LIST}{agent.pk}/change/"
    assert "http.request" in text(client, path)
    assert client.post(path, fields(people)).status_code == 403
    assert client.post(f"{LIST}{agent.pk}/delete/", {"post": "yes"}).status_code == 403


def test_checking_now(people: People) -> None:
    agent = make_agent(people.workspace, "odd", tool_types=["MAGIC"])
    path = f"{LIST}{agent.pk}/check/"
    assert signed_in(people.alice).post(path).status_code == 403
    developer = signed_in(people.developer)
    assert developer.get(path).status_code == 405
    assert developer.post(path).status_code == 302
    assert "Odd is unhealthy" in text(developer, f"{LIST}{agent.pk}/change/")
    assert signed_in(people.stranger).post(path).status_code == 404
