"""Where in a definition the expressions of a node stand, as JSON pointers."""

from collections.abc import Iterator

from workflow_service.engine.definition import Branch, Definition
from workflow_service.engine.expressions import Expression
from workflow_service.engine.graph import Node, NodeKind
from workflow_service.engine.json_values import json_pointer


def routing_places(definition: Definition, node: Node) -> Iterator[tuple[str, Expression]]:
    """Yield the conditions that decide the way on from ``node``, and what a gate computes, with their pointers."""
    at = f"{node.pointer}/conditions" if node.kind is NodeKind.BLOCK else node.pointer
    for name, expression in node.routing.set:
        yield at + json_pointer("set", name), expression
    given = [position for position, one in enumerate(_branches(definition, at)) if not one.is_default]
    for position, branch in zip(given, node.routing.branches, strict=False):
        if branch.expression is not None:
            field = "condition" if branch.question is None else "expression"
            yield at + json_pointer("branches", position, field), branch.expression


def _branches(definition: Definition, at: str) -> tuple[Branch, ...]:
    _, kind, index, *_ = at.split("/")
    position = int(index)
    return (
        definition.blocks[position].conditions.branches
        if kind == "blocks"
        else definition.gates[position].branches
    )
