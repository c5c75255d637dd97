"""Settlement: what finished blocks mean for the rest of their run.

Everything here happens in one transaction that holds the execution row's lock. Finished rows are taken in the order
(finish time, id); each merges its output into the context, asks the engine where to go, and its answer is applied:
edges resolved, nodes made ready or skipped, gates passed, events appended. The rows that change are written in one
statement at the end, so the number of statements does not depend on the size of the workflow.
"""

import json
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import JsonValue

from executions_app import log_lines
from executions_app.journal import Journal
from executions_app.progress import Progress
from executions_app.run_state import RunState
from executions_app.transaction import EngineTransaction
from executions_app.values import RunValues
from templates_app.plans import CompiledVersion
from workflow_service.engine.decide import Arrivals, NodeSettlement, Settlement, Verdict, settle
from workflow_service.engine.errors import ExpressionError
from workflow_service.engine.expressions import evaluate_condition
from workflow_service.engine.plan import Node, NodeKind
from workflow_service.engine.states import (
    FINISHED_BLOCK_STATUSES,
    BlockStatus,
    ErrorType,
)

BATCH = 200
CONTEXT_VALUE_MAX_BYTES = 65_536
CONTEXT_KEY_MAX_CHARACTERS = 255
RUN_SCOPE = 0

UNSETTLED = """
    SELECT b.id, b.node, b.block_id, b.status, b.fence, b.settled, b.unrecorded_start, b.holds_slot, b.agent_id,
        b.retries, b.started_at, b.finished_at, b.error::text AS error, o.value::text AS output
    FROM executions_app_blockexecution b
    LEFT JOIN executions_app_blockoutput o ON o.block_execution_id = b.id
    WHERE b.execution_id = %s AND (
        NOT b.settled AND b.status IN ('COMPLETED', 'FAILED', 'REJECTED', 'SKIPPED', 'CANCELLED')
        OR b.unrecorded_start)
    ORDER BY b.finished_at NULLS FIRST, b.id LIMIT %s
"""
ARRIVALS = """
    SELECT node, taken, dead, lost, origins FROM executions_app_blockexecution
    WHERE execution_id = %s AND scope_id = %s AND node = ANY(%s)
"""

Error = dict[str, JsonValue]


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
        self.progress = Progress(tx, run, compiled, self.values, self.journal)
        self._arrivals: dict[int, Arrivals] = {}
        self._loaded: set[int] = set()
        self._decided_here: deque[tuple[int, Verdict, Error | None]] = deque()
        self._finished_node: int | None = None
        self._finished_output: JsonValue = None

    # -- finished rows

    def settle_rows(self, rows: Iterable[Any]) -> None:
        """Settle unsettled rows (the columns of ``UNSETTLED``) in the order given."""
        for row in rows:
            self._record(row)

    def begin(self, roots: Iterable[int]) -> None:
        """Make the blocks ready that begin the run."""
        self.progress.beginning = True
        for node in roots:
            self._make_ready(node)
        self._settle_decided_here()

    def _record(self, row: Any) -> None:
        status = BlockStatus(row.status)
        # What follows a block did not begin before it ended.
        self.run.now = max(self.run.now, row.finished_at or self.run.now)
        if row.unrecorded_start:
            self.journal.block_event("block_started", row, row.started_at, {"agentId": row.agent_id})
        if row.settled or status not in FINISHED_BLOCK_STATUSES:
            self.journal.recorded(row.id)
            return
        self.run.active -= 1
        self.run.slots -= row.holds_slot
        error: Error | None = json.loads(row.error) if row.error else None
        output = json.loads(row.output) if row.output is not None else None
        if status is BlockStatus.CANCELLED:
            self.journal.settled(row.id, status, None, error)
            return
        merge_error = self._merge(row, output) if status is BlockStatus.COMPLETED else None
        if merge_error is not None:
            status, error = BlockStatus.FAILED, merge_error
        routed = self._route(row.node, Verdict(status.value), output)
        if routed.failure is not None:
            # The work stays done and its output kept; what failed is the way on.
            status, error = BlockStatus.FAILED, routed.failure
        settlement, verdict = routed.settlement, Verdict(status.value)
        self.journal.settled(row.id, status, settlement.settled[0].outcomes, error)
        self._write_finish_event(row, status, error, settlement)
        self._apply(routed, verdict, error, row.block_id)
        self._settle_decided_here()

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
                chosen=chosen,
                failed_gates=frozenset(gate_failures),
            )
            failure = settlement.routing_failure
            if failure is None:
                return _Routed(settlement, own_failure, gate_failures)
            error: Error = {
                "type": failure.error_type,
                "message": failure.message,
                "details": failure.details,
                "retryable": False,
            }
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
        self, row: Any, status: BlockStatus, error: Error | None, settlement: Settlement
    ) -> None:
        duration_ms = None
        if row.started_at and row.finished_at:
            duration_ms = round((row.finished_at - row.started_at).total_seconds() * 1_000)
        data: dict[str, JsonValue] = {"durationMs": duration_ms, "retryCount": row.retries}
        if conditions := settlement.settled[0].conditions:
            data["conditions"] = [{"condition": source, "result": result} for source, result in conditions]
        if error is not None:
            data["error"] = {key: value for key, value in error.items() if key != "stackTrace"}
        self.journal.block_event(f"block_{status.value.lower()}", row, row.finished_at, data)
        if status is BlockStatus.COMPLETED:
            self.run.completed_blocks += 1
            log_lines.block_completed(self.journal, self.run, row, duration_ms)
        elif status is BlockStatus.SKIPPED:
            self.run.skipped_blocks += 1
        else:
            self.run.failed_blocks += 1
            log_lines.block_failed(self.journal, self.run, row, error)

    # -- what the engine's answer means

    def _apply(self, routed: _Routed, verdict: Verdict, error: Error | None, block_id: str) -> None:
        settlement = routed.settlement
        for settled in settlement.settled[1:]:
            self._write_passed_node(settled, routed.gate_failures.get(settled.node))
        skipped = [self.plan.nodes[s.node].id for s in settlement.settled[1:] if s.verdict is Verdict.SKIPPED]
        if skipped:
            self.journal.event("blocks_skipped", data={"blocks": skipped})
        self._arrivals.update(settlement.arrivals)
        for node, arrivals in settlement.arrivals.items():
            self.journal.counters(self.plan.nodes[node], arrivals)
        self.run.reached_end |= settlement.reached_end
        if verdict in (Verdict.FAILED, Verdict.REJECTED) and not settlement.handled:
            self._fail_unhandled(block_id, error)
        for gate, failure in routed.gate_failures.items():
            self._fail_unhandled(self.plan.nodes[gate].id, failure)
        for node in settlement.ready:
            self._make_ready(node)

    def _write_passed_node(self, settled: NodeSettlement, failure: Error | None) -> None:
        node = self.plan.nodes[settled.node]
        self.journal.node(
            node,
            BlockStatus(settled.verdict.value),
            settled=True,
            finished_at=self.run.now,
            outcomes=settled.outcomes,
            origins=settled.origins,
            error=failure,
        )
        if settled.verdict is Verdict.SKIPPED:
            self.run.skipped_blocks += node.kind is NodeKind.BLOCK
        elif failure is not None:
            self.journal.event("block_failed", node.id, {"error": failure})
        self._put_context(node.id, settled.computed)

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
            self.journal.node(node, BlockStatus.CANCELLED, settled=True, finished_at=self.run.now)
            return
        if node.guard is not None:
            verdict, error = self._evaluate_guard(node)
            if verdict is not None:
                self._decided_here.append((index, verdict, error))
                return
        self.progress.make_ready(node)

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
            node = self.plan.nodes[index]
            routed = self._route(index, verdict, None)
            self.journal.node(
                node,
                BlockStatus(verdict.value),
                settled=True,
                finished_at=self.run.now,
                outcomes=routed.settlement.settled[0].outcomes,
                error=error,
            )
            if verdict is Verdict.SKIPPED:
                self.run.skipped_blocks += 1
                self.journal.event(
                    "blocks_skipped",
                    data={"blocks": [node.id], "guard": node.guard.source if node.guard else ""},
                )
            else:
                self.run.failed_blocks += 1
                self.journal.event("block_failed", node.id, {"error": error})
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
        self.journal.settled(row.id, BlockStatus.FAILED, None, error)
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
        unknown = sorted(nodes - self._loaded)
        if unknown:
            for row in self.tx.run(ARRIVALS, (self.run.id, RUN_SCOPE, unknown)):
                self._arrivals.setdefault(
                    row.node, Arrivals(row.taken, row.dead, row.lost, frozenset(row.origins))
                )
            self._loaded.update(unknown)
        return {node: self._arrivals[node] for node in nodes if node in self._arrivals}

    def flush(self) -> None:
        """Write everything that was decided."""
        self.journal.flush(self.tx)
        self.run.save(self.tx)
