"""What a rejected approval means: a way on that the workflow has provided for, or a failure."""

import re
from collections.abc import Iterator

from workflow_service.engine.expressions import Expression
from workflow_service.engine.graph import END_NODE, Node, NodeKind
from workflow_service.engine.plan import Plan


def reads_approved(plan: Plan, node: int) -> bool:
    """Return whether a condition that decides the way on from ``node`` reads ``approved``.

    Such a block, rejected, is COMPLETED with ``approved`` false; its branches do the rest. The conditions of
    the gates it leads to count, as do those of its DECIDE node.
    """
    own = plan.nodes[node]
    deciders = [own]
    for edge in own.routing.always:
        target = plan.edges[edge].target
        if target != END_NODE and plan.nodes[target].kind is not NodeKind.BLOCK:
            deciders.append(plan.nodes[target])
    # A gate that asks the LLM has a DECIDE node too.
    for gate in deciders[1:]:
        deciders += (
            plan.nodes[target]
            for edge in gate.routing.always
            if (target := plan.edges[edge].target) != END_NODE and plan.nodes[target].kind is NodeKind.DECIDE
        )
    return any(
        _reads(expression, "approved", own.id) for each in deciders for expression in _conditions(each)
    )


def _conditions(node: Node) -> Iterator[Expression]:
    yield from (branch.expression for branch in node.routing.branches if branch.expression is not None)
    yield from (expression for _, expression in node.routing.set)


def _reads(expression: Expression, name: str, block_id: str) -> bool:
    if name in expression.references.context:
        return True
    path = rf"""\boutput\s*(\.\s*{name}\b|\[\s*['"]{name}['"]\s*\])"""
    return block_id in expression.references.outputs and re.search(path, expression.source) is not None
