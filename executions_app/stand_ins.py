"""Work in place of a block's own: its declared fallback, and what undoes it.

Either is a tool with a configuration of its own, resolved at the claim like any other. What undoes a block looks up
``input`` and ``output`` of the work that it undoes before the run's context.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import JsonValue

from executions_app.models import BlockExecution
from executions_app.transaction import EngineTransaction
from executions_app.values import RunValues
from workflow_service.agents.configuration import tool_input
from workflow_service.engine.definition import Block, HumanInLoop
from workflow_service.engine.interpolation import Template
from workflow_service.engine.plan import Node

UNDONE = """
    SELECT b.input::text AS input, b.stand_in, coalesce(o.value, b.output_extra, 'null')::text AS output
    FROM executions_app_blockexecution b
    LEFT JOIN executions_app_blockoutput o ON o.block_execution_id = b.id WHERE b.id = %s
"""


def work_of_row(block: Block, row: Any) -> Block:
    """Return the block that is worked on for a row (``kind`` and ``stand_in``)."""
    return work_of(block, undoes=row.kind == BlockExecution.Kind.UNDO, stand_in=row.stand_in)


def work_of(block: Block, *, undoes: bool, stand_in: str) -> Block:
    """Return a block as it is to be worked on: with the tool and timeout of what stands in for it."""
    if not undoes:
        return _with_fallback(block) if stand_in == BlockExecution.StandIn.FALLBACK else block
    work = block.recovery.compensate if block.recovery else None
    changes: dict[str, Any] = {"human_in_loop": HumanInLoop(), "for_each": None}
    if work is not None:
        changes |= {"tool_type": work.tool_type or block.tool_type, "timeout": work.timeout or block.timeout}
    return block.model_copy(update=changes)


def configuration_of(node: Node, *, undoes: bool, stand_in: str) -> Template | None:
    """Return the template of the configuration that a row's work was given."""
    if undoes:
        return node.undo
    return node.fallback if stand_in == BlockExecution.StandIn.FALLBACK else node.template


def resolve_fallback(node: Node, values: RunValues, item: Mapping[str, JsonValue] | None) -> JsonValue:
    """Return the configuration of a block's fallback; raises ``ExpressionError``."""
    return _resolve(node.fallback, values, item or {})


def resolve_undo(tx: EngineTransaction, row: Any, node: Node, values: RunValues) -> JsonValue:
    """Return the configuration of what undoes a block, whose row is named by the negated scope of ``row``.

    Raises ``ExpressionError``.
    """
    undone = tx.one(UNDONE, (-row.scope_id,))
    given = json.loads(undone.input) if undone.input else None
    block = node.block
    if block is not None and undone.stand_in == BlockExecution.StandIn.FALLBACK:
        block = _with_fallback(block)
    if block is not None and block.tool_type is not None and isinstance(given, dict):
        given = tool_input(block.tool_type, given)
    return _resolve(node.undo, values, {"input": given, "output": json.loads(undone.output)})


def _with_fallback(block: Block) -> Block:
    work = block.recovery.fallback if block.recovery else None
    if work is None:
        return block
    return block.model_copy(
        update={"tool_type": work.tool_type or block.tool_type, "timeout": work.timeout or block.timeout}
    )


def _resolve(template: Template | None, values: RunValues, own: Mapping[str, JsonValue]) -> JsonValue:
    if template is None:
        return {}
    values.prefetch([replace(template.references, context=template.references.context - own.keys())])
    return template.render(values.scope(own))
