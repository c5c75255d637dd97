"""The one statement in which a transaction writes what it decided about a run.

Each statement costs more than what it does, and so does each part of one: the statement is put together of the parts
that have rows. Few rows are bound as ``VALUES``, many as one JSON document. No part reads what another writes, except
that events find the ids of nodes that are written with them. Every value is sent as text, so that a statement of the
same parts is always the same prepared statement.
"""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

Row = Mapping[str, Any]

# More rows than these are one parameter: a statement for each number of rows would be planned anew.
FEW_ROWS = 3
AS_DOCUMENT = 0
# What every statement is given, whatever it makes of it: this says what types they are.
EXECUTION, GENERATION, NOW = "$1", "$2", "$3"
FIXED = "fixed AS (SELECT $1::bigint, $2::int, $3::timestamptz)"

SAVED_COLUMNS = (
    "status", "event_seq", "context_seq", "active", "slots", "ready", "waiting_for_people", "completed_blocks",
    "failed_blocks", "skipped_blocks", "failing", "unhandled_failures", "reached_end", "active_ms", "active_since",
    "deadline_at", "held_back", "recovery_point_at", "completed_at", "error", "compensating",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Part:
    """Rows of one kind: ``statement`` writes those of ``{rows}``, whose columns have these types."""

    name: str
    columns: Mapping[str, str]
    statement: str


# A claim of a row that was written before; its input is written once.
CLAIMS = Part(
    "claims",
    {"id": "bigint", "input": "jsonb", "agent_id": "text", "hard_end_s": "double precision"},
    """UPDATE executions_app_blockexecution AS b SET input = coalesce(r.input, b.input), agent_id = r.agent_id,
        unrecorded_start = false, due_at = b.started_at + make_interval(secs => r.hard_end_s)
    FROM {rows} WHERE b.id = r.id""",
)
# A block whose start is recorded may be finished meanwhile: its slot is given back when that is settled.
RECORDED = Part(
    "recorded",
    {"id": "bigint"},
    "UPDATE executions_app_blockexecution AS b SET unrecorded_start = false FROM {rows} WHERE b.id = r.id",
)
SETTLED = Part(
    "settled",
    {"id": "bigint", "status": "text", "outcomes": "jsonb", "error": "jsonb"},
    """UPDATE executions_app_blockexecution AS b SET settled = true, unrecorded_start = false, holds_slot = false,
        status = r.status, outcomes = r.outcomes, error = r.error
    FROM {rows} WHERE b.id = r.id""",
)
# A row that has begun or is settled is never written as a node: nothing can be begun twice.
NODES = Part(
    "nodes",
    {
        "scope_id": "bigint",
        "item_index": "int",
        "queue": "text",
        "node": "int",
        "kind": "text",
        "block_id": "text",
        "status": "text",
        "fence": "bigint",
        "settled": "bool",
        "holds_slot": "bool",
        "origins": "int[]",
        "outcomes": "jsonb",
        "agent_id": "text",
        "worker_id": "uuid",
        "input": "jsonb",
        "error": "jsonb",
        "queued_at": "timestamptz",
        "started_at": "timestamptz",
        "finished_at": "timestamptz",
        "due_at": "timestamptz",
        "next_send_at": "timestamptz",
        "hard_end_s": "double precision",
    },
    f"""INSERT INTO executions_app_blockexecution (
        execution_id, generation, retries, losses, sends, unrecorded_start, taken, dead, lost, created_at,
        scope_id, item_index, queue, node, kind, block_id, status, fence, settled, holds_slot, origins, outcomes,
        agent_id, worker_id, input, error, queued_at, started_at, finished_at, due_at, next_send_at, hard_end_s)
    SELECT {EXECUTION}, {GENERATION}, 0, 0, 0, false, 0, 0, 0, {NOW},
        r.scope_id, r.item_index, r.queue, r.node, r.kind, r.block_id, r.status, r.fence, r.settled, r.holds_slot,
        r.origins, r.outcomes, r.agent_id, r.worker_id, r.input, r.error, r.queued_at, r.started_at, r.finished_at,
        r.due_at, r.next_send_at, r.hard_end_s
    FROM {{rows}}
    ON CONFLICT (execution_id, scope_id, node, item_index) WHERE NOT superseded DO UPDATE SET
        status = EXCLUDED.status, fence = EXCLUDED.fence, settled = EXCLUDED.settled,
        holds_slot = EXCLUDED.holds_slot, origins = EXCLUDED.origins, outcomes = EXCLUDED.outcomes,
        agent_id = EXCLUDED.agent_id, worker_id = EXCLUDED.worker_id, input = EXCLUDED.input,
        error = EXCLUDED.error, queued_at = EXCLUDED.queued_at, started_at = EXCLUDED.started_at,
        finished_at = EXCLUDED.finished_at, due_at = EXCLUDED.due_at, next_send_at = EXCLUDED.next_send_at,
        hard_end_s = EXCLUDED.hard_end_s
    WHERE executions_app_blockexecution.fence = 0 AND NOT executions_app_blockexecution.settled
    RETURNING id, generation, scope_id, node, item_index""",  # noqa: S608
)
COUNTERS = Part(
    "counters",
    {
        "scope_id": "bigint",
        "item_index": "int",
        "queue": "text",
        "node": "int",
        "kind": "text",
        "block_id": "text",
        "taken": "int",
        "dead": "int",
        "lost": "int",
        "origins": "int[]",
    },
    f"""INSERT INTO executions_app_blockexecution (
        execution_id, generation, retries, losses, sends, unrecorded_start, fence, settled, holds_slot, agent_id,
        status, created_at, scope_id, item_index, queue, node, kind, block_id, taken, dead, lost, origins)
    SELECT {EXECUTION}, {GENERATION}, 0, 0, 0, false, 0, false, false, '', 'PENDING', {NOW},
        r.scope_id, r.item_index, r.queue, r.node, r.kind, r.block_id, r.taken, r.dead, r.lost, r.origins
    FROM {{rows}}
    ON CONFLICT (execution_id, scope_id, node, item_index) WHERE NOT superseded DO UPDATE SET
        taken = EXCLUDED.taken, dead = EXCLUDED.dead, lost = EXCLUDED.lost, origins = EXCLUDED.origins""",  # noqa: S608
)
CONTEXT = Part(
    "context",
    {"key": "text", "seq": "bigint", "value": "jsonb", "block_execution_id": "bigint"},
    f"""INSERT INTO executions_app_contextvalue (execution_id, key, seq, value, block_execution_id)
    SELECT {EXECUTION}, r.key, r.seq, coalesce(r.value, 'null'), r.block_execution_id FROM {{rows}}""",  # noqa: S608
)
_EVENT_COLUMNS = {"seq": "bigint", "type": "text", "block_id": "text", "block_execution_id": "bigint"}
_EVENT_DATA = {"data": "jsonb", "created_at": "timestamptz"}
EVENTS = Part(
    "events",
    _EVENT_COLUMNS | _EVENT_DATA,
    f"""INSERT INTO executions_app_executionevent (
        execution_id, seq, type, block_id, block_execution_id, data, created_at)
    SELECT {EXECUTION}, r.seq, r.type, r.block_id, r.block_execution_id, r.data, r.created_at FROM {{rows}}""",  # noqa: S608
)
# Events about nodes that are written with them, whose ids nobody knows before.
EVENTS_OF_NODES = Part(
    "events",
    {**_EVENT_COLUMNS, "scope_id": "bigint", "node": "int", "item_index": "int", **_EVENT_DATA},
    f"""INSERT INTO executions_app_executionevent (
        execution_id, seq, type, block_id, block_execution_id, data, created_at)
    SELECT {EXECUTION}, r.seq, r.type, r.block_id, coalesce(r.block_execution_id, n.id), r.data, r.created_at
    FROM {{rows}}
    LEFT JOIN nodes n ON n.scope_id = r.scope_id AND n.node = r.node AND n.item_index = r.item_index""",  # noqa: S608
)
LOGS = Part(
    "logs",
    {
        "block_execution_id": "bigint",
        "block_id": "text",
        "agent_id": "text",
        "level": "smallint",
        "message": "text",
        "context": "jsonb",
        "stack_trace": "text",
        "created_at": "timestamptz",
    },
    f"""INSERT INTO executions_app_executionlog (
        execution_id, block_execution_id, block_id, agent_id, level, message, context, stack_trace, created_at)
    SELECT {EXECUTION}, r.block_execution_id, r.block_id, r.agent_id, r.level, r.message, r.context, r.stack_trace,
        r.created_at
    FROM {{rows}}""",  # noqa: S608
)
POINTS = Part(
    "points",
    {"seq": "bigint", "context_seq": "bigint", "block_id": "text", "reason": "text"},
    f"""INSERT INTO executions_app_recoverypoint (execution_id, seq, context_seq, block_id, reason, created_at)
    SELECT {EXECUTION}, r.seq, r.context_seq, r.block_id, r.reason, {NOW} FROM {{rows}}""",  # noqa: S608
)
SCOPES = Part(
    "scopes",
    {
        "id": "bigint",
        "loop": "int",
        "parent_scope_id": "bigint",
        "parent_index": "int",
        "ended": "bool",
        "closed": "bool",
        "round": "int",
        "first_round": "int",
        "open": "int",
        "broken": "bool",
        "back": "int[]",
        "exits": "jsonb",
        "arrivals": "jsonb",
        "counts": "jsonb",
    },
    f"""INSERT INTO executions_app_scope (
        execution_id, generation, kind, superseded, total, completed_items, failed_items, created_at, id, loop,
        parent_scope_id, parent_index, ended, closed, round, first_round, open, broken, back, exits, arrivals, counts)
    SELECT {EXECUTION}, {GENERATION}, 'loop', false, 0, 0, 0, {NOW}, r.id, r.loop, r.parent_scope_id, r.parent_index,
        r.ended, r.closed, r.round, r.first_round, r.open, r.broken, r.back, r.exits, r.arrivals, r.counts
    FROM {{rows}}
    ON CONFLICT (id) DO UPDATE SET ended = EXCLUDED.ended, closed = EXCLUDED.closed, round = EXCLUDED.round,
        first_round = EXCLUDED.first_round, open = EXCLUDED.open, broken = EXCLUDED.broken, back = EXCLUDED.back,
        exits = EXCLUDED.exits, arrivals = EXCLUDED.arrivals, counts = EXCLUDED.counts""",  # noqa: S608
)


Shape = tuple[Part, int]


def step_statement(
    parts: Sequence[tuple[Part, Sequence[Row]]],
    *,
    execution: int,
    generation: int,
    now: datetime,
    saved: Sequence[Any],
) -> tuple[str, list[str | None]]:
    """Return the statement that writes these rows and ``saved``, the run's ``SAVED_COLUMNS``; and its parameters.

    Nothing is ``saved`` where that is empty. The statement answers with the rows of ``NODES``, if there are any.
    """
    shapes: list[Shape] = []
    parameters = [str(execution), str(generation), str(now), *map(_text, saved)]
    for part, rows in parts:
        if 0 < len(rows) <= FEW_ROWS:
            shapes.append((part, len(rows)))
            types = part.columns.items()
            parameters += [_typed(row.get(column), type) for row in rows for column, type in types]
        elif rows:
            shapes.append((part, AS_DOCUMENT))
            parameters.append(json.dumps(list(rows), default=str))
    return _composed(tuple(shapes), bool(saved)), parameters


@lru_cache(maxsize=1_024)
def _composed(shapes: tuple[Shape, ...], saves: bool) -> str:
    following = itertools.count(4)
    written = [FIXED]
    if saves:
        assigned = ", ".join(f"{column} = ${next(following)}" for column in SAVED_COLUMNS)
        save = f"UPDATE executions_app_execution SET {assigned} WHERE id = {EXECUTION}"  # noqa: S608
        written.append(f"run AS ({save})")
    for part, bound in shapes:
        written.append(f"{part.name} AS ({part.statement.format(rows=_source(part, bound, following))})")
    answer = "* FROM nodes" if any(part is NODES for part, _ in shapes) else "WHERE false"
    return f"WITH {', '.join(written)} SELECT {answer}"


def _source(part: Part, bound: int, following: Iterator[int]) -> str:
    if bound == AS_DOCUMENT:
        columns = ", ".join(f"{column} {type}" for column, type in part.columns.items())
        return f"jsonb_to_recordset(${next(following)}::jsonb) AS r({columns})"
    rows = ", ".join(
        "(" + ", ".join(f"${next(following)}::{type}" for type in part.columns.values()) + ")"
        for _ in range(bound)
    )
    return f"(VALUES {rows}) AS r({', '.join(part.columns)})"


def _typed(value: Any, type: str) -> str | None:
    if value is None:
        return None
    if type == "jsonb":
        return json.dumps(value)
    if type == "int[]":
        return "{" + ",".join(map(str, value)) + "}"
    return _text(value)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
