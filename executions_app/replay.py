"""A run rebuilt from its events alone, as it stood after any of them.

``rebuild`` is a pure function of facts: events, with the place, kind and generation of the rows each is about (these
never change; a row's status is what is rebuilt). A block is told by where it stands: (scope, round or item, block id).
Three statuses have no events, since nothing depends on when they change: what is PENDING, READY or QUEUED and has never
begun is not there, and what is to run once more is READY, whether it is queued or not. A row that is finished and not
settled yet stands as it did before: its event comes with its settlement. Everything else is exact.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from executions_app.models import BlockExecution, Execution, ExecutionEvent
from workflow_service.engine.rounds import NOT_BEGUN
from workflow_service.engine.states import (
    ENDED_EXECUTION_STATUSES,
    FINISHED_BLOCK_STATUSES,
    BlockStatus,
    ExecutionStatus,
)

_BLOCK = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_NOT_BEGUN = frozenset({BlockStatus.PENDING, BlockStatus.READY, BlockStatus.QUEUED})

# What a row is after an event about it.
_BLOCK_EVENTS: Mapping[str, BlockStatus] = {
    "block_started": BlockStatus.RUNNING,
    "block_waiting": BlockStatus.WAITING,
    "approval_requested": BlockStatus.WAITING,
    "map_expanded": BlockStatus.WAITING,
    "map_ended": BlockStatus.READY,
    "approval_responded": BlockStatus.READY,
    "block_retrying": BlockStatus.RETRYING,
    "block_woken": BlockStatus.READY,
    "block_completed": BlockStatus.COMPLETED,
    "block_failed": BlockStatus.FAILED,
    "block_rejected": BlockStatus.REJECTED,
    "block_skipped": BlockStatus.SKIPPED,
    "block_cancelled": BlockStatus.CANCELLED,
}
# What the rows are that an event lists.
_LISTS: Mapping[str, BlockStatus] = {
    "blocks_skipped": BlockStatus.SKIPPED,
    "gates_passed": BlockStatus.COMPLETED,
    "items_kept": BlockStatus.COMPLETED,
    "blocks_cancelled": BlockStatus.CANCELLED,
}
_RUN_EVENTS: Mapping[str, ExecutionStatus] = {
    "execution_started": ExecutionStatus.STARTING,
    "execution_waiting": ExecutionStatus.WAITING_FOR_APPROVAL,
    "execution_active": ExecutionStatus.RUNNING,
    "execution_paused": ExecutionStatus.PAUSED,
    "execution_resumed": ExecutionStatus.RUNNING,
    "execution_recovering": ExecutionStatus.RECOVERING,
    "execution_restarted": ExecutionStatus.RUNNING,
    "execution_completed": ExecutionStatus.COMPLETED,
    "execution_failed": ExecutionStatus.FAILED,
    "execution_cancelled": ExecutionStatus.CANCELLED,
}


class BlockKey(NamedTuple):
    """Where a block stands: ``number`` is the round of a loop or the item of a map, ``scope`` which; 0 is the run."""

    scope: int
    number: int
    block_id: str


@dataclass(frozen=True, slots=True)
class Fact:
    """One event. ``key`` and ``is_item`` say which row it is about, if it is about one.

    ``superseded`` are the rows that a restart put aside. ``generations`` says in which there were rows where those
    stand that the event is about: a restart may leave one that has not begun yet.
    """

    seq: int
    type: str
    data: Mapping[str, Any] = field(default_factory=dict)
    key: BlockKey | None = None
    is_item: bool = False
    superseded: frozenset[BlockKey] = frozenset()
    generations: Mapping[BlockKey, frozenset[int]] = field(default_factory=dict)


@dataclass(slots=True)
class RebuiltBlock:
    """One current row. ``generation`` is 1 + the restarts before it was made."""

    status: BlockStatus
    generation: int
    is_item: bool = False


@dataclass(slots=True)
class RebuiltRun:
    """A run after event ``seq``. ``rounds`` are the rounds that loops are in by scope, or were when they ended."""

    seq: int = 0
    status: ExecutionStatus = ExecutionStatus.STARTING
    generation: int = 1
    blocks: dict[BlockKey, RebuiltBlock] = field(default_factory=dict)
    rounds: dict[int, int] = field(default_factory=dict)
    _parents: dict[int, tuple[int, int]] = field(default_factory=dict)
    _undoes: bool = False
    _generations: Mapping[BlockKey, frozenset[int]] = field(default_factory=dict)

    @property
    def completed_blocks(self) -> int:
        return self._count(BlockStatus.COMPLETED)

    @property
    def failed_blocks(self) -> int:
        # A hidden gate counts where it fails, and only there.
        return self._count(BlockStatus.FAILED, BlockStatus.REJECTED, hidden=True)

    @property
    def skipped_blocks(self) -> int:
        return self._count(BlockStatus.SKIPPED)

    @property
    def waiting(self) -> list[BlockKey]:
        """The blocks that wait for a person, a time, a signal, another run or items."""
        return [key for key, block in self.blocks.items() if block.status is BlockStatus.WAITING]

    def is_current(self, key: BlockKey) -> bool:
        """Tell whether a block stands in the last round of every loop around it."""
        scope, index = key.scope, key.number
        while scope:
            if self.rounds.get(scope, NOT_BEGUN) != index:
                return False
            scope, index = self._parents.get(scope, (0, 0))
        return True

    def _count(self, *statuses: BlockStatus, hidden: bool = False) -> int:
        return sum(
            block.status in statuses
            and not block.is_item
            and (hidden or is_block(key.block_id))
            and self.is_current(key)
            for key, block in self.blocks.items()
        )

    # -- what events mean

    def apply(self, fact: Fact) -> None:
        """Take over one event."""
        self.seq = fact.seq
        self._generations = fact.generations
        data = fact.data
        if fact.type in _RUN_EVENTS:
            self._apply_to_run(fact)
        elif fact.type in _LISTS:
            for key in _listed(data):
                self._put(key, _LISTS[fact.type], is_item="items" in data)
        elif fact.type in ("loop_round_started", "loop_ended"):
            self.rounds[data["scope"]] = data.get("round", data.get("rounds", 0) - 1)
            self._parents[data["scope"]] = (data["parent"]["scope"], data["parent"]["index"])
        elif fact.type == "recovery_action" and "undoes" in data:
            self._undo(fact)
        elif fact.key is not None and fact.type == "block_lost":
            rerun = BlockStatus.READY if data["rerun"] else BlockStatus(data["status"])
            self._put(fact.key, rerun, is_item=fact.is_item)
        elif fact.key is not None and fact.type == "recovery_action":
            # Work that undoes begins with its action, too; every other step has an event of its own.
            if data["strategy"] in ("reassign", "fallback") or "undoes" in data:
                self._put(fact.key, BlockStatus.READY, is_item=fact.is_item)
        elif fact.key is not None and fact.type in _BLOCK_EVENTS:
            self._put(fact.key, _BLOCK_EVENTS[fact.type], is_item=fact.is_item)

    def _apply_to_run(self, fact: Fact) -> None:
        self.status = ExecutionStatus(fact.data.get("status", _RUN_EVENTS[fact.type]))
        self._undoes = self._undoes and self.status not in ENDED_EXECUTION_STATUSES
        if fact.type == "execution_resumed" and self._undoes:
            self.status = ExecutionStatus.RECOVERING
        if fact.type == "execution_cancelled":
            for block in self.blocks.values():
                if block.status not in FINISHED_BLOCK_STATUSES:
                    block.status = BlockStatus.CANCELLED
        elif fact.type == "execution_restarted":
            self.generation += 1
            self._undoes = False
            for key in fact.superseded:
                self.blocks.pop(key, None)
            self.rounds |= {int(scope): number for scope, number in fact.data.get("rounds", {}).items()}

    def _undo(self, fact: Fact) -> None:
        """A failing run begins to undo what it did, or goes on with it; it waits for nobody then."""
        self._undoes = True
        if self.status is not ExecutionStatus.PAUSED:
            self.status = ExecutionStatus.RECOVERING

    def _put(self, key: BlockKey, status: BlockStatus, *, is_item: bool) -> None:
        known = self.blocks.get(key)
        if known is None:
            made = (number for number in self._generations.get(key, ()) if number <= self.generation)
            self.blocks[key] = RebuiltBlock(status, max(made, default=self.generation), is_item)
        else:
            known.status = status
        # A run begins with its first block, and no longer waits for people when anything else is to be done.
        begins = self.status is ExecutionStatus.STARTING and status is BlockStatus.RUNNING
        waited = self.status is ExecutionStatus.WAITING_FOR_APPROVAL and status is not BlockStatus.WAITING
        if begins or waited:
            self.status = ExecutionStatus.RUNNING


def rebuild(facts: Iterable[Fact]) -> RebuiltRun:
    """Return a run as its events, from the first on and in order, say that it stands after the last of them."""
    run = RebuiltRun()
    for fact in facts:
        if fact.seq != run.seq + 1:
            raise ValueError(f"event {run.seq + 1} is missing before {fact.seq}")
        run.apply(fact)
    return run


def differences(rebuilt: RebuiltRun, execution: Execution, rows: Iterable[BlockExecution]) -> Iterator[str]:
    """Yield, in words, where a run as rebuilt and its rows do not agree; rows not settled yet are passed over."""
    for name in ("status", "generation", "completed_blocks", "failed_blocks", "skipped_blocks"):
        was, is_now = getattr(rebuilt, name), getattr(execution, name)
        if was != is_now:
            yield f"{name}: {was} by its events, {is_now} by its row"
    left = dict(rebuilt.blocks)
    for row in rows:
        if row.superseded:
            continue
        key = BlockKey(row.scope_id, row.item_index, row.block_id)
        block, status = left.pop(key, None), BlockStatus(row.status)
        if is_in_motion(row):
            continue
        begun = block is not None and block.status not in _NOT_BEGUN
        if (block.status if block and begun else None) != (None if status in _NOT_BEGUN else status):
            yield f"{key}: {block.status if block else 'not begun'} by its events, {status} by its row"
        elif block and begun and block.generation != row.generation:
            yield f"{key}: generation {block.generation} by its events, {row.generation} by its row"
    for key, block in left.items():
        yield f"{key}: {block.status} by its events, and there is no such row"


def is_in_motion(row: BlockExecution) -> bool:
    """Tell whether something has happened to a row whose event is still to be written."""
    return row.unrecorded_start or (row.status in FINISHED_BLOCK_STATUSES and not row.settled)


def is_block(block_id: str) -> bool:
    """Tell a block's id from the name of a hidden gate or decision."""
    return _BLOCK.fullmatch(block_id) is not None


def read_facts(execution: Execution, until: int | None = None) -> list[Fact]:
    """Return the run's events up to ``until`` (all of them where it is not given) as facts."""
    events = ExecutionEvent.objects.filter(execution_id=execution.pk).order_by("seq")
    if until is not None:
        events = events.filter(seq__lte=until)
    rows = BlockExecution.objects.filter(execution=execution)
    places: dict[int, tuple[BlockKey, bool]] = {}
    made: defaultdict[BlockKey, set[int]] = defaultdict(set)
    columns = ("pk", "scope_id", "item_index", "block_id", "kind", "generation")
    for pk, scope, index, block_id, kind, generation in rows.values_list(*columns):
        key = BlockKey(scope, index, block_id)
        places[pk] = (key, kind == BlockExecution.Kind.ITEM)
        made[key].add(generation)
    return [_fact(event, places, made) for event in events]


def _fact(
    event: ExecutionEvent, places: Mapping[int, tuple[BlockKey, bool]], made: Mapping[BlockKey, set[int]]
) -> Fact:
    key, is_item = places.get(event.block_execution_id or 0, (None, False))
    superseded = frozenset(places[pk][0] for pk in event.data.get("superseded", ()) if pk in places)
    about = _listed(event.data) if event.type in _LISTS else () if key is None else (key,)
    generations = {each: frozenset(made[each]) for each in about if each in made}
    return Fact(event.seq, event.type, event.data, key, is_item, superseded, generations)


def _listed(data: Mapping[str, Any]) -> Iterator[BlockKey]:
    for block_id in data["blocks"]:
        for index in data.get("items", [data.get("round", 0)]):
            yield BlockKey(data.get("scope", 0), index, block_id)
