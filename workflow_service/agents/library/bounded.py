"""The worker's side of ``bounded_program``: hostile work gets a process with little time and memory."""

import json
import subprocess
import sys
from typing import Any, Literal

from workflow_service.agents.errors import ToolError
from workflow_service.agents.library import bounded_program
from workflow_service.agents.use_cases import RunContext
from workflow_service.engine.states import ErrorType

MEMORY_BYTES = 512 * 1024 * 1024
SECONDS = 10

Work = Literal["render", "find", "replace", "split", "validate"]


def bounded(run: RunContext, work: Work, seconds: int = SECONDS, **request: Any) -> Any:
    """Do ``work`` on ``request`` in a process of its own, within ``seconds``; raises ``ToolError``."""
    message = json.dumps({"work": work, "memory": MEMORY_BYTES, "seconds": seconds, **request})
    patience = min(float(seconds), run.remaining_s())
    try:
        process = subprocess.run(
            [sys.executable, "-I", "-B", "-X", "utf8", bounded_program.__file__],
            input=message,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            env={},
            cwd="/",
            timeout=patience,
            check=False,
        )
    except subprocess.TimeoutExpired:
        message = (
            f"it takes longer than {patience:g} s: a pattern, a template or a schema too costly for its input"
        )
        raise ToolError(ErrorType.VALIDATION_ERROR, message) from None
    if process.returncode != 0 or not process.stdout:
        message = "it was stopped: it needs more time or memory than it may use"
        raise ToolError(ErrorType.VALIDATION_ERROR, message, stack_trace=process.stderr)
    told = json.loads(process.stdout)
    if "refused" in told:
        raise ToolError(ErrorType.VALIDATION_ERROR, told["refused"])
    return told["answer"]
