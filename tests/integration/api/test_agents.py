"""Agents over HTTP."""

from typing import Any

import pytest

from executions_app.models import ConcurrencyLimit
from tests.caller import Caller, problem_of
from tests.factories import make_agent
from tests.house import House, make_house
from workflow_service.accounts.models import Role
from workflow_service.agents.breaker import CircuitBreaker, Outcome, breaker_key
from workflow_service.agents.catalog import forget_agents
from workflow_service.agents.models import Agent, AgentStatistic

READER = {
    "agentId": "invoice-reader",
    "name": "Reads invoices",
    "toolTypes": ["API", "SCRIPT"],
    "capabilities": [{"name": "invoice.read", "inputSchema": {"type": "object"}}],
    "endpoint": "https://agents.example/reader",
    "configuration": {"headers": {"x_key": 1}},
    "tags": ["finance"],
    "maxConcurrency": 4,
    "heartbeatTtl": 60_000,
    "rateLimit": {"perMinute": 120},
}


@pytest.fixture
def house(db: None) -> House:
    return make_house()


@pytest.fixture
def other_house(db: None) -> House:
    return make_house()


@pytest.fixture
def developer(house: House) -> Caller:
    return house.caller()


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [agent["agentId"] for agent in answer.json()["agents"]]


def test_an_agent_is_registered_read_changed_and_deleted(house: House, developer: Caller) -> None:
    answer = developer.post("agents", READER)
    assert answer.status_code == 201, answer.content
    assert answer["Location"] == "/api/v1/agents/invoice-reader"
    shown = developer.get("agents/invoice-reader").json()
    told = {name: shown[name] for name in READER if name not in ("capabilities", "rateLimit")}
    assert told == {name: value for name, value in READER.items() if name in told}
    assert shown["rateLimit"] == {"perMinute": 120, "burst": None}
    assert (shown["status"], shown["runtime"], shown["builtIn"]) == ("UNKNOWN", "endpoint", False)
    assert (shown["successRate"], shown["load"], shown["circuitBreaker"]) == (None, 0.0, "closed")
    assert shown["capabilities"][0]["inputSchema"] == {"type": "object"}
    limit = ConcurrencyLimit.objects.get(workspace=house.workspace)
    assert (limit.kind, limit.key, limit.max_concurrency) == ("agent", "invoice-reader", 4)

    change = {
        "maxConcurrency": None,
        "enabled": False,
        "rateLimit": None,
        "endpoint": "",
        "heartbeatTtl": None,
    }
    changed = developer.patch("agents/invoice-reader", change).json()
    assert (changed["status"], changed["runtime"], changed["maxConcurrency"]) == ("DISABLED", "local", None)
    assert changed["name"] == "Reads invoices", "what is not named stays"
    assert not ConcurrencyLimit.objects.exists()

    assert developer.delete("agents/invoice-reader").status_code == 204
    problem_of(developer.get("agents/invoice-reader"), 404, "AGENT_NOT_FOUND")


def test_the_list_is_filtered_and_paged(house: House, developer: Caller, other_house: House) -> None:
    make_agent(
        house.workspace, "crm", tool_types=["API"], tags=["sales"], capabilities=[{"name": "lead.find"}]
    )
    make_agent(house.workspace, "off", tool_types=["API"], enabled=False, description="finds a lead too")
    make_agent(other_house.workspace, "theirs")
    assert {"crm", "off", "local-api", "local-script"} <= set(ids(developer.get("agents")))
    assert "theirs" not in ids(developer.get("agents"))
    assert ids(developer.get("agents", {"tag": "sales"})) == ["crm"]
    assert ids(developer.get("agents", {"capability": "LEAD.find"})) == ["crm"]
    assert ids(developer.get("agents", {"status": "DISABLED"})) == ["off"]
    assert ids(developer.get("agents", {"q": "lead"})) == ["off"]
    assert ids(developer.get("agents", {"toolType": "API"})) == ["crm", "local-api", "off"]
    page = developer.get("agents", {"toolType": "API", "limit": 1, "offset": 1}).json()
    assert ([agent["agentId"] for agent in page["agents"]], page["total"]) == (["local-api"], 3)
    problem_of(developer.get("agents", {"toolType": "MAGIC"}), 400, "INVALID_QUERY")


def test_discovery_gives_those_that_can_the_best_first(house: House, developer: Caller) -> None:
    for agent_id, status in {
        "full": "HEALTHY",
        "good": "HEALTHY",
        "ill": "DEGRADED",
        "down": "UNHEALTHY",
    }.items():
        make_agent(
            house.workspace,
            agent_id,
            capabilities=[{"name": "verse", "description": "writes a sonnet"}],
            status=status,
        )
    AgentStatistic.objects.create(workspace=house.workspace, agent_id="full", running=2, capacity=2)
    forget_agents()
    assert ids(developer.get("agents/discover", {"capability": "verse"})) == ["good", "full", "ill"]
    assert ids(developer.get("agents/discover", {"text": "a sonnet, please", "limit": 1})) == ["good"]
    assert ids(developer.get("agents/discover", {"capability": "verse", "toolType": "WAIT"})) == []
    tripped = CircuitBreaker(breaker_key(house.workspace.pk, "good"))
    for _ in range(5):
        tripped.report(tripped.admit(1), Outcome.FAILURE)
    forget_agents()
    assert ids(developer.get("agents/discover", {"capability": "verse"})) == ["full", "ill"]
    assert developer.get("agents/good").json()["circuitBreaker"] == "open"


def test_heartbeats_and_checks(house: House, developer: Caller) -> None:
    developer.post("agents", READER)
    answer = developer.post("agents/invoice-reader/heartbeat", {"status": "DEGRADED", "message": "slow disk"})
    assert answer.status_code == 200, answer.content
    beat = answer.json()
    assert (beat["status"], beat["statusMessage"]) == ("DEGRADED", "slow disk")
    assert beat["nextHeartbeatBefore"] > beat["heartbeatAt"]
    assert developer.post("agents/invoice-reader/heartbeat").json()["status"] == "HEALTHY"
    history = developer.get("agents/invoice-reader").json()["history"]
    assert [(one["oldStatus"], one["newStatus"]) for one in history] == [
        ("DEGRADED", "HEALTHY"),
        ("UNKNOWN", "DEGRADED"),
    ]
    make_agent(house.workspace, "local", status="UNKNOWN", tool_types=["NOOP"])
    assert developer.get("agents/local/health").json()["status"] == "UNKNOWN"
    assert developer.post("agents/local/health").json()["status"] == "HEALTHY"
    problem_of(
        developer.post("agents/invoice-reader/heartbeat", {"status": "DISABLED"}), 422, "INVALID_REQUEST"
    )


@pytest.mark.parametrize(
    ("changes", "code", "pointer"),
    [
        ({"agentId": "discover"}, "INVALID_AGENT", None),
        ({"agentId": "no spaces"}, "INVALID_REQUEST", "/agentId"),
        ({"agentId": "../up"}, "INVALID_REQUEST", "/agentId"),
        ({"agentId": "x" * 101}, "INVALID_REQUEST", "/agentId"),
        ({"toolTypes": []}, "INVALID_REQUEST", "/toolTypes"),
        ({"toolTypes": ["MAGIC"]}, "INVALID_REQUEST", "/toolTypes/0"),
        ({"endpoint": "ftp://agents.example"}, "INVALID_AGENT", "/endpoint"),
        ({"endpoint": "https://user:pass@agents.example"}, "INVALID_AGENT", "/endpoint"),
        ({"endpoint": "https://0x7f.1"}, "INVALID_AGENT", "/endpoint"),
        ({"endpoint": "https://agents.example/?key=1"}, "INVALID_AGENT", "/endpoint"),
        ({"endpoint": "https://agents.example/#"}, "INVALID_AGENT", "/endpoint"),
        ({"capabilities": ["verse"]}, "INVALID_REQUEST", "/capabilities/0"),
        ({"capabilities": [{"inputSchema": []}]}, "INVALID_REQUEST", "/capabilities/0/name"),
        ({"configuration": 1}, "INVALID_REQUEST", "/configuration"),
        ({"rateLimit": {"perMinute": 0}}, "INVALID_REQUEST", "/rateLimit/perMinute"),
        ({"maxConcurrency": 0}, "INVALID_REQUEST", "/maxConcurrency"),
        ({"maxConcurency": 3}, "INVALID_REQUEST", "/maxConcurency"),
    ],
)
def test_what_is_no_agent_is_refused_with_its_place(
    developer: Caller, changes: dict[str, Any], code: str, pointer: str | None
) -> None:
    problem = problem_of(developer.post("agents", READER | changes), 422, code)
    if pointer:
        assert pointer in [error["pointer"] for error in problem["errors"]]
    assert not Agent.objects.filter(workspace__isnull=False).exists()


def test_an_id_is_given_once_in_a_workspace(house: House, other_house: House, developer: Caller) -> None:
    assert developer.post("agents", READER).status_code == 201
    problem_of(developer.post("agents", READER), 409, "AGENT_EXISTS")
    assert other_house.caller().post("agents", READER).status_code == 201
    assert developer.post("agents", READER | {"agentId": "local-api"}).status_code == 201
    assert developer.get("agents/local-api").json()["builtIn"] is False


def test_built_in_agents_are_changed_by_nobody(house: House) -> None:
    admin = house.caller(Role.ADMIN)
    for answer in (
        admin.patch("agents/local-api", {"enabled": False}),
        admin.delete("agents/local-api"),
        admin.post("agents/local-api/heartbeat"),
    ):
        problem_of(answer, 409, "AGENT_BUILT_IN")


def test_who_may(house: House, other_house: House) -> None:
    agent = make_agent(house.workspace, "crm", created_by=house.members[Role.ADMIN])
    for role in Role:
        call = house.caller(role)
        assert call.get("agents/crm").status_code == 200
        may = role in (Role.ADMIN, Role.OPERATOR, Role.DEVELOPER)
        assert call.post("agents", READER | {"agentId": f"of-{role}"}).status_code == (201 if may else 403)
        assert call.post("agents/crm/heartbeat").status_code == (200 if may else 403)
        manages = role in (Role.ADMIN, Role.OPERATOR)
        assert call.patch("agents/crm", {"name": "x"}).status_code == (200 if manages else 403)
    own = house.caller(Role.DEVELOPER)
    assert own.patch(f"agents/of-{Role.DEVELOPER}", {"name": "mine"}).status_code == 200
    stranger = other_house.caller(Role.ADMIN)
    for answer in (
        stranger.get("agents/crm"),
        stranger.patch("agents/crm", {}),
        stranger.delete("agents/crm"),
        stranger.post("agents/crm/heartbeat"),
        stranger.get("agents/crm/health"),
    ):
        problem_of(answer, 404, "AGENT_NOT_FOUND")
    agent.refresh_from_db()
    assert agent.name == "x"
