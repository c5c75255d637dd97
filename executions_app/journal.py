"""What one transaction writes about a run, collected and sent in a fixed number of statements.

Event numbers are given out here, under the execution's lock: gapless, in the order of the facts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from pydantic import JsonValue

from executions_app.models import BlockExecution, ExecutionLog
from executions_app.run_state import QUEUE_OF_PRIORITY, RunState
from executions_app.step_statement import (
    CLAIMS,
    CONTEXT,
    COUNTERS,
    EVENTS,
    EVENTS_OF_NODES,
    LOGS,
    NODES,
    POINTS,
    RECORDED,
    SCOPES,
    SETTLED,
    Part,
    Row,
    step_statement,
)
from executions_app.transaction import EngineTransaction
from workflow_service.engine.decide import Arrivals
from workflow_service.engine.plan import Node
from workflow_service.engine.rounds import THE_RUN, LoopState, Place
from workflow_service.engine.states import BlockStatus, EdgeOutcome

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
        # The rows that something else than a counter is written of.
        self._changed: set[Key] = set()
        self._claims: list[dict[str, Any]] = []
        self._recorded: list[dict[str, Any]] = []
        self._context: list[dict[str, Any]] = []
        self._events: list[dict[str, Any]] = []
        self._logs: list[dict[str, Any]] = []
        self._points: list[dict[str, Any]] = []
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
        self._changed.add((place, node.index))
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
        row: Any,
        status: BlockStatus,
        outcomes: Mapping[int, EdgeOutcome] | None,
        error: Mapping[str, JsonValue] | None,
    ) -> None:
        """Say that a finished row was merged and routed."""
        self._changed.add(_key(row))
        self._settled.append(
            {"id": row.id, "status": status, "outcomes": _outcomes(outcomes), "error": error}
        )

    def recorded(self, row: Any) -> None:
        """Say that a row's start has its event now."""
        self._changed.add(_key(row))
        self._recorded.append({"id": row.id})

    def claim(self, row_id: int, row: Any, input: JsonValue, agent_id: str, hard_end_s: float) -> None:
        """Say what a worker that has a row now works with; ``input`` is None where the row has it, or it is unfit."""
        self._changed.add(_key(row))
        self._claims.append({"id": row_id, "input": input, "agent_id": agent_id, "hard_end_s": hard_end_s})

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
        self._points.append(
            {"seq": run.event_seq, "context_seq": run.context_seq, "block_id": block_id, "reason": reason}
        )
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
                # The question behind a block is a row of its own, and people know it by the block.
                "block_id": row.block_id.removesuffix("?") if row else "",
                "agent_id": row.agent_id if row else "",
                "level": ExecutionLog.Level[level],
                "message": message,
                "context": dict(context or {}),
                "stack_trace": stack_trace,
                "created_at": at or self._run.now,
            }
        )

    def flush(self, tx: EngineTransaction) -> None:
        """Send what was collected, and the run's counters: one statement, two where a join that changes is reached.

        Of two parts of a statement that write the same row Postgres carries out one, and says nothing.
        """
        arrived = [row for key, row in self._counters.items() if key not in self._changed]
        self._written = self._write(
            tx,
            [
                (CLAIMS, self._claims),
                (RECORDED, self._recorded),
                (SETTLED, self._settled),
                (SCOPES, list(self._scopes.values())),
                (NODES, list(self._nodes.values())),
                (COUNTERS, arrived),
                (CONTEXT, self._context),
                (EVENTS_OF_NODES if self._nodes else EVENTS, self._events),
                (LOGS, self._logs),
                (POINTS, self._points),
            ],
            self._run.saved(),
        )
        if added := [row for key, row in self._counters.items() if key in self._changed]:
            self._write(tx, [(COUNTERS, added)])

    def _write(
        self, tx: EngineTransaction, parts: Sequence[tuple[Part, Sequence[Row]]], saved: Sequence[Any] = ()
    ) -> psycopg.Cursor[Any]:
        run = self._run
        statement, parameters = step_statement(
            parts, execution=run.id, generation=run.generation, now=run.now, saved=saved
        )
        return tx.run_numbered(statement, parameters)

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


def _key(row: Any) -> Key:
    return Place(row.scope_id, row.item_index), row.node


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
