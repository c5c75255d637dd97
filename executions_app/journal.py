"""What one transaction writes about a run, collected and sent in a fixed number of statements.

Event numbers are given out here, under the execution's lock: gapless, in the order of the facts.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb
from pydantic import JsonValue

from executions_app.models import ExecutionLog
from executions_app.run_state import RunState
from executions_app.transaction import EngineTransaction
from workflow_service.engine.decide import Arrivals
from workflow_service.engine.plan import Node
from workflow_service.engine.states import BlockStatus, EdgeOutcome

SETTLE_ROWS = """
    UPDATE executions_app_blockexecution AS b SET settled = true, unrecorded_start = false, holds_slot = false,
        status = r.status, outcomes = r.outcomes, error = r.error
    FROM jsonb_to_recordset(%s) AS r(id bigint, status text, outcomes jsonb, error jsonb) WHERE b.id = r.id
"""
# A block whose start is recorded may be finished meanwhile: its slot is given back when that is settled.
RECORD_ROWS = "UPDATE executions_app_blockexecution SET unrecorded_start = false WHERE id = ANY(%s)"
WRITE_NODES = """
    INSERT INTO executions_app_blockexecution (
        execution_id, scope_id, item_index, generation, retries, losses, sends, unrecorded_start, taken, dead, lost,
        queue, created_at, node, kind, block_id, status, fence, settled, holds_slot, origins, outcomes, agent_id,
        worker_id, input, error, queued_at, started_at, finished_at, next_send_at)
    SELECT %s, 0, 0, 1, 0, 0, 0, false, 0, 0, 0, %s, %s,
        n.node, n.kind, n.block_id, n.status, n.fence, n.settled, n.holds_slot, n.origins, n.outcomes, n.agent_id,
        n.worker_id, n.input, n.error, n.queued_at, n.started_at, n.finished_at, n.next_send_at
    FROM jsonb_to_recordset(%s) AS n(node int, kind text, block_id text, status text, fence bigint, settled bool,
        holds_slot bool, origins int[], outcomes jsonb, agent_id text, worker_id uuid, input jsonb, error jsonb,
        queued_at timestamptz, started_at timestamptz, finished_at timestamptz, next_send_at timestamptz)
    ON CONFLICT (execution_id, scope_id, node, item_index) WHERE NOT superseded DO UPDATE SET
        status = EXCLUDED.status, fence = EXCLUDED.fence, settled = EXCLUDED.settled,
        holds_slot = EXCLUDED.holds_slot, origins = EXCLUDED.origins, outcomes = EXCLUDED.outcomes,
        agent_id = EXCLUDED.agent_id, worker_id = EXCLUDED.worker_id, input = EXCLUDED.input,
        error = EXCLUDED.error, queued_at = EXCLUDED.queued_at, started_at = EXCLUDED.started_at,
        finished_at = EXCLUDED.finished_at, next_send_at = EXCLUDED.next_send_at
    RETURNING id, node
"""
WRITE_COUNTERS = """
    INSERT INTO executions_app_blockexecution (
        execution_id, scope_id, item_index, generation, retries, losses, sends, unrecorded_start, fence, settled,
        holds_slot, agent_id, status, queue, created_at, node, kind, block_id, taken, dead, lost, origins)
    SELECT %s, 0, 0, 1, 0, 0, 0, false, 0, false, false, '', 'PENDING', %s, %s,
        n.node, n.kind, n.block_id, n.taken, n.dead, n.lost, n.origins
    FROM jsonb_to_recordset(%s) AS n(node int, kind text, block_id text, taken int, dead int, lost int, origins int[])
    ON CONFLICT (execution_id, scope_id, node, item_index) WHERE NOT superseded DO UPDATE SET
        taken = EXCLUDED.taken, dead = EXCLUDED.dead, lost = EXCLUDED.lost, origins = EXCLUDED.origins
"""
WRITE_CONTEXT = """
    INSERT INTO executions_app_contextvalue (execution_id, key, seq, value, block_execution_id)
    SELECT %s, c.key, c.seq, coalesce(c.value, 'null'), c.block_execution_id
    FROM jsonb_to_recordset(%s) AS c(key text, seq bigint, value jsonb, block_execution_id bigint)
"""
WRITE_EVENTS = """
    INSERT INTO executions_app_executionevent (execution_id, seq, type, block_id, block_execution_id, data, created_at)
    SELECT %s, e.seq, e.type, e.block_id, coalesce(e.block_execution_id, b.id), e.data, e.created_at
    FROM jsonb_to_recordset(%s) AS e(seq bigint, type text, block_id text, block_execution_id bigint, node int,
        data jsonb, created_at timestamptz)
    LEFT JOIN executions_app_blockexecution b
        ON b.execution_id = %s AND b.scope_id = 0 AND b.node = e.node AND b.item_index = 0 AND b.generation = 1
"""
WRITE_LOGS = """
    INSERT INTO executions_app_executionlog (
        execution_id, block_execution_id, block_id, agent_id, level, message, context, stack_trace, created_at)
    SELECT %s, l.block_execution_id, l.block_id, l.agent_id, l.level, l.message, l.context, l.stack_trace, l.created_at
    FROM jsonb_to_recordset(%s) AS l(block_execution_id bigint, block_id text, agent_id text, level smallint,
        message text, context jsonb, stack_trace text, created_at timestamptz)
"""


@dataclass(frozen=True, slots=True)
class Queued:
    """A block that must be sent to the workers after the commit. ``join`` is the node all its edges lead to."""

    id: int
    block_id: str
    queue: str
    join: int | None


@dataclass(frozen=True, slots=True)
class Announcement:
    """A line for the process's log once the transaction is committed; ``event`` is its name for machines."""

    level: str
    event: str
    message: str
    fields: Mapping[str, Any]


class Journal:
    """Collects rows for one locked run. ``flush`` sends them; then ``queued`` lists what must be sent to workers."""

    def __init__(self, run: RunState) -> None:
        self._run = run
        self._nodes: dict[int, dict[str, Any]] = {}
        self._counters: dict[int, dict[str, Any]] = {}
        self._settled: list[dict[str, Any]] = []
        self._recorded: list[int] = []
        self._context: list[dict[str, Any]] = []
        self._events: list[dict[str, Any]] = []
        self._logs: list[dict[str, Any]] = []
        self.to_send: dict[int, int | None] = {}
        self.queued: list[Queued] = []
        self.announcements: list[Announcement] = []
        self.row_ids: dict[int, int] = {}

    def node(
        self,
        node: Node,
        status: BlockStatus,
        *,
        outcomes: Mapping[int, EdgeOutcome] | None = None,
        origins: frozenset[int] = frozenset(),
        **columns: Any,
    ) -> None:
        """Say what a node's row becomes; the last word of a transaction is written."""
        self._nodes[node.index] = {
            "node": node.index,
            "kind": node.kind,
            "block_id": node.id,
            "status": status,
            "fence": 0,
            "settled": False,
            "holds_slot": False,
            "agent_id": "",
            "origins": sorted(origins),
            "outcomes": _outcomes(outcomes),
            **columns,
        }

    def counters(self, node: Node, arrivals: Arrivals) -> None:
        """Say how many in-edges of a node have resolved, and how."""
        self._counters[node.index] = {
            "node": node.index,
            "kind": node.kind,
            "block_id": node.id,
            "taken": arrivals.taken,
            "dead": arrivals.dead,
            "lost": arrivals.lost,
            "origins": sorted(arrivals.origins),
        }

    def settled(
        self,
        row_id: int,
        status: BlockStatus,
        outcomes: Mapping[int, EdgeOutcome] | None,
        error: Mapping[str, JsonValue] | None,
    ) -> None:
        """Say that a finished row was merged and routed."""
        self._settled.append(
            {"id": row_id, "status": status, "outcomes": _outcomes(outcomes), "error": error}
        )

    def recorded(self, row_id: int) -> None:
        """Say that a row's start has its event now."""
        self._recorded.append(row_id)

    def context_value(self, key: str, value: JsonValue, block_execution_id: int) -> None:
        self._run.context_seq += 1
        self._context.append(
            {
                "key": key,
                "seq": self._run.context_seq,
                "value": value,
                "block_execution_id": block_execution_id,
            }
        )

    def event(
        self,
        type: str,
        block_id: str = "",
        data: Mapping[str, Any] | None = None,
        *,
        node: int | None = None,
        row_id: int | None = None,
        at: datetime | None = None,
    ) -> None:
        """Append an event with the run's next number."""
        self._run.event_seq += 1
        self._events.append(
            {
                "seq": self._run.event_seq,
                "type": type,
                "block_id": block_id,
                "block_execution_id": row_id,
                "node": node,
                "data": dict(data or {}),
                "created_at": at or self._run.now,
            }
        )

    def block_event(self, type: str, row: Any, at: datetime | None, data: Mapping[str, JsonValue]) -> None:
        """Append an event about a block row."""
        self.event(type, row.block_id, data, row_id=row.id, at=at)

    def log(
        self,
        level: str,
        message: str,
        row: Any = None,
        *,
        context: Mapping[str, JsonValue] | None = None,
        stack_trace: str = "",
        at: datetime | None = None,
    ) -> None:
        """Append a log line, about a block row if one is given."""
        self._logs.append(
            {
                "block_execution_id": row.id if row else None,
                "block_id": row.block_id if row else "",
                "agent_id": row.agent_id if row else "",
                "level": ExecutionLog.Level[level],
                "message": message,
                "context": dict(context or {}),
                "stack_trace": stack_trace,
                "created_at": at or self._run.now,
            }
        )

    def flush(self, tx: EngineTransaction) -> None:
        """Send what was collected: at most one statement for each kind of row."""
        run = self._run
        if self._settled:
            tx.run(SETTLE_ROWS, (_json(self._settled),))
        if self._recorded:
            tx.run(RECORD_ROWS, (self._recorded,))
        written = None
        if self._nodes:
            written = tx.run(WRITE_NODES, (run.id, run.queue, run.now, _json(list(self._nodes.values()))))
        if self._counters:
            tx.run(WRITE_COUNTERS, (run.id, run.queue, run.now, _json(list(self._counters.values()))))
        if self._context:
            tx.run(WRITE_CONTEXT, (run.id, _json(self._context)))
        if self._events:
            tx.run(WRITE_EVENTS, (run.id, _json(self._events), run.id))
        if self._logs:
            tx.run(WRITE_LOGS, (run.id, _json(self._logs)))
        if written is not None:
            self.row_ids = {row.node: row.id for row in written}
            self.queued += [
                Queued(self.row_ids[node], self._nodes[node]["block_id"], run.queue, join)
                for node, join in self.to_send.items()
            ]


def _outcomes(outcomes: Mapping[int, EdgeOutcome] | None) -> dict[str, str] | None:
    return None if outcomes is None else {str(edge): outcome.value for edge, outcome in outcomes.items()}


def _json(rows: list[dict[str, Any]]) -> Jsonb:
    return Jsonb(rows, dumps=lambda value: json.dumps(value, default=str))
