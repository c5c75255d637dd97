"""The sweeper repairs what hints cannot guarantee: once a second, from Postgres alone.

Due retries wake, runs past their timeout fail, queued blocks whose message was lost are sent again, blocks of dead
workers are taken back, and finished rows that nobody settled are settled. Beat sends the tick; where beat is gone, a
worker's heartbeat sweeps. A transaction-level advisory lock makes concurrent sweepers harmless, and every execution
is swept in its own transaction.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from executions_app import digest
from executions_app.admission import admit, find_awaited_templates
from executions_app.aftermath import follow_up, settle_again
from executions_app.agent_slots import find_awaited_limits, give_back_of_workers, hand_on
from executions_app.agent_statistics import keep_statistics
from executions_app.child_ends import conclude_parent, find_wrong_parents
from executions_app.claiming import let_go
from executions_app.deadlines import find_overdue_runs, time_out_run
from executions_app.dispatch import count_messages, send_blocks
from executions_app.handlers import sweep_steps
from executions_app.journal import Queued
from executions_app.overruns import find_abandoned
from executions_app.parking import ask_unasked, take_back, wake_retries
from executions_app.services.children import (
    find_unreported,
    find_unwanted,
    report_ended_child,
    stop_unwanted_child,
)
from executions_app.transaction import forget_broken_connection
from executions_app.waits import fire_due
from executions_app.worker_identity import LEASE_S
from workflow_service.accounts.idempotency import forget_old_answers
from workflow_service.agents.upkeep import keep_agents
from workflow_service.audit.sealing import seal_entries

logger = logging.getLogger(__name__)

SWEEP_LOCK = 7_461_001
GAP_S = 3
PULSE_S = 0.5
UNSETTLED_AGE_S = 1
RESENDS_PER_TICK = 500
RESEND_MAX_S = 300
_clock_read_at = 0.0

BEGIN_SWEEP = "SELECT pg_try_advisory_xact_lock(%s)"
# Said again while a sweep goes on, so that a long one is not taken for an outage; a step that hangs is one.
READ_CLOCK = """
    INSERT INTO executions_app_sweeperstate AS s (id, last_tick_at) VALUES (1, clock_timestamp())
    ON CONFLICT (id) DO UPDATE SET last_tick_at = clock_timestamp(),
        grace_until = CASE WHEN s.last_tick_at < clock_timestamp() - make_interval(secs => %s)
            THEN clock_timestamp() + make_interval(secs => %s) ELSE s.grace_until END
    RETURNING grace_until IS NULL OR grace_until <= clock_timestamp() AS leases_expire
"""
# Where there is more than a tick takes, what has waited longest comes first.
# What falls due in a paused run waits for its resumption, and must not crowd out the others here.
DUE_RETRIES = """
    SELECT b.execution_id FROM executions_app_blockexecution b
    JOIN executions_app_execution e ON e.id = b.execution_id
    WHERE b.status = 'RETRYING' AND b.due_at <= clock_timestamp() AND e.status <> 'PAUSED'
    GROUP BY b.execution_id ORDER BY min(b.due_at) LIMIT 500
"""
UNASKED_RUNS = """
    SELECT execution_id FROM executions_app_blockexecution
    WHERE status = 'WAITING' AND wait_key = 'routing' GROUP BY execution_id ORDER BY min(finished_at) LIMIT 200
"""
DUE_WAITS = """
    SELECT b.execution_id FROM executions_app_blockexecution b
    JOIN executions_app_execution e ON e.id = b.execution_id
    WHERE b.status = 'WAITING' AND b.waits_for IN ('timer', 'signal', 'callback', 'child')
        AND b.due_at <= clock_timestamp() AND e.status <> 'PAUSED'
    GROUP BY b.execution_id ORDER BY min(b.due_at) LIMIT 500
"""
# A block whose message still waits is late, not lost: of a queue's late blocks as many are sent again as it has fewer
# messages than queued blocks, those first that were sent first.
LOST_MESSAGES = """
    WITH late AS (
        SELECT id FROM executions_app_blockexecution
        WHERE status = 'QUEUED' AND queue = %s AND next_send_at <= clock_timestamp()
        ORDER BY next_send_at LIMIT least(%s, greatest(0, (
            SELECT count(*) FROM executions_app_blockexecution WHERE status = 'QUEUED' AND queue = %s) - %s))
        FOR UPDATE SKIP LOCKED)
    UPDATE executions_app_blockexecution b SET sends = sends + 1,
        next_send_at = clock_timestamp() + make_interval(secs => least(%s, 5 * power(2, least(sends, 10) + 1)))
    FROM late, executions_app_execution e WHERE b.id = late.id AND e.id = b.execution_id
    RETURNING b.id, b.execution_id, e.public_id, b.block_id
"""
BLOCKS_OF_DEAD_WORKERS = """
    SELECT b.execution_id, b.id, b.fence FROM executions_app_blockexecution b
    LEFT JOIN executions_app_workerlease l ON l.id = b.worker_id AND l.expires_at > clock_timestamp()
    WHERE b.status = 'RUNNING' AND b.worker_id IS NOT NULL AND l.id IS NULL ORDER BY b.started_at, b.id LIMIT 1000
"""
BLOCKS_OF = """
    SELECT execution_id, id, fence FROM executions_app_blockexecution
    WHERE status = 'RUNNING' AND worker_id = ANY(%s)
"""
CANCELLED_AT_DEAD_WORKERS = """
    SELECT DISTINCT b.worker_id FROM executions_app_blockexecution b
    LEFT JOIN executions_app_workerlease l ON l.id = b.worker_id AND l.expires_at > clock_timestamp()
    WHERE b.status = 'CANCELLED' AND b.worker_id IS NOT NULL AND l.id IS NULL
"""
DROP_EXPIRED = (
    "DELETE FROM executions_app_workerlease WHERE expires_at < clock_timestamp() - interval '1 hour'"
)
UNSETTLED_RUNS = """
    SELECT b.execution_id, e.public_id FROM executions_app_blockexecution b
    JOIN executions_app_execution e ON e.id = b.execution_id
    WHERE (NOT b.settled AND b.status IN ('COMPLETED', 'FAILED', 'REJECTED', 'SKIPPED', 'CANCELLED')
           OR b.unrecorded_start)
        AND coalesce(b.finished_at, b.started_at) < clock_timestamp() - make_interval(secs => %s)
    GROUP BY b.execution_id, e.public_id ORDER BY min(coalesce(b.finished_at, b.started_at)) LIMIT 200
"""


def sweep() -> bool:
    """Repair what can be repaired now; returns False if another sweeper is at it."""
    forget_broken_connection()
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(BEGIN_SWEEP, [SWEEP_LOCK])
        if not cursor.fetchone()[0]:
            return False
    _read_clock()
    steps = (
        _wake_due_retries,
        _ask_about_routing,
        _fire_due_waits,
        _report_ended_children,
        _look_at_parents,
        _stop_unwanted_children,
        _time_out_runs,
        _time_out_abandoned_blocks,
        _send_lost_messages,
        _settle_leftovers,
        _keep_limits,
        forget_old_answers,
        keep_agents,
        keep_statistics,
        digest.catch_up,
        seal_entries,
        *sweep_steps(),
    )
    for step in steps:
        _guarded(step)
    if _read_clock():
        _guarded(_take_back_lost_blocks)
        _guarded(give_back_of_workers)
    return True


def _read_clock() -> bool:
    """Say that the sweeper is at work; returns whether leases expire."""
    global _clock_read_at
    _clock_read_at = time.monotonic()
    ((leases_expire,),) = _rows(READ_CLOCK, GAP_S, 2 * LEASE_S)
    return bool(leases_expire)


def _guarded(step: Callable[[], object]) -> None:
    # One broken execution must not keep the others from being swept.
    try:
        step()
        if time.monotonic() - _clock_read_at >= PULSE_S:
            _read_clock()
    except Exception:
        logger.exception("a sweep step failed; it is repeated with the next tick")


def _report_ended_children() -> None:
    for child_id in find_unreported():
        _guarded(partial(report_ended_child, child_id))


def _look_at_parents() -> None:
    for parent_id in find_wrong_parents():
        _guarded(partial(_look_at_parent, parent_id))


def _look_at_parent(parent_id: int) -> None:
    aftermath = conclude_parent(parent_id)
    if aftermath is not None:
        follow_up(aftermath, parent_id)


def _stop_unwanted_children() -> None:
    for child_id in find_unwanted():
        _guarded(partial(stop_unwanted_child, child_id))


def _wake_due_retries() -> None:
    for (execution_id,) in _rows(DUE_RETRIES):
        _guarded(partial(_wake_retries_of, execution_id))


def _wake_retries_of(execution_id: int) -> None:
    follow_up(wake_retries(execution_id), execution_id)


def _ask_about_routing() -> None:
    for (execution_id,) in _rows(UNASKED_RUNS):
        _guarded(partial(_ask_about_routing_of, execution_id))


def _ask_about_routing_of(execution_id: int) -> None:
    follow_up(ask_unasked(execution_id), execution_id)


def _fire_due_waits() -> None:
    for (execution_id,) in _rows(DUE_WAITS):
        _guarded(partial(_fire_due_waits_of, execution_id))


def _fire_due_waits_of(execution_id: int) -> None:
    follow_up(fire_due(execution_id), execution_id)


def _time_out_runs() -> None:
    for execution_id in find_overdue_runs():
        _guarded(partial(time_out_run, execution_id))


def _time_out_abandoned_blocks() -> None:
    _take_back(find_abandoned())


def _send_lost_messages() -> None:
    waiting = count_messages()
    if waiting is None:
        return
    late: dict[tuple[int, str], list[Queued]] = defaultdict(list)
    for queue, messages in waiting.items():
        parameters = (queue, RESENDS_PER_TICK, queue, messages, RESEND_MAX_S)
        for row_id, execution_id, public_id, block_id in _rows(LOST_MESSAGES, *parameters):
            late[execution_id, public_id].append(Queued(row_id, block_id, queue, None))
    for (execution_id, public_id), blocks in late.items():
        send_blocks(execution_id, public_id, blocks)


def _settle_leftovers() -> None:
    for execution_id, public_id in _rows(UNSETTLED_RUNS, UNSETTLED_AGE_S):
        _guarded(partial(settle_again, execution_id, public_id))


def _keep_limits() -> None:
    for limit_id in find_awaited_limits():
        _guarded(partial(hand_on, limit_id))
    for template_id in find_awaited_templates():
        _guarded(partial(admit, template_id))


def _take_back_lost_blocks() -> None:
    _take_back(_rows(BLOCKS_OF_DEAD_WORKERS))
    let_go([worker for (worker,) in _rows(CANCELLED_AT_DEAD_WORKERS)])
    with connection.cursor() as cursor:
        cursor.execute(DROP_EXPIRED)


def take_back_blocks_of(workers: list[UUID]) -> None:
    """Give the blocks of workers that are known to be dead to others."""
    _take_back(_rows(BLOCKS_OF, workers))
    let_go(workers)
    give_back_of_workers(workers)


def _take_back(rows: list[Any]) -> None:
    lost: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for execution_id, row_id, fence in rows:
        lost[execution_id].append((row_id, fence))
    for execution_id, blocks in lost.items():
        _guarded(partial(_take_back_of, execution_id, blocks))


def _take_back_of(execution_id: int, blocks: list[tuple[int, int]]) -> None:
    follow_up(take_back(execution_id, blocks), execution_id)


def _rows(statement: str, *parameters: int | str | list[UUID]) -> list[Any]:
    forget_broken_connection()
    with connection.cursor() as cursor:
        cursor.execute(statement, list(parameters) or None)
        return list(cursor.fetchall())
