"""Finishing: a worker's result is written, and the run moves on.

With the execution row's lock the same transaction settles every finished row of the run and claims the next block
for this worker; without it only the own result is written. Both look again after their commit, so no wake-up is
lost between a finisher that could not lock and the holder that had already read; the sweeper settles what is left.
"""

import json
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import psycopg
from django.db import connection, transaction
from psycopg.types.json import Jsonb
from pydantic import JsonValue

from executions_app.compensation import undo_next
from executions_app.journal import Announcement, Queued
from executions_app.models import ExecutionLog
from executions_app.progress import Claim, claim_written
from executions_app.recovery_points import note_recovery_point
from executions_app.results import report_to_parent
from executions_app.run_state import TRY_LOCK, RunState, locked_in, try_lock_run
from executions_app.settlement import BATCH, UNSETTLED, Error, Settler, UnsettledRow, ask_arrivals
from executions_app.transaction import (
    DATABASE_GONE,
    EngineTransaction,
    command_transaction,
    pipelined_transaction,
)
from executions_app.trees import clean_text, restore, settle_finished, settler_of
from templates_app.plans import compiled_version
from workflow_service.agents.invocation import LogLine
from workflow_service.engine.rounds import THE_RUN
from workflow_service.engine.states import ENDED_EXECUTION_STATUSES, BlockStatus, ErrorType

logger = logging.getLogger(__name__)

# The result and the run's lock in one statement. The lock is only tried, so the order in which both are taken is free.
# What is read of the run with it may be older than the lock: other blocks are read by a statement of their own.
FINISH = f"""
    WITH locked AS ({TRY_LOCK}), done AS (
        UPDATE executions_app_blockexecution SET status = %s, error = %s, finished_at = clock_timestamp()
        WHERE id = %s AND fence = %s AND status = 'RUNNING' AND (%s OR EXISTS (SELECT FROM locked))
        RETURNING *
    ), kept AS (
        INSERT INTO executions_app_blockoutput (block_execution_id, execution_id, block_id, value, created_at)
        SELECT id, execution_id, CASE kind WHEN 'item' THEN block_id || '[' || item_index || ']' ELSE block_id END, %s,
            clock_timestamp() FROM done WHERE status = 'COMPLETED'
        ON CONFLICT (block_execution_id) DO NOTHING RETURNING value
    )
    SELECT b.id AS own_id, b.node, b.kind, b.scope_id, b.item_index, b.block_id, b.status AS own_status, b.fence,
        b.settled, b.unrecorded_start, b.holds_slot, b.agent_id, b.retries, b.recoveries,
        b.started_at AS own_started_at, b.finished_at, b.error::text AS own_error, kept.value::text AS output, locked.*
    FROM done b LEFT JOIN locked ON true LEFT JOIN kept ON true
"""  # noqa: S608
WRITE_LOGS = """
    INSERT INTO executions_app_executionlog (
        execution_id, block_execution_id, block_id, agent_id, level, message, context, stack_trace, created_at)
    SELECT b.execution_id, b.id, b.block_id, b.agent_id, l.level, l.message, l.context, l.stack_trace, l.created_at
    FROM jsonb_to_recordset(%s) AS l(level smallint, message text, context jsonb, stack_trace text,
        created_at timestamptz), executions_app_blockexecution b
    WHERE b.id = %s
"""
ANY_UNSETTLED = """
    SELECT EXISTS (SELECT 1 FROM executions_app_blockexecution WHERE execution_id = %s AND (
        NOT settled AND status IN ('COMPLETED', 'FAILED', 'REJECTED', 'SKIPPED', 'CANCELLED')
        OR unrecorded_start)) AS found
"""


# Who finds the lock taken waits a little for it: with it a result is settled in the same transaction, without it in
# another one. Somebody settles rarely longer than so.
LOCK_TRIES = 4
LOCK_WAIT_S = 0.001
OWN_COLUMNS = len(UnsettledRow._fields)
Logs = Sequence[tuple[datetime, LogLine]]


@dataclass(frozen=True, slots=True)
class Result:
    """How a block's work ended: COMPLETED with ``output``, or FAILED or REJECTED with ``error``."""

    status: BlockStatus
    output: JsonValue = None
    error: Error | None = None
    logs: Logs = ()


@dataclass(slots=True)
class Aftermath:
    """What must be done after the commit: send ``queued``, tell listeners, look again, run ``claim``.

    ``unsettled`` says whether finished rows are left to be settled; None where nobody looked.
    ``others`` are the same for further executions, by their id, that the transaction changed too. ``ended_child`` is a
    sub-workflow that ended, whose parent is yet to be told; ``turned_child`` one that has come to wait for people, or
    waits no more.
    ``room_in_template`` is the template of a run that ended, where runs may be held back by a limit.
    """

    accepted: bool = True
    queued: list[Queued] = field(default_factory=list)
    claim: Claim | None = None
    event_seq: int | None = None
    execution_public_id: str = ""
    unsettled: bool | None = None
    announcements: list[Announcement] = field(default_factory=list)
    others: list[tuple[int, "Aftermath"]] = field(default_factory=list)
    room_in_template: int | None = None
    ended_child: int | None = None
    turned_child: int | None = None


def finish_block(claim: Claim, result: Result, *, continue_as: tuple[UUID, str] | None = None) -> Aftermath:
    """Write a block's result and settle its run if nobody else is at it.

    ``continue_as`` is (worker id, queue): the run's next block may be claimed for that worker. A result whose fence
    is outdated is a zombie's and is thrown away: ``accepted`` is False.
    """
    try:
        return _finish(claim, result, continue_as)
    except DATABASE_GONE:
        raise
    except Exception:
        logger.exception("settlement of execution %s failed; its result is kept", claim.execution_public_id)
    try:
        return _finish(claim, result, None, settle=False)
    except DATABASE_GONE:
        raise
    except Exception as error:
        logger.exception("the result of block execution %s cannot be kept", claim.block_execution_id)
        unfit: Error = {
            "type": ErrorType.SETTLEMENT_ERROR,
            "message": f"the result cannot be kept: {error}",
            "retryable": False,
        }
        return _finish(claim, Result(BlockStatus.FAILED, error=unfit), None, settle=False)


def settle_execution(execution_id: int, *, continue_as: tuple[UUID, str] | None = None) -> Aftermath | None:
    """Settle what is finished and unsettled in a run; None if somebody else holds its lock.

    Where a batch cannot be settled its rows go one by one, and the one that cannot be settled is failed with
    SETTLEMENT_ERROR: no row stops a run. A run that cannot be concluded at all fails with that, too.
    """
    try:
        return _settle_batch(execution_id, continue_as)
    except DATABASE_GONE:
        raise
    except Exception:
        logger.exception("settlement of execution %s failed; going row by row", execution_id)
        return _settle_singly(execution_id)


def _finish(
    claim: Claim, result: Result, continue_as: tuple[UUID, str] | None, *, settle: bool = True
) -> Aftermath:
    error = Jsonb(result.error) if result.error else None
    mine, output = (claim.block_execution_id, claim.fence), Jsonb(result.output)
    compiled = compiled_version(claim.version_id)
    # Whoever ran alone when it began is alone, mostly: what others did is asked for only then if it must be.
    joins = [] if claim.alone or claim.place != THE_RUN else compiled.plan.joins_after(claim.node)
    asked = [(THE_RUN, join) for join in joins]
    tries = 1 if claim.alone or not settle else LOCK_TRIES
    with pipelined_transaction() as tx:
        for tried in range(tries):
            if tried:
                time.sleep(LOCK_WAIT_S)
            finished = tx.run(
                FINISH, (claim.execution_id, result.status, error, *mine, tried == tries - 1, output)
            )
            # With the first try, which mostly gets the lock; else once it is there, for what others did may be large.
            ask_now = not (claim.alone or tried)
            others = tx.run(UNSETTLED, (claim.execution_id, BATCH)) if ask_now else None
            arrivals = ask_arrivals(tx, claim.execution_id, asked) if ask_now and asked else None
            row = finished.fetchone()
            if row is not None:
                break
        else:
            return Aftermath(accepted=False)
        if result.logs:
            tx.run(WRITE_LOGS, (log_rows(result.logs), claim.block_execution_id))
        decided: _Decided | None = None
        own, run = UnsettledRow(*row[:OWN_COLUMNS]), locked_in(row)
        if run is not None and settle:
            rows: Iterable[Any] = [own]
            if run.active > 1 or own.is_incomplete:
                rows = (others or tx.run(UNSETTLED, (claim.execution_id, BATCH))).fetchall()
            settler = Settler(tx, run, compiled)
            if arrivals is not None:
                settler.know_arrivals(asked, arrivals)
            decided = _settle_rows(settler, rows, continue_as)
        left = _commit(tx, claim.execution_id, decided)
    aftermath = _aftermath(decided, left)
    aftermath.execution_public_id = claim.execution_public_id
    return aftermath


def _settle_batch(execution_id: int, continue_as: tuple[UUID, str] | None) -> Aftermath | None:
    with pipelined_transaction() as tx:
        locked = tx.run(TRY_LOCK, (execution_id,))
        unsettled = tx.run(UNSETTLED, (execution_id, BATCH))
        lock_row = locked.fetchone()
        if lock_row is None:
            return None
        run = RunState(*lock_row)
        settler = Settler(tx, run, compiled_version(run.version_id))
        decided = _settle_rows(settler, unsettled.fetchall(), continue_as)
        left = _commit(tx, execution_id, decided)
    return _aftermath(decided, left)


@dataclass(frozen=True, slots=True)
class _Decided:
    """What a transaction decided about a run; ``aftermath`` is asked for when all of it has been sent."""

    settler: Settler
    claim: Claim | None
    parent: tuple[int, str] | None
    turned: bool = False

    def aftermath(self) -> Aftermath:
        journal, run = self.settler.journal, self.settler.run
        written = journal.written()
        ended = run.status in ENDED_EXECUTION_STATUSES
        return Aftermath(
            queued=journal.queued(written),
            claim=claim_written(self.claim, written, alone=run.active == 1) if self.claim else None,
            event_seq=run.event_seq,
            execution_public_id=run.public_id,
            announcements=journal.announcements,
            others=[_unsettled(*self.parent)] if self.parent else [],
            ended_child=run.id if ended and run.parent_block_execution_id and not self.parent else None,
            turned_child=run.id if self.turned and run.parent_block_execution_id and not ended else None,
            room_in_template=run.template_id if ended and run.template_limits else None,
        )


def _commit(tx: EngineTransaction, execution_id: int, decided: _Decided | None) -> psycopg.Cursor[Any] | None:
    """Commit, and ask whether anybody has finished a block meanwhile who could not lock the run.

    Nobody can have where no block but the one claimed here is active.
    """
    alone = decided is not None and decided.settler.run.active == (decided.claim is not None)
    tx.commit()
    return None if alone else tx.run(ANY_UNSETTLED, (execution_id,))


def _aftermath(decided: _Decided | None, left: psycopg.Cursor[Any] | None) -> Aftermath:
    """Read what a transaction's last statements answered: after the pipeline, for they came with its end."""
    aftermath = decided.aftermath() if decided else Aftermath()
    aftermath.unsettled = is_found(left)
    return aftermath


def is_found(answer: psycopg.Cursor[Any] | None) -> bool:
    """Return what ``ANY_UNSETTLED`` answered, if it was asked."""
    return answer is not None and bool(answer.fetchall()[0].found)


def _unsettled(execution_id: int, public_id: str) -> tuple[int, Aftermath]:
    return execution_id, Aftermath(execution_public_id=public_id, unsettled=True)


def _settle_rows(settler: Settler, rows: Iterable[Any], continue_as: tuple[UUID, str] | None) -> _Decided:
    """Settle rows of a locked run, start what may start, and write it all; the caller commits."""
    settler.settle_rows(rows)
    return _conclude(settler, continue_as)


def _conclude(settler: Settler, continue_as: tuple[UUID, str] | None) -> _Decided:
    if settler.run.failing and not settler.run.compensating:
        settler.progress.cancel_open_blocks()
    undo_next(settler)
    worker, queue = continue_as or (None, None)
    claim = settler.progress.promote(worker, queue)
    status_before = settler.run.status
    settler.progress.conclude()
    note_recovery_point(settler, status_before)
    turned = settler.run.has_turned()
    settler.flush()
    parent = report_to_parent(settler.tx, settler.run)
    return _Decided(settler, claim, parent, turned)


def conclude_locked(settler: Settler) -> Aftermath:
    """Start what may start, or nothing more in a failing run, set the run's status, and write.

    Whoever waits for a run that has ended is told. The caller commits, and hands the answer to
    ``aftermath.follow_up``, which looks for what others left to the holder of the run's lock.
    """
    settler.tx.concluded.add(settler.run.id)
    return _conclude(settler, None).aftermath()


def conclude_and_commit(settler: Settler) -> Callable[[], Aftermath]:
    """Conclude a run that its pipelined transaction has inserted, and commit: nobody else can have been at it.

    What it answers is to be called after the pipeline, for the aftermath comes with its end.
    """
    decided = _conclude(settler, None)
    settler.tx.commit()
    return partial(_aftermath, decided, None)


def _settle_singly(execution_id: int) -> Aftermath | None:
    """Settle a run in steps of which each may fail alone, all in one transaction; None if its lock is taken.

    What goes wrong in a row's own step fails that row; where concluding goes wrong the run fails.
    """
    with command_transaction() as tx:
        run = try_lock_run(tx, execution_id)
        if run is None:
            return None
        announcements = settle_finished(tx, run)
        before = replace(run)
        try:
            with transaction.atomic():
                aftermath = conclude_locked(settler_of(tx, run))
        except DATABASE_GONE:
            raise
        except Exception as error:
            logger.exception("execution %s cannot go on and fails", run.public_id)
            restore(run, before)
            aftermath = fail_run(settler_of(tx, run), error)
        aftermath.announcements[:0] = announcements
    aftermath.unsettled = any_unsettled(execution_id)
    return aftermath


def fail_run(settler: Settler, error: Exception) -> Aftermath:
    """Fail a run that cannot be concluded: nothing of it starts any more, and it ends when nothing is at work.

    What was done is not undone, for that may be what goes wrong: the error tells people that it is for them to see.
    """
    run = settler.run
    message = clean_text(f"the run cannot go on: {type(error).__name__}: {error}")
    run.failing = True
    run.compensating = False
    run.unhandled_failures += 1
    described: Error = {"type": ErrorType.SETTLEMENT_ERROR, "message": message, "retryable": False}
    run.error = run.error or json.dumps(described)
    settler.journal.log("ERROR", f"Workflow {run.public_id}: {message}")
    settler.progress.cancel_open_blocks()
    settler.progress.conclude()
    settler.flush()
    settler.tx.concluded.add(run.id)
    return _Decided(settler, None, None).aftermath()


def any_unsettled(execution_id: int) -> bool:
    """Tell whether a run has finished rows that nobody settled yet."""
    with connection.cursor() as cursor:
        cursor.execute(ANY_UNSETTLED, [execution_id])
        return bool(cursor.fetchone()[0])


def log_rows(lines: Logs) -> Jsonb:
    """Return log lines as the JSON that ``WRITE_LOGS`` reads."""
    return Jsonb(
        [
            {
                "level": ExecutionLog.Level[line.level],
                "message": line.message,
                "context": dict(line.context),
                "stack_trace": line.stack_trace,
                "created_at": at.isoformat(),
            }
            for at, line in lines
        ]
    )
