"""The one door to every tool: ``invoke`` runs an invocation and answers with JSON or raises ``ToolError``.

Whatever a tool does, nothing else gets out: its own exceptions are translated, and an output that cannot be
kept (too large, too deep, not JSON) is an error of the tool, found here rather than when it is written.
"""

from pydantic import JsonValue

from workflow_service.agents.configuration import not_available, read_configuration, tool_input
from workflow_service.agents.errors import ToolError, tool_error_from
from workflow_service.agents.invocation import Invocation
from workflow_service.agents.limits import ToolLimits
from workflow_service.agents.scripts import run_script
from workflow_service.agents.use_cases import run_use_case
from workflow_service.engine.json_values import JsonUnfit, check_json
from workflow_service.engine.states import ErrorType, ToolType


def invoke(invocation: Invocation, limits: ToolLimits) -> JsonValue:
    """Do the work of a block and return its output; raises ``ToolError``.

    What stops the worker itself (``KeyboardInterrupt`` and whatever else is no ``Exception``) passes through,
    but for ``SystemExit``: a tool must not end its worker.
    """
    try:
        output = _run(invocation, limits)
    except (Exception, SystemExit) as error:
        raise tool_error_from(error) from error
    try:
        check_json(output, max_bytes=limits.max_output_bytes)
    except JsonUnfit as error:
        where = f"at {error.pointer} " if error.pointer else ""
        message = f"the output cannot be kept: {where}{error.reason}"
        raise ToolError(ErrorType.VALIDATION_ERROR, message, problems=error.problems) from None
    return output


def _run(invocation: Invocation, limits: ToolLimits) -> JsonValue:
    read_configuration(invocation.tool_type, invocation.configuration)
    match invocation.tool_type:
        case ToolType.USE_CASE:
            return run_use_case(invocation, _input_of(invocation))
        case ToolType.SCRIPT:
            return run_script(invocation, _input_of(invocation), limits)
        case ToolType.NOOP:
            return invocation.configuration.get("output", {})
        case _:
            raise ToolError(ErrorType.CONFIGURATION_ERROR, not_available(invocation.tool_type))


def _input_of(invocation: Invocation) -> JsonValue:
    return tool_input(invocation.tool_type, invocation.configuration)
