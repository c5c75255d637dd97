"""Restarts: a run goes on from what failed, from any block it reached, or from a recovery point.

One transaction under the locks of the run and its sub-workflows: what is taken back becomes history, the counters are
rebuilt from what stays, and what may run again appears in a new generation. Whatever is not affected stays as it is,
blocks at work included.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction
from pydantic import JsonValue

from executions_app.admission import begin_or_hold_back
from executions_app.errors import ExecutionUnderWay, NothingToRestart, RestartFromParent
from executions_app.finishing import Aftermath, conclude_locked
from executions_app.four_eyes import require_other_eyes
from executions_app.models import Execution
from executions_app.reopening import (
    FAILED,
    RunRows,
    active_by_place,
    cut_rows,
    insert_done,
    insert_waiting,
    read_rows,
    recount,
    settled_rows,
    supersede,
    undone_targets,
)
from executions_app.restart_targets import agents_of, blocks_of, find_targets, first_block
from executions_app.resumed_maps import resume_map
from executions_app.run_state import RunState
from executions_app.selectors import context_of
from executions_app.services.control import LOCK_OPEN, Asked, cancel_locked, follow_up_all
from executions_app.services.restart_refusals import require_in_reach
from executions_app.settlement import Settler
from executions_app.transaction import EngineTransaction, command_transaction
from executions_app.trees import lock_tree, settle_finished, settler_of
from workflow_service.engine.definition import JsonObject
from workflow_service.engine.restart import Cut, cut, loops_after
from workflow_service.engine.rounds import Place
from workflow_service.engine.states import ENDED_EXECUTION_STATUSES, ExecutionStatus

NEXT_GENERATION = "UPDATE executions_app_execution SET generation = generation + 1 WHERE id = %s"
FAILED_CHILD = """
    SELECT id, public_id FROM executions_app_execution
    WHERE parent_block_execution_id = %s AND status IN ('FAILED', 'CANCELLED')
"""
ADOPT_CHILD = "UPDATE executions_app_execution SET parent_block_execution_id = %s WHERE id = %s"
PARENT_BLOCKS = (
    "SELECT id, parent_id, parent_block_execution_id FROM executions_app_execution WHERE id = ANY(%s)"
)
SET_AGENT = """
    UPDATE executions_app_blockexecution SET agent_id = %s
    WHERE execution_id = %s AND block_id = %s AND generation = %s AND NOT superseded
"""


@dataclass(frozen=True, slots=True)
class Restart:
    """What a restart is to do (document A section 5.2).

    ``from_block`` names a block, ``after_seq`` the event of a recovery point; with neither it goes on from what failed.
    ``skip_failed`` has failed blocks count as completed with their ``defaultOutput``, ``skip`` single ones, with these
    outputs where they are given. ``reset_state`` drops the outputs of what is taken back, ``preserve_context`` keeps
    what it put into the context. ``force`` restarts a run under way. ``agents`` gives blocks to other agents, by block
    id; ``reassign`` gives those that failed to the next agent that may take over.
    """

    from_block: str | None = None
    after_seq: int | None = None
    skip_failed: bool = False
    reset_state: bool = False
    preserve_context: bool = True
    force: bool = False
    skip: Mapping[str, JsonObject | None] = field(default_factory=dict)
    reassign: bool = False
    agents: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Restarted:
    """A run that goes on again. ``affected`` are the blocks that were taken back, in the plan's order."""

    execution_id: str
    status: ExecutionStatus
    at: datetime
    from_block: str | None
    affected: tuple[str, ...]
    context: Mapping[str, JsonValue]
    generation: int


Aftermaths = list[tuple[int, Aftermath]]
# Called with the answer before the commit.
Confirm = Callable[[Restarted], object]


def unconfirmed(restarted: Restarted) -> None:
    """Confirm nothing."""


def restart_execution(
    execution_id: int, asked: Asked, restart: Restart, *, confirm: Confirm = unconfirmed
) -> Restarted:
    """Take back what a restart affects, and let the run go on.

    Raises ``ExecutionUnderWay``, ``UnknownBlock``, ``BlockNotReached``, ``NothingToRestart``, ``RestartFromParent``;
    ``BlockStateForbids`` where what is to be skipped or reassigned lies behind work that was undone; ``FourEyes`` where
    the starter would skip what wants them.
    """
    with command_transaction() as tx:
        runs = lock_tree(tx, execution_id)
        restarted, aftermaths = restart_locked(tx, runs, asked, restart)
        told = {"fromBlock": restarted.from_block, "generation": restarted.generation, "force": restart.force}
        tx.run(*asked.recorded("execution.restart", runs[0], **told))
        confirm(restarted)
    follow_up_all(aftermaths)
    return restarted


def restart_locked(
    tx: EngineTransaction,
    runs: Sequence[RunState],
    asked: Asked,
    restart: Restart,
    *,
    under_parent: bool = False,
) -> tuple[Restarted, Aftermaths]:
    """Restart a run that is locked with all that is under it; returns what is left to do after the commit, by run.

    ``under_parent``: its parent is being restarted, for which it works again.
    """
    run = runs[0]
    if not under_parent:
        _require_restartable(run, restart)
    tx.run(LOCK_OPEN, (run.id,))
    settle_finished(tx, run)
    settler = settler_of(tx, run)
    found = read_rows(tx, run, settler.plan)
    if not found.rows and restart.from_block is None:
        return _begun(settler, asked, restart, under_parent)
    targets = find_targets(
        settler,
        found,
        from_block=restart.from_block,
        after_seq=restart.after_seq,
        skips_failed=restart.skip_failed,
    )
    taken = cut_rows(found, targets)
    # Whatever undid work goes with it: nothing is undone in the new generation.
    gone = {row.id for row in (*found.taken_by(taken), *found.undos)}
    aftermaths = _cancel_children(settler, runs[1:], gone, asked)
    affected = blocks_of(settler.plan, taken.affected())
    _tell(settler, asked, restart, targets, affected, taken, gone, under_parent)
    _reopen(settler, found, targets, taken, restart, asked, aftermaths)
    aftermath = conclude_locked(settler)
    for block_id, agent_id in agents_of(
        settler.plan, targets, restart.agents, workspace_id=run.workspace_id, reassign=restart.reassign
    ).items():
        tx.run(SET_AGENT, (agent_id, run.id, block_id, run.generation))
    from_block = restart.from_block or first_block(settler.plan, targets)
    context = context_of(Execution(pk=run.id))
    restarted = Restarted(run.public_id, run.status, run.now, from_block, affected, context, run.generation)
    return restarted, [(run.id, aftermath), *aftermaths]


def _begun(
    settler: Settler, asked: Asked, restart: Restart, under_parent: bool
) -> tuple[Restarted, Aftermaths]:
    """Begin a run that has not begun, or hold it back (again) where its template's limit is reached."""
    run = settler.run
    nothing = cut(settler.plan, {}, ())
    _tell(settler, asked, restart, (), (), nothing, (), under_parent, ExecutionStatus.STARTING)
    run.held_back = False
    begin_or_hold_back(settler.tx, run, settler)
    restarted = Restarted(run.public_id, run.status, run.now, None, (), {}, run.generation)
    return restarted, [(run.id, conclude_locked(settler))]


def _require_restartable(run: RunState, restart: Restart) -> None:
    parents = Execution.objects.filter(children=run.id).exclude(status__in=ENDED_EXECUTION_STATUSES)
    if parents.exists():
        raise RestartFromParent(run.public_id)
    stands = run.status in ENDED_EXECUTION_STATUSES or run.status is ExecutionStatus.PAUSED
    if not stands and not restart.force:
        raise ExecutionUnderWay(run.public_id, run.status)


def _cancel_children(
    settler: Settler, children: Iterable[RunState], gone: set[int], asked: Asked
) -> Aftermaths:
    """Cancel the sub-workflows that work for blocks which are taken back."""
    by_id = {child.id: child for child in children}
    if not by_id:
        return []
    parents = settler.tx.run(PARENT_BLOCKS, (list(by_id),)).fetchall()
    doomed = {row.id for row in parents if row.parent_block_execution_id in gone}
    # Parents come before their children: who works for a run that is cancelled is cancelled with it.
    for row in sorted(parents, key=lambda row: list(by_id).index(row.id)):
        if row.parent_id in doomed:
            doomed.add(row.id)
    return cancel_locked(settler.tx, [child for child in by_id.values() if child.id in doomed], asked)


def _tell(
    settler: Settler,
    asked: Asked,
    restart: Restart,
    targets: Sequence[Any],
    affected: tuple[str, ...],
    taken: Cut,
    gone: Iterable[int],
    under_parent: bool,
    status: ExecutionStatus = ExecutionStatus.RUNNING,
) -> None:
    run = settler.run
    settler.tx.run(NEXT_GENERATION, (run.id,))
    run.generation += 1
    if run.status is not status:
        settler.progress.become(status)
    run.completed_at = None
    # The clock begins at zero again: a run that ran out of its time could not go on otherwise.
    run.active_ms, run.active_since = 0, None
    data: dict[str, JsonValue] = {
        **asked.data(),
        "status": status,
        "generation": run.generation,
        "fromBlocks": list(blocks_of(settler.plan, {row.node for row in targets})),
        "affected": list(affected),
        "superseded": list[JsonValue](sorted(gone)),
        "rounds": {str(place.scope): place.index for place in taken.places.values() if place.scope},
        "resetState": restart.reset_state,
        "preserveContext": restart.preserve_context,
        "skipFailedBlocks": restart.skip_failed,
        "agents": dict[str, JsonValue](
            agents_of(
                settler.plan,
                targets,
                restart.agents,
                workspace_id=run.workspace_id,
                reassign=restart.reassign,
            )
        ),
    }
    if restart.after_seq is not None:
        data["afterSeq"] = restart.after_seq
    if under_parent:
        data["underParent"] = True
    settler.journal.event("execution_restarted", data=data)
    where = restart.from_block or first_block(settler.plan, targets)
    settler.journal.log("INFO", f"Workflow {run.public_id} restarted from {where} {asked}")


def _reopen(
    settler: Settler,
    found: RunRows,
    targets: list[Any],
    taken: Cut,
    restart: Restart,
    asked: Asked,
    aftermaths: Aftermaths,
) -> None:
    """Supersede what is taken back, count anew, and start what may start."""
    run = settler.run
    kept = supersede(
        settler,
        found,
        taken,
        drop_outputs=restart.reset_state,
        drop_context=not restart.preserve_context,
    )
    settled, active = settled_rows(kept), active_by_place(kept)
    loops = loops_after(taken, settled, active)
    counts = recount(run, kept, {state.scope: state for state in loops.values()})
    run.reached_end = False
    settler.loops.restate(loops, counts)
    ready = settler.reopen(taken, settled, active)
    require_in_reach(run, found, targets, restart, {(_place(settler, node), node) for node in ready})
    rows = {(found.place_of(row), row.node): found.row_of_node(row) for row in targets}
    undone = {found.row_of_node(row).id for row in undone_targets(found)}
    starting = []
    for node in ready:
        row = rows.get((_place(settler, node), node))
        if row is None or not _stands(settler, row, restart, asked, aftermaths, undone=row.id in undone):
            starting.append(node)
    settler.start(starting)


def _stands(
    settler: Settler, row: Any, restart: Restart, asked: Asked, aftermaths: Aftermaths, *, undone: bool
) -> bool:
    """Settle a node without its work, where that is skipped, or done, or go on with what of it is done.

    ``undone``: its work was undone, of a map that of some items at least. Tells whether there is no need to start it.
    """
    block = settler.plan.nodes[row.node].block
    failed = row.status in FAILED
    if block is None or not (failed or undone or row.block_id in restart.skip):
        return False
    place = _place(settler, row.node)
    if (failed and restart.skip_failed) or row.block_id in restart.skip:
        require_other_eyes(settler, row, asked.actor_id)
        given = restart.skip.get(row.block_id)
        made = insert_done(settler, row, place, given if given is not None else block.default_output or {})
        settler.journal.event("block_substituted", row.block_id, {"strategy": "skip"}, row_id=made)
        return True
    if row.has_output and not undone and not restart.reset_state:
        made = insert_done(settler, row, place, None)
        settler.journal.event("block_rerouted", row.block_id, row_id=made)
        return True
    if restart.from_block == row.block_id or restart.after_seq is not None or restart.reset_state:
        return False
    return resume_map(settler, row, place) or _resume_child(settler, row, place, asked, aftermaths)


def _place(settler: Settler, node: int) -> Place:
    place = settler.loops.place(node)
    assert place is not None  # noqa: S101 - it is ready
    return place


def _resume_child(settler: Settler, row: Any, place: Place, asked: Asked, aftermaths: Aftermaths) -> bool:
    """Restart the sub-workflow that failed a block, and have the block wait for it again."""
    tx, run = settler.tx, settler.run
    child = tx.run(FAILED_CHILD, (row.id,)).fetchone()
    if child is None:
        return False
    try:
        with transaction.atomic():
            made = insert_waiting(settler, row, place, "child", child.public_id)
            tx.run(ADOPT_CHILD, (made, child.id))
            restarted, more = restart_locked(tx, lock_tree(tx, child.id), asked, Restart(), under_parent=True)
    except NothingToRestart:
        # It failed as a whole, as at its timeout: the block starts another.
        return False
    aftermaths += more
    run.active += 1
    data = {"waitsFor": "child", "childExecutionId": restarted.execution_id}
    settler.journal.event("block_waiting", row.block_id, data, row_id=made)
    return True
