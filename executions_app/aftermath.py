"""What is done after a commit: hints are sent, whoever held a run's lock looks again, and what was held back begins.

A finisher that could not lock the run left its row to the holder, who may have read before. So both look again. Who
finds the lock taken may go: its row was committed before it looked, and the holder looks after giving the lock back,
a command that was refused too (``look_after_unlock``).
What is missed all the same, as by a holder that dies, the sweeper settles: nothing here must succeed.
"""

import logging
import time
from collections.abc import Mapping
from uuid import UUID

from django.db import connection

from executions_app.admission import admit
from executions_app.child_ends import end_waiting_block, look_at_parent
from executions_app.dispatch import send_aftermath, send_settle_hint
from executions_app.finishing import Aftermath, any_unsettled, settle_execution
from executions_app.progress import Claim
from executions_app.transaction import DATABASE_GONE

logger = logging.getLogger(__name__)

RECHECKS = 3
# Who would go on with the run's next block waits a little for the lock: shorter than a message takes.
LOCK_WAIT_S = 0.002


def follow_up(
    aftermath: Aftermath, execution_id: int, continue_as: tuple[UUID, str] | None = None
) -> Claim | None:
    """Send what a transaction left to be sent, and settle what it left unsettled, in other executions too.

    With ``continue_as`` (worker id, queue) that may claim the run's next block for the worker; returns the claim.
    Raises ``DATABASE_GONE`` where it is not known whether it did.
    """
    _send(aftermath, execution_id)
    if aftermath.unsettled or (aftermath.unsettled is None and any_unsettled(execution_id)):
        wanted = continue_as if aftermath.claim is None else None
        return settle_again(execution_id, aftermath.execution_public_id, wanted)
    return None


def _send(aftermath: Aftermath, execution_id: int) -> None:
    send_aftermath(aftermath, execution_id)
    for other_id, other in aftermath.others:
        follow_up(other, other_id)
    if aftermath.ended_child is not None:
        _tell_parent(aftermath.ended_child, aftermath.execution_public_id)
    turned = None if aftermath.turned_child is None else look_at_parent(aftermath.turned_child)
    if turned is not None:
        follow_up(turned[1], turned[0])
    if aftermath.room_in_template is not None:
        admit(aftermath.room_in_template)


def _tell_parent(child_id: int, child_public_id: str) -> None:
    """Tell the parent of a run that has ended; where its lock is not to be had the sweeper does."""
    try:
        told = end_waiting_block(child_id)
    except DATABASE_GONE as error:
        # The child's end is committed: whoever asked for it must not read that it went wrong.
        logger.warning(
            "telling the parent of execution %s is left to the sweeper: %s", child_public_id, error
        )
        connection.close()
        return
    if told is not None:
        parent_id, parents = told
        follow_up(parents, parent_id)


def settle_again(
    execution_id: int, execution_public_id: str, continue_as: tuple[UUID, str] | None = None
) -> Claim | None:
    """Settle what a concurrent finisher left; what is left after ``RECHECKS`` batches is asked for by message.

    Returns the block claimed for ``continue_as``, if there was one to claim. Raises ``DATABASE_GONE`` where that is not
    known: a claim may be committed whose answer was lost.
    """
    claim: Claim | None = None
    aftermath: Aftermath | None = None
    try:
        for _ in range(RECHECKS):
            wanted = continue_as if claim is None else None
            aftermath = settle_execution(execution_id, continue_as=wanted)
            if aftermath is None:
                if wanted is None:
                    return claim  # the holder of the lock looks after us
                time.sleep(LOCK_WAIT_S)
                continue
            claim = claim or aftermath.claim
            _send(aftermath, execution_id)
            if not aftermath.unsettled:
                return claim
    except DATABASE_GONE as error:
        logger.warning("execution %s is left to the sweeper: %s", execution_public_id, error)
        connection.close()
        if continue_as is not None and claim is None:
            raise
        return claim
    if aftermath is not None:
        send_settle_hint(execution_id, execution_public_id)
    return claim


def look_after_unlock(runs: Mapping[int, str]) -> None:
    """Settle what others left to a transaction that locked these runs (id to public id) and concluded nothing.

    Raises nothing: the transaction ended as it ended, and the sweeper settles what is left here.
    """
    for execution_id, public_id in runs.items():
        try:
            if any_unsettled(execution_id):
                settle_again(execution_id, public_id)
        except DATABASE_GONE as error:
            logger.warning("execution %s is left to the sweeper: %s", public_id, error)
            connection.close()
            return
        except Exception:
            logger.exception("execution %s is left to the sweeper", public_id)
