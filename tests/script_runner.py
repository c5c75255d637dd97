"""Scripts run by the real launcher, in a temporary directory."""

from pathlib import Path
from typing import Any

import pytest

from tests.invocations import make_invocation, make_limits
from workflow_service.agents.errors import ToolError
from workflow_service.agents.invocation import LogLine
from workflow_service.agents.limits import ScriptLimits
from workflow_service.agents.runtimes import invoke
from workflow_service.engine.states import ToolType


class ScriptRunner:
    """Runs inline scripts, or a script of the workspace, in one temporary directory."""

    def __init__(self, directory: Path, *, namespaces: bool) -> None:
        self.directory = directory
        self.namespaces = namespaces
        self.logs: list[LogLine] = []

    def __call__(
        self,
        code: str | None = None,
        configuration: dict[str, Any] | None = None,
        *,
        limits: dict[str, Any] | None = None,
        script_limits: dict[str, Any] | None = None,
        **overrides: Any,
    ) -> Any:
        configuration = {"code": code, "input": {}} if configuration is None else configuration
        script = ScriptLimits(
            **{"namespaces": self.namespaces, "isolation": "best_effort", **(script_limits or {})}
        )
        invocation = make_invocation(ToolType.SCRIPT, configuration, **{"logs": self.logs, **overrides})
        return invoke(invocation, make_limits(self.directory, script=script, **(limits or {})))

    def failure(self, *arguments: Any, **keywords: Any) -> ToolError:
        """Run a script that must fail and return its error."""
        with pytest.raises(ToolError) as caught:
            self(*arguments, **keywords)
        return caught.value

    @property
    def runs(self) -> list[Path]:
        """The directories that are left of scripts."""
        directory = self.directory / "runs"
        return list(directory.iterdir()) if directory.exists() else []
