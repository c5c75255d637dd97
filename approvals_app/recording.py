"""What people and clocks do to approvals, in the audit trail: with the version and a hash of what they were shown."""

import hashlib
import json
from typing import Any

from approvals_app.models import Approval, ApprovalVote
from workflow_service.accounts.models import User
from workflow_service.accounts.recording import record_by


def shown_sha256(approval: Approval) -> str:
    """Return the hash of what an approval puts before people: as canonical JSON, to be made again from its row."""
    shown = [approval.message, approval.input, approval.proposed, approval.response_schema]
    return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()


def record_answer(vote: ApprovalVote, *, seen: int | None, decided: bool | None) -> None:
    """Record an answer; ``seen`` is the version that its door showed, ``decided`` what the answers brought about."""
    answer = json.dumps(vote.response, sort_keys=True)
    told = {
        "approved": vote.approved,
        "source": vote.source,
        "version": vote.version,
        "seenVersion": seen,
        "answerSha256": "" if vote.response is None else hashlib.sha256(answer.encode()).hexdigest(),
        "onBehalfOfId": vote.on_behalf_of_id,
        "decision": None if decided is None else "approved" if decided else "rejected",
    }
    record_deed(vote.user, "approval.respond", vote.approval, **told)


def record_deed(actor: User | None, action: str, approval: Approval, /, **detail: Any) -> None:
    """Record what was done to an approval; without ``actor`` a clock did it."""
    told = {
        "execution": approval.execution.public_id,
        "block": approval.block_id,
        "inputSha256": approval.input_sha256,
        "proposedSha256": approval.proposed_sha256,
        "shownSha256": shown_sha256(approval),
        **detail,
    }
    record_by(actor, action, approval.workspace_id, "approval", approval.public_id, **told)
