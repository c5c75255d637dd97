"""An execution as document A (section 5.2) and as document B (section 7.1) show it, from the same rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import JsonValue

from executions_app.insights import decision_entries, failure_risk
from executions_app.interactions import HumanInteraction, interactions_of
from executions_app.models import BlockExecution, Execution, RecoveryAction
from executions_app.recovery_points import newest_points, point_entry
from executions_app.selectors import block_rows, context_of, list_recovery_actions, progress_of
from templates_app.api.serializers import issue_document
from templates_app.deprecation import deprecation_findings
from templates_app.plans import CompiledVersion, compiled_version
from workflow_service.agents.configuration import tool_input
from workflow_service.engine.definition import END, START, Block
from workflow_service.engine.states import BlockStatus, ExecutionStatus

CURRENT = frozenset({BlockStatus.RUNNING, BlockStatus.RETRYING})
NEXT = frozenset({BlockStatus.READY, BlockStatus.QUEUED})
BLOCKED = frozenset({BlockStatus.WAITING})
FAILED = frozenset({BlockStatus.FAILED, BlockStatus.REJECTED})

# Document B knows fewer statuses (RULINGS: the documents' words).
_STATUS_OF_B: Mapping[str, str] = {
    ExecutionStatus.STARTING: "pending",
    ExecutionStatus.WAITING_FOR_APPROVAL: "running",
}


@dataclass(frozen=True, slots=True)
class RunFacts:
    """Everything the documents are made of, read once."""

    execution: Execution
    rows: Sequence[BlockExecution]
    context: Mapping[str, JsonValue]
    interactions: Mapping[int, Sequence[HumanInteraction]]
    compiled: CompiledVersion
    now: datetime

    def blocks_in(self, statuses: frozenset[BlockStatus]) -> list[str]:
        """Return the ids of the blocks in one of ``statuses``, in the order they came up."""
        return [row.block_id for row in self.rows if row.status in statuses]


def read_run(execution: Execution, now: datetime) -> RunFacts:
    """Read what the documents show of an execution: three queries, however large it is."""
    return RunFacts(
        execution,
        block_rows(execution),
        context_of(execution),
        interactions_of(execution.pk),
        compiled_version(execution.version_id),
        now,
    )


def start_document(
    execution: Execution, *, current: Sequence[str], following: Sequence[str]
) -> dict[str, Any]:
    """Return document A's answer to a start."""
    return {
        "execution_id": execution.public_id,
        "status": execution.status,
        "template_id": execution.template.public_id,
        "template_version": execution.version.label,
        "workspace_id": execution.workspace.public_id,
        "started_at": execution.started_at,
        "completed_at": execution.completed_at,
        "estimated_duration": execution.template.estimated_duration_s,
        "current_blocks": list(current),
        "next_blocks": list(following),
        "warnings": [issue_document(one) for one in deprecation_findings(execution.template)],
    }


def execution_entry(execution: Execution) -> dict[str, Any]:
    """Return an execution as lists show it."""
    return {
        "execution_id": execution.public_id,
        "template_id": execution.template.public_id,
        "template_name": execution.template.name,
        "template_version": execution.version.label,
        "workspace_id": execution.workspace.public_id,
        "status": execution.status,
        "priority": execution.priority,
        "started_at": execution.started_at,
        "completed_at": execution.completed_at,
        "created_by": execution.created_by.public_id,
        "progress": progress_of(execution, current_blocks=execution.slots),
    }


def execution_document(facts: RunFacts) -> dict[str, Any]:
    """Return the whole execution in document A's shape."""
    execution = facts.execution
    current = facts.blocks_in(CURRENT)
    return execution_entry(execution) | {
        "progress": progress_of(execution, current_blocks=len(current)),
        "current_blocks": current,
        "next_blocks": facts.blocks_in(NEXT),
        "blocked_blocks": facts.blocks_in(BLOCKED),
        "completed_blocks": facts.blocks_in(frozenset({BlockStatus.COMPLETED})),
        "failed_blocks": facts.blocks_in(FAILED),
        "skipped_blocks": facts.blocks_in(frozenset({BlockStatus.SKIPPED})),
        "block_executions": [_block_document(facts, row) for row in facts.rows],
        "input": execution.given.input,
        "options": execution.given.options,
        "global_context": facts.context,
        "error": execution.error,
        "parent_execution_id": execution.parent.public_id if execution.parent else None,
        "recovery_points": [point_entry(point) for point in newest_points(execution)],
        "metrics": {
            "execution_time": _milliseconds(execution.started_at, execution.completed_at or facts.now),
            # Blocks run in shared worker processes: what one run used is not measured.
            "resource_usage": {"cpu": None, "memory": None},
        },
        "event_seq": execution.event_seq,
        "failure_risk": failure_risk(execution),
        "anomaly_detected": execution.anomaly_detected,
    }


def workflow_execution_document(facts: RunFacts) -> dict[str, Any]:
    """Return the whole execution in document B's shape."""
    execution = facts.execution
    ended = execution.completed_at is not None
    visited = [row for row in facts.rows if row.started_at is not None]
    visited.sort(key=lambda row: (row.started_at or facts.now, row.pk))
    states = [START, *(row.block_id for row in visited)]
    completed = execution.status == ExecutionStatus.COMPLETED
    current = END if completed else states[-1]
    # One way may have come to the end while others go on, or fail.
    if completed or execution.reached_end:
        states.append(END)
    return {
        "execution_id": execution.public_id,
        "workflow_id": execution.template_id,
        "workflow_name": execution.template.name,
        "status": _STATUS_OF_B.get(execution.status, execution.status.lower()),
        "current_state": current,
        "states_visited": states,
        "initial_context": execution.given.input,
        "final_context": {**execution.given.input, **facts.context} if ended else None,
        "start_time": execution.started_at,
        "end_time": execution.completed_at,
        "duration_ms": _milliseconds(execution.started_at, execution.completed_at) if ended else None,
        "error_count": execution.failed_blocks,
        "retry_count": sum(row.retries for row in facts.rows),
        "ai_decisions": decision_entries(execution),
        "recovery_actions": [_recovery_entry(action) for action in list_recovery_actions(execution)],
        "error": execution.error,
        "anomaly_detected": execution.anomaly_detected,
        "failure_risk": failure_risk(execution),
    }


def block_runs(execution: Execution, rows: Sequence[BlockExecution], now: datetime) -> list[dict[str, Any]]:
    """Return rows of blocks as ``blockExecutions`` shows them, with where they stand."""
    facts = RunFacts(
        execution, rows, {}, interactions_of(execution.pk), compiled_version(execution.version_id), now
    )
    return [
        _block_document(facts, row)
        | {
            "item": row.item if row.kind == BlockExecution.Kind.ITEM else None,
            "generation": row.generation,
            "superseded": row.superseded,
        }
        for row in rows
    ]


def _recovery_entry(action: RecoveryAction) -> dict[str, Any]:
    """Return a recovery action under document B's names (section 6.6)."""
    return {
        "error_type": action.error_type or None,
        "error_message": action.error_message,
        "error_state": action.block_id,
        "recovery_strategy": action.strategy,
        "reasoning": action.reason,
        "ai_suggested": action.suggested_by == "ai",
        "ai_reasoning": action.ai_reasoning or None,
        "error_context": action.error_context,
        "success": action.success,
        "timestamp": action.created_at.isoformat(),
        "recovery_duration_ms": action.recovery_duration_ms,
    }


def _block_document(facts: RunFacts, row: BlockExecution) -> dict[str, Any]:
    is_item = row.kind == BlockExecution.Kind.ITEM
    result = getattr(row, "result", None)
    return {
        "block_id": row.block_id,
        "execution_id": row.public_id,
        "agent_id": row.agent_id or None,
        "status": row.status,
        "round": row.item_index if row.scope_id and not is_item else None,
        "item_index": row.item_index if is_item else None,
        "waits_for": row.waits_for or None if row.status == BlockStatus.WAITING else None,
        "started_at": row.started_at,
        "completed_at": row.finished_at,
        "duration": _milliseconds(row.started_at, row.finished_at),
        "input": _shown_input(facts.compiled.plan.nodes[row.node].block, row.input),
        "output": result.value if result is not None else None,
        "error": row.error,
        "retry_count": row.retries,
        "progress": row.progress,
        "child_execution_id": row.wait_key if row.waits_for == BlockExecution.WaitsFor.CHILD else None,
        "human_interactions": facts.interactions.get(row.pk, ()),
    }


def _shown_input(block: Block | None, configuration: JsonValue) -> JsonValue:
    """Return what the block's tool was handed, out of its resolved configuration."""
    if block is None or block.tool_type is None or not isinstance(configuration, dict):
        return configuration
    return tool_input(block.tool_type, configuration)


def _milliseconds(start: datetime | None, end: datetime | None) -> int | None:
    return round((end - start).total_seconds() * 1_000) if start and end else None
