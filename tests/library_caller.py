"""Calls use cases of the library as a block would, with artifacts in memory."""

from pathlib import Path
from typing import Any

import pytest

from tests.invocations import make_invocation, make_limits
from tests.memory_files import MemoryFiles
from workflow_service.agents.errors import ToolError
from workflow_service.agents.runtimes import invoke
from workflow_service.agents.use_cases import load_use_cases
from workflow_service.engine.states import ToolType

load_use_cases()


class Library:
    """One workspace's use cases; ``home`` is where its files lie."""

    def __init__(self, directory: Path, **limits: Any) -> None:
        self.files = MemoryFiles()
        self.home = directory / "files" / "ws_1"
        self.home.mkdir(parents=True)
        self.limits = make_limits(directory, **limits)
        self.timeout_s = 20.0

    def __call__(self, name: str, /, **values: Any) -> Any:
        configuration = {"useCase": name, "input": values}
        invocation = make_invocation(
            ToolType.USE_CASE, configuration, files=self.files, timeout_s=self.timeout_s
        )
        return invoke(invocation, self.limits)

    def failure(self, name: str, /, **values: Any) -> ToolError:
        """Call what must fail and return its error."""
        with pytest.raises(ToolError) as caught:
            self(name, **values)
        return caught.value

    def put(self, name: str, content: bytes) -> None:
        """Write a file of the workspace."""
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
