"""What a tool is handed: one piece of work of one block, with everything already resolved.

An invocation carries values only; a tool that is run twice with the same ``idempotency_key`` is doing the
same piece of work again, after a retry or the loss of a worker.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import JsonValue

from workflow_service.engine.json_values import storable_text
from workflow_service.engine.states import ToolType

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]

MAX_LOG_CHARACTERS = 8_000


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line for the execution's log; its texts are made storable."""

    level: LogLevel
    message: str
    context: Mapping[str, JsonValue] = field(default_factory=dict)
    stack_trace: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", storable_text(self.message, MAX_LOG_CHARACTERS))
        object.__setattr__(self, "stack_trace", storable_text(self.stack_trace, MAX_LOG_CHARACTERS))


@dataclass(frozen=True, slots=True)
class Invocation:
    """One call of a tool. Every ``${...}`` in ``configuration`` has been replaced."""

    tool_type: ToolType
    configuration: Mapping[str, JsonValue]
    timeout_s: float
    idempotency_key: str
    execution_id: str
    block_id: str
    workspace_id: str
    log: Callable[[LogLine], None]
