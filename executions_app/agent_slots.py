"""Slots of agents: at most so many blocks are at work on an agent at once.

A claim takes a slot in its own transaction; a block that finds none waits, without holding a slot of its run, until
one is handed to it, the oldest block first. A slot belongs to one claim (block row and fence) and is given back by the
worker when its work has really stopped: a cancelled block, or one that another worker took over, keeps its slot until
its process lets go or dies. Who gives a slot back hands it on after its commit, and the sweeper hands on what is left,
so no wake-up is lost. Lock order: limit, then slots; the runs of those who are woken are locked afterwards, one by one.
"""

import logging
from dataclasses import dataclass
from uuid import UUID

from django.db import connection, transaction

from executions_app.aftermath import follow_up
from executions_app.finishing import Aftermath, any_unsettled, conclude_locked
from executions_app.run_state import lock_run
from executions_app.settlement import Settler
from executions_app.transaction import DATABASE_GONE, EngineTransaction, command_transaction
from templates_app.plans import compiled_version
from workflow_service.engine.states import ENDED_EXECUTION_STATUSES, ExecutionStatus

logger = logging.getLogger(__name__)

# Whoever was handed a slot and could not be claimed for so long, as behind a long queue, leaves it to the next.
RESERVED_S = 30

WAITING = """
    SELECT w.id FROM executions_app_blockexecution w JOIN executions_app_execution e ON e.id = w.execution_id
    WHERE w.status = 'WAITING' AND w.waits_for = 'agent' AND w.wait_key = %s AND e.status <> 'PAUSED'
        AND NOT EXISTS (SELECT 1 FROM executions_app_agentslot t WHERE t.block_execution_id = w.id)
"""
# Where a limit was lowered, the slots above it count until they are given back.
FREE = """
    s.limit_id = %s AND s.block_execution_id IS NULL AND s.number <= %s - (
        SELECT count(*) FROM executions_app_agentslot u
        WHERE u.limit_id = s.limit_id AND u.number > %s AND u.block_execution_id IS NOT NULL)
"""
TAKE = f"""
    UPDATE executions_app_agentslot SET block_execution_id = %s, fence = %s, worker_id = %s, reserved_until = NULL
    WHERE id = (
        SELECT s.id FROM executions_app_agentslot s
        WHERE s.limit_id = %s AND s.block_execution_id = %s AND s.worker_id IS NULL
            OR {FREE} AND NOT EXISTS ({WAITING})
        ORDER BY s.block_execution_id NULLS LAST, s.number LIMIT 1 FOR UPDATE OF s SKIP LOCKED)
    RETURNING id
"""  # noqa: S608
GIVE_BACK = """
    UPDATE executions_app_agentslot SET block_execution_id = NULL, fence = NULL, worker_id = NULL
    WHERE limit_id = %s AND block_execution_id = %s AND fence = %s
"""
GIVE_BACK_CLAIMED = """
    UPDATE executions_app_agentslot SET block_execution_id = NULL, fence = NULL, worker_id = NULL
    WHERE block_execution_id = %s AND worker_id = %s RETURNING limit_id
"""
GIVE_BACK_OF_DEAD = """
    UPDATE executions_app_agentslot s SET block_execution_id = NULL, fence = NULL, worker_id = NULL
    WHERE worker_id IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM executions_app_workerlease l WHERE l.id = s.worker_id AND l.expires_at > clock_timestamp())
    RETURNING limit_id
"""
GIVE_BACK_OF = """
    UPDATE executions_app_agentslot SET block_execution_id = NULL, fence = NULL, worker_id = NULL
    WHERE worker_id = ANY(%s) RETURNING limit_id
"""
WAIT = """
    UPDATE executions_app_blockexecution SET status = 'WAITING', waits_for = 'agent', wait_key = %s,
        holds_slot = false, due_at = NULL
    WHERE id = %s AND status = 'QUEUED' RETURNING id, block_id
"""
WAKE = """
    UPDATE executions_app_blockexecution SET status = 'READY', waits_for = '', wait_key = ''
    WHERE id = %s AND status = 'WAITING' AND waits_for = 'agent' RETURNING id, block_id
"""
LOCK_LIMIT = "SELECT max_concurrency FROM executions_app_concurrencylimit WHERE id = %s FOR NO KEY UPDATE"
MAKE_SLOTS = """
    INSERT INTO executions_app_agentslot (limit_id, number) SELECT %s, n FROM generate_series(1, %s) n
    ON CONFLICT (limit_id, number) DO NOTHING
"""
DROP_SLOTS = """
    DELETE FROM executions_app_agentslot WHERE limit_id = %s AND number > %s AND block_execution_id IS NULL
"""
VOID_RESERVATIONS = """
    UPDATE executions_app_agentslot s SET block_execution_id = NULL, reserved_until = NULL
    WHERE limit_id = %s AND block_execution_id IS NOT NULL AND worker_id IS NULL AND (
        reserved_until <= clock_timestamp() OR NOT EXISTS (
            SELECT 1 FROM executions_app_blockexecution b JOIN executions_app_execution e ON e.id = b.execution_id
            WHERE b.id = s.block_execution_id AND b.status IN ('WAITING', 'READY', 'QUEUED') AND e.status <> 'PAUSED'))
"""
RESERVE = f"""
    WITH free AS (
            SELECT s.id FROM executions_app_agentslot s WHERE {FREE} ORDER BY s.number FOR UPDATE OF s SKIP LOCKED),
        slots AS (SELECT id, row_number() OVER () AS n FROM free),
        waiters AS (SELECT id, row_number() OVER (ORDER BY id) AS n FROM ({WAITING} ORDER BY w.id LIMIT %s) AS first)
    UPDATE executions_app_agentslot s SET block_execution_id = waiters.id,
        reserved_until = clock_timestamp() + make_interval(secs => %s)
    FROM slots JOIN waiters USING (n) WHERE s.id = slots.id
"""  # noqa: S608
TO_WAKE = """
    SELECT b.execution_id, b.id FROM executions_app_agentslot s
    JOIN executions_app_blockexecution b ON b.id = s.block_execution_id
    WHERE s.limit_id = %s AND s.worker_id IS NULL AND b.status = 'WAITING' AND b.waits_for = 'agent' ORDER BY b.id
"""
TO_WAKE_WITHOUT_LIMIT = """
    SELECT execution_id, id FROM executions_app_blockexecution
    WHERE status = 'WAITING' AND waits_for = 'agent' AND wait_key = %s ORDER BY id LIMIT 500
"""
AWAITED = """
    SELECT DISTINCT wait_key FROM executions_app_blockexecution WHERE status = 'WAITING' AND waits_for = 'agent'
"""


@dataclass(frozen=True, slots=True)
class AgentLimit:
    """The limit of one agent: its row's id, and how many blocks may be at work on the agent at once."""

    id: int
    max_concurrency: int


def take_slot(tx: EngineTransaction, limit: AgentLimit, *, row_id: int, fence: int, worker: UUID) -> bool:
    """Take a slot for a claim in the claim's transaction: the one kept for it, or a free one that nobody awaits."""
    most = limit.max_concurrency
    parameters = (row_id, fence, worker, limit.id, row_id, limit.id, most, most, str(limit.id))
    return tx.run(TAKE, parameters).fetchone() is not None


def wait_for_slot(execution_id: int, row_id: int, limit: AgentLimit, agent_id: str) -> None:
    """Put a queued block aside that found no slot; it becomes ready when one is handed to it."""
    follow_up(_put_aside(execution_id, row_id, limit, agent_id), execution_id)
    # A slot that was given back meanwhile was handed to nobody.
    hand_on(limit.id)


def _put_aside(execution_id: int, row_id: int, limit: AgentLimit, agent_id: str) -> Aftermath:
    with command_transaction() as tx:
        run = lock_run(tx, execution_id)
        row = tx.run(WAIT, (str(limit.id), row_id)).fetchone()
        if run is None or row is None:
            return Aftermath()
        settler = Settler(tx, run, compiled_version(run.version_id))
        run.slots -= 1
        data = {"waitsFor": "agent", "agentId": agent_id, "maxConcurrency": limit.max_concurrency}
        settler.journal.event("block_waiting", row.block_id, data, row_id=row.id)
        aftermath = conclude_locked(settler)
    aftermath.unsettled = any_unsettled(execution_id)
    return aftermath


def give_back(limit_id: int, row_id: int, fence: int) -> None:
    """Give back the slot of a claim whose work has stopped; `hand_on` gives it to the next."""
    with connection.cursor() as cursor:
        cursor.execute(GIVE_BACK, [limit_id, row_id, fence])


def give_back_claimed(row_id: int, worker: UUID) -> int | None:
    """Give back the slot that a worker holds for a block it is not at work on; returns its limit's id, if it held one.

    A cancellation raises the block's fence, and the worker never learned the one of its claim.
    """
    with connection.cursor() as cursor:
        cursor.execute(GIVE_BACK_CLAIMED, [row_id, worker])
        found = cursor.fetchone()
    return None if found is None else found[0]


def give_back_of_workers(workers: list[UUID] | None = None) -> None:
    """Give back the slots of workers that are known to be dead, or of all without a lease, and hand them on."""
    with connection.cursor() as cursor:
        if workers is None:
            cursor.execute(GIVE_BACK_OF_DEAD)
        else:
            cursor.execute(GIVE_BACK_OF, [workers])
        limits = {limit_id for (limit_id,) in cursor.fetchall()}
    for limit_id in sorted(limits):
        hand_on(limit_id)


def hand_on(limit_id: int) -> None:
    """Hand a limit's free slots to the blocks that wait for them, the oldest first, and wake those."""
    try:
        for execution_id, row_id in _reserve(limit_id):
            follow_up(_wake(execution_id, row_id), execution_id)
    except DATABASE_GONE as error:
        logger.warning("the slots of limit %s are left to the sweeper: %s", limit_id, error)
        connection.close()


def find_awaited_limits() -> list[int]:
    """Return the ids of the limits for whose slots blocks wait; a limit may be gone."""
    with connection.cursor() as cursor:
        cursor.execute(AWAITED)
        return [int(key) for (key,) in cursor.fetchall()]


def _reserve(limit_id: int) -> list[tuple[int, int]]:
    """Keep free slots for the oldest waiters; return (execution id, row id) of all that are to be woken."""
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(LOCK_LIMIT, [limit_id])
        found = cursor.fetchone()
        if found is None:
            cursor.execute(TO_WAKE_WITHOUT_LIMIT, [str(limit_id)])
            return list(cursor.fetchall())
        most = found[0]
        cursor.execute(MAKE_SLOTS, [limit_id, most])
        cursor.execute(DROP_SLOTS, [limit_id, most])
        cursor.execute(VOID_RESERVATIONS, [limit_id])
        cursor.execute(RESERVE, [limit_id, most, most, str(limit_id), most, RESERVED_S])
        cursor.execute(TO_WAKE, [limit_id])
        return list(cursor.fetchall())


def _wake(execution_id: int, row_id: int) -> Aftermath:
    with command_transaction() as tx:
        run = lock_run(tx, execution_id)
        if run is None or run.status in (*ENDED_EXECUTION_STATUSES, ExecutionStatus.PAUSED):
            return Aftermath()
        row = tx.run(WAKE, (row_id,)).fetchone()
        if row is None:
            return Aftermath()
        settler = Settler(tx, run, compiled_version(run.version_id))
        settler.journal.event("block_woken", row.block_id, row_id=row.id)
        settler.progress.add_ready(1)
        aftermath = conclude_locked(settler)
    aftermath.unsettled = any_unsettled(execution_id)
    return aftermath
