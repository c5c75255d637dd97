"""How agents are: checked, heard of, and discovered."""

from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from tests.factories import make_agent, make_workspace
from tests.misbehaving_server import MisbehavingServer, misbehaving_server
from workflow_service.agents import health, remote, upkeep
from workflow_service.agents.catalog import find_agent
from workflow_service.agents.health import Finding, check_agent, judged, record_heartbeat
from workflow_service.agents.limits import tool_limits
from workflow_service.agents.models import Agent, AgentStatusChange, AgentUpkeep
from workflow_service.agents.selection import AgentStatus
from workflow_service.settings.config import get_config

pytestmark = pytest.mark.usefixtures("db")
S = AgentStatus


@pytest.fixture(scope="module")
def server() -> Iterator[MisbehavingServer]:
    with misbehaving_server() as server:
        yield server


@pytest.fixture(autouse=True)
def open_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = replace(tool_limits(), egress_allow=("127.0.0.1",))
    monkeypatch.setattr(health, "tool_limits", lambda: limits)


def at(server: MisbehavingServer, manner: str) -> Agent:
    return make_agent(make_workspace(), "far", runtime="endpoint", endpoint=server.url(f"/agent/{manner}"))


def service(monkeypatch: pytest.MonkeyPatch, url: str | None) -> None:
    changed = get_config().model_copy(update={"agent_service_url": url})
    monkeypatch.setattr(remote, "get_config", lambda: changed)


@pytest.mark.parametrize(
    ("said", "failed_before", "status", "failed"),
    [
        (S.HEALTHY, 2, S.HEALTHY, 0),
        (S.DEGRADED, 0, S.DEGRADED, 0),
        (S.UNHEALTHY, 0, S.UNHEALTHY, 0),
        (None, 0, S.DEGRADED, 1),
        (None, 1, S.DEGRADED, 2),
        (None, 2, S.UNHEALTHY, 3),
        (None, 3, S.UNHEALTHY, 3),
    ],
)
def test_what_a_check_means(
    said: AgentStatus | None, failed_before: int, status: AgentStatus, failed: int
) -> None:
    assert judged(Finding(said), failed_before) == (status, failed)


@pytest.mark.parametrize(
    ("manner", "status", "message"),
    [
        ("good", S.HEALTHY, "fine"),
        ("sick", S.UNHEALTHY, "out of memory"),
        ("broken", S.DEGRADED, "answered 500"),
    ],
)
def test_an_agent_is_asked(server: MisbehavingServer, manner: str, status: AgentStatus, message: str) -> None:
    agent = check_agent(at(server, manner))
    assert agent.status == status
    assert message in agent.status_message
    assert agent.checked_at is not None


def test_three_failed_checks_in_a_row_and_its_history(
    server: MisbehavingServer, caplog: pytest.LogCaptureFixture
) -> None:
    agent = at(server, "broken")
    for _ in range(4):
        agent = check_agent(agent)
    assert (agent.status, agent.failed_checks) == ("UNHEALTHY", 3)
    Agent.objects.filter(pk=agent.pk).update(endpoint=server.url("/agent/good"))
    agent.refresh_from_db()
    assert check_agent(agent).status == "HEALTHY"
    changes = (
        AgentStatusChange.objects.filter(agent=agent).order_by("id").values_list("old_status", "new_status")
    )
    assert list(changes) == [("HEALTHY", "DEGRADED"), ("DEGRADED", "UNHEALTHY"), ("UNHEALTHY", "HEALTHY")]
    assert "Agent far is UNHEALTHY, was DEGRADED" in caplog.text


def test_a_local_agent_is_looked_at() -> None:
    workspace = make_workspace()
    assert check_agent(make_agent(workspace, "fine", tool_types=["NOOP"])).status == "HEALTHY"
    gone = make_agent(workspace, "gone", tool_types=["USE_CASE"], configuration={"useCase": "no.such"})
    assert check_agent(gone).status == "UNHEALTHY"
    odd = make_agent(workspace, "odd", tool_types=["MAGIC"])
    assert check_agent(odd).status == "UNHEALTHY"


def test_an_agent_whose_heart_stops_is_unhealthy_until_it_beats_again() -> None:
    agent = make_agent(make_workspace(), "beats", heartbeat_ttl_s=30, status="UNKNOWN")
    assert check_agent(agent).status == "UNKNOWN", "it has its time for the first one"
    assert record_heartbeat(agent, S.DEGRADED, "warming up").status == "DEGRADED"
    Agent.objects.filter(pk=agent.pk).update(heartbeat_at=timezone.now() - timedelta(seconds=31))
    agent.refresh_from_db()
    assert check_agent(agent).status == "UNHEALTHY"
    assert "no heartbeat for more than 30 s" in Agent.objects.get(pk=agent.pk).status_message
    assert record_heartbeat(agent).status == "HEALTHY"


def test_each_agent_s_turn_comes_once_in_an_interval(server: MisbehavingServer) -> None:
    agent = at(server, "good")
    make_agent(agent.workspace, "local", status="UNKNOWN", tool_types=["NOOP"])
    begun: list[Any] = []
    upkeep.keep_agents(lambda work, *arguments: begun.append(arguments))
    assert [arguments[1].public_id for arguments in begun] == ["far"], "the local one is looked at in place"
    assert Agent.objects.get(public_id="local").status == "HEALTHY"
    upkeep.keep_agents(lambda work, *arguments: begun.append(arguments))
    assert len(begun) == 1
    Agent.objects.update(next_check_at=timezone.now() - timedelta(seconds=1), enabled=False)
    upkeep.keep_agents(lambda work, *arguments: begun.append(arguments))
    assert len(begun) == 1, "nobody asks after one that is disabled"


def test_no_more_are_asked_than_answer(server: MisbehavingServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging: list[Future[None]] = []

    class Pool:
        def submit(self, *_: Any) -> Future[None]:
            hanging.append(Future())
            return hanging[-1]

    monkeypatch.setattr(upkeep, "_pool", Pool)
    monkeypatch.setattr(upkeep, "_begun", [])
    monkeypatch.setattr(upkeep, "CHECKS_PER_TICK", 2)
    workspace = make_workspace()
    for number in range(3):
        make_agent(workspace, f"far{number}", runtime="endpoint", endpoint=server.url("/agent/good"))
    upkeep.keep_agents()
    upkeep.keep_agents()
    assert len(hanging) == 2
    hanging[0].set_result(None)
    upkeep.keep_agents()
    assert len(hanging) == 3


def test_a_task_is_begun_once_in_its_interval() -> None:
    assert [upkeep.is_due("discovered_at", 60), upkeep.is_due("discovered_at", 60)] == [True, False]
    assert upkeep.is_due("work_counted_at", 60)
    assert upkeep.is_due("discovered_at", 0)


def test_the_agents_of_the_service_are_those_it_lists(
    server: MisbehavingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = make_workspace()
    service(monkeypatch, server.url("/agent/good"))
    make_agent(None, "gone", runtime="service")
    upkeep.is_due("discovered_at", 0)
    assert upkeep.discover()
    found = find_agent(workspace.pk, "far")
    assert found is not None
    assert (found.remote, found.built_in, found.can("verse"), found.url) == (True, False, True, "")
    assert find_agent(workspace.pk, "gone") is None
    asked = len(server.requests)
    assert check_agent(Agent.objects.get(public_id="far")).status == "HEALTHY"
    assert server.requests[asked].target == "/agent/good/agents/far/health"
    # It stays where the service does not answer, and where it lists what is built in here.
    service(monkeypatch, server.url("/agent/half"))
    assert not upkeep.discover()
    assert Agent.objects.filter(public_id="far").exists()
    assert AgentUpkeep.objects.get().service_status == "UNHEALTHY"
    Agent.objects.filter(public_id="far").update(runtime="local")
    service(monkeypatch, server.url("/agent/good"))
    assert upkeep.discover()
    assert Agent.objects.get(public_id="far").runtime == "local"
