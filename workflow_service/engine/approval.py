"""How a block asks people, and what a rejection means: a way on that the workflow provides for, or a failure."""

import re
from collections.abc import Iterator

from pydantic import JsonValue

from workflow_service.engine.definition import Block, HumanInLoop, JsonObject
from workflow_service.engine.expressions import Expression
from workflow_service.engine.graph import END_NODE, Node, NodeKind
from workflow_service.engine.plan import Plan
from workflow_service.engine.states import HumanStepType


def human_step_of(block: Block, defaults: HumanInLoop | None) -> HumanInLoop:
    """Return how a block asks: what it says itself, over the workflow's defaults."""
    step = block.human_in_loop
    if defaults is None:
        return step
    return defaults.model_copy(update={name: getattr(step, name) for name in step.model_fields_set})


def is_reviewed(block: Block, defaults: HumanInLoop | None) -> bool:
    """Return whether people look at what a block made, and not at whether it is to be done."""
    return block.asks_people and human_step_of(block, defaults).type is HumanStepType.REVIEW


def to_review(configuration: JsonValue) -> JsonValue:
    """Return what people look at where nothing works on a block: the ``input`` of its configuration."""
    return configuration.get("input", {}) if isinstance(configuration, dict) else {}


def reviewed_output(proposed: JsonValue, response: JsonObject, *, comments: str, approver: str) -> JsonValue:
    """Return a block's output after a review that approves it: as it was made, or as the ``response`` has it.

    Where that is an object the answer is added to it; what it has of its own stays.
    """
    output = response.get("output", proposed)
    if not isinstance(output, dict):
        return output
    return {"approved": True, "comments": comments, "approver": approver, **output}


def rejected_output(proposed: JsonValue, *, comments: str, approver: str) -> JsonObject:
    """Return the output of a block after a review that rejects it, where the workflow provides for that.

    What the block made is ``proposed`` in it, so that another try can begin from there.
    """
    return {"approved": False, "comments": comments, "approver": approver, "proposed": proposed}


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
