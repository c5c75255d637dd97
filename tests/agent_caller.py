"""A process that calls an agent as a worker does: each line on its input is how the agent is to behave."""

import sys

from workflow_service.agents.calls import AgentCall
from workflow_service.agents.errors import ToolError
from workflow_service.agents.invocation import Invocation
from workflow_service.agents.limits import tool_limits
from workflow_service.agents.selection import AgentInfo
from workflow_service.engine.states import ToolType


def main(address: str, agent_id: str) -> None:
    """Call the agent at ``address``/MANNER for each MANNER that comes, and print what it came to."""
    for line in sys.stdin:
        agent = AgentInfo(agent_id, "far", remote=True, url=f"{address}/{line.strip()}")
        invocation = Invocation(ToolType.API, {}, 5.0, "key", "exec_1", "one", "ws_1", lambda said: None)
        try:
            AgentCall(1, agent, "1").run(invocation, tool_limits())
            answer = "COMPLETED"
        except ToolError as error:
            answer = f"{error.error_type} {error.details.get('circuitBreaker', '')}"
        sys.stdout.write(f"{answer.strip()}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
