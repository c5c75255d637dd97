"""What one transaction writes about a run, collected and sent in a fixed number of statements.

Event numbers are given out here, under the execution's lock: gapless, in the order of the facts.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.types.json import Jsonb
from pydantic import JsonValue

from executions_app.models import BlockExecution, ExecutionLog
from executions_app.run_state import QUEUE_OF_PRIORITY, SAVE, RunState
from executions_app.transaction import EngineTransaction
from workflow_service.engine.decide import Arrivals
from workflow_service.engine.plan import Node
from workflow_service.engine.rounds import THE_RUN, LoopState, Place
from workflow_service.engine.states import BlockStatus, EdgeOutcome

# What almost every transaction writes, in one statement: each statement costs more than what it does. No part reads
# what another writes, except that events find the ids of nodes that are written with them.
# A row that has begun or is settled is never written as a node: nothing can be begun twice.
STEP = f"""
    WITH settled AS (
        UPDATE executions_app_blockexecution AS b SET settled = true, unrecorded_start = false, holds_slot = false,
            status = r.status, outcomes = r.outcomes, error = r.error
        FROM jsonb_to_recordset(%s) AS r(id bigint, status text, outcomes jsonb, error jsonb) WHERE b.id = r.id
    ), nodes AS (
        INSERT INTO executions_app_blockexecution (
            execution_id, generation, retries, losses, sends, unrecorded_start, taken, dead, lost, created_at,
            scope_id, item_index, queue, node, kind, block_id, status, fence, settled, holds_slot, origins, outcomes,
            agent_id, worker_id, input, error, queued_at, started_at, finished_at, due_at, next_send_at)
        SELECT %s, %s, 0, 0, 0, false, 0, 0, 0, %s,
            n.scope_id, n.item_index, n.queue, n.node, n.kind, n.block_id, n.status, n.fence, n.settled, n.holds_slot,
            n.origins, n.outcomes, n.agent_id, n.worker_id, n.input, n.error, n.queued_at, n.started_at, n.finished_at,
            n.due_at, n.next_send_at
        FROM jsonb_to_recordset(%s) AS n(scope_id bigint, item_index int, queue text, node int, kind text,
            block_id text, status text, fence bigint, settled bool, holds_slot bool, origins int[], outcomes jsonb,
            agent_id text, worker_id uuid, input jsonb, error jsonb, queued_at timestamptz, started_at timestamptz,
            finished_at timestamptz, due_at timestamptz, next_send_at timestamptz)
        ON CONFLICT (execution_id, scope_id, node, item_index) WHERE NOT superseded DO UPDATE SET
            status = EXCLUDED.status, fence = EXCLUDED.fence, settled = EXCLUDED.settled,
            holds_slot = EXCLUDED.holds_slot, origins = EXCLUDED.origins, outcomes = EXCLUDED.outcomes,
            agent_id = EXCLUDED.agent_id, worker_id = EXCLUDED.worker_id, input = EXCLUDED.input,
            error = EXCLUDED.error, queued_at = EXCLUDED.queued_at, started_at = EXCLUDED.started_at,
            finished_at = EXCLUDED.finished_at, due_at = EXCLUDED.due_at, next_send_at = EXCLUDED.next_send_at
        WHERE executions_app_blockexecution.fence = 0 AND NOT executions_app_blockexecution.settled
        RETURNING id, generation, scope_id, node, item_index
    ), context AS (
        INSERT INTO executions_app_contextvalue (execution_id, key, seq, value, block_execution_id)
        SELECT %s, c.key, c.seq, coalesce(c.value, 'null'), c.block_execution_id
        FROM jsonb_to_recordset(%s) AS c(key text, seq bigint, value jsonb, block_execution_id bigint)
    ), events AS (
        INSERT INTO executions_app_executionevent (
            execution_id, seq, type, block_id, block_execution_id, data, created_at)
        SELECT %s, e.seq, e.type, e.block_id, coalesce(e.block_execution_id, n.id), e.data, e.created_at
        FROM jsonb_to_recordset(%s) AS e(seq bigint, type text, block_id text, block_execution_id bigint,
            scope_id bigint, node int, item_index int, data jsonb, created_at timestamptz)
        LEFT JOIN nodes n ON n.scope_id = e.scope_id AND n.node = e.node AND n.item_index = e.item_index
    ), run AS ({SAVE})
    SELECT id, generation, scope_id, node, item_index FROM nodes
"""  # noqa: S608
# A block whose start is recorded may be finished meanwhile: its slot is given back when that is settled.
RECORD_ROWS = "UPDATE executions_app_blockexecution SET unrecorded_start = false WHERE id = ANY(%s)"
WRITE_COUNTERS = """
    INSERT INTO executions_app_blockexecution (
        execution_id, generation, retries, losses, sends, unrecorded_start, fence, settled, holds_slot, agent_id,
        status, created_at, scope_id, item_index, queue, node, kind, block_id, taken, dead, lost, origins)
    SELECT %s, %s, 0, 0, 0, false, 0, false, false, '', 'PENDING', %s,
        n.scope_id, n.item_index, n.queue, n.node, n.kind, n.block_id, n.taken, n.dead, n.lost, n.origins
    FROM jsonb_to_recordset(%s) AS n(scope_id bigint, item_index int, queue text, node int, kind text, block_id text,
        taken int, dead int, lost int, origins int[])
    ON CONFLICT (execution_id, scope_id, node, item_index) WHERE NOT superseded DO UPDATE SET
        taken = EXCLUDED.taken, dead = EXCLUDED.dead, lost = EXCLUDED.lost, origins = EXCLUDED.origins
"""
WRITE_SCOPES = """
    INSERT INTO executions_app_scope (
        execution_id, generation, kind, superseded, total, completed_items, failed_items, created_at, id, loop,
        parent_scope_id, parent_index, ended, closed, round, first_round, open, broken, back, exits, arrivals, counts)
    SELECT %s, %s, 'loop', false, 0, 0, 0, %s, s.id, s.loop, s.parent_scope_id, s.parent_index, s.ended, s.closed,
        s.round, s.first_round, s.open, s.broken, s.back, s.exits, s.arrivals, s.counts
    FROM jsonb_to_recordset(%s) AS s(id bigint, loop int, parent_scope_id bigint, parent_index int, ended bool,
        closed bool, round int, first_round int, open int, broken bool, back int[], exits jsonb, arrivals jsonb,
        counts jsonb)
    ON CONFLICT (id) DO UPDATE SET ended = EXCLUDED.ended, closed = EXCLUDED.closed, round = EXCLUDED.round,
        first_round = EXCLUDED.first_round, open = EXCLUDED.open, broken = EXCLUDED.broken, back = EXCLUDED.back,
        exits = EXCLUDED.exits, arrivals = EXCLUDED.arrivals, counts = EXCLUDED.counts
"""
WRITE_LOGS = """
    INSERT INTO executions_app_executionlog (
        execution_id, block_execution_id, block_id, agent_id, level, message, context, stack_trace, created_at)
    SELECT %s, l.block_execution_id, l.block_id, l.agent_id, l.level, l.message, l.context, l.stack_trace, l.created_at
    FROM jsonb_to_recordset(%s) AS l(block_execution_id bigint, block_id text, agent_id text, level smallint,
        message text, context jsonb, stack_trace text, created_at timestamptz)
"""
WRITE_POINT = """
    INSERT INTO executions_app_recoverypoint (execution_id, seq, context_seq, block_id, reason, created_at)
    VALUES (%s, %s, %s, %s, %s, %s)
"""


Join = tuple[str, int]
Key = tuple[Place, int]


@dataclass(frozen=True, slots=True)
class Queued:
    """A block that must be sent to the workers after the commit.

    ``join`` names what the blocks of a chord meet in: the node all their edges lead to, or the map of the items.
    """

    id: int
    block_id: str
    queue: str
    join: Join | None


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
        self._nodes: dict[Key, dict[str, Any]] = {}
        self._counters: dict[Key, dict[str, Any]] = {}
        self._scopes: dict[int, dict[str, Any]] = {}
        self._settled: list[dict[str, Any]] = []
        self._recorded: list[int] = []
        self._context: list[dict[str, Any]] = []
        self._events: list[dict[str, Any]] = []
        self._logs: list[dict[str, Any]] = []
        self._point: tuple[Any, ...] | None = None
        self._to_send: dict[Key, Join | None] = {}
        self._written: psycopg.Cursor[Any] | None = None
        self._queued: list[Queued] = []
        self.announcements: list[Announcement] = []

    def node(
        self,
        node: Node,
        place: Place,
        status: BlockStatus,
        *,
        outcomes: Mapping[int, EdgeOutcome] | None = None,
        origins: frozenset[int] = frozenset(),
        **columns: Any,
    ) -> None:
        """Say what a node's row becomes; the last word of a transaction is written."""
        self._nodes[place, node.index] = {
            **self._identity(node, place),
            "status": status,
            "fence": 0,
            "settled": False,
            "holds_slot": False,
            "agent_id": "",
            "origins": sorted(origins),
            "outcomes": _outcomes(outcomes),
            **columns,
        }

    def counters(self, node: Node, place: Place, arrivals: Arrivals) -> None:
        """Say how many in-edges of a node have resolved, and how."""
        self._counters[place, node.index] = {
            **self._identity(node, place),
            "taken": arrivals.taken,
            "dead": arrivals.dead,
            "lost": arrivals.lost,
            "origins": sorted(arrivals.origins),
        }

    def _identity(self, node: Node, place: Place) -> dict[str, Any]:
        return {
            "scope_id": place.scope,
            "item_index": place.index,
            "queue": queue_of(node, self._run),
            "node": node.index,
            "kind": node.kind,
            "block_id": node.id,
        }

    def loop(self, state: LoopState, counts: Mapping[str, int]) -> None:
        """Say how an instance of a loop stands; ``state.scope`` is its row's id."""
        self._scopes[state.scope] = {
            "id": state.scope,
            "loop": state.loop,
            "parent_scope_id": state.parent.scope,
            "parent_index": state.parent.index,
            "ended": state.ended,
            "closed": state.closed,
            "round": state.round,
            "first_round": state.first_round,
            "open": state.open,
            "broken": state.broken,
            "back": sorted(state.back),
            "exits": {str(edge): [outcome, sorted(left)] for edge, (outcome, left) in state.exits.items()},
            "arrivals": {
                str(node): [each.taken, each.dead, each.lost, sorted(each.origins)]
                for node, each in state.arrivals.items()
            },
            "counts": dict(counts),
        }

    def send(self, node: Node, place: Place, join: Join | None) -> None:
        """Say that a queued node must be sent to the workers after the commit."""
        self._to_send[place, node.index] = join

    def send_row(self, queued: Queued) -> None:
        """Say that a row that was queued must be sent to the workers after the commit."""
        self._queued.append(queued)

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
        place: Place = THE_RUN,
        row_id: int | None = None,
        at: datetime | None = None,
    ) -> None:
        """Append an event with the run's next number; about a row, by its id or the place of a node written with it."""
        self._run.event_seq += 1
        self._events.append(
            {
                "seq": self._run.event_seq,
                "type": type,
                "block_id": block_id,
                "block_execution_id": row_id,
                "scope_id": place.scope,
                "node": node,
                "item_index": place.index,
                "data": dict(data or {}),
                "created_at": at or self._run.now,
            }
        )

    def recovery_point(
        self, block_id: str, reason: str, row_id: int | None = None, **data: JsonValue
    ) -> None:
        """Note that the run can be taken up again where it stands now, after ``block_id`` (of that row)."""
        run = self._run
        self.event("recovery_point_created", block_id, {"reason": reason, **data}, row_id=row_id)
        self._point = (run.id, run.event_seq, run.context_seq, block_id, reason, run.now)
        run.recovery_point_at = run.now

    @property
    def last_block(self) -> str:
        """The block that the newest event about a block is about."""
        return next((event["block_id"] for event in reversed(self._events) if event["block_id"]), "")

    def list_event(
        self,
        type: str,
        blocks: Sequence[str],
        place: Place,
        *,
        items: Sequence[int] = (),
        **data: JsonValue,
    ) -> None:
        """Append one event about many rows: nodes of one place, or ``items`` of the map in ``place``'s scope."""
        where = {"scope": place.scope, "items": list(items)} if items else place_data("", place)
        self.event(type, data={"blocks": list(blocks), **data, **where})

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
        """Send what was collected, and the run's counters: at most one statement for each further kind of row."""
        run = self._run
        if self._recorded:
            tx.run(RECORD_ROWS, (self._recorded,))
        if self._scopes:
            tx.run(WRITE_SCOPES, (run.id, run.generation, run.now, _json(list(self._scopes.values()))))
        nodes, settled = _json(list(self._nodes.values())), _json(self._settled)
        written = (run.id, run.generation, run.now, nodes)
        context, events = (run.id, _json(self._context)), (run.id, _json(self._events))
        self._written = tx.run(STEP, (settled, *written, *context, *events, *run.saved()))
        if self._counters:
            rows = _json(list(self._counters.values()))
            tx.run(WRITE_COUNTERS, (run.id, run.generation, run.now, rows))
        if self._logs:
            tx.run(WRITE_LOGS, (run.id, _json(self._logs)))
        if self._point:
            tx.run(WRITE_POINT, self._point)

    def written(self) -> dict[Key, Any]:
        """Return the rows (id, generation) that ``flush`` wrote, by place and node.

        Reading them waits for the network, so in a pipeline it is done after the commit.
        """
        if self._written is None:
            return {}
        return {(Place(row.scope_id, row.item_index), row.node): row for row in self._written}

    def queued(self, written: Mapping[Key, Any]) -> list[Queued]:
        """Return what must be sent to the workers, given what ``written`` returned."""
        return self._queued + [
            Queued(written[key].id, self._nodes[key]["block_id"], self._nodes[key]["queue"], join)
            for key, join in self._to_send.items()
        ]


def started_data(row: Any, agent_id: str) -> dict[str, JsonValue]:
    """Return what the event of a row's start says: who works on it, and in which round or on which item."""
    data: dict[str, JsonValue] = {"agentId": agent_id}
    return data | place_data(row.kind, Place(row.scope_id, row.item_index))


def place_data(kind: str, place: Place) -> dict[str, JsonValue]:
    """Return how events name the round or the item that a row stands in."""
    if kind == BlockExecution.Kind.ITEM:
        return {"item": place.index, "scope": place.scope}
    return {"round": place.index, "scope": place.scope} if place.scope else {}


def queue_of(node: Node, run: RunState) -> str:
    """Return the Celery queue of a node: that of its own priority, else of its run's."""
    priority = node.block.priority if node.block else None
    return run.queue if priority is None else QUEUE_OF_PRIORITY[priority]


def _outcomes(outcomes: Mapping[int, EdgeOutcome] | None) -> dict[str, str] | None:
    return None if outcomes is None else {str(edge): outcome.value for edge, outcome in outcomes.items()}


def _json(rows: list[dict[str, Any]]) -> Jsonb:
    return Jsonb(rows, dumps=lambda value: json.dumps(value, default=str))
