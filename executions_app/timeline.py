"""A run as people read it: its blocks in the order they began, how long each took, what went in and came out.

Of a block in a loop it is the last round, and the items of a map are counted: there is one line for each block, however
often it ran. Inputs and outputs may be megabytes; the database cuts them before they are sent. The number of queries
does not depend on the number of blocks.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast, Left, Length
from pydantic import JsonValue

from executions_app.models import BlockExecution, Execution, ExecutionInput, Scope, WorkerLease
from templates_app.graph_layout import Pair
from templates_app.plans import CompiledVersion, compiled_version
from workflow_service.engine.definition import END, Block, JsonObject
from workflow_service.engine.graph import END_NODE, NodeKind
from workflow_service.engine.states import BlockStatus

PREVIEW_CHARACTERS = 6_000
MAX_LINES = 500
MAX_SPANS = 2_000


@dataclass(frozen=True, slots=True)
class Preview:
    """The beginning of a JSON value; ``characters`` is the length of all of it."""

    text: str
    characters: int

    @property
    def whole(self) -> bool:
        return self.characters <= PREVIEW_CHARACTERS

    @property
    def value(self) -> JsonValue:
        """The value itself; None where only its beginning is known."""
        loaded: JsonValue = json.loads(self.text) if self.whole else None
        return loaded

    def __str__(self) -> str:
        if self.whole:
            return json.dumps(json.loads(self.text), indent=2, ensure_ascii=False)
        return self.text + " …"


@dataclass(frozen=True, slots=True)
class ItemCounts:
    """How far the items of a map are."""

    total: int
    completed: int
    failed: int

    @property
    def done(self) -> int:
        return self.completed + self.failed


@dataclass(frozen=True, slots=True)
class ChildRun:
    """The sub-workflow that works for a block; ``key`` is its row's."""

    key: int
    public_id: str
    status: str


@dataclass(frozen=True, slots=True)
class Span:
    """One time that a block was at work, of the rounds before the last."""

    status: str
    started_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class BlockLine:
    """One block of a run. A block that nothing has reached yet has no row and no times.

    ``round`` counts from 1 and is None outside of loops.
    """

    block_id: str
    name: str
    tool: str
    status: BlockStatus
    row_id: int | None = None
    generation: int = 1
    agent_id: str = ""
    worker: str = ""
    tries: int = 0
    losses: int = 0
    queued_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    input: Preview | None = None
    output: Preview | None = None
    error: JsonObject | None = None
    progress: JsonObject | None = None
    round: int | None = None
    items: ItemCounts | None = None
    child: ChildRun | None = None

    def duration(self, now: datetime) -> timedelta | None:
        """Return how long it has been at work, or was."""
        return (self.finished_at or now) - self.started_at if self.started_at else None


@dataclass(frozen=True, slots=True)
class Timeline:
    """The blocks of a run; ``omitted`` counts those beyond the first 500."""

    lines: Sequence[BlockLine]
    omitted: int
    statuses: Mapping[str, str]
    outcomes: Mapping[Pair, str]


def timeline_of(execution: Execution) -> Timeline:
    """Return the blocks of a run in the order they began, those not begun at the end."""
    compiled = compiled_version(execution.version_id)
    blocks = {block.block_id: block for block in compiled.definition.blocks}
    rows = sorted(_last_rows(execution), key=_began)
    begun = [row for row in rows if row.kind == NodeKind.BLOCK]
    lines = block_lines(begun, blocks)
    seen = {line.block_id for line in lines}
    lines += [
        BlockLine(block.block_id, block.name or block.block_id, _tool(block), BlockStatus.PENDING)
        for block in blocks.values()
        if block.block_id not in seen
    ]
    statuses = {line.block_id: str(line.status) for line in lines}
    statuses |= {row.block_id: row.status for row in rows if row.kind == NodeKind.GATE}
    return Timeline(
        lines[:MAX_LINES], max(0, len(lines) - MAX_LINES), statuses, dict(_outcomes(rows, compiled))
    )


def earlier_spans(execution: Execution, timeline: Timeline) -> dict[str, list[Span]]:
    """Return when the blocks of loops were at work in the rounds before the last, by block id, the newest 2,000."""
    in_loops = {line.row_id for line in timeline.lines if line.round is not None and line.round > 1}
    if not in_loops:
        return {}
    rows = BlockExecution.objects.filter(
        execution=execution, kind=NodeKind.BLOCK, superseded=False, started_at__isnull=False
    ).exclude(scope_id=0)
    found: dict[str, list[Span]] = {}
    columns = ("pk", "block_id", "status", "started_at", "finished_at")
    for pk, block_id, status, started_at, finished_at in rows.order_by("-id").values_list(*columns)[
        :MAX_SPANS
    ]:
        if started_at is not None and pk not in in_loops:
            found.setdefault(block_id, []).append(Span(status, started_at, finished_at))
    return found


def block_lines(rows: Sequence[Any], blocks: Mapping[str, Block]) -> list[BlockLine]:
    """Return a line for each of these rows, which ``with_previews`` read."""
    workers = _workers({row.worker_id for row in rows if row.worker_id})
    keys = [row.pk for row in rows]
    items = _items(keys)
    children = _children(keys)
    return [
        _line(row, blocks.get(row.block_id), workers, items.get(row.pk), children.get(row.pk)) for row in rows
    ]


def given_input(execution: Execution) -> Preview:
    """Return what a run was started with."""
    text = Cast("input", TextField())
    start, characters = (
        ExecutionInput.objects.filter(execution=execution)
        .values_list(Left(text, PREVIEW_CHARACTERS), Length(text))
        .get()
    )
    return Preview(start, characters)


def with_previews(rows: "QuerySet[BlockExecution]") -> "QuerySet[BlockExecution]":
    """Have these rows read with the beginnings of their inputs and outputs, and how long those are."""
    given, made = Cast("input", TextField()), Cast("result__value", TextField())
    return rows.defer("input").annotate(
        input_start=Left(given, PREVIEW_CHARACTERS),
        input_length=Length(given),
        output_start=Left(made, PREVIEW_CHARACTERS),
        output_length=Length(made),
    )


def _last_rows(execution: Execution) -> "QuerySet[BlockExecution]":
    """Return a row for each node that anything was decided about: in a loop that of the last round."""
    kinds = (NodeKind.BLOCK, NodeKind.GATE, NodeKind.DECIDE)
    rows = BlockExecution.objects.filter(execution=execution, kind__in=kinds, superseded=False)
    newest = rows.exclude(status=BlockStatus.PENDING).order_by("node", "-id").distinct("node")
    return with_previews(newest)


def _began(row: BlockExecution) -> tuple[bool, Any, int]:
    return (row.started_at is None, row.started_at or row.pk, row.pk)


def _items(rows: Sequence[int]) -> dict[int, ItemCounts]:
    scopes = Scope.objects.filter(block_execution_id__in=rows, kind=Scope.Kind.MAP, superseded=False)
    return {
        scope.block_execution_id: ItemCounts(scope.total, scope.completed_items, scope.failed_items)
        for scope in scopes
        if scope.block_execution_id is not None
    }


def _children(rows: Sequence[int]) -> dict[int, ChildRun]:
    children = Execution.objects.filter(parent_block_execution_id__in=rows)
    return {
        parent: ChildRun(pk, public_id, status)
        for parent, pk, public_id, status in children.values_list(
            "parent_block_execution_id", "pk", "public_id", "status"
        )
        if parent is not None
    }


def _line(
    row: Any,
    block: Block | None,
    workers: Mapping[UUID, str],
    items: ItemCounts | None,
    child: ChildRun | None,
) -> BlockLine:
    return BlockLine(
        block_id=row.block_id,
        name=(block.name if block else None) or row.block_id,
        tool=_tool(block) if block else "",
        status=BlockStatus(row.status),
        row_id=row.pk,
        generation=row.generation,
        agent_id=row.agent_id,
        worker=workers.get(row.worker_id, str(row.worker_id)[:8]) if row.worker_id else "",
        tries=row.retries + row.losses + 1 if row.started_at else 0,
        losses=row.losses,
        queued_at=row.queued_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        input=_preview(row.input_start, row.input_length),
        output=_preview(row.output_start, row.output_length),
        error=row.error,
        progress=row.progress,
        round=row.item_index + 1 if row.scope_id and row.kind == NodeKind.BLOCK else None,
        items=items,
        child=child,
    )


def _tool(block: Block) -> str:
    return str(block.tool_type or ("person" if block.asks_people else ""))


def _preview(text: str | None, characters: int | None) -> Preview | None:
    return None if text is None else Preview(text, characters or 0)


def _workers(ids: set[UUID]) -> dict[UUID, str]:
    return {lease.pk: f"{lease.hostname} · {lease.pid}" for lease in WorkerLease.objects.filter(pk__in=ids)}


def _outcomes(rows: Iterable[BlockExecution], compiled: CompiledVersion) -> Iterator[tuple[Pair, str]]:
    """Yield how each resolved edge turned out, by the names that the picture has for its ends."""
    plan = compiled.plan

    def name(index: int) -> str:
        # A hidden decision is drawn as part of the block it decides for.
        node = plan.nodes[index]
        return node.id.removesuffix("?") if node.kind is NodeKind.DECIDE else node.id

    for row in rows:
        for key, outcome in (row.outcomes or {}).items():
            edge = plan.edges[int(key)]
            target = END if edge.target == END_NODE else name(edge.target)
            if name(edge.source) != target:
                yield (name(edge.source), target), outcome
