"""Why a block cannot be retried, reassigned or skipped as it stands, and what can be done instead."""

from collections.abc import Mapping
from typing import Any

from executions_app.errors import BlockStateForbids
from executions_app.models import BlockExecution, ExecutionEvent
from executions_app.recovery_policy import INTERVENTION, ROUTING, ROUTING_ASKED
from executions_app.run_state import RunState
from workflow_service.engine.states import BlockStatus

B, W = BlockStatus, BlockExecution.WaitsFor

ASKED_ABOUT = frozenset({INTERVENTION, ROUTING, ROUTING_ASKED})
_WAITED_FOR: Mapping[str, str] = {
    W.PERSON: "a person's approval",
    W.TIMER: "a time",
    W.SIGNAL: "a signal",
    W.CALLBACK: "its agent's callback",
    W.AGENT: "a free place at its agent",
}


def refusal_of(run: RunState, row: Any, wanted: str) -> BlockStateForbids:
    """Return why ``row`` (``id``, ``block_id``, ``status``, ``waits_for``, ``wait_key``) cannot be ``wanted``."""
    instead = "cancel the run, or force its restart from this block"
    if row.status == B.RUNNING:
        why, mend = "a worker is at work on it", instead
    elif row.status == B.COMPLETED:
        why, mend = "its work is done", "restart the run from it to have it done again"
    elif row.status != B.WAITING:
        why, mend = "it has not failed and is about to run", "wait for it"
    elif row.waits_for in (W.ITEMS, W.CHILD):
        why, mend = "its items or its sub-workflow are at work", instead
    elif row.wait_key in ASKED_ABOUT:
        why, mend = "a person was asked to recover it", _how_to_answer(run, row)
    else:
        why = f"it has not failed: it waits for {_WAITED_FOR[row.waits_for]}"
        mend = "wait for that, or skip the block"
    return BlockStateForbids(row.block_id, run.public_id, row.status, wanted, why, mend)


def _how_to_answer(run: RunState, row: Any) -> str:
    asked = ExecutionEvent.objects.filter(
        execution_id=run.id, block_execution_id=row.id, type="approval_requested"
    )
    data = asked.order_by("-seq").values_list("data", flat=True).first()
    if data is None:
        # Who is to find the way on is asked by the sweeper.
        return "its question comes in a moment; or skip the block"
    question = data["approvalId"]
    address = f"POST /api/v1/approvals/{question}/respond"
    return f"answer {question} with the action 'retry' ({address}), or skip the block"
