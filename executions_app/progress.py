"""Progress: which blocks of a locked run may start, and how the run stands.

Ready blocks become QUEUED while the run has free slots, oldest first; one of them may be claimed at once for the
worker that holds the lock. A run ends when none of its blocks is active.
"""

import json
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from pydantic import JsonValue

from executions_app.journal import Journal, Queued
from executions_app.run_state import RunState
from executions_app.transaction import EngineTransaction
from executions_app.values import RunValues
from templates_app.plans import CompiledVersion
from workflow_service.engine.decide import outcome
from workflow_service.engine.errors import ExpressionError
from workflow_service.engine.plan import Node
from workflow_service.engine.states import (
    ENDED_EXECUTION_STATUSES,
    EXECUTION_TRANSITIONS,
    BlockStatus,
    ErrorType,
    ExecutionStatus,
    require_transition,
)
from workflow_service.settings.config import get_config

FIRST_RESEND_S = 5

CANCELLABLE = """
    SELECT id, status, holds_slot FROM executions_app_blockexecution
    WHERE execution_id = %s AND status IN ('READY', 'QUEUED', 'RETRYING', 'WAITING') ORDER BY id FOR UPDATE
"""
CANCEL = """
    UPDATE executions_app_blockexecution SET status = 'CANCELLED', settled = true, holds_slot = false,
        fence = fence + 1, finished_at = %s, worker_id = NULL WHERE id = ANY(%s)
"""
PROMOTE = """
    UPDATE executions_app_blockexecution SET status = 'QUEUED', holds_slot = true, queued_at = %s, next_send_at = %s
    WHERE id IN (SELECT id FROM executions_app_blockexecution WHERE execution_id = %s AND status = 'READY'
                 ORDER BY id LIMIT %s)
    RETURNING id, node, block_id, queue
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """One block that a worker may run now, and the fence that its result must carry.

    ``unfit_input`` says why its configuration could not be resolved; the block then fails without any work.
    """

    execution_id: int
    execution_public_id: str
    workspace_id: int
    version_id: int
    block_execution_id: int
    node: int
    fence: int
    retries: int
    input: JsonValue
    unfit_input: str | None = None


class Progress:
    """Starts blocks of one locked run and sets its status; what it decides goes into the run's journal."""

    def __init__(
        self,
        tx: EngineTransaction,
        run: RunState,
        compiled: CompiledVersion,
        values: RunValues,
        journal: Journal,
    ) -> None:
        self.tx = tx
        self.run = run
        self.plan = compiled.plan
        self.settings = compiled.definition.global_settings
        self.values = values
        self.journal = journal
        self.beginning = False
        self._ready: list[int] = []

    def make_ready(self, node: Node) -> None:
        """Say that a node may start."""
        self.run.active += 1
        self.run.ready += 1
        self._ready.append(node.index)
        self.journal.node(node, BlockStatus.READY)

    def cancel_open_blocks(self) -> None:
        """Cancel what has not begun or waits: nothing new starts in a failing or cancelled run."""
        for index in self._ready:
            self.journal.node(
                self.plan.nodes[index], BlockStatus.CANCELLED, settled=True, finished_at=self.run.now
            )
        rows = self.tx.run(CANCELLABLE, (self.run.id,)).fetchall()
        if rows:
            self.tx.run(CANCEL, (self.run.now, [row.id for row in rows]))
        self.run.active -= len(self._ready) + len(rows)
        self.run.slots -= sum(row.holds_slot for row in rows)
        self.run.ready = 0
        self.run.waiting_for_people = 0
        self._ready.clear()

    def add_ready(self, count: int) -> None:
        """Say that rows became READY outside this settlement (woken, taken back): they may be queued again."""
        self.run.ready += count

    def promote(self, worker_id: UUID | None = None, queue: str | None = None) -> Claim | None:
        """Queue ready blocks while there are free slots, oldest first.

        With ``worker_id`` one of them is claimed for that worker at once, if it is of its ``queue`` and no older
        block waits. Returns that claim; its row id is known after ``flush``.
        """
        if self.run.status is ExecutionStatus.PAUSED or self.run.failing or not self.run.ready:
            return None
        limit = self.settings.max_parallel_blocks or get_config().workflow_max_parallel_blocks
        free = max(0, limit - self.run.slots)
        older = min(free, self.run.ready - len(self._ready))
        resend_at = self.run.now + timedelta(seconds=FIRST_RESEND_S)
        if older:
            for row in self.tx.run(PROMOTE, (self.run.now, resend_at, self.run.id, older)).fetchall():
                self._take_slot()
                self.journal.queued.append(Queued(row.id, row.block_id, row.queue, self._join_of(row.node)))
        starting = self._ready[: free - older]
        claimed: Claim | None = None
        for index in starting:
            self._take_slot()
            node = self.plan.nodes[index]
            if worker_id and not older and claimed is None and queue == self.run.queue:
                claimed = self._claim(node, worker_id)
                if claimed:
                    continue
            self.journal.node(
                node, BlockStatus.QUEUED, holds_slot=True, queued_at=self.run.now, next_send_at=resend_at
            )
            self.journal.to_send[index] = self._join_of(index)
        return claimed

    def _take_slot(self) -> None:
        self.run.slots += 1
        self.run.ready -= 1

    def _join_of(self, index: int) -> int | None:
        """Return the join that all edges of a node lead to, if there is one such."""
        targets = {self.plan.edges[edge].target for edge in self.plan.nodes[index].normal_edges}
        if len(targets) != 1:
            return None
        (target,) = targets
        return target if target >= 0 and len(self.plan.nodes[target].in_edges) > 1 else None

    def _claim(self, node: Node, worker_id: UUID) -> Claim | None:
        try:
            given = resolve_input(node, self.values)
        except ExpressionError:
            return None  # the claim from the queue fails the block, with the reason
        agent_id = node.block.agent_id or "" if node.block else ""
        self.journal.node(
            node, BlockStatus.RUNNING, holds_slot=True, queued_at=self.run.now, started_at=self.run.now, fence=1,
            worker_id=worker_id, input=given, agent_id=agent_id,
        )  # fmt: skip
        self.journal.event("block_started", node.id, {"agentId": agent_id}, node=node.index)
        run = self.run
        # The row's id is known once it is written: `claim_written` puts it in.
        return Claim(run.id, run.public_id, run.workspace_id, run.version_id, 0, node.index, 1, 0, given)

    def claim_written(self, claim: Claim) -> Claim:
        """Return a claim made by ``promote`` with the row id that ``flush`` gave it."""
        return replace(claim, block_execution_id=self.journal.row_ids[claim.node])

    def conclude(self) -> None:
        """Set the run's status from what is left to do, and end it if nothing is."""
        run = self.run
        if run.status in ENDED_EXECUTION_STATUSES:
            return
        if run.active == 0:
            self._end()
            return
        # A new run stays STARTING until a worker takes a block of it.
        if run.status is ExecutionStatus.PAUSED or self.beginning:
            return
        waits = run.waiting_for_people == run.active
        new = ExecutionStatus.WAITING_FOR_APPROVAL if waits else ExecutionStatus.RUNNING
        if new is not run.status:
            if waits:
                self.journal.event("execution_waiting")
            self.become(new)

    def _end(self) -> None:
        run = self.run
        status, error_type = outcome(
            self.plan, unhandled_failures=run.unhandled_failures > 0, reached_end=run.reached_end
        )
        if error_type is ErrorType.NO_PATH_TO_END and run.error is None:
            run.error = json.dumps(
                {"type": error_type, "message": "every path ended before 'end' was reached"}
            )
        self.become(status)
        run.completed_at = run.now
        duration_ms = round((run.now - run.started_at).total_seconds() * 1_000)
        error = json.loads(run.error) if run.error else None
        data: dict[str, JsonValue] = {"durationMs": duration_ms}
        if status is not ExecutionStatus.COMPLETED and error:
            data["error"] = {key: value for key, value in error.items() if key != "stackTrace"}
        self.journal.event(f"execution_{status.value.lower()}", data=data)
        if status is ExecutionStatus.COMPLETED:
            self.journal.log("INFO", f"Workflow {run.public_id} completed successfully in {duration_ms}ms")
        else:
            self.journal.log(
                "ERROR", f"Workflow {run.public_id} failed: {(error or {}).get('message', status.value)}"
            )

    def become(self, status: ExecutionStatus) -> None:
        """Change the run's status; raises ``IllegalTransition``."""
        require_transition(EXECUTION_TRANSITIONS, self.run.status, status)
        self.run.status = status


def resolve_input(node: Node, values: RunValues) -> JsonValue:
    """Return a node's configuration with every ``${...}`` replaced, secrets left as references.

    Raises ``ExpressionError`` where a name is missing or does not fit.
    """
    values.prefetch([node.references])
    return {} if node.template is None else node.template.render(values.scope())
