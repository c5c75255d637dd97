"""Ended runs, handed once each to whoever learns from them: rollups, anomalies, experiments, advice.

An app above this one registers a digester. The sweeper hands it every run that has ended and was not handed out since
its last restart, in the transaction that notes it, so that what is counted is counted once whatever dies. The hot path
writes nothing for it. A run that a digester cannot take is logged and left out, and keeps no other from being taken;
where the fault is not the run's (two sweepers locked each other up, the database went away) all of them are taken
again with the next tick.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import psycopg
from django.db import InterfaceError, OperationalError, connection, transaction

from workflow_service.engine.states import ExecutionStatus

logger = logging.getLogger(__name__)

RUNS_AT_ONCE = 100
# A tick goes on with a backlog for so long, for a busy service ends more runs in a second than are taken at once; what
# is left waits for the next tick, which repairs much else.
CATCH_UP_S = 0.5

TAKE_ENDED = """
    WITH ended AS MATERIALIZED (
        SELECT id, digested_generation AS before FROM executions_app_execution
        WHERE completed_at IS NOT NULL AND digested_generation <> generation
        ORDER BY id LIMIT %s FOR NO KEY UPDATE SKIP LOCKED)
    UPDATE executions_app_execution e SET digested_generation = generation FROM ended WHERE e.id = ended.id
    RETURNING e.id, e.workspace_id, e.template_id, e.version_id, e.status, e.generation, ended.before, e.started_at,
        e.completed_at
"""


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A run that has ended. ``generation`` is 1 + its restarts.

    ``before`` is the generation in which it was handed out last, 0 where it never was: what was counted of it then no
    longer holds, and is to be replaced.
    """

    id: int
    workspace_id: int
    template_id: int
    version_id: int
    status: ExecutionStatus
    generation: int
    before: int
    started_at: datetime
    completed_at: datetime


# Of the errors of operation the ones that say something of the run: it is too much for the time or the memory there is.
OF_THE_RUN = (psycopg.errors.QueryCanceled, psycopg.errors.OutOfMemory, psycopg.errors.ProgramLimitExceeded)

# Called in the transaction that notes the runs as handed out; it reads and writes what it needs of them at once.
Digester = Callable[[Sequence[EndedRun]], object]

_digesters: list[Digester] = []


def register_digester(digester: Digester) -> None:
    """Have a function handed every run that ends, in batches; called once, when the app is loaded."""
    if digester not in _digesters:
        _digesters.append(digester)


def catch_up(seconds: float = CATCH_UP_S, at_once: int = RUNS_AT_ONCE) -> int:
    """Hand out runs that have ended until none is left or the time is over; returns how many there were."""
    until = time.monotonic() + seconds
    taken = digested = digest_ended_runs(at_once)
    while taken == at_once and time.monotonic() < until:
        taken = digest_ended_runs(at_once)
        digested += taken
    return digested


def digest_ended_runs(limit: int = RUNS_AT_ONCE) -> int:
    """Hand out the oldest runs that have ended, ``limit`` at most; returns how many there were."""
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute(TAKE_ENDED, [limit])
            rows = sorted(cursor.fetchall())
        runs = [_read(*row) for row in rows]
        if runs:
            for digester in _digesters:
                _hand_out(digester, runs)
    return len(runs)


def _read(*values: Any) -> EndedRun:
    return replace(EndedRun(*values), status=ExecutionStatus(values[4]))


def _hand_out(digester: Digester, runs: Sequence[EndedRun]) -> None:
    try:
        with transaction.atomic():
            digester(runs)
    except Exception as error:
        if isinstance(error, OperationalError | InterfaceError) and not isinstance(
            error.__cause__, OF_THE_RUN
        ):
            raise
        if len(runs) == 1:
            logger.exception("execution %s could not be digested; it is left out", runs[0].id)
            return
        for run in runs:
            _hand_out(digester, [run])
