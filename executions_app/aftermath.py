"""What is done after a commit: hints are sent, whoever held a run's lock looks again, and what was held back begins.

A finisher that could not lock the run left its row to the holder, who may have read before. So both look again, and
what they miss the sweeper settles: nothing here must succeed.
"""

import logging

from django.db import connection

from executions_app.admission import admit
from executions_app.child_ends import end_waiting_block
from executions_app.dispatch import send_aftermath, send_settle_hint
from executions_app.finishing import Aftermath, settle_execution
from executions_app.transaction import DATABASE_GONE

logger = logging.getLogger(__name__)

RECHECKS = 3


def follow_up(aftermath: Aftermath, execution_id: int) -> None:
    """Send what a transaction left to be sent, and settle what it left unsettled, in other executions too."""
    _send(aftermath, execution_id)
    if aftermath.unsettled:
        settle_again(execution_id, aftermath.execution_public_id)


def _send(aftermath: Aftermath, execution_id: int) -> None:
    send_aftermath(aftermath, execution_id)
    for other_id, other in aftermath.others:
        follow_up(other, other_id)
    told = None if aftermath.ended_child is None else end_waiting_block(aftermath.ended_child)
    if told is not None:
        parent_id, parents = told
        follow_up(parents, parent_id)
    if aftermath.room_in_template is not None:
        admit(aftermath.room_in_template)


def settle_again(execution_id: int, execution_public_id: str) -> None:
    """Settle what a concurrent finisher left; after ``RECHECKS`` tries ask for it by message."""
    try:
        for _ in range(RECHECKS):
            aftermath = settle_execution(execution_id)
            if aftermath is None:
                continue
            _send(aftermath, execution_id)
            if not aftermath.unsettled:
                return
    except DATABASE_GONE as error:
        logger.warning("execution %s is left to the sweeper: %s", execution_public_id, error)
        connection.close()
        return
    send_settle_hint(execution_id, execution_public_id)
