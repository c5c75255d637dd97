"""The lines that a run's own log and the processes' logs have in common, in the words of document A (section 17.3).

Each function is called while the run is locked. What people look for in the run's log becomes a row of it; every
line also goes to the process's log, after the commit, with its fields and with the name that document B (section
12.2) has for it. The wording is what log queries and alerts rely on.
"""

import logging
from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue

from executions_app.journal import Announcement, Journal
from executions_app.run_state import RunState
from workflow_service.engine.recovery import RecoveryStep

logger = logging.getLogger("workflow_service.executions")


def execution_started(journal: Journal, run: RunState, workflow_id: str) -> None:
    """Say that a run was started; not with what it was given, for that may hold secrets."""
    _announce(
        journal, run, "INFO", "workflow_execution_started", f"Workflow {run.public_id} started",
        workflow_id=workflow_id,
    )  # fmt: skip


def execution_completed(journal: Journal, run: RunState, workflow_id: str, duration_ms: int) -> None:
    """Say that a run completed."""
    message = f"Workflow {run.public_id} completed successfully in {duration_ms}ms"
    journal.log("INFO", message)
    _announce(
        journal, run, "INFO", "workflow_execution_completed", message,
        workflow_id=workflow_id, status=run.status.value, duration_ms=duration_ms, states_visited=run.completed_blocks,
    )  # fmt: skip


def execution_failed(
    journal: Journal, run: RunState, workflow_id: str, duration_ms: int, error: Mapping[str, JsonValue] | None
) -> None:
    """Say that a run failed, and why, with the traceback of what failed in it where there is one."""
    error = error or {}
    reason = error.get("message", run.status.value)
    traced = {"exception": error["stackTrace"]} if error.get("stackTrace") else {}
    message = f"Workflow {run.public_id} failed: {reason}"
    journal.log("ERROR", message)
    _announce(
        journal, run, "ERROR", "workflow_execution_failed", message,
        workflow_id=workflow_id, duration_ms=duration_ms, error_type=error.get("type"), error_message=reason, **traced,
    )  # fmt: skip


def execution_cancelled(journal: Journal, run: RunState, workflow_id: str, duration_ms: int) -> None:
    """Say that a run was cancelled."""
    message = f"Workflow {run.public_id} cancelled after {duration_ms}ms"
    journal.log("WARNING", message)
    _announce(
        journal, run, "WARNING", "workflow_execution_cancelled", message,
        workflow_id=workflow_id, duration_ms=duration_ms,
    )  # fmt: skip


def block_started(execution_id: str, block_id: str, agent_id: str | None, tries: int) -> None:
    """Say that this process begins to work on a block: where DEBUG is on, and in the process's log alone."""
    if logger.isEnabledFor(logging.DEBUG):
        block_id = block_id.removesuffix("?")
        fields = {"execution_id": execution_id, "block_id": block_id, "agent_id": agent_id, "tries": tries}
        write_to_process_log([Announcement("DEBUG", "block_started", f"Block {block_id} started", fields)])


def block_completed(journal: Journal, run: RunState, row: Any, duration_ms: int | None) -> None:
    """Say that a block completed: an event tells it, and the process's log where DEBUG is on."""
    if logger.isEnabledFor(logging.DEBUG):
        _announce(
            journal, run, "DEBUG", "block_completed", f"Block {_name(row)} completed", row,
            duration_ms=duration_ms,
        )  # fmt: skip


def block_failed(journal: Journal, run: RunState, row: Any, error: Mapping[str, JsonValue] | None) -> None:
    """Say that a block failed for good, and why. ``row`` has id, block_id and agent_id."""
    error = error or {}
    reason = error.get("message", "no reason given")
    message = f"Block {_name(row)} failed: {reason} (Agent: {row.agent_id or 'none'})"
    journal.log("ERROR", message, row, stack_trace=str(error.get("stackTrace") or ""))
    _announce(
        journal, run, "ERROR", "block_failed", message, row,
        error_type=error.get("type"), error_message=reason,
    )  # fmt: skip


def approval_required(journal: Journal, run: RunState, row: Any) -> None:
    """Say that a block waits for people."""
    message = f"Human approval required for block {_name(row)} (Execution: {run.public_id})"
    journal.log("WARNING", message, row)
    _announce(journal, run, "WARNING", "human_approval_required", message, row)


def intervention_required(journal: Journal, run: RunState, row: Any) -> None:
    """Say that a block failed and waits for people to decide what becomes of it."""
    message = f"Human intervention required for block {_name(row)} (Execution: {run.public_id})"
    journal.log("WARNING", message, row)
    _announce(journal, run, "WARNING", "human_intervention_required", message, row)


def recovery_given_up(journal: Journal, run: RunState, row: Any, step: RecoveryStep, concerned: str) -> None:
    """Say that nothing more is tried for a failed block, and whom that concerns."""
    message = f"Recovery of block {_name(row)}: {step.strategy} ({step.reason}); this concerns {concerned}"
    journal.log("WARNING", message, row)
    _announce(
        journal, run, "WARNING", "recovery_given_up", message, row,
        strategy=step.strategy.value, concerned=concerned,
    )  # fmt: skip


def recovery_point_created(journal: Journal, run: RunState, row: Any) -> None:
    """Say that a recovery point was made behind a block."""
    message = f"Recovery point created for execution {run.public_id} at block {_name(row)}"
    journal.log("INFO", message, row)
    _announce(journal, run, "INFO", "recovery_point_created", message, row)


def block_reassigned(journal: Journal, run: RunState, row: Any, old_agent_id: str, new_agent_id: str) -> None:
    """Say that a block was given to another agent."""
    message = f"Block {_name(row)} reassigned from {old_agent_id or 'none'} to {new_agent_id}"
    journal.log("INFO", message, row, context={"oldAgentId": old_agent_id, "newAgentId": new_agent_id})
    _announce(
        journal, run, "INFO", "block_reassigned", message, row,
        old_agent_id=old_agent_id, new_agent_id=new_agent_id,
    )  # fmt: skip


def block_lost(journal: Journal, run: RunState, row: Any, losses: int) -> None:
    """Say that a block's worker died."""
    message = f"The worker of block {_name(row)} died"
    journal.log("WARNING", message, row)
    _announce(journal, run, "WARNING", "block_lost", message, row, losses=losses)


def write_to_process_log(announcements: list[Announcement]) -> None:
    """Write what a transaction had to say to this process's log; called after its commit."""
    for announcement in announcements:
        level = logging.getLevelNamesMapping()[announcement.level]
        fields = {"event_name": announcement.event, **announcement.fields}
        # What agents and people wrote is in it: it must not look like a record of its own.
        logger.log(level, "%s", " ".join(announcement.message.splitlines()), extra=fields)


def _name(row: Any) -> str:
    """Return the block as its workflow names it: the question behind it has a row of its own, named with a mark."""
    return str(row.block_id).removesuffix("?")


def _announce(
    journal: Journal, run: RunState, level: str, event: str, message: str, row: Any = None, /, **fields: Any
) -> None:
    about: dict[str, Any] = {"execution_id": run.public_id}
    if row is not None:
        about |= {"block_id": _name(row), "agent_id": row.agent_id or None}
    journal.announcements.append(Announcement(level, event, message, about | fields))
