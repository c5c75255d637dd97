"""Invocations for tests, without anything around them."""

from pathlib import Path
from typing import Any

from workflow_service.agents.invocation import Invocation, LogLine
from workflow_service.agents.limits import ToolLimits
from workflow_service.engine.states import ToolType


def make_invocation(
    tool_type: ToolType = ToolType.NOOP,
    configuration: dict[str, Any] | None = None,
    *,
    logs: list[LogLine] | None = None,
    **overrides: Any,
) -> Invocation:
    """Return an invocation; its log lines go to ``logs``."""
    values: dict[str, Any] = {
        "tool_type": tool_type,
        "configuration": configuration or {},
        "timeout_s": 20.0,
        "idempotency_key": "exec_1:block_1:0",
        "execution_id": "exec_1",
        "block_id": "block_1",
        "workspace_id": "ws_1",
        "log": (logs if logs is not None else []).append,
    }
    return Invocation(**{**values, **overrides})


def make_limits(directory: Path, **overrides: Any) -> ToolLimits:
    """Return limits whose directories lie in ``directory``."""
    values: dict[str, Any] = {
        "scripts_dir": directory / "scripts",
        "files_dir": directory / "files",
        "runs_dir": directory / "runs",
    }
    return ToolLimits(**{**values, **overrides})
