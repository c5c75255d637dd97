"""What a tool is handed: one piece of work of one block, with everything already resolved.

An invocation carries values only; a tool that is run twice with the same ``idempotency_key`` is doing the
same piece of work again, after a retry or the loss of a worker.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from pydantic import JsonValue

from workflow_service.agents.run_files import NoRunFiles, RunFiles
from workflow_service.engine.json_values import storable_json, storable_text
from workflow_service.engine.states import ToolType

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]

LOG_LEVELS: tuple[LogLevel, ...] = get_args(LogLevel)
MAX_LOG_CHARACTERS = 8_000
MAX_NAME_CHARACTERS = 200
MAX_PROGRESS_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line for the execution's log; its texts and its context are made storable.

    Raises ``ValueError`` for an unknown level: the tool is told, not the one who writes the line down.
    """

    level: LogLevel
    message: str
    context: Mapping[str, JsonValue] = field(default_factory=dict)
    stack_trace: str = ""

    def __post_init__(self) -> None:
        if self.level not in LOG_LEVELS:
            raise ValueError(f"'{self.level}' is no log level; use one of {', '.join(LOG_LEVELS)}")
        context = {
            storable_text(name, MAX_NAME_CHARACTERS): storable_json(value, MAX_LOG_CHARACTERS)
            for name, value in self.context.items()
        }
        object.__setattr__(self, "context", context)
        object.__setattr__(self, "message", storable_text(self.message, MAX_LOG_CHARACTERS))
        object.__setattr__(self, "stack_trace", storable_text(self.stack_trace, MAX_LOG_CHARACTERS))


def never_stopped() -> bool:
    """Say that nobody wants the work to stop."""
    return False


@dataclass(frozen=True, slots=True)
class ProgressReport:
    """How far a tool says it is, 0 to 100 percent, and with what.

    Raises ``ValueError`` for what is no percentage: the tool is told.
    """

    percent: float
    message: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.percent, bool) or not 0 <= self.percent <= 100:
            raise ValueError(f"progress is 0 to 100 percent, not {self.percent}")
        object.__setattr__(self, "percent", round(float(self.percent), 1))
        object.__setattr__(self, "message", storable_text(self.message, MAX_PROGRESS_CHARACTERS))


def unheard(report: ProgressReport) -> None:
    """Drop a report: nobody follows this invocation."""


def conceal_nothing(value: str) -> None:
    """Let a value be: nothing is written down of this invocation."""


@dataclass(frozen=True, slots=True)
class Origin:
    """On whose behalf a block runs: the key of the user who started the run, and its template's public id."""

    user_id: int | None = None
    template_id: str | None = None


@dataclass(frozen=True, slots=True)
class Invocation:
    """One call of a tool. Every ``${...}`` in ``configuration`` has been replaced, secrets among them: never log it.

    ``conceal`` is told credentials that a tool makes or is given (a token, a header), before it uses them: they are
    kept out of everything that is written.

    ``stopped`` says whether the work is wanted no more (its run was cancelled); it may be asked as often as one likes.
    ``origin`` looks up on whose behalf the block runs, for tools that cost money.
    """

    tool_type: ToolType
    configuration: Mapping[str, JsonValue] = field(repr=False)
    timeout_s: float
    idempotency_key: str
    execution_id: str
    block_id: str
    workspace_id: str
    log: Callable[[LogLine], None]
    stopped: Callable[[], bool] = never_stopped
    progress: Callable[[ProgressReport], None] = unheard
    callback_url: str | None = None
    files: RunFiles = field(default_factory=NoRunFiles)
    conceal: Callable[[str], None] = conceal_nothing
    origin: Callable[[], Origin] = Origin


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a tool answers whose agent has accepted the work, and will call ``callback_url`` when it is done."""
