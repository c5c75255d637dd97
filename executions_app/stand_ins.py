"""Work in place of a block's own: its declared fallback, and what undoes it.

Either is a tool with a configuration of its own, resolved at the claim like any other. What undoes a block looks up
``input`` and ``output`` of the work that it undoes before the run's context.
"""

import json
from dataclasses import replace
from typing import Any

from pydantic import JsonValue

from executions_app.models import BlockExecution
from executions_app.transaction import EngineTransaction
from executions_app.values import RunValues
from workflow_service.agents.configuration import tool_input
from workflow_service.engine.definition import Block, HumanInLoop, StandIn
from workflow_service.engine.plan import Node

UNDONE = """
    SELECT b.input::text AS input, b.stand_in, o.value::text AS output FROM executions_app_blockexecution b
    LEFT JOIN executions_app_blockoutput o ON o.block_execution_id = b.id WHERE b.id = %s
"""


def works_instead(row: Any) -> bool:
    """Tell whether a row (or a claim) is for other work than its block's own; by ``kind`` and ``stand_in``."""
    return row.kind == BlockExecution.Kind.UNDO or row.stand_in == BlockExecution.StandIn.FALLBACK


def work_of(block: Block, claim: Any) -> Block:
    """Return the block as its claim is to be worked on: with the tool, timeout and agent of what stands in for it."""
    if not works_instead(claim) or block.recovery is None:
        return block
    undoes = claim.kind == BlockExecution.Kind.UNDO
    work = block.recovery.compensate if undoes else block.recovery.fallback
    if work is None:
        return block
    changes: dict[str, Any] = {
        "tool_type": work.tool_type or block.tool_type,
        "timeout": work.timeout or block.timeout,
        "agent_id": work.agent_id or block.agent_id,
    }
    if undoes:
        changes["human_in_loop"] = HumanInLoop()
    return block.model_copy(update=changes)


def resolve_stand_in(tx: EngineTransaction, row: Any, node: Node, values: RunValues) -> JsonValue:
    """Return the configuration of what stands in for a block; raises ``ExpressionError``."""
    undoes = row.kind == BlockExecution.Kind.UNDO
    template = node.undo if undoes else node.fallback
    if template is None:
        return {}
    own = _undone(tx, row, node) if undoes else {}
    values.prefetch([replace(template.references, context=template.references.context - own.keys())])
    return template.render(values.scope(own))


def _undone(tx: EngineTransaction, row: Any, node: Node) -> dict[str, JsonValue]:
    """Return what the undone work was handed and gave; its row is named by the negated scope."""
    found = tx.one(UNDONE, (-row.scope_id,))
    given = json.loads(found.input) if found.input else None
    block = node.block
    work: Block | StandIn | None = block
    if block is not None and block.recovery is not None and works_instead_by_fallback(found):
        work = block.recovery.fallback
    tool_type = (work.tool_type if work else None) or (block.tool_type if block else None)
    if tool_type is not None and isinstance(given, dict):
        given = tool_input(tool_type, given)
    return {"input": given, "output": json.loads(found.output) if found.output is not None else None}


def works_instead_by_fallback(row: Any) -> bool:
    """Tell whether a row's work was done by its fallback."""
    return bool(row.stand_in == BlockExecution.StandIn.FALLBACK)
