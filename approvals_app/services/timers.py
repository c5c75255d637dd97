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
from executions_app.transaction import command_transaction, database_now
from workflow_service.engine.definition import JsonObject
from workflow_service.engine.states import ApprovalStatus, ExecutionStatus

SOURCE = "timeout"
logger = logging.getLogger(__name__)


def run_due_timers(*, now: datetime | None = None, limit: int = 100) -> int:
    """Do what is due at ``now`` (None: the database's clock) for pending questions; return for how many.

    What has waited longest comes first. One question that cannot be dealt with does not keep the others.
    """
    at = now or database_now()
    pending = Approval.objects.filter(status=ApprovalStatus.PENDING, next_timer_at__lte=at)
    waiting = pending.exclude(execution__status=ExecutionStatus.PAUSED)
    acts = {Due.ESCALATION: _escalate, Due.TIMEOUT: _time_out, Due.REMINDER: _remind}
    done = 0
    for approval in waiting.order_by("next_timer_at", "id")[:limit]:
        try:
            done += acts[_due(approval, at) or Due.REMINDER](approval, now)
        except Exception:
            logger.exception("what is due for approval %s failed; it is repeated", approval.public_id)
    return done


def _escalate(seen: Approval, now: datetime | None) -> bool:
    """Ask those of the chain's next level too; who was asked before may still answer."""
    with command_transaction():
        approval, at = _lock_due(seen, now, Due.ESCALATION)
        if approval is None:
            return False
        step = approval.escalation_chain[approval.escalation_step]
        level, named = step["level"], fitting_names(tuple(step["assignees"]))
        added = named or names_of_level(approval.workspace_id, level) or EVERY_APPROVER
        # Nobody listed meant every approver: to list those who are added alone would take it from the others.
        before = approval.assignees or EVERY_APPROVER
        approval.assignees = list(dict.fromkeys((*before, *added)))
        approval.level = level or approval.level
        approval.escalation_step += 1
        approval.version += 1
        approval.due_at = at + _timers(approval).term_of(approval.escalation_step)
        approval.save(update_fields=("assignees", "level", "escalation_step", "version", "due_at"))
        details: JsonObject = {"step": approval.escalation_step, "added": list(added)}
        record_deed(None, "approval.escalate", approval, version=approval.version, **details)
        _announce(feed.ESCALATED, approval, at, details)
    return True


def _time_out(seen: Approval, now: datetime | None) -> bool:
    """Do what the workflow wants when its last term is over: keep waiting, or decide."""
    aftermath: Aftermath | None = None
    with command_transaction() as tx:
        approval, at = _lock_due(seen, now, Due.TIMEOUT)
        if approval is None:
            return False
        decision = _decision_of_time(approval)
        if decision is None:
            _announce(feed.TIMEOUT, approval, at)
        else:
            told = {"version": approval.version, "decision": decision.status.value}
            record_deed(None, "approval.time_out", approval, **told)
            aftermath = settle(tx, approval, decision, now=at)
    if aftermath is not None:
        follow_up(aftermath, approval.execution_id)
    return True


def _remind(seen: Approval, now: datetime | None) -> bool:
    """Remind those who are asked."""
    with command_transaction():
        approval, at = _lock_due(seen, now, Due.REMINDER)
        if approval is None:
            return False
        _announce(feed.REMINDED, approval, at)
    return True


def _lock_due(seen: Approval, now: datetime | None, due: Due) -> tuple[Approval | None, datetime]:
    """Lock a question and return it with the time, None in its place where this is not what is due any more."""
    approval = lock_approval(seen)
    at = now or database_now()
    if approval.status != ApprovalStatus.PENDING or approval.execution.status == ExecutionStatus.PAUSED:
        return None, at
    if close_if_unneeded(approval, now=at):
        return None, at
    found = _due(approval, at)
    if found is None and approval.next_timer_at is not None and approval.next_timer_at <= at:
        # Its times were changed meanwhile: what waits is looked for again.
        _set_timer(approval, at)
    return (approval if found is due else None), at


def _due(approval: Approval, at: datetime) -> Due | None:
    since = approval.next_timer_at
    return None if since is None or since > at else _timers(approval).due(since, at)


def _timers(approval: Approval) -> Timers:
    return timers_of(approval, overdue_every=overdue_every())


def _decision_of_time(approval: Approval) -> Decision | None:
    match approval.on_timeout:
        case Approval.OnTimeout.APPROVE if _may_approve_unseen(approval):
            return Decision(True, None, "", SOURCE)
        case Approval.OnTimeout.REJECT:
            return Decision(False, None, "", SOURCE)
        case Approval.OnTimeout.FAIL:
            return Decision(False, None, "", SOURCE, expired=True)
    return None


def _may_approve_unseen(approval: Approval) -> bool:
    """Say whether a yes needs no more than a yes; what people must fill in, no clock can."""
    try:
        check_response(approval, None)
    except ResponseInvalid:
        return False
    return True


def _announce(kind: str, approval: Approval, now: datetime, details: JsonObject | None = None) -> None:
    _set_timer(approval, now)
    dispatch.tell_after_commit(feed.append_events(kind, [approval], now=now, details=details))


def _set_timer(approval: Approval, now: datetime) -> None:
    approval.next_timer_at = _timers(approval).next_after(now)
    approval.save(update_fields=("next_timer_at",))
