"""Where a workflow may name secrets: in the configurations of tools, and nowhere that is kept or decided by.

A value is filled in where a tool is about to run, in its worker. Conditions and computed names are evaluated where runs
are settled, and what a block hands to another run, or waits with, is stored: there are no secrets there.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from workflow_service.engine.definition import StandIn
from workflow_service.engine.errors import Problem
from workflow_service.engine.expressions import Expression
from workflow_service.engine.graph import Node
from workflow_service.engine.interpolation import Template
from workflow_service.engine.states import ToolType

# What these do is done by the service itself, with values that it stores; a model's answers are cached.
WITHOUT_SECRETS = frozenset({ToolType.WAIT, ToolType.SUBWORKFLOW, ToolType.HUMAN, ToolType.MAP, ToolType.LLM})


@dataclass(frozen=True, slots=True)
class SecretPlace:
    """One text that names secrets; ``pointer`` leads to it in the definition."""

    pointer: str
    names: frozenset[str]


def secret_places(node: Node) -> Iterator[SecretPlace]:
    """Yield the texts of a block's tools that name secrets: its own, its fallback's, and what undoes it."""
    for pointer, template, _ in _configurations(node):
        for place, names in template.secret_places:
            yield SecretPlace(pointer + place, names)


def misplaced_secrets(node: Node) -> Iterator[Problem]:
    """Yield what is wrong with where a node names secrets."""
    for pointer, template, tool_type in _configurations(node):
        if tool_type in WITHOUT_SECRETS:
            for place, names in template.secret_places:
                yield _misplaced(node, names, pointer + place, f"what the tool {tool_type} is given is kept")
    if node.for_each is not None and node.for_each.references.secrets:
        names = node.for_each.references.secrets
        yield _misplaced(node, names, f"{node.pointer}/forEach", "the items of a map are stored")
    for pointer, expression in _expressions(node):
        if expression.references.secrets:
            yield _misplaced(node, expression.references.secrets, pointer, "nothing is decided by a secret")


def _configurations(node: Node) -> Iterator[tuple[str, Template, ToolType | None]]:
    block = node.block
    if block is None:
        return
    own = block.tool_type
    if node.template is not None:
        yield f"{node.pointer}/configuration", node.template, own
    recovery = block.recovery
    for name, template in (("fallback", node.fallback), ("compensate", node.undo)):
        work: StandIn | None = getattr(recovery, name, None)
        if template is not None:
            yield (
                f"{node.pointer}/recovery/{name}/configuration",
                template,
                (work.tool_type if work else None) or own,
            )


def _expressions(node: Node) -> Iterator[tuple[str, Expression]]:
    if node.guard is not None:
        yield f"{node.pointer}/conditions/expression", node.guard
    for name, expression in node.output_mapping:
        yield f"{node.pointer}/outputMapping/{name}", expression
    for _, expression in node.routing.set:
        yield node.pointer, expression
    for branch in node.routing.branches:
        if branch.expression is not None:
            yield node.pointer, branch.expression


def _misplaced(node: Node, names: frozenset[str], pointer: str, reason: str) -> Problem:
    listed = ", ".join(sorted(names))
    return Problem(
        "SECRET_NOT_ALLOWED",
        f"'{node.id}' names the secret {listed} where none may stand: {reason}",
        pointer=pointer,
        suggestion="name it in the configuration of the tool that needs it",
        blocks=(node.id,),
    )
