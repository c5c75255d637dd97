"""What becomes of questions that nobody answers: reminders, the levels of the chain, the end of the time.

The sweeper looks every second for what is due, from Postgres alone; no message carries a time. Each question has a
transaction of its own, with the locks of an answer in the same order, so that of a click and a timer at the same time
one comes first and the other finds what stands. A process that dies on the way leaves a timer that is still due. While
a run is paused none of its timers fires; what fell due does so when it is resumed.
"""

import logging
from datetime import datetime

from approvals_app import dispatch, feed
from approvals_app.assignment import EVERY_APPROVER
from approvals_app.errors import ResponseInvalid
from approvals_app.levels import fitting_names, names_of_level
from approvals_app.models import Approval
from approvals_app.recording import record_deed
from approvals_app.services.approvals import check_response
from approvals_app.services.decisions import Decision, close_if_unneeded, lock_approval, settle
from approvals_app.services.questions import overdue_every
from approvals_app.timers import Due, Timers, timers_of
from executions_app.aftermath import follow_up
from executions_app.finishing import Aftermath
from executions_app.transaction import EngineTransaction, command_transaction, database_now
from workflow_service.engine.definition import JsonObject
from workflow_service.engine.states import ApprovalStatus, ExecutionStatus

SOURCE = "timeout"
logger = logging.getLogger(__name__)


def run_due_timers(*, now: datetime | None = None, limit: int = 200) -> int:
    """Do what is due at ``now`` (None: the database's clock) for pending questions; return for how many.

    What has waited longest comes first. One question that cannot be dealt with does not keep the others.
    """
    at = now or database_now()
    pending = Approval.objects.filter(status=ApprovalStatus.PENDING, next_timer_at__lte=at)
    waiting = pending.exclude(execution__status=ExecutionStatus.PAUSED)
    done = 0
    for approval in waiting.only("execution_id", "block_execution_id").order_by("next_timer_at", "id")[
        :limit
    ]:
        try:
            done += _fire(approval, now)
        except Exception:
            logger.exception("what is due for approval %s failed; it is repeated", approval.pk)
    return done


def _fire(seen: Approval, now: datetime | None) -> bool:
    aftermath: Aftermath | None = None
    with command_transaction() as tx:
        approval = lock_approval(seen)
        at = now or database_now()
        since = approval.next_timer_at
        if (
            approval.status != ApprovalStatus.PENDING
            or since is None
            or since > at
            or approval.execution.status == ExecutionStatus.PAUSED
            or close_if_unneeded(approval, now=at)
        ):
            return False
        timers = timers_of(approval, overdue_every=overdue_every())
        match timers.due(since, at):
            case Due.ESCALATION:
                _escalate(approval, timers, at)
            case Due.TIMEOUT:
                aftermath = _time_out(tx, approval, timers, at)
            case Due.REMINDER:
                _announce(feed.REMINDED, approval, timers, at)
            case None:
                _set_timer(approval, timers, at)
    if aftermath is not None:
        follow_up(aftermath, approval.execution_id)
    return True


def _escalate(approval: Approval, timers: Timers, now: datetime) -> None:
    """Ask those of the chain's next level too; who was asked before may still answer."""
    step = approval.escalation_chain[approval.escalation_step]
    level, named = step["level"], fitting_names(tuple(step["assignees"]))
    added = named or names_of_level(approval.workspace_id, level) or EVERY_APPROVER
    # Nobody listed meant every approver: to list those who are added alone would take it from the others.
    before = approval.assignees or EVERY_APPROVER
    approval.assignees = list(dict.fromkeys((*before, *added)))
    approval.level = level or approval.level
    approval.escalation_step += 1
    approval.version += 1
    approval.due_at = now + timers.term_of(approval.escalation_step)
    approval.next_timer_at = timers_of(approval, overdue_every=overdue_every()).next_after(now)
    fields = ("assignees", "level", "escalation_step", "version", "due_at", "next_timer_at")
    approval.save(update_fields=fields)
    details: JsonObject = {"step": approval.escalation_step, "added": list(added)}
    record_deed(None, "approval.escalate", approval, version=approval.version, **details)
    dispatch.tell_after_commit(feed.append_events(feed.ESCALATED, [approval], now=now, details=details))


def _time_out(tx: EngineTransaction, approval: Approval, timers: Timers, now: datetime) -> Aftermath | None:
    """Do what the workflow wants when its last term is over: keep waiting, or decide."""
    match approval.on_timeout:
        case Approval.OnTimeout.APPROVE if _may_approve_unseen(approval):
            decision = Decision(True, None, "", SOURCE)
        case Approval.OnTimeout.REJECT:
            decision = Decision(False, None, "", SOURCE)
        case Approval.OnTimeout.FAIL:
            decision = Decision(False, None, "", SOURCE, expired=True)
        case _:
            _announce(feed.TIMEOUT, approval, timers, now)
            return None
    record_deed(None, "approval.time_out", approval, version=approval.version, decision=decision.status.value)
    return settle(tx, approval, decision, now=now)


def _may_approve_unseen(approval: Approval) -> bool:
    """Say whether a yes needs no more than a yes; what people must fill in, no clock can."""
    try:
        check_response(approval, None)
    except ResponseInvalid:
        return False
    return True


def _announce(kind: str, approval: Approval, timers: Timers, now: datetime) -> None:
    _set_timer(approval, timers, now)
    dispatch.tell_after_commit(feed.append_events(kind, [approval], now=now))


def _set_timer(approval: Approval, timers: Timers, now: datetime) -> None:
    approval.next_timer_at = timers.next_after(now)
    approval.save(update_fields=("next_timer_at",))
