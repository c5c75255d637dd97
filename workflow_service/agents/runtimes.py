"""The one door to every tool: ``invoke`` runs an invocation and answers with JSON or raises ``ToolError``.

Whatever a tool does, nothing else gets out: its own exceptions are translated, and an output that cannot be
kept (too large, too deep, not JSON) is an error of the tool, found here rather than when it is written.
"""

from collections.abc import Callable

from pydantic import JsonValue

from workflow_service.agents.api_requests import send_request
from workflow_service.agents.configuration import (
    ApiConfiguration,
    McpConfiguration,
    NoopConfiguration,
    ScriptConfiguration,
    UseCaseConfiguration,
    not_available,
    read_configuration,
    tool_input,
)
from workflow_service.agents.errors import ToolError, tool_error_from
from workflow_service.agents.invocation import Accepted, Invocation
from workflow_service.agents.limits import ToolLimits, tool_limits
from workflow_service.agents.scripts import run_script
from workflow_service.agents.use_cases import run_use_case
from workflow_service.engine.json_values import JsonUnfit, check_json
from workflow_service.engine.states import ErrorType, ToolType

Runtime = Callable[[Invocation, ToolLimits], JsonValue | Accepted]

_registered: dict[ToolType, Runtime] = {}


def register_runtime(tool_type: ToolType, run: Runtime) -> None:
    """Have ``run`` do the work of a tool type; called when the app that owns it, above this one, is loaded."""
    _registered[tool_type] = run


def load_runtime(tool_type: ToolType) -> None:
    """Load what a tool type needs on its first use, so that a block's time is not spent on that."""
    if tool_type is ToolType.MCP:
        # Importing the client takes a second, and many on a busy machine.
        import workflow_service.agents.mcp  # noqa: F401


def invoke(invocation: Invocation, limits: ToolLimits | None = None) -> JsonValue | Accepted:
    """Do the work of a block and return its output; raises ``ToolError``. Without ``limits``: this server's.

    ``Accepted`` means that the work goes on elsewhere.

    What stops the worker itself (``KeyboardInterrupt`` and whatever else is no ``Exception``) passes through,
    but for ``SystemExit``: a tool must not end its worker.
    """
    try:
        limits = limits or tool_limits()
        output = _run(invocation, limits)
    except (Exception, SystemExit) as error:
        raise tool_error_from(error) from error
    if isinstance(output, Accepted):
        return output
    try:
        check_json(output, max_bytes=limits.max_output_bytes)
    except JsonUnfit as error:
        message = f"the output cannot be kept: {error.message}"
        raise ToolError(ErrorType.VALIDATION_ERROR, message, problems=error.problems) from None
    return output


def _run(invocation: Invocation, limits: ToolLimits) -> JsonValue | Accepted:
    given = invocation.configuration
    handed = tool_input(invocation.tool_type, given)
    match invocation.tool_type:
        case ToolType.USE_CASE:
            name = read_configuration(UseCaseConfiguration, given).use_case
            return run_use_case(invocation, name, handed, limits)
        case ToolType.SCRIPT:
            return run_script(invocation, read_configuration(ScriptConfiguration, given), handed, limits)
        case ToolType.API:
            return send_request(invocation, read_configuration(ApiConfiguration, given), limits)
        case ToolType.MCP:
            # On first use: see load_runtime.
            from workflow_service.agents.mcp import call_mcp_tool

            return call_mcp_tool(invocation, read_configuration(McpConfiguration, given), handed, limits)
        case ToolType.NOOP:
            return read_configuration(NoopConfiguration, given).output
        case registered if registered in _registered:
            return _registered[registered](invocation, limits)
        case _:
            raise ToolError(ErrorType.CONFIGURATION_ERROR, not_available(invocation.tool_type))
