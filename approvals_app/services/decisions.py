"""A decision reaches the block that waits for it: made by people or by the end of their time, applied in one way."""

from dataclasses import dataclass
from datetime import datetime

from approvals_app import dispatch, transitions
from approvals_app.models import Approval
from executions_app.finishing import Aftermath
from executions_app.models import BlockExecution, Execution
from executions_app.services.human import HumanDecision, complete_waiting
from executions_app.transaction import EngineTransaction
from workflow_service.accounts.models import User
from workflow_service.engine.definition import JsonObject
from workflow_service.engine.states import ApprovalStatus, BlockStatus


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided; without ``actor`` the end of the time decided, and ``expired`` fails the block."""

    approved: bool
    response: JsonObject | None
    comments: str
    source: str
    actor: User | None = None
    expired: bool = False

    @property
    def status(self) -> ApprovalStatus:
        if self.expired:
            return ApprovalStatus.EXPIRED
        return ApprovalStatus.APPROVED if self.approved else ApprovalStatus.REJECTED


def lock_approval(seen: Approval) -> Approval:
    """Lock an approval's execution, block and row, in this order, and return the approval as it is then."""
    Execution.objects.select_for_update(no_key=True).only("pk").get(pk=seen.execution_id)
    blocks = BlockExecution.objects.select_for_update(no_key=True).only("status")
    block = blocks.get(pk=seen.block_execution_id)
    approval = lock_row(seen)
    approval.block_execution = block
    return approval


def lock_row(seen: Approval) -> Approval:
    """Lock an approval alone, for what touches neither its block nor its run; return it as it is then."""
    approvals = Approval.objects.select_for_update(of=("self",), no_key=True)
    return approvals.select_related("execution", "workspace", "responded_by").get(pk=seen.pk)


def close_if_unneeded(approval: Approval, *, now: datetime) -> bool:
    """Close a locked, pending approval whose block waits no more; say whether it was one."""
    if approval.block_execution.status == BlockStatus.WAITING:
        return False
    dispatch.tell_after_commit(transitions.close([approval], now=now))
    return True


def settle(
    tx: EngineTransaction, approval: Approval, decision: Decision, *, now: datetime
) -> Aftermath | None:
    """Apply a decision to a locked, pending approval and its block; None where the block waits no more.

    Then the approval is closed. After the commit the caller hands the answer to ``aftermath.follow_up``.
    """
    human = HumanDecision(
        approved=decision.approved,
        response=decision.response or {},
        comments=decision.comments,
        responder=decision.actor.get_username() if decision.actor else "",
        expired=decision.expired,
    )
    aftermath = complete_waiting(
        tx,
        execution_id=approval.execution_id,
        block_execution_id=approval.block_execution_id,
        decision=human,
    )
    if aftermath is None:
        dispatch.tell_after_commit(transitions.close([approval], now=now))
        return None
    event = transitions.decide(
        approval,
        decision.status,
        actor=decision.actor,
        response=decision.response,
        comments=decision.comments,
        source=decision.source,
        now=now,
    )
    dispatch.tell_after_commit([event])
    return aftermath
