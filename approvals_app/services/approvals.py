"""Answers to approvals. Every door (API, admin, socket) comes through ``respond_to_approval``.

Locks are taken in one order, execution, block, approval, so that of two people who answer at once one decides
and the other is told what stands. A second click is inert: the same answer returns the standing decision, the
opposite one is refused. Nothing here waits for anything but those locks.
"""

from approvals_app import dispatch, transitions
from approvals_app.assignment import responder_of
from approvals_app.errors import AlreadyAnswered, ApprovalClosed, NotYourApproval, ResponseInvalid
from approvals_app.models import Approval
from approvals_app.response_schema import find_problems
from approvals_app.selectors import get_approval
from executions_app.aftermath import follow_up
from executions_app.models import BlockExecution, Execution
from executions_app.services.human import HumanDecision, complete_waiting
from executions_app.transaction import command_transaction, database_now
from workflow_service.accounts.models import User
from workflow_service.accounts.policies import Action, require
from workflow_service.engine.definition import JsonObject
from workflow_service.engine.errors import Problem
from workflow_service.engine.json_values import JsonUnfit, check_json
from workflow_service.engine.states import ApprovalStatus
from workflow_service.settings.config import get_config


def respond_to_approval(
    *,
    approval_id: str,
    actor: User,
    approved: bool,
    response: JsonObject | None = None,
    comments: str = "",
    source: str,
) -> Approval:
    """Answer an approval as ``actor`` and let its run go on; return it with the decision that stands.

    ``source`` names the door. Raises ``ApprovalNotFound``, ``Forbidden``, ``NotYourApproval``,
    ``ResponseInvalid``, ``AlreadyAnswered`` (the other way) and ``ApprovalClosed`` (nobody waits for it any
    more).
    """
    seen = get_approval(actor, approval_id)
    require(actor, seen.workspace, Action.APPROVAL_RESPOND)
    objection = responder_of(actor, seen.workspace).objection(seen)
    if objection:
        raise NotYourApproval(approval_id, objection)
    if approved and seen.status == ApprovalStatus.PENDING:
        _check_response(seen, response)
    decision = HumanDecision(approved, response or {}, comments, actor.get_username())
    aftermath = None
    with command_transaction() as tx:
        approval = _lock(seen)
        now = database_now()
        if approval.status == ApprovalStatus.PENDING:
            aftermath = complete_waiting(
                tx,
                execution_id=approval.execution_id,
                block_execution_id=approval.block_execution_id,
                decision=decision,
            )
            if aftermath is None:
                (event,) = transitions.close([approval], now=now)
            else:
                event = transitions.decide(
                    approval,
                    approved=approved,
                    actor=actor,
                    response=response,
                    comments=comments,
                    source=source,
                    now=now,
                )
            dispatch.tell_after_commit([event])
    if aftermath is not None:
        follow_up(aftermath, approval.execution_id)
    return _standing(approval, approved)


def answer_of(approval: Approval) -> JsonObject:
    """Return what a decided approval adds to its block's output."""
    responder = approval.responded_by.get_username() if approval.responded_by else ""
    return {
        **(approval.response or {}),
        "approved": approval.status == ApprovalStatus.APPROVED,
        "comments": approval.comments,
        "approver": responder,
    }


def _check_response(approval: Approval, response: JsonObject | None) -> None:
    try:
        # It becomes the block's output, or a part of it.
        check_json(response, max_bytes=get_config().max_output_bytes)
    except JsonUnfit as error:
        raise ResponseInvalid([Problem(error.kind, error.reason, pointer=error.pointer)]) from None
    if approval.response_schema is None:
        return
    problems = find_problems(approval.response_schema, response or {})
    if problems:
        raise ResponseInvalid(problems)


def _lock(seen: Approval) -> Approval:
    """Lock an approval's execution, block and row, in this order, and return the approval as it is then."""
    Execution.objects.select_for_update(no_key=True).only("pk").get(pk=seen.execution_id)
    BlockExecution.objects.select_for_update(no_key=True).only("pk").get(pk=seen.block_execution_id)
    approvals = Approval.objects.select_for_update(of=("self",), no_key=True)
    return approvals.select_related("execution", "workspace", "responded_by").get(pk=seen.pk)


def _standing(approval: Approval, approved: bool) -> Approval:
    responder = approval.responded_by.get_username() if approval.responded_by else ""
    match approval.status:
        case ApprovalStatus.APPROVED | ApprovalStatus.REJECTED:
            if (approval.status == ApprovalStatus.APPROVED) != approved:
                raise AlreadyAnswered(approval.public_id, approval.status, responder)
            return approval
    raise ApprovalClosed(approval.public_id)
