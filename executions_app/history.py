"""The history of a run in document B's words (section 7.1): the transitions it made, and its events as an audit log.

A transition is a taken edge between two states; hidden gates and decisions are what it was taken by, not states. Where
the first was done by way of recovery its type is RECOVERY. A run that completed has come to its end, whether or not its
workflow draws edges there.
The number of queries does not depend on the size of the run.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from executions_app.models import BlockExecution, BlockOutput, Execution, ExecutionEvent, Scope
from templates_app.plans import compiled_version
from workflow_service.engine.definition import END, START, JsonObject
from workflow_service.engine.plan import END_NODE, Edge, EdgeKind, Node, NodeKind, Plan
from workflow_service.engine.states import BlockStatus, EdgeOutcome, ExecutionStatus

ELSE = "else"
NOT_ENTERED = frozenset({BlockStatus.PENDING, BlockStatus.SKIPPED, BlockStatus.CANCELLED})
# Document B section 6.5 has names of its own for these.
_EVENT_TYPES: Mapping[str, str] = {
    "block_started": "state_entered",
    "block_completed": "callback_executed",
    "block_failed": "error_occurred",
}
_CAPITAL = re.compile(r"[A-Z]")
_ERRORS = frozenset({"block_failed", "execution_failed"})
_WARNINGS = frozenset({"block_retrying", "block_lost", "block_rejected", "approval_requested"})


class TransitionType(StrEnum):
    """How a run goes from one state to another: document B section 6.3."""

    NORMAL = "normal"
    CONDITIONAL = "conditional"
    ERROR = "error"
    RECOVERY = "recovery"
    PARALLEL = "parallel"


# What a question is answered by where a language model chose the way, now or in a kept answer.
BY_MODEL = frozenset({"model", "cache"})


@dataclass(frozen=True, slots=True)
class Transition:
    """One taken edge. ``duration_ms`` is the time spent in ``from_state``; ``decision`` is how a question was answered,
    where that chose the way."""

    from_state: str
    to_state: str
    type: TransitionType
    at: datetime
    duration_ms: int | None
    condition: str | None = None
    decision: JsonObject | None = None


def transitions_of(execution: Execution) -> list[Transition]:
    """Return the transitions that a run has made, in order."""
    return _transitions(execution, compiled_version(execution.version_id).plan, None)


def transitions_into(execution: Execution, states: Collection[str]) -> list[Transition]:
    """Return the transitions that a run has made into some states, in order; of the others no row is read.

    For the end of a run all are.
    """
    plan = compiled_version(execution.version_id).plan
    nodes = None if END in states else _leading_to(plan, {plan.node_by_id[state] for state in states})
    return [one for one in _transitions(execution, plan, nodes) if one.to_state in states]


def _transitions(execution: Execution, plan: Plan, nodes: Collection[int] | None) -> list[Transition]:
    """Return the transitions between rows of some nodes, or of all."""
    of_nodes = {} if nodes is None else {"node__in": nodes}
    rows = list(
        BlockExecution.objects.filter(execution=execution, **of_nodes)
        .exclude(kind=BlockExecution.Kind.ITEM)
        .only(
            "node", "kind", "block_id", "scope_id", "item_index", "generation", "status", "settled",
            "outcomes", "superseded", "recoveries", "created_at", "started_at", "finished_at",
        )
        .order_by("id")
    )  # fmt: skip
    deciding = [row.pk for row in rows if row.kind == NodeKind.DECIDE]
    decided = BlockOutput.objects.filter(pk__in=deciding) if deciding else ()
    scopes = Scope.objects.filter(execution=execution, kind=Scope.Kind.LOOP) if plan.loops else ()
    history = _History(
        plan, rows, {output.pk: output.value for output in decided}, {scope.pk: scope for scope in scopes}
    )
    found = [*history.starts(execution), *history.transitions()]
    if execution.status == ExecutionStatus.COMPLETED and not plan.has_end_edges:
        found += history.ends()
    return sorted(found, key=lambda transition: transition.at)


def _leading_to(plan: Plan, targets: Collection[int]) -> set[int]:
    """Return some nodes, the states that lead to them, and what is hidden between."""
    found = set(targets)
    further = found
    while further:
        sources = {edge.source for edge in plan.edges if edge.target in further} - found
        found |= sources
        further = {node for node in sources if plan.nodes[node].kind is not NodeKind.BLOCK}
    return found


@dataclass(slots=True)
class _History:
    """The rows of one run, looked up by node."""

    plan: Plan
    rows: Sequence[BlockExecution]
    decisions: Mapping[int, Any]
    loops: Mapping[int, Scope]
    _by_node: dict[int, list[BlockExecution]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        for row in self.rows:
            self._by_node[row.node].append(row)

    def starts(self, execution: Execution) -> Iterator[Transition]:
        """Yield the ways into the run."""
        roots = {*self.plan.roots, *(node.index for node in self.plan.nodes if node.starts)}
        # Of a loop the first round was entered from the start.
        firsts = [self._by_node[node][0] for node in sorted(roots) if self._by_node[node]]
        begun = [row for row in firsts if row.kind == NodeKind.BLOCK and row.status not in NOT_ENTERED]
        kind = TransitionType.PARALLEL if len(begun) > 1 else TransitionType.NORMAL
        for row in begun:
            waited = _milliseconds(execution.started_at, row.started_at)
            yield Transition(START, row.block_id, kind, execution.started_at, waited)

    def transitions(self) -> Iterator[Transition]:
        """Yield the ways between states, and out of the run."""
        for row in self.rows:
            if row.kind != NodeKind.BLOCK or not row.settled:
                continue
            edges = list(self._taken(row))
            for edge in edges:
                if edge.target != END_NODE and self.plan.nodes[edge.target].kind is not NodeKind.BLOCK:
                    yield from self._through(row, self.plan.nodes[edge.target])
                else:
                    split = sum(other.kind is EdgeKind.NORMAL for other in edges) > 1
                    yield self._transition(row, row, edge, joined=False, split=split)

    def ends(self) -> Iterator[Transition]:
        """Yield the ways to the end of a completed run whose workflow draws none: from where nothing led on."""
        done = [
            row
            for row in self.rows
            if row.kind == NodeKind.BLOCK
            and not row.superseded
            and row.status not in NOT_ENTERED
            and EdgeOutcome.TAKEN not in (row.outcomes or {}).values()
        ]
        # In a loop each round may have blocks that lead nowhere; the run ends there only if it ends nowhere else.
        outside = [row for row in done if not row.scope_id]
        for row in outside or done[-1:]:
            at = row.finished_at or row.created_at
            spent = _milliseconds(row.started_at, row.finished_at)
            yield Transition(row.block_id, END, _type_behind(row, TransitionType.NORMAL), at, spent)

    def _through(self, row: BlockExecution, hidden: Node) -> Iterator[Transition]:
        """Yield the ways that a hidden node behind a state took."""
        passed = self._passed(row, hidden.index)
        if passed is None or not passed.settled:
            return
        for edge in self._taken(passed):
            if edge.target != END_NODE and self.plan.nodes[edge.target].kind is not NodeKind.BLOCK:
                for further in self._through(passed, self.plan.nodes[edge.target]):
                    yield Transition(
                        row.block_id, further.to_state, _type_behind(row, further.type), further.at,
                        _milliseconds(row.started_at, row.finished_at), further.condition, further.decision,
                    )  # fmt: skip
            else:
                yield self._transition(row, passed, edge, joined=hidden.kind is NodeKind.GATE, split=False)

    def _passed(self, row: BlockExecution, node: int) -> BlockExecution | None:
        """Return the row of a hidden node that an edge of ``row`` led to: in its place, or where it came out."""
        rows = [other for other in self._by_node[node] if other.generation >= row.generation]
        place = (row.scope_id, row.item_index)
        own = [other for other in rows if (other.scope_id, other.item_index) == place]
        return next(iter(own or rows), None)

    def _taken(self, row: BlockExecution) -> Iterator[Edge]:
        for key, outcome in (row.outcomes or {}).items():
            edge = self.plan.edges[int(key)]
            if outcome == EdgeOutcome.TAKEN and self._was_followed(row, edge):
                yield edge

    def _was_followed(self, row: BlockExecution, edge: Edge) -> bool:
        """Tell whether a taken edge led on: out of a loop only from its last round, and back unless that ended it."""
        scope, index = row.scope_id, row.item_index
        for _ in edge.leaves:
            if self.loops[scope].round != index:
                return False
            scope, index = self.loops[scope].parent_scope_id, self.loops[scope].parent_index
        return not edge.back or self.loops[scope].round > index

    def _transition(
        self, row: BlockExecution, router: BlockExecution, edge: Edge, *, joined: bool, split: bool
    ) -> Transition:
        condition = _condition_of(self.plan.nodes[router.node], edge.index)
        if edge.kind is EdgeKind.ERROR:
            kind = TransitionType.ERROR
        elif condition is not None:
            kind = TransitionType.CONDITIONAL
        else:
            kind = TransitionType.PARALLEL if joined or split else TransitionType.NORMAL
        target = END if edge.target == END_NODE else self.plan.nodes[edge.target].id
        decision = self.decisions.get(router.pk)
        return Transition(
            from_state=row.block_id,
            to_state=target,
            type=_type_behind(row, kind),
            at=router.finished_at or router.created_at,
            duration_ms=_milliseconds(row.started_at, row.finished_at),
            condition=condition,
            decision=decision if isinstance(decision, dict) else None,
        )


def _type_behind(row: BlockExecution, kind: TransitionType) -> TransitionType:
    """Return RECOVERY for a way out of a state that got there by recovery: by a retry, another agent, a stand-in.

    Where that failed too, the way is not its doing but the error's. What held is told whatever the type.
    """
    recovered = row.recoveries > 0 and row.status == BlockStatus.COMPLETED
    return TransitionType.RECOVERY if recovered else kind


def transition_document(number: int, transition: Transition) -> dict[str, Any]:
    """Return a transition in document B's shape; ``number`` counts the run's transitions from 1."""
    decision = transition.decision
    by_model = decision is not None and decision.get("source", "model") in BY_MODEL
    return {
        "id": number,
        "from_state": transition.from_state,
        "to_state": transition.to_state,
        "transition_type": transition.type,
        "condition_evaluated": transition.condition,
        # What is not taken is no transition: its condition held, or none of the others did.
        "condition_result": None if transition.condition is None else True,
        "ai_decision_used": by_model,
        "ai_decision_reasoning": decision.get("reasoning") if decision else None,
        "ai_confidence_score": decision.get("confidence") if decision else None,
        "timestamp": transition.at,
        "duration_ms": transition.duration_ms,
    }


def audit_entries(events: Iterable[ExecutionEvent]) -> Iterator[dict[str, Any]]:
    """Yield events as document B's audit log (section 6.5)."""
    traces = _stack_traces(events := list(events))
    for event in events:
        error = event.data.get("error") or {}
        what = event.type.replace("_", " ").capitalize()
        level = "error" if event.type in _ERRORS else "warning" if event.type in _WARNINGS else "info"
        yield {
            "id": event.seq,
            "timestamp": event.created_at,
            "level": level,
            "state": event.block_id or None,
            "event_type": _EVENT_TYPES.get(event.type, event.type),
            "message": " ".join(filter(None, (what, event.block_id)))
            + (f": {error['message']}" if "message" in error else ""),
            "metadata": _in_snake_case(event.data),
            "stack_trace": traces.get(event.block_execution_id) if event.type in _ERRORS else None,
        }


def _in_snake_case(data: JsonObject) -> JsonObject:
    """Return an event's data under document B's spelling; what people and agents named below that stays as it is."""
    named: JsonObject = {_spelled(key): value for key, value in data.items()}
    error = named.get("error")
    if isinstance(error, dict):
        named["error"] = {_spelled(key): value for key, value in error.items()}
    return named


def _spelled(key: str) -> str:
    return _CAPITAL.sub(lambda found: f"_{found[0].lower()}", key)


def _stack_traces(events: Sequence[ExecutionEvent]) -> dict[int | None, str]:
    failed = [event.block_execution_id for event in events if event.type == "block_failed"]
    rows = BlockExecution.objects.filter(pk__in=[pk for pk in failed if pk]) if failed else ()
    return {row.pk: row.error["stackTrace"] for row in rows if row.error and row.error.get("stackTrace")}


def _condition_of(node: Node, edge: int) -> str | None:
    """Return what was read where a node chose this edge; "else" for the default beside conditions."""
    routing = node.routing
    if edge in routing.always:
        return None
    read = [
        branch.expression.source if branch.expression and not branch.question else f'"{branch.question}"'
        for branch in routing.branches
        if edge in branch.edges
    ]
    if routing.branches and routing.default and edge in routing.default:
        read.append(ELSE)
    return " or ".join(read) or None


def _milliseconds(start: datetime | None, end: datetime | None) -> int | None:
    return round((end - start).total_seconds() * 1_000) if start and end else None
