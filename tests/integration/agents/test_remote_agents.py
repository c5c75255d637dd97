"""Agents that work elsewhere, asked over real connections of a server that also misbehaves."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tests.misbehaving_server import MisbehavingServer, misbehaving_server
from workflow_service.agents import remote
from workflow_service.agents.breaker import Admission, CircuitBreaker
from workflow_service.agents.calls import AgentCall
from workflow_service.agents.errors import ToolError
from workflow_service.agents.invocation import Accepted, Invocation
from workflow_service.agents.limits import ToolLimits
from workflow_service.agents.remote import RemoteAgent
from workflow_service.agents.selection import AgentInfo, AgentStatus
from workflow_service.engine.states import ErrorType, ToolType
from workflow_service.settings.config import get_config

E = ErrorType
LIMITS = ToolLimits(Path("/none"), Path("/none"), Path("/none"), max_output_bytes=20_000)


@pytest.fixture(scope="module")
def server() -> Iterator[MisbehavingServer]:
    with misbehaving_server() as server:
        yield server


def agent(server: MisbehavingServer, manner: str, **fields: Any) -> RemoteAgent:
    return RemoteAgent("far", server.url(f"/agent/{manner}"), {}, **{"trusted": True, **fields})


def invocation(**fields: Any) -> Invocation:
    known = {
        "tool_type": ToolType.SCRIPT,
        "configuration": {"script": "a.py", "rows": [1]},
        "timeout_s": 5.0,
        "idempotency_key": "exec_1:0:one:0:1",
        "execution_id": "exec_1",
        "block_id": "one",
        "workspace_id": "ws_1",
        "log": lambda line: None,
        "callback_url": "https://wf.example/api/v1/callbacks/cb_1",
    }
    return Invocation(**{**known, **fields})


def test_it_is_told_all_about_the_work_and_its_output_is_taken(server: MisbehavingServer) -> None:
    far = RemoteAgent("far", server.url("/agent/good"), {"authorization": "Bearer s"}, trusted=True)
    assert far.execute(invocation(), LIMITS) == {"by": "good"}
    seen = server.requests[-1]
    assert json.loads(seen.body) == {
        "agentId": "far",
        "executionId": "exec_1",
        "blockId": "one",
        "workspaceId": "ws_1",
        "toolType": "SCRIPT",
        "configuration": {"script": "a.py", "rows": [1]},
        "input": {"rows": [1]},
        "idempotencyKey": "exec_1:0:one:0:1",
        "timeoutMs": 5_000,
        "callbackUrl": "https://wf.example/api/v1/callbacks/cb_1",
    }
    assert seen.headers["authorization"] == "Bearer s"
    assert seen.headers["idempotency-key"] == "exec_1:0:one:0:1"


def test_the_operators_token_is_kept_out_of_what_is_said(server: MisbehavingServer) -> None:
    concealed: list[str] = []
    far = RemoteAgent("far", server.url("/agent/good"), {"authorization": "Bearer s3cret"}, trusted=True)
    far.execute(invocation(conceal=concealed.append), LIMITS)
    assert concealed == ["s3cret"]


def test_a_trial_lasts_no_longer_than_an_answer_may_take(
    server: MisbehavingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    lasts: list[float] = []

    def refuse(self: CircuitBreaker, call_s: float) -> Admission:
        lasts.append(call_s)
        return Admission(False)

    monkeypatch.setattr(CircuitBreaker, "admit", refuse)
    info = AgentInfo("far", "Far", remote=True, url=server.url("/agent/good"))
    with pytest.raises(ToolError):
        AgentCall(1, info, "1").run(invocation(timeout_s=86_400.0), LIMITS)
    assert lasts == [get_config().agent_service_timeout_ms / 1_000]


@pytest.mark.parametrize("manner", ["later", "begun"])
def test_work_that_goes_on_is_waited_for(server: MisbehavingServer, manner: str) -> None:
    assert agent(server, manner).execute(invocation(), LIMITS) == Accepted()


@pytest.mark.parametrize(
    ("manner", "error_type", "retryable", "said"),
    [
        ("slow", E.TIMEOUT_ERROR, True, "no complete answer within 0.3 s"),
        ("broken", E.NETWORK_ERROR, True, "answered 500"),
        ("busy", E.RATE_LIMIT_ERROR, True, "answered 429"),
        ("half", E.NETWORK_ERROR, True, "agent 'far'"),
        ("nonsense", E.AGENT_UNAVAILABLE, True, "says it is JSON"),
        ("gone", E.AGENT_UNAVAILABLE, True, "answered 404"),
        ("endless", E.AGENT_UNAVAILABLE, True, "larger than 20000 bytes"),
        ("list", E.AGENT_UNAVAILABLE, True, "cannot be understood"),
        ("odd", E.AGENT_UNAVAILABLE, True, "the status 'PERHAPS' is not known"),
        ("failed", E.VALIDATION_ERROR, False, "agent 'far' failed: no such verse"),
        ("liar", E.SYSTEM_ERROR, True, "agent 'far' failed: no"),
    ],
)
def test_whatever_else_it_answers_is_a_clear_error(
    server: MisbehavingServer, manner: str, error_type: ErrorType, retryable: bool, said: str
) -> None:
    with pytest.raises(ToolError) as raised:
        agent(server, manner).execute(invocation(timeout_s=0.3 if manner == "slow" else 5.0), LIMITS)
    error = raised.value
    assert (error.error_type, error.retryable) == (error_type, retryable)
    assert said in error.message
    assert "far" in error.message


def test_how_long_it_wants_to_be_left_alone_is_kept_for_the_retry(server: MisbehavingServer) -> None:
    with pytest.raises(ToolError) as raised:
        agent(server, "busy").execute(invocation(), LIMITS)
    assert raised.value.details["retryAfterS"] == 7


def test_an_address_that_people_gave_must_be_public(server: MisbehavingServer) -> None:
    asked = len(server.requests)
    with pytest.raises(ToolError, match="not public"):
        agent(server, "good", trusted=False).execute(invocation(), LIMITS)
    assert len(server.requests) == asked


def test_nobody_is_there() -> None:
    with misbehaving_server() as gone:
        far = agent(gone, "good")
    with pytest.raises(ToolError) as raised:
        far.execute(invocation(), LIMITS)
    assert raised.value.error_type is E.NETWORK_ERROR


@pytest.mark.parametrize(
    ("manner", "status", "message"),
    [
        ("good", AgentStatus.HEALTHY, "fine"),
        ("sick", AgentStatus.UNHEALTHY, "out of memory"),
        ("odd", AgentStatus.DEGRADED, ""),
        ("list", AgentStatus.HEALTHY, ""),
    ],
)
def test_its_health(server: MisbehavingServer, manner: str, status: AgentStatus, message: str) -> None:
    said = agent(server, manner).health(5.0, LIMITS)
    assert (said.agent_status(), said.message) == (status, message)


def test_its_capabilities(server: MisbehavingServer) -> None:
    assert agent(server, "good").capabilities(5.0, LIMITS) == [
        {"name": "verse", "description": ""},
        {"name": "add", "description": "", "inputSchema": {"type": "object"}},
    ]
    with pytest.raises(ToolError, match="cannot be understood"):
        agent(server, "odd").capabilities(5.0, LIMITS)


def test_the_service_lists_its_agents(server: MisbehavingServer) -> None:
    (listed,) = agent(server, "good").list_agents(5.0, LIMITS)
    assert (listed.agent_id, listed.known_tools()) == ("far", ["SCRIPT"])
    for manner in ("odd", "list", "nonsense", "half", "broken"):
        with pytest.raises(ToolError):
            agent(server, manner).list_agents(5.0, LIMITS)


@pytest.mark.parametrize(
    ("url", "token", "authorization"),
    [
        ("http://agents.example/v1/", None, None),
        ("http://robot:pass@agents.example/v1", None, "Basic cm9ib3Q6cGFzcw=="),
        ("http://robot:pass@agents.example/v1", "t", "Bearer t"),
    ],
)
def test_credentials_of_the_service_are_a_header(
    monkeypatch: pytest.MonkeyPatch, url: str, token: str | None, authorization: str | None
) -> None:
    given = {"agent_service_url": url, "agent_service_token": SecretStr(token) if token else None}
    changed = get_config().model_copy(update=given)
    monkeypatch.setattr(remote, "get_config", lambda: changed)
    found = remote.agent_at_service("a b")
    assert found is not None
    assert (found.url, found.trusted) == ("http://agents.example/v1/agents/a%20b", True)
    assert found.headers.get("authorization") == authorization
