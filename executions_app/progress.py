"""Progress: which blocks of a locked run may start, and how the run stands.

Ready blocks become QUEUED while the run has free slots, oldest first; one of them may be claimed at once for the
worker that holds the lock. A run ends when none of its blocks is active.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from pydantic import JsonValue

from executions_app import log_lines, run_notices
from executions_app.agent_work import choose_agent_id
from executions_app.block_rules import hard_end_s
from executions_app.compensation import compensation_facts
from executions_app.journal import Join, Journal, Key, Queued, place_data, queue_of, started_data
from executions_app.loops import LoopRows
from executions_app.models import BlockExecution
from executions_app.recovery_journal import supersede_actions
from executions_app.run_state import RunState
from executions_app.transaction import EngineTransaction
from executions_app.values import RunValues
from templates_app.plans import CompiledVersion
from workflow_service.agents.assignment import wanted_by
from workflow_service.engine.decide import outcome
from workflow_service.engine.errors import ExpressionError
from workflow_service.engine.json_values import json_size
from workflow_service.engine.plan import Node
from workflow_service.engine.rounds import THE_RUN, Place
from workflow_service.engine.scope import References
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
# So many outputs of the largest size may go into one input.
OUTPUTS_IN_INPUT = 8

# A map that waits for its items is not active, and neither are the items that it has not released yet.
CANCELLABLE = """
    SELECT id, kind, block_id, scope_id, item_index, holds_slot, recoveries,
        status <> 'PENDING' AND waits_for <> 'items' AS active FROM executions_app_blockexecution
    WHERE execution_id = %s AND NOT superseded
        AND (status IN ('READY', 'QUEUED', 'RETRYING', 'WAITING') OR status = 'PENDING' AND kind = 'item')
    ORDER BY id FOR UPDATE
"""
CANCEL = """
    UPDATE executions_app_blockexecution SET status = 'CANCELLED', settled = true, holds_slot = false,
        fence = fence + 1, finished_at = %s, worker_id = NULL WHERE id = ANY(%s)
"""
PROMOTE = """
    UPDATE executions_app_blockexecution SET status = 'QUEUED', holds_slot = true, queued_at = %s, next_send_at = %s
    WHERE id IN (SELECT id FROM executions_app_blockexecution WHERE execution_id = %s AND status = 'READY'
                 ORDER BY id LIMIT %s)
    RETURNING id, node, kind, scope_id, block_id, queue
"""
# The oldest alone, lest it wait for ever; what is done in its place is found by a claim from the queue.
CLAIM_OLDEST = """
    UPDATE executions_app_blockexecution SET status = 'RUNNING', holds_slot = true, fence = fence + 1, worker_id = %s,
        queued_at = %s, started_at = %s, progress = NULL
    WHERE id = (SELECT id FROM executions_app_blockexecution WHERE execution_id = %s AND status = 'READY'
                ORDER BY id LIMIT 1) AND queue = %s AND stand_in = '' AND kind <> 'undo'
    RETURNING id, node, kind, scope_id, item_index, generation, item::text AS item, block_id, fence, retries,
        input::text AS input, agent_id, variant, recoveries
"""
WAITING_CHILDREN = """
    SELECT count(*) AS number FROM executions_app_blockexecution b
    JOIN executions_app_execution c ON c.parent_block_execution_id = b.id
    WHERE b.execution_id = %s AND b.status = 'WAITING' AND b.waits_for = 'child' AND NOT b.superseded
        AND c.status = 'WAITING_FOR_APPROVAL'
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """One block that a worker may run now, and the fence that its result must carry.

    ``input`` is its resolved configuration, of a map the list of its items. ``unfit_input`` says why that could not be
    resolved; the block then fails without any work. ``is_item``: one item of a map. ``agent_limit_id`` names the limit
    whose slot it holds; blocks on an agent with a limit never go on in place. ``undoes``: it undoes another.
    ``stand_in`` says what is done in place of its own work, and ``variant`` tells exchanged work and input apart.
    ``agent_id`` is who is to do it, empty for a tool of the worker's. ``alone``: no other block of its run was active
    when it began.
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
    place: Place = THE_RUN
    generation: int = 1
    is_item: bool = False
    agent_limit_id: int | None = None
    undoes: bool = False
    stand_in: str = ""
    variant: int = 0
    recoveries: int = 0
    agent_id: str = ""
    alone: bool = False


class Progress:
    """Starts blocks of one locked run and sets its status; what it decides goes into the run's journal."""

    def __init__(
        self,
        tx: EngineTransaction,
        run: RunState,
        compiled: CompiledVersion,
        values: RunValues,
        journal: Journal,
        loops: LoopRows,
    ) -> None:
        self.tx = tx
        self.run = run
        self.plan = compiled.plan
        self.settings = compiled.definition.global_settings
        self.workflow_id = compiled.template_id
        self.values = values
        self.journal = journal
        self.loops = loops
        self.beginning = False
        self._ready: list[tuple[Node, Place]] = []

    def make_ready(self, node: Node, place: Place) -> None:
        """Say that a node may start."""
        self.run.active += 1
        self.run.ready += 1
        self._ready.append((node, place))
        self.journal.node(node, place, BlockStatus.READY)

    def cancel_open_blocks(self) -> None:
        """Cancel what has not begun or waits: nothing new starts in a failing or cancelled run."""
        for node, place in self._ready:
            self.journal.node(node, place, BlockStatus.CANCELLED, settled=True, finished_at=self.run.now)
        rows = self.tx.run(CANCELLABLE, (self.run.id,)).fetchall()
        if rows:
            self.tx.run(CANCEL, (self.run.now, [row.id for row in rows]))
            supersede_actions(self.tx, self.run, rows)
        self._tell_cancelled(rows)
        self.run.active -= len(self._ready) + sum(row.active for row in rows)
        self.run.slots -= sum(row.holds_slot for row in rows)
        self.run.ready = 0
        self.run.waiting_for_people = 0
        self._ready.clear()

    def _tell_cancelled(self, rows: Iterable[Any]) -> None:
        blocks: dict[Place, list[str]] = defaultdict(list)
        items: dict[tuple[int, str], list[int]] = defaultdict(list)
        for node, place in self._ready:
            blocks[place].append(node.id)
        for row in rows:
            if row.kind == BlockExecution.Kind.ITEM:
                items[row.scope_id, row.block_id].append(row.item_index)
            else:
                blocks[Place(row.scope_id, row.item_index)].append(row.block_id)
        for place, names in blocks.items():
            self.journal.list_event("blocks_cancelled", names, place)
        for (scope, name), indexes in items.items():
            self.journal.list_event("blocks_cancelled", [name], Place(scope), items=indexes)

    def add_ready(self, count: int) -> None:
        """Say that rows became READY outside this settlement (woken, taken back): they may be queued again."""
        self.run.ready += count

    def promote(self, worker_id: UUID | None = None, queue: str | None = None) -> Claim | None:
        """Queue ready blocks while there are free slots, oldest first.

        With ``worker_id`` the oldest is claimed for that worker at once, if it is of its ``queue``. Returns that
        claim; if the block became ready just now its row id is known after ``flush``.
        """
        nothing_starts = self.run.failing and not self.run.compensating
        if self.run.status is ExecutionStatus.PAUSED or nothing_starts or not self.run.ready:
            return None
        limit = self.settings.max_parallel_blocks or get_config().workflow_max_parallel_blocks
        free = max(0, limit - self.run.slots)
        older = min(free, self.run.ready - len(self._ready))
        resend_at = self.run.now + timedelta(seconds=FIRST_RESEND_S)
        starting = self._ready[: free - older]
        self.values.prefetch([node.references for node, _ in starting])
        claimed: Claim | None = None
        if older and worker_id and queue and not self.run.limits_agents():
            claimed = self._claim_oldest(worker_id, queue)
        if older > (claimed is not None):
            older -= claimed is not None
            rows = self.tx.run(PROMOTE, (self.run.now, resend_at, self.run.id, older)).fetchall()
            for row in rows:
                self._take_slot()
                join = self._join_of_row(row)
                self.journal.send_row(Queued(row.id, row.block_id, row.queue, join))
        for node, place in starting:
            self._take_slot()
            if worker_id and not older and claimed is None and queue == queue_of(node, self.run):
                claimed = self._claim(node, place, worker_id)
                if claimed:
                    continue
            self.journal.node(
                node,
                place,
                BlockStatus.QUEUED,
                holds_slot=True,
                queued_at=self.run.now,
                next_send_at=resend_at,
                **self._prepared(node),
            )
            self.journal.send(node, place, self._join_of(node))
        return claimed

    def _join_of_row(self, row: Any) -> Join | None:
        # The items of a map meet in it. A window of them is a chord as well: its body settles what they have left.
        if row.kind == BlockExecution.Kind.ITEM:
            return "map", row.scope_id
        return self._join_of(self.plan.nodes[row.node])

    def _take_slot(self) -> None:
        self.run.slots += 1
        self.run.ready -= 1

    def _join_of(self, node: Node) -> Join | None:
        """Return the join that all edges of a node lead to, if there is one such."""
        targets = {self.plan.edges[edge].target for edge in node.normal_edges}
        if len(targets) != 1:
            return None
        (target,) = targets
        return ("node", target) if target >= 0 and len(self.plan.nodes[target].in_edges) > 1 else None

    def _claim(self, node: Node, place: Place, worker_id: UUID) -> Claim | None:
        if node.block and node.block.agent_id and self.run.agent_limit(node.block.agent_id) is not None:
            return None  # a slot is taken by a claim from the queue
        if node.block and wanted_by(node.block):
            return None  # and so is an agent chosen
        try:
            given = resolve_input(node, self.values)
        except ExpressionError:
            return None  # the claim from the queue fails the block, with the reason
        agent_id = agent_of(node)
        self.journal.node(
            node, place, BlockStatus.RUNNING, holds_slot=True, queued_at=self.run.now, started_at=self.run.now,
            fence=1, worker_id=worker_id, input=given, agent_id=agent_id,
            due_at=self.run.now + timedelta(seconds=hard_end_s(node.block)),
        )  # fmt: skip
        data = {"agentId": agent_id, **place_data(node.kind, place)}
        self.journal.event("block_started", node.id, data, node=node.index, place=place)
        run = self.run
        # The row's id and generation are known once it is written: `claim_written` puts them in.
        return Claim(
            run.id, run.public_id, run.workspace_id, run.version_id, 0, node.index, 1, 0, given, place=place,
            agent_id=agent_id,
        )  # fmt: skip

    def _prepared(self, node: Node) -> dict[str, Any]:
        """Return what makes a queued node prepared; nothing where its input cannot be resolved.

        The claim then fails it, with the reason.
        """
        if node.block and wanted_by(node.block):
            return {}  # the claim chooses an agent
        try:
            given = resolve_input(node, self.values)
        except ExpressionError:
            return {}
        return {"input": given, "agent_id": agent_of(node), "hard_end_s": hard_end_s(node.block)}

    def _claim_oldest(self, worker_id: UUID, queue: str) -> Claim | None:
        run = self.run
        row = self.tx.run(CLAIM_OLDEST, (worker_id, run.now, run.now, run.id, queue)).fetchone()
        if row is None:
            return None
        self._take_slot()
        node = self.plan.nodes[row.node]
        given, unfit = input_of(row, lambda: resolve_input(node, self.values, item_names(row)))
        works = node.for_each is None or row.kind != BlockExecution.Kind.BLOCK
        agent_id = row.agent_id or agent_of(node)
        if works and not agent_id:
            agent_id = choose_agent_id(node.block, run.workspace_id)
        self.journal.claim(row.id, row, given, agent_id, hard_end_s(node.block))
        self.journal.event("block_started", row.block_id, started_data(row, agent_id), row_id=row.id)
        return Claim(
            run.id, run.public_id, run.workspace_id, run.version_id, row.id, row.node, row.fence, row.retries, given,
            unfit, Place(row.scope_id, row.item_index), row.generation, row.kind == BlockExecution.Kind.ITEM,
            variant=row.variant, recoveries=row.recoveries, agent_id=agent_id,
        )  # fmt: skip

    def conclude(self) -> None:
        """Set the run's status from what is left to do, and end it if nothing is."""
        run = self.run
        if run.status in ENDED_EXECUTION_STATUSES or run.held_back:
            return
        if run.active == 0:
            self._end()
            return
        # A new run stays STARTING until a worker takes a block of it.
        if run.status is ExecutionStatus.PAUSED or self.beginning:
            return
        waits = run.waiting_for_people + self._children_that_wait() == run.active
        new = ExecutionStatus.WAITING_FOR_APPROVAL if waits else ExecutionStatus.RUNNING
        if run.compensating:
            new = ExecutionStatus.RECOVERING
        if new is not run.status:
            if new is ExecutionStatus.RECOVERING:
                self.journal.event("execution_recovering")
            elif waits:
                self.journal.event("execution_waiting")
            elif run.status is ExecutionStatus.WAITING_FOR_APPROVAL and not (run.slots or run.ready):
                # Nothing of its own goes on, so no event of a block says it.
                self.journal.event("execution_active")
            self.become(new)

    def _children_that_wait(self) -> int:
        """Count the sub-workflows that wait for people; asked only where nothing of the run's own is to be done."""
        run = self.run
        if run.slots or run.ready or run.waiting_for_people == run.active:
            return 0
        counted: int = self.tx.one(WAITING_CHILDREN, (run.id,)).number
        return counted

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
        if run.compensating:
            data["compensation"] = compensation_facts(self.tx, run.id)
            run.compensating = False
        if status is not ExecutionStatus.COMPLETED and error:
            data["error"] = {key: value for key, value in error.items() if key != "stackTrace"}
        self.journal.event(f"execution_{status.value.lower()}", data=data)
        run_notices.tell_of_end(
            self.tx, run_id=run.id, public_id=run.public_id, status=status, generation=run.generation
        )
        if status is ExecutionStatus.COMPLETED:
            log_lines.execution_completed(self.journal, run, self.workflow_id, duration_ms)
        else:
            log_lines.execution_failed(self.journal, run, self.workflow_id, duration_ms, error)

    def become(self, status: ExecutionStatus) -> None:
        """Change the run's status; raises ``IllegalTransition``."""
        require_transition(EXECUTION_TRANSITIONS, self.run.status, status)
        self.run.status = status


def claim_written(claim: Claim, written: Mapping[Key, Any], *, alone: bool) -> Claim:
    """Return a claim made by ``promote`` with the row id and generation that its row was written with."""
    if claim.block_execution_id:
        return replace(claim, alone=alone)
    row = written[claim.place, claim.node]
    return replace(claim, block_execution_id=row.id, generation=row.generation, alone=alone)


def agent_of(node: Node) -> str:
    """Return the agent that a node's own work is for; empty where it names none."""
    return node.block.agent_id or "" if node.block else ""


def input_of(row: Any, resolve: Callable[[], JsonValue]) -> tuple[JsonValue, str | None]:
    """Return a row's input, resolved once and kept for retries, or why it cannot be resolved."""
    if row.input is not None:
        return json.loads(row.input), None
    try:
        return resolve(), None
    except ExpressionError as error:
        return None, error.message


def item_names(row: Any) -> dict[str, JsonValue] | None:
    """Return the names that an item of a map adds to those of its run."""
    if row.kind != BlockExecution.Kind.ITEM:
        return None
    return {"item": json.loads(row.item), "index": row.item_index}


def resolve_input(node: Node, values: RunValues, item: Mapping[str, JsonValue] | None = None) -> JsonValue:
    """Return a node's configuration with every ``${...}`` replaced, secrets left as references.

    Of a map it is the list of its items; ``item`` are the names that one of them adds (``item``, ``index``). Raises
    ``ExpressionError`` where a name is missing or does not fit.
    """
    values.prefetch([node.references])
    if node.for_each is not None and item is None:
        given: JsonValue = _items(node.for_each.render(values.scope()))
    else:
        given = {} if node.template is None else node.template.render(values.scope(item))
    # Some references to large outputs can make an input that nothing can keep.
    most = OUTPUTS_IN_INPUT * get_config().max_output_bytes
    if node.references != References() and json_size(given) > most:
        raise ExpressionError(
            f"the input is larger than {most} characters ({OUTPUTS_IN_INPUT} times MAX_OUTPUT_BYTES)"
        )
    return given


def _items(value: JsonValue) -> list[JsonValue]:
    if not isinstance(value, list):
        shown = json.dumps(value, ensure_ascii=False)
        raise ExpressionError(
            f"forEach must give a list, and gives {shown:.60}; name a list of the context or of an output, such as "
            "'numbers' or 'blocks.find.output.files'"
        )
    most = get_config().workflow_max_map_items
    if len(value) > most:
        raise ExpressionError(
            f"forEach gives {len(value)} items; at most {most} are allowed (WORKFLOW_MAX_MAP_ITEMS)"
        )
    return value
