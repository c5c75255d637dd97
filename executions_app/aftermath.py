"""What is done after a commit: hints are sent, and whoever held a run's lock looks again.

A finisher that could not lock the run left its row to the holder, who may have read before. So both look again. Who
finds the lock taken may go: its row was committed before it looked, and the holder looks after giving the lock back.
What is missed all the same, as by a holder that dies, the sweeper settles: nothing here must succeed.
"""

import logging

from django.db import connection

from executions_app.dispatch import send_aftermath, send_settle_hint
from executions_app.finishing import Aftermath, any_unsettled, settle_execution
from executions_app.transaction import DATABASE_GONE

logger = logging.getLogger(__name__)

RECHECKS = 3


def follow_up(aftermath: Aftermath, execution_id: int) -> None:
    """Send what a transaction left to be sent, and settle what it left unsettled."""
    send_aftermath(aftermath, execution_id)
    # A command does not look in its own transaction: whether it left anything is asked here.
    if aftermath.unsettled or (aftermath.unsettled is None and any_unsettled(execution_id)):
        settle_again(execution_id, aftermath.execution_public_id)


def settle_again(execution_id: int, execution_public_id: str) -> None:
    """Settle what a concurrent finisher left; what is left after ``RECHECKS`` batches is asked for by message."""
    try:
        for _ in range(RECHECKS):
            aftermath = settle_execution(execution_id)
            if aftermath is None:
                return  # the holder of the lock looks after us
            send_aftermath(aftermath, execution_id)
            if not aftermath.unsettled:
                return
    except DATABASE_GONE as error:
        logger.warning("execution %s is left to the sweeper: %s", execution_public_id, error)
        connection.close()
        return
    send_settle_hint(execution_id, execution_public_id)
