"""Which rows a restart begins with, and what they are to the people who asked for it.

They are what failed, the block named, or what was settled after a recovery point; and in any case what was cancelled or
undone, for it is not done.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from executions_app.agent_work import require_agent, takers_over
from executions_app.errors import BlockNotReached, NothingToRestart, UnknownBlock
from executions_app.reopening import FAILED, RunRows, cancelled_targets, failed_targets, undone_targets
from executions_app.settlement import Settler
from workflow_service.engine.plan import NodeKind, Plan
from workflow_service.engine.states import BlockStatus

FINISHED_AFTER = """
    SELECT DISTINCT block_execution_id AS id FROM executions_app_executionevent
    WHERE execution_id = %s AND seq > %s AND block_execution_id IS NOT NULL
        AND type IN ('block_completed', 'block_failed', 'block_rejected', 'block_skipped')
"""


def find_targets(
    settler: Settler, found: RunRows, *, from_block: str | None, after_seq: int | None, skips_failed: bool
) -> list[Any]:
    """Return the rows that a restart begins with, oldest first.

    With neither a block nor the event of a recovery point they are what failed; with ``skips_failed`` that as well.
    Raises ``UnknownBlock``, ``BlockNotReached``, ``NothingToRestart``.
    """
    chosen = {row.id: row for row in (*cancelled_targets(found), *undone_targets(found))}
    if from_block is not None:
        row = _row_of_block(settler.plan, found, from_block)
        chosen[row.id] = row
    if after_seq is not None:
        after = settler.tx.run(FINISHED_AFTER, (settler.run.id, after_seq)).fetchall()
        ids = {row.id for row in after}
        chosen |= {row.id: row for row in found.rows if row.id in ids or _is_under_way(row)}
    if (from_block is None and after_seq is None) or skips_failed:
        chosen |= {row.id: row for row in failed_targets(found)}
    if not chosen:
        raise NothingToRestart(settler.run.public_id)
    return [chosen[row_id] for row_id in sorted(chosen)]


def _row_of_block(plan: Plan, found: RunRows, block_id: str) -> Any:
    """Return the row of the last round in which a block ran, or the question behind it (``a?``) was answered."""
    asked = plan.node_by_id.get(block_id)
    decides = asked is not None and plan.nodes[asked].kind is NodeKind.DECIDE
    node = asked if asked is not None and decides else node_of_block(plan, block_id)
    rows = [row for row in found.rows if row.node == node and row.kind != "item"]
    ran = [row for row in rows if row.status not in (BlockStatus.PENDING, BlockStatus.SKIPPED)]
    if not ran:
        raise BlockNotReached(block_id, skipped=any(row.status == BlockStatus.SKIPPED for row in rows))
    return ran[-1]


def node_of_block(plan: Plan, block_id: str, missing: type[UnknownBlock] = UnknownBlock) -> int:
    """Return the node of a block; raises ``missing``."""
    node = plan.node_by_id.get(block_id)
    if node is None or plan.nodes[node].block is None:
        raise missing(block_id, [each.id for each in plan.nodes if each.kind is NodeKind.BLOCK])
    return node


def _is_under_way(row: Any) -> bool:
    return not row.settled and row.status != BlockStatus.PENDING


def agents_of(
    plan: Plan, targets: Iterable[Any], given: Mapping[str, str], *, workspace_id: int, reassign: bool
) -> dict[str, str]:
    """Return who is to work on which block from now on, where that is not who it was: the agents ``given`` by block id.

    With ``reassign`` a block that failed goes to the next agent that may take over. Raises ``UnknownAgent``.
    """
    chosen = dict(given)
    for agent_id in chosen.values():
        require_agent(workspace_id, agent_id)
    if reassign:
        for row in targets:
            block = plan.nodes[row.node].block
            agents = takers_over(block, row.agent_id, workspace_id) if block else ()
            others = [agent for agent in agents if agent != row.agent_id]
            if others and row.status in FAILED:
                chosen.setdefault(row.block_id, others[0])
    return chosen


def blocks_of(plan: Plan, nodes: Iterable[int]) -> tuple[str, ...]:
    """Return the ids of those nodes that are blocks, in the plan's order."""
    return tuple(plan.nodes[node].id for node in sorted(nodes) if plan.nodes[node].kind is NodeKind.BLOCK)


def first_block(plan: Plan, targets: Iterable[Any]) -> str | None:
    """Return the id of the first block among these rows' nodes."""
    blocks = blocks_of(plan, {row.node for row in targets})
    return blocks[0] if blocks else None
