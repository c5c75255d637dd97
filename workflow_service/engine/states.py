"""Statuses and the transitions between them.

The tables list every status; a terminal one has no successor, and a pair that is not listed raises
``IllegalTransition``. Models reuse these enums as choices, and the diagram in the documentation is generated
from these tables.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from workflow_service.engine.errors import IllegalTransition


class ExecutionStatus(StrEnum):
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    WAITING_FOR_APPROVAL = "WAITING_FOR_APPROVAL"
    PAUSED = "PAUSED"
    RECOVERING = "RECOVERING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class BlockStatus(StrEnum):
    PENDING = "PENDING"
    READY = "READY"
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    WAITING = "WAITING"
    RETRYING = "RETRYING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    REJECTED = "REJECTED"
    SKIPPED = "SKIPPED"
    CANCELLED = "CANCELLED"


class TemplateStatus(StrEnum):
    DRAFT = "draft"
    ACTIVE = "active"
    DEPRECATED = "deprecated"
    ARCHIVED = "archived"


class ApprovalStatus(StrEnum):
    PENDING = "PENDING"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"


class ToolType(StrEnum):
    API = "API"
    SCRIPT = "SCRIPT"
    USE_CASE = "USE_CASE"
    MCP = "MCP"
    LLM = "LLM"
    NOOP = "NOOP"
    HUMAN = "HUMAN"
    MAP = "MAP"
    SUBWORKFLOW = "SUBWORKFLOW"
    WAIT = "WAIT"


class HumanStepType(StrEnum):
    APPROVAL = "APPROVAL"
    REVIEW = "REVIEW"
    INPUT = "INPUT"
    INTERVENTION = "INTERVENTION"
    # Which way a run goes; asked for decisions, never by a block itself.
    CHOICE = "CHOICE"


class Priority(StrEnum):
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class ErrorType(StrEnum):
    """Error types on the wire: document A section 16.1, and the transient ones by name."""

    TIMEOUT_ERROR = "TIMEOUT_ERROR"
    NETWORK_ERROR = "NETWORK_ERROR"
    RATE_LIMIT_ERROR = "RATE_LIMIT_ERROR"
    WORKER_LOST = "WORKER_LOST"
    AGENT_UNAVAILABLE = "AGENT_UNAVAILABLE"
    VALIDATION_ERROR = "VALIDATION_ERROR"
    AUTHORIZATION_ERROR = "AUTHORIZATION_ERROR"
    RESOURCE_NOT_FOUND = "RESOURCE_NOT_FOUND"
    CONFIGURATION_ERROR = "CONFIGURATION_ERROR"
    SYSTEM_ERROR = "SYSTEM_ERROR"
    APPROVAL_REJECTED = "APPROVAL_REJECTED"
    APPROVAL_TIMEOUT = "APPROVAL_TIMEOUT"
    NO_BRANCH_MATCHED = "NO_BRANCH_MATCHED"
    ROUTING_ERROR = "ROUTING_ERROR"
    SETTLEMENT_ERROR = "SETTLEMENT_ERROR"
    NO_PATH_TO_END = "NO_PATH_TO_END"
    CHILD_CANCELLED = "CHILD_CANCELLED"
    LOOP_LIMIT_REACHED = "LOOP_LIMIT_REACHED"
    MAP_FAILED = "MAP_FAILED"


class ErrorClass(StrEnum):
    """What kinds of trouble recovery tells apart (document A section 16.1)."""

    TRANSIENT = "TRANSIENT"
    AGENT_UNAVAILABLE = "AGENT_UNAVAILABLE"
    VALIDATION = "VALIDATION"
    AUTHORIZATION = "AUTHORIZATION"
    RESOURCE_NOT_FOUND = "RESOURCE_NOT_FOUND"
    CONFIGURATION = "CONFIGURATION"
    SYSTEM = "SYSTEM"
    ROUTING = "ROUTING"
    FINAL = "FINAL"


class RecoveryStrategy(StrEnum):
    """The rungs of the ladder, in its order."""

    RETRY = "retry"
    REASSIGN = "reassign"
    QUEUE = "queue"
    FALLBACK = "fallback"
    SKIP = "skip"
    COMPENSATE = "compensate"
    ESCALATE = "escalate"
    ABORT = "abort"


# Both documents' names of the strategies (A section 16.1, B section 5.1.3), and ours.
STRATEGY_NAMES: Mapping[str, RecoveryStrategy] = {
    **{strategy.value: strategy for strategy in RecoveryStrategy},
    "RETRY_SAME_AGENT": RecoveryStrategy.RETRY,
    "REASSIGN_AGENT": RecoveryStrategy.REASSIGN,
    "HUMAN_INTERVENTION": RecoveryStrategy.ESCALATE,
    "SKIP_BLOCK": RecoveryStrategy.SKIP,
    "ABORT_WORKFLOW": RecoveryStrategy.ABORT,
    "RETRY": RecoveryStrategy.RETRY,
    "SKIP": RecoveryStrategy.SKIP,
    "FALLBACK": RecoveryStrategy.FALLBACK,
    "COMPENSATE": RecoveryStrategy.COMPENSATE,
    "ESCALATE": RecoveryStrategy.ESCALATE,
    "ABORT": RecoveryStrategy.ABORT,
}


class EdgeOutcome(StrEnum):
    TAKEN = "taken"
    DEAD = "dead"
    LOST = "lost"


B, E, T = BlockStatus, ExecutionStatus, TemplateStatus

BLOCK_TRANSITIONS: Mapping[BlockStatus, frozenset[BlockStatus]] = {
    B.PENDING: frozenset({B.READY, B.SKIPPED, B.CANCELLED}),
    B.READY: frozenset({B.QUEUED, B.RUNNING, B.CANCELLED}),
    B.QUEUED: frozenset({B.RUNNING, B.READY, B.WAITING, B.CANCELLED}),
    B.RUNNING: frozenset(
        {B.COMPLETED, B.FAILED, B.REJECTED, B.SKIPPED, B.WAITING, B.RETRYING, B.READY, B.CANCELLED}
    ),
    B.WAITING: frozenset({B.READY, B.COMPLETED, B.FAILED, B.REJECTED, B.CANCELLED}),
    B.RETRYING: frozenset({B.READY, B.CANCELLED}),
    # The work of a completed block stands while its routing may still fail.
    B.COMPLETED: frozenset({B.FAILED, B.WAITING}),
    B.FAILED: frozenset(),
    B.REJECTED: frozenset(),
    B.SKIPPED: frozenset(),
    B.CANCELLED: frozenset(),
}

EXECUTION_TRANSITIONS: Mapping[ExecutionStatus, frozenset[ExecutionStatus]] = {
    E.STARTING: frozenset(
        {
            E.RUNNING,
            E.WAITING_FOR_APPROVAL,
            E.RECOVERING,
            E.COMPLETED,
            E.FAILED,
            E.PAUSED,
            E.CANCELLED,
        }
    ),
    E.RUNNING: frozenset(
        {E.WAITING_FOR_APPROVAL, E.RECOVERING, E.PAUSED, E.COMPLETED, E.FAILED, E.CANCELLED}
    ),
    E.WAITING_FOR_APPROVAL: frozenset(
        {E.RUNNING, E.RECOVERING, E.PAUSED, E.COMPLETED, E.FAILED, E.CANCELLED}
    ),
    E.RECOVERING: frozenset(
        {E.RUNNING, E.WAITING_FOR_APPROVAL, E.PAUSED, E.COMPLETED, E.FAILED, E.CANCELLED}
    ),
    E.PAUSED: frozenset(
        {E.STARTING, E.RUNNING, E.WAITING_FOR_APPROVAL, E.RECOVERING, E.COMPLETED, E.FAILED, E.CANCELLED}
    ),
    # A restart opens an ended run again; one that ended before its first block begins like a new one.
    E.COMPLETED: frozenset({E.RUNNING}),
    E.FAILED: frozenset({E.STARTING, E.RUNNING}),
    E.CANCELLED: frozenset({E.STARTING, E.RUNNING}),
}

TEMPLATE_TRANSITIONS: Mapping[TemplateStatus, frozenset[TemplateStatus]] = {
    T.DRAFT: frozenset({T.ACTIVE, T.ARCHIVED}),
    T.ACTIVE: frozenset({T.DEPRECATED, T.ARCHIVED}),
    T.DEPRECATED: frozenset({T.ACTIVE, T.ARCHIVED}),
    # What comes back is looked at before it runs again: agents and templates it names may be gone.
    T.ARCHIVED: frozenset({T.DRAFT}),
}

FINISHED_BLOCK_STATUSES = frozenset({B.COMPLETED, B.FAILED, B.REJECTED, B.SKIPPED, B.CANCELLED})
ENDED_EXECUTION_STATUSES = frozenset({E.COMPLETED, E.FAILED, E.CANCELLED})
STARTABLE_TEMPLATE_STATUSES = frozenset({T.ACTIVE, T.DEPRECATED})

Status = TypeVar("Status", BlockStatus, ExecutionStatus, TemplateStatus)


def require_transition(table: Mapping[Status, frozenset[Status]], old: Status, new: Status) -> None:
    """Raise ``IllegalTransition`` unless ``table`` lists ``old`` → ``new``."""
    if new not in table[old]:
        may = ", ".join(sorted(table[old])) or "nothing"
        raise IllegalTransition(f"{old} cannot become {new}; it may become {may}")
