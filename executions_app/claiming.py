"""Claims: a worker takes a queued block, and only one does.

The claim is one ``UPDATE … WHERE status = 'QUEUED'``; no row means that another worker has it or that the run was
paused or cancelled, and that is no error. The input is resolved once per generation: when the block is queued, which
makes it prepared and its claim one statement, or else in the claim's transaction.
"""

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from django.db import connection
from psycopg.types.json import Jsonb
from pydantic import JsonValue

from executions_app.agent_slots import AgentLimit, take_slot
from executions_app.agent_work import agent_of_row, choose_agent_id
from executions_app.block_rules import hard_end_s
from executions_app.finishing import ANY_UNSETTLED, any_unsettled, is_found
from executions_app.journal import Journal, started_data
from executions_app.models import BlockExecution
from executions_app.progress import Claim, input_of, item_names, resolve_input
from executions_app.run_state import TRY_LOCK, locked_in
from executions_app.stand_ins import resolve_fallback, resolve_undo, work_of_row
from executions_app.transaction import EngineTransaction, pipelined_transaction, run_alone
from executions_app.values import RunValues
from templates_app.plans import compiled_version
from workflow_service.engine.plan import Node
from workflow_service.engine.rounds import Place
from workflow_service.engine.states import ExecutionStatus

_CLAIMED = """
    RETURNING id, node, kind, scope_id, item_index, generation, item::text AS item, block_id, fence, retries,
        input::text AS input, started_at, agent_id, stand_in, variant, recoveries
"""
_ORPHANS_OF = """
    (SELECT json_agg(json_build_array(o.execution_id, o.id, o.fence))::text FROM executions_app_blockexecution o
     WHERE o.worker_id = %s AND o.status IN ('RUNNING', 'CANCELLED')) AS orphans
"""
_CLAIMED_COLUMNS = """
    e.public_id AS execution_public_id, e.workspace_id AS of_workspace, e.version_id AS of_version,
    c.id AS own_id, c.node, c.kind, c.scope_id, c.item_index, c.generation AS own_generation, c.item, c.block_id,
    c.fence, c.retries, c.input, c.started_at AS own_started_at, c.agent_id, c.stand_in, c.variant, c.recoveries
"""
# A prepared block in one statement, with the event of its start where nobody has the run's lock.
CLAIM_PREPARED = f"""
    WITH locked AS (
        SELECT id, active FROM executions_app_execution WHERE id = %s FOR NO KEY UPDATE SKIP LOCKED
    ), claimed AS (
        UPDATE executions_app_blockexecution SET status = 'RUNNING', fence = fence + 1, worker_id = %s,
            started_at = statement_timestamp(), due_at = statement_timestamp() + make_interval(secs => hard_end_s),
            unrecorded_start = NOT EXISTS (SELECT FROM locked), progress = NULL
        WHERE id = %s AND status = 'QUEUED' AND hard_end_s IS NOT NULL AND input IS NOT NULL AND stand_in = ''
            AND NOT EXISTS (SELECT FROM executions_app_concurrencylimit l JOIN executions_app_execution e
                ON e.workspace_id = l.workspace_id WHERE e.id = %s AND l.kind = 'agent')
        {_CLAIMED}
    ), begun AS (
        UPDATE executions_app_execution e SET event_seq = e.event_seq + 1,
            status = CASE e.status WHEN 'STARTING' THEN 'RUNNING' ELSE e.status END
        FROM locked, claimed WHERE e.id = locked.id RETURNING e.event_seq
    ), told AS (
        INSERT INTO executions_app_executionevent (
            execution_id, seq, type, block_id, block_execution_id, data, created_at)
        SELECT %s, begun.event_seq, 'block_started', claimed.block_id, claimed.id,
            jsonb_build_object('agentId', claimed.agent_id) || CASE WHEN claimed.scope_id = 0 THEN '{{}}'::jsonb
                ELSE jsonb_build_object('round', claimed.item_index, 'scope', claimed.scope_id) END,
            claimed.started_at
        FROM claimed, begun
    )
    SELECT {_CLAIMED_COLUMNS}, {_ORPHANS_OF}, locked.active
    FROM claimed c JOIN executions_app_execution e ON e.id = %s LEFT JOIN locked ON true
"""  # noqa: S608
# One statement for the claim, for what is to be known of its run, with its lock if nobody has it, and for what bears
# the worker's id besides. What is read of the run with its lock may be older than the lock, but for its row.
CLAIM = f"""
    WITH locked AS ({TRY_LOCK}), claimed AS (
        UPDATE executions_app_blockexecution SET status = 'RUNNING', fence = fence + 1, worker_id = %s,
            started_at = clock_timestamp(), unrecorded_start = true, due_at = NULL, progress = NULL
        WHERE id = %s AND status = 'QUEUED'
        {_CLAIMED}
    )
    SELECT {_CLAIMED_COLUMNS}, {_ORPHANS_OF},
        (SELECT json_object_agg(l.key, json_build_array(l.id, l.max_concurrency))::text
         FROM executions_app_concurrencylimit l
         WHERE l.workspace_id = e.workspace_id AND l.kind = 'agent') AS agent_limits,
        locked.*
    FROM executions_app_execution e LEFT JOIN claimed c ON true LEFT JOIN locked ON true WHERE e.id = %s
"""  # noqa: S608
# Where the run's lock is taken; the block's start is recorded by whoever settles the run.
RECORD_CLAIM = """
    UPDATE executions_app_blockexecution SET input = coalesce(%s, input), agent_id = %s,
        due_at = started_at + make_interval(secs => %s)
    WHERE id = %s
"""
ORPHANS = """
    SELECT execution_id, id, fence FROM executions_app_blockexecution
    WHERE worker_id = %s AND status IN ('RUNNING', 'CANCELLED')
"""
LET_GO = """
    UPDATE executions_app_blockexecution SET worker_id = NULL WHERE worker_id = ANY(%s) AND status = 'CANCELLED'
"""
STILL_WANTED = """
    SELECT EXISTS (SELECT 1 FROM executions_app_blockexecution
        WHERE id = %s AND fence = %s AND status = 'RUNNING')
"""


@dataclass(frozen=True, slots=True)
class ClaimAnswer:
    """What asking for a block gave: the claim, or None where there was nothing to claim.

    ``orphans`` are (execution id, row id, fence) of blocks that bear this worker's id although it is not running
    them: their claim was committed and the answer lost. ``no_slot`` names the agent that is busy: the block stays
    QUEUED and is to be put aside. ``unsettled`` says that others finished blocks while the claim held the run's lock,
    and left them to it.
    """

    claim: Claim | None
    orphans: list[tuple[int, int, int]]
    no_slot: tuple[AgentLimit, str] | None = None
    unsettled: bool = False


def claim_block(execution_id: int, block_execution_id: int, worker: UUID) -> ClaimAnswer:
    """Claim a queued block for a worker process that runs nothing else."""
    parameters = (
        execution_id, worker, block_execution_id, execution_id, execution_id, worker, execution_id
    )  # fmt: skip
    row = run_alone(CLAIM_PREPARED, parameters)
    if row is None:
        return _prepare_and_claim(execution_id, block_execution_id, worker)
    alone = row.active == 1
    claim = _claim(execution_id, row, json.loads(row.input), agent_id=row.agent_id, alone=alone)
    passed_by = row.active is not None and not alone
    return ClaimAnswer(claim, _orphans(row), unsettled=passed_by and any_unsettled(execution_id))


def _prepare_and_claim(execution_id: int, block_execution_id: int, worker: UUID) -> ClaimAnswer:
    """Claim a block that was not prepared when it was queued: its input is resolved, its agent's slot taken."""
    with pipelined_transaction() as tx:
        row = tx.run(CLAIM, (execution_id, worker, block_execution_id, worker, execution_id)).fetchone()
        run = locked_in(row) if row else None
        orphans = _orphans(row)
        if row is None or row.own_id is None:
            left = _commit(tx, execution_id, may_have_been_passed_by=run is not None)
            return ClaimAnswer(None, orphans, unsettled=is_found(left))
        node = compiled_version(row.of_version).plan.nodes[row.node]
        values = RunValues(tx, execution_id, row.execution_public_id)
        given, unfit = input_of(row, lambda: _resolve(tx, row, node, values))
        block = work_of_row(node.block, row) if node.block else None
        # A map's own row hands out its items and collects them: the agent works on the items.
        works = node.for_each is None or row.kind != BlockExecution.Kind.BLOCK
        agent_id = agent_of_row(node, row) or (choose_agent_id(block, row.of_workspace) if works else "")
        limit = _limit_of(row.agent_limits, agent_id) if works else None
        if limit and not take_slot(tx, limit, row_id=row.own_id, fence=row.fence, worker=worker):
            return ClaimAnswer(None, orphans, (limit, agent_id))
        alone = False
        if run is None:
            written = Jsonb(given) if unfit is None else None
            tx.run(RECORD_CLAIM, (written, agent_id, hard_end_s(block), row.own_id))
        else:
            alone = run.active == 1
            journal = Journal(run)
            journal.claim(row.own_id, row, given, agent_id, hard_end_s(block))
            data = started_data(row, agent_id)
            journal.event("block_started", row.block_id, data, row_id=row.own_id, at=row.own_started_at)
            if run.status is ExecutionStatus.STARTING:
                run.status = ExecutionStatus.RUNNING
            journal.flush(tx)
        left = _commit(tx, execution_id, may_have_been_passed_by=run is not None and not alone)
    claim = _claim(
        execution_id, row, given, unfit, limit.id if limit else None, agent_id=agent_id, alone=alone
    )
    return ClaimAnswer(claim, orphans, unsettled=is_found(left))


def _claim(
    execution_id: int,
    row: Any,
    given: JsonValue,
    unfit: str | None = None,
    agent_limit_id: int | None = None,
    *,
    agent_id: str,
    alone: bool,
) -> Claim:
    return Claim(
        execution_id=execution_id,
        execution_public_id=row.execution_public_id,
        workspace_id=row.of_workspace,
        version_id=row.of_version,
        block_execution_id=row.own_id,
        node=row.node,
        fence=row.fence,
        retries=row.retries,
        input=given,
        unfit_input=unfit,
        agent_limit_id=agent_limit_id,
        agent_id=agent_id,
        place=Place(row.scope_id, row.item_index),
        generation=row.own_generation,
        is_item=row.kind == BlockExecution.Kind.ITEM,
        undoes=row.kind == BlockExecution.Kind.UNDO,
        stand_in=row.stand_in,
        variant=row.variant,
        recoveries=row.recoveries,
        alone=alone,
    )


def _orphans(row: Any) -> list[tuple[int, int, int]]:
    return [tuple(orphan) for orphan in json.loads(row.orphans)] if row and row.orphans else []


def _commit(
    tx: EngineTransaction, execution_id: int, *, may_have_been_passed_by: bool
) -> psycopg.Cursor[Any] | None:
    """Commit, and ask whether others left finished blocks to us while we held the run's lock."""
    tx.commit()
    return tx.run(ANY_UNSETTLED, (execution_id,)) if may_have_been_passed_by else None


def find_orphans(worker: UUID) -> list[tuple[int, int, int]]:
    """Return (execution id, row id, fence) of the RUNNING and cancelled blocks that bear a worker's id."""
    with connection.cursor() as cursor:
        cursor.execute(ORPHANS, [worker])
        return list(cursor.fetchall())


def let_go(workers: list[UUID]) -> None:
    """Say that these worker processes are not at work any more on blocks that were cancelled."""
    with connection.cursor() as cursor:
        cursor.execute(LET_GO, [workers])


def is_wanted(block_execution_id: int, fence: int) -> bool:
    """Tell whether the result of a claim would still count."""
    with connection.cursor() as cursor:
        cursor.execute(STILL_WANTED, [block_execution_id, fence])
        return bool(cursor.fetchone()[0])


def _limit_of(limits: str | None, agent_id: str) -> AgentLimit | None:
    found = json.loads(limits).get(agent_id) if limits and agent_id else None
    return AgentLimit(*found) if found else None


def _resolve(tx: EngineTransaction, row: Any, node: Node, values: RunValues) -> JsonValue:
    """Return the input of what is done for a row; raises ``ExpressionError``."""
    if row.kind == BlockExecution.Kind.UNDO:
        return resolve_undo(tx, row, node, values)
    if row.stand_in == BlockExecution.StandIn.FALLBACK:
        return resolve_fallback(node, values, item_names(row))
    return resolve_input(node, values, item_names(row))
