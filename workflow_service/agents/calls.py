"""Having an agent do a piece of work: past its circuit breaker, here in the worker or where the agent is."""

from dataclasses import dataclass

from pydantic import JsonValue

from workflow_service.agents.breaker import Admission, CircuitBreaker, Outcome, breaker_key
from workflow_service.agents.errors import NOT_DONE, ToolError, tool_error_from
from workflow_service.agents.invocation import Accepted, Invocation
from workflow_service.agents.limits import ToolLimits
from workflow_service.agents.rates import take_turn
from workflow_service.agents.remote import RemoteAgent, agent_at_service, answer_within_s
from workflow_service.agents.runtimes import invoke
from workflow_service.agents.selection import AgentInfo
from workflow_service.engine.json_values import JsonUnfit, check_json
from workflow_service.engine.states import ErrorType

# These say that the agent is in trouble; any other error is an answer of an agent that is well.
COUNTS_AS_FAILURE = frozenset(
    {
        ErrorType.TIMEOUT_ERROR,
        ErrorType.NETWORK_ERROR,
        ErrorType.AGENT_UNAVAILABLE,
        ErrorType.SYSTEM_ERROR,
    }
)


@dataclass(frozen=True, slots=True)
class AgentCall:
    """A piece of work for an agent of a workspace. ``caller`` names the work, the same for every time it is tried."""

    workspace_id: int
    agent: AgentInfo
    caller: str

    @property
    def key(self) -> str:
        return breaker_key(self.workspace_id, self.agent.agent_id)

    def wait_s(self) -> float:
        """Take a turn where the agent has a rate; returns the seconds until it comes."""
        if self.agent.rate_per_min is None:
            return 0.0
        return take_turn(
            self.key,
            caller=self.caller,
            per_min=self.agent.rate_per_min,
            burst=self.agent.rate_burst,
        )

    def run(self, invocation: Invocation, limits: ToolLimits) -> JsonValue | Accepted:
        """Do the work and return its output; raises ``ToolError``, AGENT_UNAVAILABLE where the breaker is open."""
        # What the built-in ones fail at is the work, not they.
        if self.agent.built_in:
            return invoke(invocation, limits)
        breaker = CircuitBreaker(self.key)
        admission = breaker.admit(self._longest_s(invocation))
        if not admission.allowed:
            raise _unavailable(self.agent, admission)
        try:
            answer = self._run(invocation, limits)
        except BaseException as error:
            breaker.report(admission, _outcome_of(error))
            raise
        breaker.report(admission, Outcome.SUCCESS)
        return answer

    def _longest_s(self, invocation: Invocation) -> float:
        # A trial whose worker dies stands in the way of others for so long.
        return answer_within_s(invocation) if self.agent.remote else invocation.timeout_s

    def _run(self, invocation: Invocation, limits: ToolLimits) -> JsonValue | Accepted:
        if not self.agent.remote:
            return invoke(invocation, limits)
        output = remote_agent(self.agent).execute(invocation, limits)
        if not isinstance(output, Accepted):
            try:
                check_json(output, max_bytes=limits.max_output_bytes)
            except JsonUnfit as error:
                message = f"the output of agent '{self.agent.agent_id}' cannot be kept: {error.message}"
                raise ToolError(ErrorType.VALIDATION_ERROR, message, problems=error.problems) from None
        return output


def remote_agent(agent: AgentInfo) -> RemoteAgent:
    """Return where an agent that works elsewhere is reached; raises ``ToolError`` where it cannot be."""
    if agent.url:
        return RemoteAgent(agent.agent_id, agent.url.rstrip("/"), {})
    found = agent_at_service(agent.agent_id)
    if found is None:
        message = (
            f"agent '{agent.agent_id}' is at the Agent Service, and none is configured (AGENT_SERVICE_URL)"
        )
        raise ToolError(ErrorType.AGENT_UNAVAILABLE, message, details={NOT_DONE: True})
    return found


def _unavailable(agent: AgentInfo, admission: Admission) -> ToolError:
    message = (
        f"agent '{agent.agent_id}' failed too often and is left alone for {admission.retry_after_s:.0f} s"
    )
    return ToolError(
        ErrorType.AGENT_UNAVAILABLE,
        message,
        details={
            "agentId": agent.agent_id,
            "circuitBreaker": "open",
            "availableInS": admission.retry_after_s,
            NOT_DONE: True,
        },
    )


def _outcome_of(error: BaseException) -> Outcome:
    if not isinstance(error, Exception):
        return Outcome.NEITHER  # the worker was stopped
    found = tool_error_from(error).error_type
    if found is ErrorType.RATE_LIMIT_ERROR:
        return Outcome.NEITHER
    return Outcome.FAILURE if found in COUNTS_AS_FAILURE else Outcome.SUCCESS
