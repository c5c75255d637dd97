"""What the State Management Service is told: a run as it stands, and what happened in it, as one message.

Messages are made from the run's events, so the hot path writes nothing for them.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import connection
from pydantic import JsonValue

from executions_app.models import Execution, ExecutionEvent, block_execution_id
from workflow_service.engine.definition import JsonObject
from workflow_service.engine.states import BlockStatus, ExecutionStatus

MAX_OUTPUT_BYTES = 65_536

B, E = BlockStatus, ExecutionStatus
STATUS_OF_BLOCK_EVENT = {
    "block_started": B.RUNNING,
    "block_completed": B.COMPLETED,
    "block_failed": B.FAILED,
    "block_rejected": B.REJECTED,
    "block_skipped": B.SKIPPED,
    "block_cancelled": B.CANCELLED,
    "block_waiting": B.WAITING,
    "block_retrying": B.RETRYING,
    "block_woken": B.READY,
    "block_lost": B.READY,
    "blocks_skipped": B.SKIPPED,
    "blocks_cancelled": B.CANCELLED,
    "gates_passed": B.COMPLETED,
}
STATUS_OF_RUN_EVENT = {
    "execution_started": E.STARTING,
    "execution_active": E.RUNNING,
    "execution_resumed": E.RUNNING,
    "execution_restarted": E.RUNNING,
    "execution_waiting": E.WAITING_FOR_APPROVAL,
    "execution_recovering": E.RECOVERING,
    "execution_paused": E.PAUSED,
    "execution_completed": E.COMPLETED,
    "execution_failed": E.FAILED,
    "execution_cancelled": E.CANCELLED,
}

# A large output is not read at all: it stays here, where it is asked for by the block's id.
OUTPUTS = """
    SELECT o.block_execution_id, octet_length(o.value::text),
        CASE WHEN octet_length(o.value::text) <= %s THEN o.value::text END
    FROM executions_app_blockoutput o WHERE o.block_execution_id = ANY(%s)
"""


def mirror_message(execution: Execution, events: Sequence[ExecutionEvent]) -> JsonObject:
    """Return the message about ``events`` of a run; its template, version, workspace and creator are loaded."""
    outputs = _outputs([one.block_execution_id for one in events if one.type == "block_completed"])
    return {
        "execution": _run_document(execution),
        "firstSequence": events[0].seq,
        "lastSequence": events[-1].seq,
        "changes": [_change(event, outputs) for event in events],
    }


def _run_document(execution: Execution) -> JsonObject:
    """Return document A's section 4.2 of a run, as it stands when the message is made."""
    return {
        "executionId": execution.public_id,
        "templateId": execution.template.public_id,
        "templateVersion": execution.version.label,
        "workspaceId": execution.workspace.public_id,
        "status": execution.status,
        "startedAt": _moment(execution.started_at),
        "completedAt": _moment(execution.completed_at),
        "createdBy": execution.created_by.public_id,
        "generation": execution.generation,
        "error": execution.error,
    }


def _change(event: ExecutionEvent, outputs: dict[int, JsonObject]) -> JsonObject:
    change: JsonObject = {
        "sequence": event.seq,
        "type": event.type,
        "at": _moment(event.created_at),
        "data": event.data,
    }
    status = STATUS_OF_RUN_EVENT.get(event.type)
    if status is not None:
        change["status"] = status.value
    block_status = STATUS_OF_BLOCK_EVENT.get(event.type)
    blocks: Any = [event.block_id] if event.block_id else event.data.get("blocks", [])
    if block_status is not None:
        change["blockStatus"] = block_status.value
    if blocks:
        change["blocks"] = blocks
    if event.block_execution_id is not None:
        change["blockExecutionId"] = block_execution_id(event.block_execution_id)
        change |= outputs.get(event.block_execution_id, {})
    return change


def _outputs(rows: Sequence[int | None]) -> dict[int, JsonObject]:
    wanted = [row for row in rows if row is not None]
    if not wanted:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(OUTPUTS, [MAX_OUTPUT_BYTES, wanted])
        found: dict[int, JsonObject] = {}
        for row, size, text in cursor.fetchall():
            given: JsonValue = json.loads(text) if text is not None else None
            found[row] = {"output": given} if text is not None else {"outputBytes": size}
    return found


def _moment(at: datetime | None) -> str | None:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if at is not None else None
