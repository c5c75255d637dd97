"""Agents that work elsewhere: those of the Agent Service, and those registered with an address of their own.

Both speak the same: below an agent's address ``health`` and ``capabilities`` are read and ``execute`` is asked for
work; the Agent Service also lists its agents. Every request goes through the egress guard, is bounded in time and
size, and what comes back is believed only as far as it is what was promised. Addresses that people register must be
public, or allowed by the operator; the Agent Service is the operator's own.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from pydantic.alias_generators import to_camel

from workflow_service.agents.api_requests import send_request
from workflow_service.agents.configuration import ApiConfiguration, tool_input
from workflow_service.agents.egress import Resolver, resolve_by_system
from workflow_service.agents.errors import ToolError
from workflow_service.agents.invocation import Accepted, Invocation
from workflow_service.agents.limits import ToolLimits
from workflow_service.agents.selection import AgentStatus, JsonObject
from workflow_service.engine.states import ErrorType, ToolType
from workflow_service.settings.config import get_config

MAX_AGENTS = 5_000
UNDER_WAY = frozenset({"STARTED", "ACCEPTED", "QUEUED", "RUNNING", "IN_PROGRESS", "WAITING"})
# What an agent may say went wrong; anything else is its own trouble.
SAID_ERRORS = frozenset(
    {
        ErrorType.TIMEOUT_ERROR,
        ErrorType.NETWORK_ERROR,
        ErrorType.RATE_LIMIT_ERROR,
        ErrorType.AGENT_UNAVAILABLE,
        ErrorType.VALIDATION_ERROR,
        ErrorType.AUTHORIZATION_ERROR,
        ErrorType.RESOURCE_NOT_FOUND,
        ErrorType.CONFIGURATION_ERROR,
    }
)


class _Wire(BaseModel):
    # Others may say more than we know of.
    model_config = ConfigDict(extra="ignore", alias_generator=to_camel, populate_by_name=True, frozen=True)


Said = TypeVar("Said", bound=_Wire)


class SaidCapability(_Wire):
    """A capability as an agent tells it."""

    name: str = Field(min_length=1, max_length=200)
    description: str = Field("", max_length=2_000)
    input_schema: dict[str, JsonValue] | None = None
    output_schema: dict[str, JsonValue] | None = None

    def stored(self) -> JsonObject:
        """Return it as it is kept: in document A's spelling, without what is not known."""
        return {key: value for key, value in self.model_dump(by_alias=True).items() if value is not None}


class SaidAgent(_Wire):
    """An agent as the Agent Service lists it."""

    agent_id: str = Field(pattern=r"^[A-Za-z0-9_][\w.-]{0,99}$")
    name: str = Field("", max_length=255)
    description: str = Field("", max_length=2_000)
    capabilities: list[SaidCapability | str] = Field([], max_length=500)
    tool_types: list[str] = Field([], max_length=20)
    status: str = ""
    message: str = Field("", max_length=2_000)
    tags: list[str] = Field([], max_length=50)
    configuration: dict[str, JsonValue] = {}

    def stored_capabilities(self) -> list[JsonObject]:
        """Return its capabilities as they are kept."""
        return [
            (SaidCapability(name=one) if isinstance(one, str) else one).stored() for one in self.capabilities
        ]

    def known_tools(self) -> list[str]:
        """Return those of its tool types that this service knows; API where it says none."""
        return [name for name in map(str.upper, self.tool_types) if name in ToolType.__members__] or ["API"]


class SaidHealth(_Wire):
    """An agent's health as it tells it."""

    status: str = "HEALTHY"
    message: str = Field("", max_length=2_000)

    def agent_status(self) -> AgentStatus:
        """Return what it comes to; a word that is not known says that something is not as it should be."""
        word = self.status.strip().upper()
        if word in ("HEALTHY", "OK", "UP", "PASS", "ACTIVE", "AVAILABLE"):
            return AgentStatus.HEALTHY
        if word in ("UNHEALTHY", "DOWN", "FAIL", "OFFLINE", "UNAVAILABLE"):
            return AgentStatus.UNHEALTHY
        return AgentStatus.DEGRADED


class SaidError(_Wire):
    type: str = ""
    message: str = "the agent did not say why"
    retryable: bool | None = None
    details: dict[str, JsonValue] = {}


class SaidResult(_Wire):
    """How an agent says that work stands."""

    status: str = Field(min_length=1, max_length=40)
    execution_id: str | None = None
    output: JsonValue = None
    error: SaidError | None = None


@dataclass(frozen=True, slots=True)
class RemoteAgent:
    """Where an agent is reached: ``url`` without a slash at its end, and what is sent along with each request.

    ``trusted``: the operator gave the address, so it need not be public.
    """

    agent_id: str
    url: str
    headers: Mapping[str, str]
    trusted: bool = False
    resolve: Resolver = resolve_by_system

    def execute(self, invocation: Invocation, limits: ToolLimits) -> JsonValue | Accepted:
        """Have the agent do the work; ``Accepted`` where it will call back. Raises ``ToolError``."""
        allowed_s = answer_within_s(invocation)
        answer = self._send(
            replace(invocation, timeout_s=allowed_s), "/execute", self._order(invocation, allowed_s), limits
        )
        if isinstance(answer, Accepted):
            return answer
        result = self._read(SaidResult, answer)
        status = result.status.upper()
        if status in ("COMPLETED", "SUCCEEDED", "SUCCESS"):
            return {} if result.output is None else result.output
        if status in UNDER_WAY:
            return Accepted()
        raise self._failed(result)

    def health(self, timeout_s: float, limits: ToolLimits) -> SaidHealth:
        """Return how the agent says it is; raises ``ToolError`` where it does not say."""
        answer = self._ask("/health", timeout_s, limits)
        # Any good answer says that it is there.
        return self._read(SaidHealth, answer) if isinstance(answer, dict) else SaidHealth()

    def capabilities(self, timeout_s: float, limits: ToolLimits) -> list[JsonObject]:
        """Return what the agent says it can do; raises ``ToolError``."""
        answer = self._ask("/capabilities", timeout_s, limits)
        listed = answer.get("capabilities") if isinstance(answer, dict) else answer
        found = self._read(SaidAgent, {"agentId": self.agent_id, "capabilities": listed})
        return found.stored_capabilities()

    def list_agents(self, timeout_s: float, limits: ToolLimits) -> list[SaidAgent]:
        """Return the agents that the Agent Service at this address has; raises ``ToolError``."""
        answer = self._ask("/agents", timeout_s, limits)
        listed = answer.get("agents") if isinstance(answer, dict) else answer
        if not isinstance(listed, list) or len(listed) > MAX_AGENTS:
            raise self._nonsense(f"no list of at most {MAX_AGENTS} agents")
        return [self._read(SaidAgent, one) for one in listed]

    def _order(self, invocation: Invocation, allowed_s: float) -> JsonObject:
        return {
            "agentId": self.agent_id,
            "executionId": invocation.execution_id,
            "blockId": invocation.block_id,
            "workspaceId": invocation.workspace_id,
            "toolType": invocation.tool_type.value,
            "configuration": dict(invocation.configuration),
            "input": tool_input(invocation.tool_type, invocation.configuration),
            "idempotencyKey": invocation.idempotency_key,
            "timeoutMs": round(allowed_s * 1_000),
            "callbackUrl": invocation.callback_url,
        }

    def _ask(self, path: str, timeout_s: float, limits: ToolLimits) -> JsonValue:
        answer = self._send(_asking(timeout_s), path, None, limits)
        return None if isinstance(answer, Accepted) else answer

    def _send(
        self, invocation: Invocation, path: str, body: JsonObject | None, limits: ToolLimits
    ) -> JsonValue | Accepted:
        asked: JsonObject = {
            "endpoint": self.url + path,
            "method": "GET" if body is None else "POST",
            "headers": {"accept": "application/json", **self.headers},
            "callback": body is not None,
            "maxRedirects": 0,
        }
        # A body that is None would be sent as one.
        request = ApiConfiguration.model_validate(asked if body is None else asked | {"body": body})
        for value in self.headers.values():
            # Whoever answers may repeat what was sent, and authors of workflows read errors.
            invocation.conceal(value.rpartition(" ")[2])
        if self.trusted:
            limits = replace(limits, egress_allow=(*limits.egress_allow, _host_of(self.url)))
        try:
            answer = send_request(invocation, request, limits, self.resolve)
        except ToolError as error:
            raise self._named(error) from None
        if isinstance(answer, Accepted):
            return answer
        output: JsonValue = answer["body"] if isinstance(answer, dict) else None
        return output

    def _named(self, error: ToolError) -> ToolError:
        """Return an error that says whose it is; what only a broken agent answers means that it is not available."""
        status = error.details.get("status")
        broken = status in (404, 405, 410) or (
            error.error_type is ErrorType.VALIDATION_ERROR and not isinstance(status, int)
        )
        return ToolError(
            ErrorType.AGENT_UNAVAILABLE if broken else error.error_type,
            f"agent '{self.agent_id}': {error.message}",
            details=error.details,
            problems=error.problems,
        )

    def _read(self, model: type[Said], answer: JsonValue) -> Said:
        try:
            return model.model_validate(answer)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = "/".join(map(str, first["loc"])) or "the answer"
            raise self._nonsense(f"{place}: {first['msg']}") from None

    def _nonsense(self, why: str) -> ToolError:
        message = f"agent '{self.agent_id}' answered what cannot be understood: {why}"
        return ToolError(ErrorType.AGENT_UNAVAILABLE, message, details={"url": self.url})

    def _failed(self, result: SaidResult) -> ToolError:
        error = result.error or SaidError()
        if result.status.upper() not in ("FAILED", "ERROR", "TIMEOUT", "CANCELLED", "REJECTED"):
            return self._nonsense(f"the status '{result.status}' is not known")
        said = error.type.strip().upper()
        known = ErrorType(said) if said in SAID_ERRORS else ErrorType.SYSTEM_ERROR
        return ToolError(
            known,
            f"agent '{self.agent_id}' failed: {error.message}",
            details=error.details,
            retryable=error.retryable,
        )


def answer_within_s(invocation: Invocation) -> float:
    """Return the seconds within which an agent has to answer; work that takes longer it accepts, and calls back."""
    return min(invocation.timeout_s, get_config().agent_service_timeout_ms / 1_000)


def agent_service() -> RemoteAgent | None:
    """Return the configured Agent Service, whose agents lie below ``/agents/``; None where there is none."""
    given = get_config().agent_service_url
    if not given:
        return None
    url = httpx.URL(given)
    # Credentials in the address are sent as a header, and told nowhere.
    plain = str(url.copy_with(username=None, password=None)).rstrip("/")
    return RemoteAgent("the Agent Service", plain, _credentials(url), trusted=True)


def agent_at_service(agent_id: str) -> RemoteAgent | None:
    """Return an agent of the Agent Service."""
    service = agent_service()
    if service is None:
        return None
    return replace(service, agent_id=agent_id, url=f"{service.url}/agents/{quote(agent_id, safe='')}")


def _credentials(url: httpx.URL) -> dict[str, str]:
    token = get_config().agent_service_token
    if token:
        return {"authorization": f"Bearer {token.get_secret_value()}"}
    if not url.userinfo:
        return {}
    pair = base64.b64encode(f"{url.username}:{url.password}".encode()).decode()
    return {"authorization": f"Basic {pair}"}


def _host_of(url: str) -> str:
    parsed = httpx.URL(url)
    port = parsed.port or (443 if parsed.scheme == "https" else 80)
    return f"[{parsed.host}]:{port}" if ":" in parsed.host else f"{parsed.host}:{port}"


def _asking(timeout_s: float) -> Invocation:
    """Return what a request is made with that is no block's work."""
    return Invocation(
        tool_type=ToolType.API,
        configuration={},
        timeout_s=timeout_s,
        idempotency_key="",
        execution_id="",
        block_id="",
        workspace_id="",
        log=lambda line: None,
    )
