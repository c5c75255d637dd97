"""Questions to people: written when a block stops, closed when nobody needs the answer any more."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from pydantic import JsonValue

from approvals_app import dispatch, feed, transitions
from approvals_app.models import Approval, ApprovalEvent
from executions_app.models import Execution
from executions_app.transaction import database_now
from workflow_service.engine.definition import Block, HumanInLoop, JsonObject
from workflow_service.engine.states import ApprovalStatus, BlockStatus
from workflow_service.settings.config import get_config


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be asked about one block execution; ``message`` has its figures filled in.

    ``proposed`` is the output that a review is about.
    """

    execution: Execution
    block_execution_id: int
    block: Block
    step: HumanInLoop
    message: str
    input: JsonValue
    input_sha256: str
    proposed: JsonValue = None
    proposed_sha256: str = ""


def record_question(question: Question) -> JsonObject:
    """Write a question, in the transaction that stops its block; return what the run's event says of it."""
    now = database_now()
    step, block = question.step, question.block
    unanswered = Approval.objects.filter(
        block_execution=question.block_execution_id, status=ApprovalStatus.PENDING
    )
    _close(unanswered.select_related("execution"), now=now)
    due_in_ms = step.due_in or get_config().human_in_loop_approval_timeout_ms
    approval = Approval.objects.create(
        workspace_id=question.execution.workspace_id,
        execution=question.execution,
        block_execution_id=question.block_execution_id,
        block_id=block.block_id,
        block_name=block.name or "",
        type=step.type,
        level=step.approval_level or "",
        assignees=list(step.assignees),
        four_eyes=step.four_eyes,
        message=question.message,
        input=question.input,
        input_sha256=question.input_sha256,
        proposed=question.proposed,
        proposed_sha256=question.proposed_sha256,
        response_schema=step.input_schema,
        requested_at=now,
        due_at=now + timedelta(milliseconds=due_in_ms),
    )
    events = feed.append_events(feed.REQUESTED, [approval], now=now)
    dispatch.tell_after_commit(events)
    return feed.summary_of(approval)


def close_unneeded(*, limit: int = 200) -> int:
    """Close questions whose block waits no more, as after the end of its run; return how many.

    A block that waits again asks anew, so what is closed here can never be needed.
    """
    unneeded = Approval.objects.filter(status=ApprovalStatus.PENDING).exclude(
        block_execution__status=BlockStatus.WAITING
    )
    closed = 0
    for approval in unneeded.select_related("execution").order_by("id")[:limit]:
        with transaction.atomic(durable=True):
            closed += _close([approval], now=database_now())
    return closed


def close_of_runs(execution_ids: Sequence[int]) -> None:
    """Close what is asked about runs that are being cancelled, in the transaction that cancels them."""
    asked = Approval.objects.filter(execution_id__in=execution_ids, status=ApprovalStatus.PENDING)
    _close(asked.select_related("execution"), now=database_now())


def announce_overdue(*, limit: int = 200) -> int:
    """Say once of each unanswered question that its time is over; it stays open (document A section 7.3)."""
    now = database_now()
    announced = ApprovalEvent.objects.filter(type=feed.TIMEOUT).values("approval_id")
    overdue = Approval.objects.filter(status=ApprovalStatus.PENDING, due_at__lte=now).exclude(
        pk__in=announced
    )
    with transaction.atomic(durable=True):
        locked = overdue.select_for_update(of=("self",), no_key=True, skip_locked=True)
        approvals = list(locked.select_related("execution").order_by("workspace_id", "id")[:limit])
        for workspace_id in dict.fromkeys(approval.workspace_id for approval in approvals):
            mine = [approval for approval in approvals if approval.workspace_id == workspace_id]
            dispatch.tell_after_commit(feed.append_events(feed.TIMEOUT, mine, now=now))
    return len(approvals)


def _close(approvals: Iterable[Approval], *, now: datetime) -> int:
    events = transitions.close(approvals, now=now)
    dispatch.tell_after_commit(events)
    return len(events)
