"""Settlement: what finished blocks mean for the rest of their run.

Everything here happens in one transaction that holds the execution row's lock. Finished rows are taken in the order
(finish time, id); each merges its output into the context, asks the engine where to go, and its answer is applied:
edges resolved, nodes made ready or skipped, gates passed, events appended. The rows that change are written in one
statement at the end, so the number of statements does not depend on the size of the workflow.
"""

import json
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

import psycopg
from pydantic import JsonValue

from executions_app import log_lines
from executions_app.compensation import record_undo
from executions_app.deciders import conditions_of, tell_decision
from executions_app.journal import Journal, Key, place_data, started_data
from executions_app.loops import LoopRows
from executions_app.maps import MapRows
from executions_app.models import BlockExecution
from executions_app.progress import Progress
from executions_app.recovery_journal import RecoveryJournal
from executions_app.recovery_policy import waits_about_routing
from executions_app.run_state import RunState
from executions_app.transaction import EngineTransaction
from executions_app.values import RunValues
from templates_app.plans import CompiledVersion
from workflow_service.engine.decide import (
    Arrivals,
    LoopLimit,
    NodeSettlement,
    Place,
    Settlement,
    Verdict,
    begin,
    settle,
)
from workflow_service.engine.errors import ExpressionError
from workflow_service.engine.expressions import evaluate_condition
from workflow_service.engine.plan import Node, NodeKind
from workflow_service.engine.restart import Cut, Settled, reopen
from workflow_service.engine.routing import RoutingFailure
from workflow_service.engine.states import (
    FINISHED_BLOCK_STATUSES,
    BlockStatus,
    ErrorType,
)

BATCH = 200
CONTEXT_VALUE_MAX_BYTES = 65_536
CONTEXT_KEY_MAX_CHARACTERS = 255

UNSETTLED = """
    SELECT b.id, b.node, b.kind, b.scope_id, b.item_index, b.block_id, b.status, b.fence, b.settled,
        b.unrecorded_start, b.holds_slot, b.agent_id, b.retries, b.recoveries, b.started_at, b.finished_at,
        b.error::text AS error, o.value::text AS output
    FROM executions_app_blockexecution b
    -- What an item made is read when its map is collected, and may be large.
    LEFT JOIN executions_app_blockoutput o ON o.block_execution_id = b.id AND b.kind <> 'item'
    WHERE b.execution_id = %s AND (
        NOT b.settled AND b.status IN ('COMPLETED', 'FAILED', 'REJECTED', 'SKIPPED', 'CANCELLED')
        OR b.unrecorded_start)
    ORDER BY b.finished_at NULLS FIRST, b.id LIMIT %s
"""
ARRIVALS = """
    SELECT b.scope_id, b.item_index, b.node, b.taken, b.dead, b.lost, b.origins
    FROM unnest(%s::bigint[], %s::int[], %s::int[]) AS p(scope_id, item_index, node)
    JOIN executions_app_blockexecution b ON b.execution_id = %s AND b.scope_id = p.scope_id AND b.node = p.node
        AND b.item_index = p.item_index AND NOT b.superseded
"""

Error = dict[str, JsonValue]


class UnsettledRow(NamedTuple):
    """A row as ``UNSETTLED`` reads it; ``error`` and ``output`` are JSON texts."""

    id: int
    node: int
    kind: str
    scope_id: int
    item_index: int
    block_id: str
    status: str
    fence: int
    settled: bool
    unrecorded_start: bool
    holds_slot: bool
    agent_id: str
    retries: int
    recoveries: int
    started_at: datetime | None
    finished_at: datetime | None
    error: str | None
    output: str | None

    @property
    def is_incomplete(self) -> bool:
        """Whether its output was written earlier, and is to be read."""
        return self.status == BlockStatus.COMPLETED and self.output is None


# What is told of the nodes that were decided with the one that finished.
_TOLD_AS = {Verdict.SKIPPED: "blocks_skipped", Verdict.COMPLETED: "gates_passed"}
_COUNTED_AS = {BlockStatus.COMPLETED: "completed", BlockStatus.SKIPPED: "skipped"}


@dataclass(frozen=True, slots=True)
class _Routed:
    """The engine's answer, and why the node itself or gates behind it could not be routed."""

    settlement: Settlement
    failure: Error | None
    gate_failures: Mapping[int, Error]


class Settler:
    """Settles finished rows of one locked run; ``flush`` writes what it decided."""

    def __init__(self, tx: EngineTransaction, run: RunState, compiled: CompiledVersion) -> None:
        self.tx = tx
        self.run = run
        self.plan = compiled.plan
        self.settings = compiled.definition.global_settings
        self.values = RunValues(tx, run.id, run.public_id)
        self.journal = Journal(run)
        self.recoveries = RecoveryJournal(run)
        self.loops = LoopRows(tx, run, self.plan, self.journal)
        self.progress = Progress(tx, run, compiled, self.values, self.journal, self.loops)
        self.maps = MapRows(tx, run, self.plan, self.journal)
        self._arrivals: dict[Key, Arrivals | None] = {}
        self._decided_here: deque[tuple[int, Verdict, Error | None]] = deque()
        # The last block that this transaction settled as completed: a boundary at which a run can be taken up again.
        self.boundary: Any = None
        self._finished_node: int | None = None
        self._finished_output: JsonValue = None

    # -- finished rows

    def settle_rows(self, rows: Iterable[Any]) -> None:
        """Settle unsettled rows (the columns of ``UNSETTLED``) in the order given."""
        for row in rows:
            self._record(row)
        self.progress.add_ready(self.maps.go_on())

    def begin(self) -> None:
        """Make the blocks ready that begin the run."""
        self.progress.beginning = True
        for node in self.loops.apply(begin(self.plan)).ready:
            self._make_ready(node)
        self._settle_decided_here()

    def reopen(self, taken: Cut, kept: Collection[Settled], active: Mapping[Place, int]) -> tuple[int, ...]:
        """Follow what stays of a restarted run into what was taken back; returns the nodes that may start."""
        gate_failures: dict[int, Error] = {}
        while True:
            settlement = reopen(
                taken, kept, active, scope_of=self._scope_of, failed_gates=frozenset(gate_failures)
            )
            if settlement.routing_failure is None:
                break
            assert settlement.routing_failed_node is not None  # noqa: S101 - it comes with the failure
            gate_failures[settlement.routing_failed_node] = _routing_error(settlement.routing_failure)
        nobody = NodeSettlement(-1, Verdict.SKIPPED, {})
        applied = replace(settlement, settled=(nobody, *settlement.settled), ready=())
        self._apply(_Routed(applied, None, gate_failures), Verdict.COMPLETED, None, "")
        return settlement.ready

    def start(self, nodes: Iterable[int]) -> None:
        """Make nodes ready that a restart leads up to again."""
        for node in nodes:
            self._make_ready(node)
        self._settle_decided_here()

    def _record(self, row: Any) -> None:
        status = BlockStatus(row.status)
        # What follows a block did not begin before it ended.
        self.run.now = max(self.run.now, row.finished_at or self.run.now)
        self._tell_start(row)
        if row.settled or status not in FINISHED_BLOCK_STATUSES:
            self.journal.recorded(row)
            return
        if row.recoveries:
            self.recoveries.resolved(row.id, status is BlockStatus.COMPLETED)
        if row.kind == BlockExecution.Kind.ITEM:
            self._record_item(row, status)
            return
        self.run.active -= 1
        self.run.slots -= row.holds_slot
        error: Error | None = json.loads(row.error) if row.error else None
        if row.kind == BlockExecution.Kind.UNDO:
            record_undo(self, row, status, error)
            return
        output = json.loads(row.output) if row.output is not None else None
        if status is BlockStatus.CANCELLED:
            self.journal.settled(row, status, None, error)
            return
        decides = self.plan.nodes[row.node].kind is NodeKind.DECIDE
        # What was decided is no value of the run: it leads, and is kept elsewhere.
        merges = status is BlockStatus.COMPLETED and not decides
        merge_error = self._merge(row, output) if merges else None
        if merge_error is not None:
            if waits_about_routing(self, row, merge_error):
                return
            status, error = BlockStatus.FAILED, merge_error
        routed = self._route(row.node, Verdict(status.value), output)
        if routed.failure is not None:
            # The work stays done and its output kept; what failed is the way on.
            if waits_about_routing(self, row, routed.failure):
                return
            status, error = BlockStatus.FAILED, routed.failure
        settlement, verdict = routed.settlement, Verdict(status.value)
        self.journal.settled(row, status, settlement.settled[0].outcomes, error)
        conditions = settlement.settled[0].conditions
        if decides and status is BlockStatus.COMPLETED and isinstance(output, dict):
            tell_decision(self, row, output)
            conditions = tuple(conditions_of(output))
        self._write_finish_event(row, status, error, conditions)
        how = _COUNTED_AS.get(status, "failed")
        # Hidden nodes count where they fail, and only there.
        if how == "failed" or self.plan.nodes[row.node].kind is NodeKind.BLOCK:
            self.loops.count(row.scope_id, how)
        if status is BlockStatus.COMPLETED:
            self.boundary = row
        self._apply(routed, verdict, error, row.block_id)
        self._settle_decided_here()

    def _tell_start(self, row: Any) -> None:
        if row.unrecorded_start:
            self.journal.block_event("block_started", row, row.started_at, started_data(row, row.agent_id))

    def _record_item(self, row: Any, status: BlockStatus) -> None:
        """Settle an item of a map: it leads nowhere; what its map makes of it is decided after the batch."""
        error: Error | None = json.loads(row.error) if row.error else None
        self.run.active -= 1
        self.run.slots -= row.holds_slot
        self.journal.settled(row, status, None, error)
        if status is not BlockStatus.CANCELLED:
            self._write_finish_event(row, status, error)
        self.maps.item_ended(row.scope_id, status)

    def _route(self, node: int, verdict: Verdict, output: JsonValue) -> _Routed:
        """Ask the engine where to go. A node or gate whose routing fails settles as failed, with the reason."""
        self._finished_node, self._finished_output = node, output
        chosen: list[int] | None = None
        if self.plan.nodes[node].kind is NodeKind.DECIDE and isinstance(output, dict):
            edges = output.get("edges")
            chosen = [edge for edge in edges if isinstance(edge, int)] if isinstance(edges, list) else None
        own_failure: Error | None = None
        gate_failures: dict[int, Error] = {}
        while True:
            settlement = settle(
                self.plan,
                node,
                verdict,
                scope_of=self._scope_of,
                arrivals_of=self._arrivals_of,
                loops=self.loops.states,
                chosen=chosen,
                failed_gates=frozenset(gate_failures),
            )
            failure = settlement.routing_failure
            if failure is None:
                return _Routed(settlement, own_failure, gate_failures)
            error = _routing_error(failure)
            if settlement.routing_failed_node == node:
                verdict, own_failure = Verdict.FAILED, error
            elif settlement.routing_failed_node is not None:
                gate_failures[settlement.routing_failed_node] = error

    def _merge(self, row: Any, output: JsonValue) -> Error | None:
        """Merge an output into the context: its own top-level keys, or those its ``outputMapping`` names."""
        self.values.put_output(row.block_id, output)
        merged = output if isinstance(output, dict) else {}
        mapping = self.plan.nodes[row.node].output_mapping
        if mapping:
            scope = self.values.scope({**merged, "output": output})
            try:
                merged = {key: expression.evaluate(scope) for key, expression in mapping}
            except ExpressionError as error:
                message = f"outputMapping: {error.message}"
                return {"type": ErrorType.ROUTING_ERROR, "message": message, "retryable": False}
        self._put_context(row.block_id, merged, row)
        return None

    def begin_context(self, values: Mapping[str, JsonValue]) -> None:
        """Put values into the context of a run that is yet to begin; they are no block's."""
        self._put_context("", values)

    def put_context(self, row: Any, values: Mapping[str, JsonValue]) -> None:
        """Put values into the run's context, as a block's row does with its output."""
        self._put_context(row.block_id, values, row)

    def _put_context(self, block_id: str, values: Mapping[str, JsonValue], row: Any = None) -> None:
        for key, value in values.items():
            if len(key) > CONTEXT_KEY_MAX_CHARACTERS or len(json.dumps(value)) > CONTEXT_VALUE_MAX_BYTES:
                self.journal.log(
                    "WARNING",
                    f"'{key:.100}' of block {block_id} is too large for the context; "
                    f"read it as blocks.{block_id}.output.{key:.100}",
                    row,
                )
                continue
            self.values.put_context(key, value)
            self.journal.context_value(key, value, row.id if row else 0)

    def _write_finish_event(
        self,
        row: Any,
        status: BlockStatus,
        error: Error | None,
        conditions: Iterable[tuple[str, bool]] = (),
    ) -> None:
        duration_ms = None
        if row.started_at and row.finished_at:
            duration_ms = round((row.finished_at - row.started_at).total_seconds() * 1_000)
        data: dict[str, JsonValue] = {"durationMs": duration_ms, "retryCount": row.retries}
        data |= place_data(row.kind, Place(row.scope_id, row.item_index))
        if conditions:
            data["conditions"] = [{"condition": source, "result": result} for source, result in conditions]
        if error is not None:
            data["error"] = {key: value for key, value in error.items() if key != "stackTrace"}
        self.journal.block_event(f"block_{status.value.lower()}", row, row.finished_at, data)
        if status is BlockStatus.COMPLETED:
            log_lines.block_completed(self.journal, self.run, row, duration_ms)
        elif status in (BlockStatus.FAILED, BlockStatus.REJECTED):
            log_lines.block_failed(self.journal, self.run, row, error)

    # -- what the engine's answer means

    def _apply(self, routed: _Routed, verdict: Verdict, error: Error | None, block_id: str) -> None:
        settlement = self.loops.apply(routed.settlement)
        for settled in settlement.settled[1:]:
            self._write_passed_node(settled, routed.gate_failures.get(settled.node))
        self._tell_passed(settlement.settled[1:])
        for node, arrivals in settlement.arrivals.items():
            place = self._place(node)
            self._arrivals[place, node] = arrivals
            self.journal.counters(self.plan.nodes[node], place, arrivals)
        self.run.reached_end |= settlement.reached_end
        if verdict in (Verdict.FAILED, Verdict.REJECTED) and not settlement.handled:
            self._fail_unhandled(block_id, error)
        for gate, failure in routed.gate_failures.items():
            self._fail_unhandled(self.plan.nodes[gate].id, failure)
        for limit in settlement.limits:
            self._fail_at_limit(limit)
        for node in settlement.ready:
            self._make_ready(node)

    def _tell_passed(self, settled: Iterable[NodeSettlement]) -> None:
        passed: dict[tuple[str, Place], list[str]] = defaultdict(list)
        for each in settled:
            if event := _TOLD_AS.get(each.verdict):
                passed[event, each.place].append(self.plan.nodes[each.node].id)
        for (event, place), blocks in passed.items():
            self.journal.list_event(event, blocks, place)

    def _place(self, node: int) -> Place:
        place = self.loops.place(node)
        assert place is not None, f"node {node} is in no round"  # noqa: S101 - the engine names no other
        return place

    def _write_passed_node(self, settled: NodeSettlement, failure: Error | None) -> None:
        node = self.plan.nodes[settled.node]
        self.journal.node(
            node,
            settled.place,
            BlockStatus(settled.verdict.value),
            settled=True,
            finished_at=self.run.now,
            outcomes=settled.outcomes,
            origins=settled.origins,
            error=failure,
        )
        if failure is not None:
            data: dict[str, JsonValue] = {"error": failure, **place_data(node.kind, settled.place)}
            self.journal.event("block_failed", node.id, data, node=node.index, place=settled.place)
        self._put_context(node.id, settled.computed)

    def _fail_at_limit(self, limit: LoopLimit) -> None:
        block_id = self.plan.nodes[limit.node].id.removesuffix("?")
        error: Error = {
            "type": ErrorType.LOOP_LIMIT_REACHED,
            "message": f"the loop at '{block_id}' has run {limit.rounds} rounds and leads back once more; "
            "raise 'maxRounds' of the block it is entered at, or mend the condition that ends it",
            "details": {"maxRounds": limit.rounds, "scope": limit.scope},
            "retryable": False,
        }
        self.journal.event("loop_limit_reached", block_id, {"error": error})
        self._fail_unhandled(block_id, error)

    def _fail_unhandled(self, block_id: str, error: Error | None) -> None:
        self.run.unhandled_failures += 1
        if self.run.error is None:
            self.run.error = json.dumps({**(error or {}), "blockId": block_id})
        block = self.plan.nodes[self.plan.node_by_id[block_id]].block
        policy = (block.on_failure if block else None) or self.settings.on_failure
        if policy == "fail":
            self.run.failing = True

    def _make_ready(self, index: int) -> None:
        node = self.plan.nodes[index]
        if self.run.failing:
            place = self._place(index)
            self.journal.node(node, place, BlockStatus.CANCELLED, settled=True, finished_at=self.run.now)
            self.journal.list_event("blocks_cancelled", [node.id], place)
            return
        if node.guard is not None:
            verdict, error = self._evaluate_guard(node)
            if verdict is not None:
                self._decided_here.append((index, verdict, error))
                return
        self.progress.make_ready(node, self._place(index))

    def _evaluate_guard(self, node: Node) -> tuple[Verdict | None, Error | None]:
        assert node.guard is not None  # noqa: S101 - the caller checked
        try:
            passed = evaluate_condition(node.guard, self.values.scope())
        except ExpressionError as error:
            return Verdict.FAILED, {
                "type": ErrorType.ROUTING_ERROR,
                "message": error.message,
                "retryable": False,
            }
        return (None, None) if passed else (Verdict.SKIPPED, None)

    def _settle_decided_here(self) -> None:
        """Settle the nodes whose guard decided them without any work."""
        while self._decided_here:
            index, verdict, error = self._decided_here.popleft()
            node, place = self.plan.nodes[index], self._place(index)
            routed = self._route(index, verdict, None)
            self.journal.node(
                node,
                place,
                BlockStatus(verdict.value),
                settled=True,
                finished_at=self.run.now,
                outcomes=routed.settlement.settled[0].outcomes,
                error=error,
            )
            self.loops.count(place.scope, "skipped" if verdict is Verdict.SKIPPED else "failed")
            if verdict is Verdict.SKIPPED:
                guard = node.guard.source if node.guard else ""
                self.journal.list_event("blocks_skipped", [node.id], place, guard=guard)
            else:
                data: dict[str, JsonValue] = {"error": error, **place_data(node.kind, place)}
                self.journal.event("block_failed", node.id, data, node=index, place=place)
            self._apply(routed, verdict, error, node.id)

    def fail_poison_row(self, row: Any, reason: str) -> None:
        """Fail a row that cannot be settled, and the run with it; the engine is not asked."""
        error: Error = {"type": ErrorType.SETTLEMENT_ERROR, "message": reason, "retryable": False}
        self.run.active -= 1
        self.run.slots -= row.holds_slot
        self.run.failed_blocks += 1
        self.run.unhandled_failures += 1
        self.run.failing = True
        self.run.error = self.run.error or json.dumps({**error, "blockId": row.block_id})
        self._tell_start(row)
        self.journal.settled(row, BlockStatus.FAILED, None, error)
        self.journal.block_event("block_failed", row, row.finished_at, {"error": error})

    # -- what decide asks for

    def _scope_of(self, index: int) -> Any:
        node = self.plan.nodes[index]
        own = self._finished_output if index == self._finished_node else None
        own_keys = own.keys() if isinstance(own, dict) else frozenset[str]()
        references = node.routing_references
        self.values.prefetch([replace(references, context=references.context - own_keys)])
        return self.values.scope(own)

    def _arrivals_of(self, nodes: frozenset[int]) -> Mapping[int, Arrivals]:
        places = {node: place for node in sorted(nodes) if (place := self.loops.place(node)) is not None}
        unknown = [(place, node) for node, place in places.items() if (place, node) not in self._arrivals]
        if unknown:
            self.know_arrivals(unknown, ask_arrivals(self.tx, self.run.id, unknown))
        known = {node: self._arrivals[place, node] for node, place in places.items()}
        return {node: arrived for node, arrived in known.items() if arrived is not None}

    def know_arrivals(self, asked: Sequence[Key], answer: Iterable[Any]) -> None:
        """Take what ``ask_arrivals`` answered; what it does not name, nothing has arrived at."""
        self._arrivals |= dict.fromkeys(asked)
        for row in answer:
            arrived = Arrivals(row.taken, row.dead, row.lost, frozenset(row.origins))
            self._arrivals[Place(row.scope_id, row.item_index), row.node] = arrived

    def flush(self) -> None:
        """Write everything that was decided."""
        self.loops.write()
        self.journal.flush(self.tx)
        self.recoveries.flush(self.tx)


def ask_arrivals(tx: EngineTransaction, execution_id: int, asked: Sequence[Key]) -> psycopg.Cursor[Any]:
    """Ask how many in-edges of nodes have resolved; the answer is for ``Settler.know_arrivals``."""
    scopes, indexes = [place.scope for place, _ in asked], [place.index for place, _ in asked]
    return tx.run(ARRIVALS, (scopes, indexes, [node for _, node in asked], execution_id))


def _routing_error(failure: RoutingFailure) -> Error:
    return {
        "type": failure.error_type,
        "message": failure.message,
        "details": failure.details,
        "retryable": False,
    }
