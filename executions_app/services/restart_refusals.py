"""Restarts that could not do what they were asked for: what was undone before a block must run first.

A block is skipped, or given to another agent, where the restart begins. Behind work that was undone it is reached
later, by a row that does not exist yet: rather than forget the command it is refused, and the transaction takes all of
it back.
"""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from executions_app.errors import BlockStateForbids
from executions_app.reopening import RunRows, cut_rows, failed_targets, undone_targets
from executions_app.restart_targets import agents_of, blocks_of
from executions_app.run_state import RunState
from workflow_service.engine.rounds import Place

if TYPE_CHECKING:
    from executions_app.services.restart import Restart


def require_in_reach(
    run: RunState,
    found: RunRows,
    targets: Sequence[Any],
    restart: "Restart",
    starting: Collection[tuple[Place, int]],
) -> None:
    """Require that what is to be skipped or reassigned is among the nodes that start now.

    ``found`` and ``targets`` are the rows before the restart. What runs again because the request names a block or a
    point before it is no failure any more, and what was wanted of failures is not wanted of it. Raises
    ``BlockStateForbids``.
    """
    rows = [found.row_of_node(row) for row in targets]
    reached = {row.block_id for row in rows if (found.place_of(row), row.node) in starting}
    for row in rows:
        wanted = None if row.block_id in reached else _wanted(run, found, rows, row, restart)
        if wanted is not None:
            raise _refusal(run, found, rows, row, *wanted)


def _wanted(
    run: RunState, found: RunRows, rows: Sequence[Any], row: Any, restart: "Restart"
) -> tuple[str, str] | None:
    """Return what was to become of a row's block, and how to have the run go on without that; None for nothing."""
    block_id = row.block_id
    if found.plan.nodes[row.node].block is None:
        return None
    if block_id in restart.skip:
        return "skipped", f"skip '{block_id}' when its turn has come"
    if block_id in restart.agents:
        return "reassigned", f"reassign '{block_id}' when its turn has come"
    if not _asked_in_general(found, rows, row, restart):
        return None
    if restart.skip_failed and row.id in {each.id for each in failed_targets(found)}:
        return "skipped", f"skip '{block_id}' when its turn has come, in place of 'skipFailedBlocks'"
    workspace_id = run.workspace_id
    if restart.reassign and agents_of(found.plan, (row,), {}, workspace_id=workspace_id, reassign=True):
        return "reassigned", f"reassign '{block_id}' when its turn has come, in place of 'reassignAgents'"
    return None


def _asked_in_general(found: RunRows, rows: Sequence[Any], row: Any, restart: "Restart") -> bool:
    """Tell whether the options of a restart mean a row: not one that lies behind what the request itself names."""
    if restart.after_seq is not None:
        return False
    named = [each for each in rows if each.block_id == restart.from_block and each.id != row.id]
    return not named or not cut_rows(found, named).takes(found.place_of(row), row.node)


def _refusal(
    run: RunState, found: RunRows, rows: Sequence[Any], row: Any, wanted: str, later: str
) -> BlockStateForbids:
    place = found.place_of(row)
    before = [each for each in rows if each.id != row.id and cut_rows(found, (each,)).takes(place, row.node)]
    undone = {each.id for each in undone_targets(found)}
    first = [each for each in before if each.id in undone]
    what = "was undone" if first else "is taken back"
    # Hidden nodes have no name to restart from.
    nodes = ({each.node for each in chosen} for chosen in (first, before, rows))
    names = next(filter(None, (blocks_of(found.plan, chosen) for chosen in nodes)))
    told = ", ".join(f"'{name}'" for name in names)
    return BlockStateForbids(
        row.block_id,
        run.public_id,
        row.status,
        wanted,
        f"what {what} before it must run first ({told})",
        f"restart the run from '{names[0]}', and {later}",
    )
