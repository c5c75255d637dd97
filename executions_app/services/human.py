"""A person's answer reaches a waiting block."""

import json
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from executions_app.deciders import CHOICE, chosen_by_person
from executions_app.finishing import Aftermath, conclude_locked
from executions_app.recovering import answer_intervention, read_block
from executions_app.recovery_policy import INTERVENTION, ROUTING_ASKED
from executions_app.results import REVIEW, complete_review, complete_wait, fail_wait
from executions_app.run_state import lock_run
from executions_app.settlement import Settler
from executions_app.transaction import EngineTransaction
from templates_app.plans import compiled_version
from workflow_service.engine.approval import reads_approved, rejected_output, reviewed_output
from workflow_service.engine.definition import JsonObject
from workflow_service.engine.states import BlockStatus, ErrorType

WAITING_ROW = """
    SELECT id, node, block_id, fence, agent_id, wait_key, output_extra::text AS output_extra
    FROM executions_app_blockexecution
    WHERE id = %s AND execution_id = %s AND status = 'WAITING' AND waits_for = 'person' FOR UPDATE
"""
MAKE_READY = (
    "UPDATE executions_app_blockexecution SET status = 'READY', waits_for = '', due_at = NULL WHERE id = %s"
)


@dataclass(frozen=True, slots=True)
class HumanDecision:
    """What was decided about a waiting block, and by whom; no ``responder``: the end of the time, which fails the block
    where it ``expired``.
    """

    approved: bool
    response: JsonObject
    comments: str
    responder: str
    expired: bool = False


def complete_waiting(
    tx: EngineTransaction, *, execution_id: int, block_execution_id: int, decision: HumanDecision
) -> Aftermath | None:
    """Apply a decision to a waiting block, within the caller's transaction; None if it does not wait any more.

    Locks the execution row, then the block row. An approved block that has a tool becomes ready to run; one without
    is completed with the response. A rejected block is completed with ``approved: false`` where a condition behind it
    reads ``approved``, else REJECTED. A reviewed block, whose work is done, is completed with what it made or with the
    ``output`` of the response. After the commit the caller hands the answer to ``aftermath.follow_up``, which
    settles what was finished here.
    """
    run = lock_run(tx, execution_id)
    if run is None:
        return None
    row = tx.run(WAITING_ROW, (block_execution_id, execution_id)).fetchone()
    if row is None:
        return None
    settler = Settler(tx, run, compiled_version(run.version_id))
    block = settler.plan.nodes[row.node].block
    has_tool = block is not None and block.has_tool
    settler.journal.event(
        "approval_responded",
        row.block_id,
        {"approved": decision.approved, "responder": decision.responder, "comments": decision.comments},
        row_id=row.id,
    )
    if row.wait_key in (INTERVENTION, ROUTING_ASKED):
        answer_intervention(
            settler,
            read_block(tx, execution_id, row.id),
            approved=decision.approved,
            response=decision.response,
            responder=decision.responder,
            comments=decision.comments,
        )
        aftermath = conclude_locked(settler)
        aftermath.unsettled = True
        return aftermath
    run.waiting_for_people -= 1
    if row.wait_key == CHOICE and decision.approved:
        _complete_choice(tx, row, decision)
    elif decision.expired:
        fail_wait(tx, row, _error(ErrorType.APPROVAL_TIMEOUT, "nobody answered in time", ""))
    elif row.wait_key == REVIEW and (decision.approved or reads_approved(settler.plan, row.node)):
        complete_review(tx, row, _output_of_review(row, decision))
    elif decision.approved and has_tool:
        tx.run(MAKE_READY, (row.id,))
        settler.progress.add_ready(1)
    elif decision.approved or reads_approved(settler.plan, row.node):
        complete_wait(tx, row, _output(decision))
    else:
        who = f"by {decision.responder}" if decision.responder else "because nobody answered in time"
        error = _error(ErrorType.APPROVAL_REJECTED, f"rejected {who}", decision.comments)
        fail_wait(tx, row, error, BlockStatus.REJECTED)
    aftermath = conclude_locked(settler)
    aftermath.unsettled = True
    return aftermath


def _complete_choice(tx: EngineTransaction, row: Any, decision: HumanDecision) -> None:
    """Let a run go where a person says; its DECIDE row offers the ways."""
    waiting = json.loads(row.output_extra) if row.output_extra is not None else {}
    try:
        output = chosen_by_person(
            waiting, decision.response, responder=decision.responder, comments=decision.comments
        )
    except ValueError as error:
        fail_wait(tx, row, _error(ErrorType.ROUTING_ERROR, str(error), decision.comments))
    else:
        complete_wait(tx, row, output)


def _output_of_review(row: Any, decision: HumanDecision) -> JsonValue:
    proposed = json.loads(row.output_extra) if row.output_extra is not None else None
    who, said = decision.responder, decision.comments
    if decision.approved:
        return reviewed_output(proposed, decision.response, comments=said, approver=who)
    return rejected_output(proposed, comments=said, approver=who)


def _error(kind: ErrorType, words: str, comments: str) -> dict[str, JsonValue]:
    return {"type": kind, "message": f"{words}: {comments}" if comments else words, "retryable": False}


def _output(decision: HumanDecision) -> JsonObject:
    return {
        **decision.response,
        "approved": decision.approved,
        "comments": decision.comments,
        "approver": decision.responder,
    }
