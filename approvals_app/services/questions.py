"""Questions to people: written when a block stops, closed when nobody needs the answer any more."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from pydantic import JsonValue

from approvals_app import dispatch, feed, transitions
from approvals_app.levels import fitting_names, names_of_level
from approvals_app.models import Approval
from approvals_app.timers import timers_of
from executions_app.models import Execution
from executions_app.transaction import database_now
from workflow_service.engine.definition import Block, EscalationLevel, HumanInLoop, JsonObject
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
    term_ms = step.due_in or get_config().human_in_loop_approval_timeout_ms
    workspace_id = question.execution.workspace_id
    level = step.approval_level or ""
    approval = Approval(
        workspace_id=workspace_id,
        execution=question.execution,
        block_execution_id=question.block_execution_id,
        block_id=block.block_id,
        block_name=block.name or "",
        type=step.type,
        level=level,
        assignees=fitting_names(step.assignees) or (names_of_level(workspace_id, level) if level else []),
        four_eyes=step.four_eyes,
        quorum=step.quorum,
        allow_delegation=step.allow_delegation,
        message=question.message,
        input=question.input,
        input_sha256=question.input_sha256,
        proposed=question.proposed,
        proposed_sha256=question.proposed_sha256,
        response_schema=step.input_schema,
        requested_at=now,
        due_at=now + timedelta(milliseconds=term_ms),
        on_timeout=step.on_timeout,
        remind_every_s=None if step.remind_every is None else step.remind_every // 1_000,
        escalation_chain=[_chain_step(one, term_ms) for one in step.escalation_chain],
    )
    approval.next_timer_at = timers_of(approval, overdue_every=overdue_every()).next_after(now)
    approval.save(force_insert=True)
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


def overdue_every() -> timedelta:
    """Return how often people are reminded of what is overdue and has no ``remindEvery`` of its own."""
    return timedelta(milliseconds=get_config().human_in_loop_approval_timeout_ms)


def _chain_step(level: EscalationLevel, term_ms: int) -> JsonObject:
    return {
        "afterMs": level.after or term_ms,
        "dueMs": term_ms,
        "level": level.approval_level or "",
        "assignees": list(level.assignees),
    }


def _close(approvals: Iterable[Approval], *, now: datetime) -> int:
    events = transitions.close(approvals, now=now)
    dispatch.tell_after_commit(events)
    return len(events)
