"""What must hold of every run at every moment between transactions, recomputed from its rows."""

from collections import Counter
from itertools import pairwise

from executions_app.models import BlockExecution, BlockOutput, ContextValue, Execution, ExecutionEvent, Scope
from executions_app.replay import differences, read_facts, rebuild
from workflow_service.engine.states import (
    ENDED_EXECUTION_STATUSES,
    FINISHED_BLOCK_STATUSES,
    BlockStatus,
    ExecutionStatus,
)

ENDS = {f"execution_{status.value.lower()}" for status in ENDED_EXECUTION_STATUSES}
# A block that completed began in one of these ways.
BEGUN = {
    "block_started",
    "approval_responded",
    "block_rerouted",
    "block_substituted",
    "map_expanded",
    "block_waiting",
}
AFTERWARDS = {"anomaly_detected"}
# Event types of which a block row may have one only.
ONCE = {"block_completed", "block_failed", "block_rejected"}
# What may be told of a block between its start and what became of it.
BESIDE = {"recovery_point_created"}


def assert_consistent(execution: Execution) -> Execution:
    """Check an execution's counters and numbers against its rows; return it as it stands.

    Call it while nobody works on the execution: it reads several tables, one after the other.
    """
    execution = Execution.objects.get(pk=execution.pk)
    rows = list(BlockExecution.objects.filter(execution=execution, superseded=False))
    scopes = {scope.pk: scope for scope in Scope.objects.filter(execution=execution, superseded=False)}
    finished = [row for row in rows if row.status in FINISHED_BLOCK_STATUSES]
    settled = [row for row in rows if row.settled]
    by_status = Counter(row.status for row in rows)
    current = [row for row in settled if row.kind not in ("item", "undo") and _is_current(row, scopes)]
    counted = {
        "active": sum(_is_active(row) for row in rows),
        "slots": sum(row.holds_slot for row in rows),
        "ready": by_status[BlockStatus.READY],
        "waiting_for_people": sum(
            row.status == BlockStatus.WAITING and row.waits_for == "person" for row in rows
        ),
        "completed_blocks": _settled_as(current, BlockStatus.COMPLETED),
        "failed_blocks": _settled_as(current, BlockStatus.FAILED, BlockStatus.REJECTED),
        "skipped_blocks": _settled_as(current, BlockStatus.SKIPPED),
    }
    assert {name: getattr(execution, name) for name in counted} == counted
    for row in rows:
        if row.status in (BlockStatus.QUEUED, BlockStatus.RUNNING):
            assert row.holds_slot, f"{row} is {row.status} without a slot"
        assert row in finished or not row.settled, f"{row} is {row.status} and settled"
        assert not (row.settled and row.unrecorded_start), f"the start of {row} was never recorded"
    for scope in scopes.values():
        _assert_scope(scope, execution, rows)
    _assert_history(execution, rows)
    if execution.status in ENDED_EXECUTION_STATUSES:
        assert execution.active == 0
        assert execution.completed_at is not None
    elif execution.held_back:
        assert not rows, "a run that is held back has no blocks yet"
    else:
        assert execution.active > 0, "nothing is left to do and the run has not ended"
        assert execution.completed_at is None
    return execution


def assert_rebuilt(execution: Execution) -> None:
    """Check that a run's events say of it, and of its blocks, what its rows say."""
    rows = BlockExecution.objects.filter(execution=execution)
    assert list(differences(rebuild(read_facts(execution)), execution, rows)) == []


def _is_active(row: BlockExecution) -> bool:
    return row.status != BlockStatus.PENDING and not row.settled and row.waits_for != "items"


def _is_current(row: BlockExecution, scopes: dict[int, Scope]) -> bool:
    """Tell whether a row stands in the last round of each loop around it."""
    scope, index = row.scope_id, row.item_index
    while scope:
        if scopes[scope].round != index:
            return False
        scope, index = scopes[scope].parent_scope_id, scopes[scope].parent_index
    return True


def _assert_scope(scope: Scope, execution: Execution, rows: list[BlockExecution]) -> None:
    if scope.kind == Scope.Kind.MAP:
        items = [row for row in rows if row.scope_id == scope.pk]
        assert [row.item_index for row in sorted(items, key=lambda row: row.pk)] == list(range(scope.total))
        if not execution.failing and execution.status not in ENDED_EXECUTION_STATUSES:
            assert scope.open == sum(_is_active(row) for row in items)
    elif execution.status == ExecutionStatus.COMPLETED:
        assert scope.ended, f"{scope} is open in a run that has completed"


def _settled_as(settled: list[BlockExecution], *statuses: BlockStatus) -> int:
    """Count blocks as the progress of a run does: gates count where they fail, and only there."""
    counts_gates = BlockStatus.FAILED in statuses
    return sum(row.status in statuses and (row.kind == "block" or counts_gates) for row in settled)


def _assert_history(execution: Execution, rows: list[BlockExecution]) -> None:
    events = list(ExecutionEvent.objects.filter(execution_id=execution.pk).order_by("seq"))
    assert [event.seq for event in events] == list(range(1, execution.event_seq + 1))
    context = ContextValue.objects.filter(execution_id=execution.pk).order_by("seq")
    assert list(context.values_list("seq", flat=True)) == list(range(1, execution.context_seq + 1))
    repeated = Counter((event.type, event.block_execution_id) for event in events if event.type in ONCE)
    assert not [what for what, times in repeated.items() if times > 1]
    _assert_starts(execution, events)
    restarted = max((event.seq for event in events if event.type == "execution_restarted"), default=0)
    ends = [event.seq for event in events if event.type in ENDS and event.seq > restarted]
    # What was found out about a run afterwards is no part of it.
    last = max((event.seq for event in events if event.type not in AFTERWARDS), default=0)
    expected = [last] if execution.status in ENDED_EXECUTION_STATUSES else []
    assert ends == expected, "a run ends once, or once after a restart, with its last event"
    order: dict[int, list[str]] = {row.pk: [] for row in rows}
    for event in events:
        if event.block_execution_id in order and event.type != "recovery_point_created":
            order[event.block_execution_id].append(event.type)
    outputs = set(BlockOutput.objects.filter(execution_id=execution.pk).values_list("pk", flat=True))
    for row in rows:
        if row.settled and row.status == BlockStatus.COMPLETED and row.kind == "block":
            assert row.pk in outputs, f"{row} completed and its output is gone"
            told = order[row.pk]
            assert told[-1] == "block_completed", f"{row}: {told}"
            assert BEGUN.intersection(told), f"{row}: {told}"


def _assert_starts(execution: Execution, events: list[ExecutionEvent]) -> None:
    """Check that each claim of a row was told once: the fence grows with every claim, and with what ends one."""
    told: dict[int, list[str]] = {}
    for event in events:
        if event.block_execution_id and event.type not in BESIDE:
            told.setdefault(event.block_execution_id, []).append(event.type)
    for row in BlockExecution.objects.filter(execution=execution):
        types = told.get(row.pk, [])
        starts = types.count("block_started")
        assert starts <= row.fence, f"{row} was claimed at most {row.fence} times: {types}"
        twice = ("block_started", "block_started") in pairwise(types)
        assert not twice, f"a claim of {row} was told twice: {types}"
        # What a restart takes over waits, or has its result, without a claim of its own.
        known = row.generation == 1 and not row.superseded and not row.unrecorded_start
        if known and row.fence == 1 and row.started_at:
            assert starts == 1, f"{row} was claimed once: {types}"
        if row.status == BlockStatus.RUNNING and not row.unrecorded_start:
            assert starts, f"{row} is at work and its start was never told"
