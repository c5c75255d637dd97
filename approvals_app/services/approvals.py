"""Answers to approvals. Every door (API, admin, e-mail) comes through ``respond_to_approval``.

Locks are taken in one order, execution, block, approval, feed, so that of two people who answer at once one decides
and the other is counted or told what stands; the end of a question's time takes the same locks. A second click is
inert: the same answer returns what stands, another one is refused. Nothing here waits for anything but those
locks.
"""

from approvals_app import dispatch, feed
from approvals_app.assignment import Responder, responder_of
from approvals_app.errors import (
    AlreadyAnswered,
    AlreadyVoted,
    ApprovalClosed,
    NotYourApproval,
    OutOfDate,
    ResponseInvalid,
)
from approvals_app.mending import check_mending
from approvals_app.models import Approval, ApprovalVote
from approvals_app.recording import record_answer
from approvals_app.response_schema import find_problems
from approvals_app.seats import count_seats, seat_of
from approvals_app.selectors import get_approval
from approvals_app.services.decisions import Decision, close_if_unneeded, lock_approval, settle
from approvals_app.voting import Ballot, outcome
from executions_app.aftermath import follow_up
from executions_app.crash_points import reach
from executions_app.finishing import Aftermath
from executions_app.transaction import EngineTransaction, command_transaction, database_now
from workflow_service.accounts.models import User
from workflow_service.accounts.policies import Action, require
from workflow_service.engine.definition import JsonObject
from workflow_service.engine.errors import Problem
from workflow_service.engine.json_values import JsonUnfit, check_json, storable_text
from workflow_service.engine.states import ApprovalStatus
from workflow_service.settings.config import get_config

MAX_COMMENTS = 5_000


def respond_to_approval(
    *,
    approval_id: str,
    actor: User,
    approved: bool,
    response: JsonObject | None = None,
    comments: str = "",
    source: str,
    version: int | None = None,
) -> Approval:
    """Answer an approval as ``actor``; return it as it then stands, still pending where others must answer too.

    Once it is decided its run goes on. ``source`` names the door, ``version`` what the actor looked at. Raises
    ``ApprovalNotFound``, ``Forbidden``, ``NotYourApproval``, ``ResponseInvalid``, ``OutOfDate``, ``AlreadyVoted``,
    ``AlreadyAnswered`` (otherwise) and ``ApprovalClosed`` (nobody waits for it any more).
    """
    comments = storable_text(comments, MAX_COMMENTS)
    seen = get_approval(actor, approval_id)
    require(actor, seen.workspace, Action.APPROVAL_RESPOND)
    _responder(actor, seen)
    if seen.status == ApprovalStatus.PENDING:
        check_response(seen, response, approved=approved)
    aftermath = None
    with command_transaction() as tx:
        approval = lock_approval(seen)
        # What was allowed before the wait for the lock may be forbidden now.
        responder = _responder(actor, approval)
        now = database_now()
        if approval.status == ApprovalStatus.PENDING and not close_if_unneeded(approval, now=now):
            if _voted_already(approval, actor, approved, response):
                return approval
            if version is not None and version != approval.version:
                raise OutOfDate(approval_id, approval.version, version)
            if approved:
                check_mending(approval, response, actor)
            vote = ApprovalVote(
                approval=approval,
                user=actor,
                approved=approved,
                response=response,
                comments=comments,
                source=source,
                version=approval.version,
                created_at=now,
            )
            aftermath = _cast(tx, vote, responder, seen=version)
    if aftermath is not None:
        follow_up(aftermath, approval.execution_id)
        return approval
    if approval.status == ApprovalStatus.PENDING:
        reach("approvals.vote:after commit")
        return approval
    return _standing(approval, approved, response)


def answer_of(approval: Approval) -> JsonObject:
    """Return what a decided approval adds to its block's output."""
    responder = approval.responded_by.get_username() if approval.responded_by else ""
    return {
        **(approval.response or {}),
        "approved": approval.status == ApprovalStatus.APPROVED,
        "comments": approval.comments,
        "approver": responder,
    }


def check_response(approval: Approval, response: JsonObject | None, *, approved: bool = True) -> None:
    """Raise ``ResponseInvalid`` unless ``response`` can be kept, and is what an approval asks for.

    A rejection need not have one; what it has may become the block's output as well.
    """
    try:
        # It becomes the block's output, or a part of it.
        check_json(response, max_bytes=get_config().max_output_bytes)
    except JsonUnfit as error:
        raise ResponseInvalid([Problem(error.kind, error.reason, pointer=error.pointer)]) from None
    if approval.response_schema is None or not (approved or response):
        return
    problems = find_problems(approval.response_schema, response or {})
    if problems:
        raise ResponseInvalid(problems)


def _responder(actor: User, approval: Approval) -> Responder:
    responder = responder_of(actor, approval.workspace)
    objection = responder.objection(approval)
    if objection:
        raise NotYourApproval(approval.public_id, objection)
    return responder


def _voted_already(approval: Approval, actor: User, approved: bool, response: JsonObject | None) -> bool:
    """Say whether the actor has given this very answer; raises ``AlreadyVoted`` for another."""
    for vote in approval.votes.select_related("user"):
        if vote.user_id == actor.pk:
            if vote.approved != approved:
                stands = "approved" if vote.approved else "rejected"
                raise AlreadyVoted(approval.public_id, f"you have {stands} it")
            if approved and (vote.response or None) != (response or None):
                raise AlreadyVoted(approval.public_id, "you have approved another answer")
            return True
        if vote.on_behalf_of_id == actor.pk:
            raise AlreadyVoted(approval.public_id, f"{vote.user.get_username()} has answered for you")
    return False


def _cast(
    tx: EngineTransaction, vote: ApprovalVote, responder: Responder, *, seen: int | None
) -> Aftermath | None:
    """Write a vote, and the decision where it brings one about; None where others must answer too."""
    approval = vote.approval
    cast = list(approval.votes.all())
    seat = seat_of(approval, responder, cast)
    if seat is None:
        raise AlreadyVoted(approval.public_id, "who handed it to you has answered, or had it answered")
    vote.on_behalf_of_id = seat if seat != vote.user_id else None
    vote.save(force_insert=True)
    approval.version += 1
    approval.involved_ids = sorted({*approval.involved_ids, vote.user_id, seat})
    votes = [*cast, vote]
    ballots = [Ballot(one.approved, one.response) for one in votes]
    asked = count_seats(approval, votes) if approval.quorum > 1 else 1
    verdict = outcome(ballots, quorum=approval.quorum, asked=asked)
    record_answer(vote, seen=seen, decided=verdict)
    if verdict is None:
        _note_vote(vote)
        return None
    # Where approvers of different answers bring about a no, it has none.
    given = vote.response if verdict == vote.approved else None
    decision = Decision(verdict, given, vote.comments, vote.source, vote.user)
    return settle(tx, approval, decision, now=vote.created_at)


def _note_vote(vote: ApprovalVote) -> None:
    approval = vote.approval
    Approval.objects.filter(pk=approval.pk).update(
        version=approval.version, involved_ids=approval.involved_ids
    )
    details: JsonObject = {
        "by": vote.user.get_username(),
        "source": vote.source,
        "approved": vote.approved,
        "comments": vote.comments,
    }
    events = feed.append_events(feed.VOTED, [approval], now=vote.created_at, details=details)
    dispatch.tell_after_commit(events)
    reach("approvals.vote:before commit")


def _standing(approval: Approval, approved: bool, response: JsonObject | None) -> Approval:
    responder = approval.responded_by.get_username() if approval.responded_by else "the end of its time"
    match approval.status:
        case ApprovalStatus.APPROVED | ApprovalStatus.REJECTED:
            if (approval.status == ApprovalStatus.APPROVED) != approved:
                raise AlreadyAnswered(approval.public_id, approval.status.lower(), responder)
            # Another edit, another form, retry in place of skip: who sent it must not take it for what was done.
            if approved and (approval.response or None) != (response or None):
                raise AlreadyAnswered(approval.public_id, "answered otherwise", responder)
            return approval
    raise ApprovalClosed(approval.public_id)
