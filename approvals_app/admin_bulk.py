"""Many approvals answered at once in the admin: asked for once more, then each for itself, with a report.

Every row goes through the one service that decides. One that cannot be answered holds up no other, and is
never passed over in silence.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from approvals_app.assignment import NOBODY, responders_of
from approvals_app.inbox import outcome_of
from approvals_app.models import Approval
from approvals_app.services.approvals import respond_to_approval
from workflow_service.accounts.models import User
from workflow_service.admin_pages import sentence
from workflow_service.engine.errors import WorkflowError
from workflow_service.engine.states import ApprovalStatus, HumanStepType

MAX_SELECTED = 200
ASKS_BY_FORM = (HumanStepType.INPUT, HumanStepType.INTERVENTION, HumanStepType.CHOICE)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A selected approval, and why it will not be answered; an empty text if it will."""

    approval: Approval
    hindrance: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one of the selected."""

    approval: Approval
    done: bool
    words: str


def candidates_of(actor: User, approvals: Iterable[Approval], *, approved: bool) -> list[Candidate]:
    """Return the selected with what is known to stand in the way of each."""
    chosen = list(approvals)
    responders = responders_of(actor)

    def hindrance(approval: Approval) -> str:
        if approval.status != ApprovalStatus.PENDING:
            return outcome_of(approval).lower()
        responder = responders.get(approval.workspace_id, NOBODY)
        objection = responder.objection(approval)
        if objection:
            return objection
        if responder.has_voted(approval):
            return "you have answered it"
        return "its form has to be filled in" if approved and approval.type in ASKS_BY_FORM else ""

    return [Candidate(approval, hindrance(approval)) for approval in chosen]


def answer_each(
    actor: User,
    approvals: Iterable[Approval],
    *,
    approved: bool,
    comments: str,
    versions: Mapping[int, int],
) -> Sequence[Outcome]:
    """Answer each of ``approvals`` as it was seen, in the version of ``versions``, and say what became of it."""
    return [
        _answer(actor, approval, approved=approved, comments=comments, version=versions.get(approval.pk))
        for approval in approvals
    ]


def _answer(
    actor: User, approval: Approval, *, approved: bool, comments: str, version: int | None
) -> Outcome:
    try:
        decided = respond_to_approval(
            approval_id=approval.public_id,
            actor=actor,
            approved=approved,
            comments=comments,
            source="admin",
            version=version,
        )
    except WorkflowError as error:
        return Outcome(approval, False, sentence(error.message))
    if decided.status == ApprovalStatus.PENDING:
        return Outcome(decided, True, "Your answer counts; others have to answer too")
    return Outcome(decided, decided.responded_by == actor, outcome_of(decided))
