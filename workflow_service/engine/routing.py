"""Which ways a completed node takes, and why none could be chosen.

The work of the node stays done whatever comes out here: a failure of routing is a value, for the caller to
carry up the recovery ladder.
"""

import ast
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import JsonValue

from workflow_service.engine.definition import JsonObject
from workflow_service.engine.errors import ExpressionError
from workflow_service.engine.expressions import (
    Expression,
    References,
    Scope,
    compile_expression,
    evaluate_condition,
)
from workflow_service.engine.graph import Node
from workflow_service.engine.states import ErrorType

SHOWN_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class RoutingFailure:
    """Why a node's branches decided nothing: NO_BRANCH_MATCHED or ROUTING_ERROR."""

    error_type: ErrorType
    message: str
    details: JsonObject


@dataclass(frozen=True, slots=True)
class Route:
    """The edges taken, what a gate computed on the way, and each condition read, with its result."""

    taken: frozenset[int]
    computed: Mapping[str, JsonValue] = field(default_factory=dict)
    conditions: tuple[tuple[str, bool], ...] = ()


def choose_route(node: Node, scope_of: Callable[[int], Scope]) -> Route | RoutingFailure:
    """Choose among the normal edges of ``node``, reading its conditions in ``scope_of(node.index)``."""
    routing = node.routing
    if not routing.branches and not routing.set:
        return Route(frozenset(routing.always))
    scope: Scope = scope_of(node.index)
    computed: dict[str, JsonValue] = {}
    results: list[tuple[str, bool]] = []
    source = ""
    try:
        for name, expression in routing.set:
            source = expression.source
            computed[name] = expression.evaluate(GateScope(scope, computed))
        if computed:
            scope = GateScope(scope, computed)
        for expression in _conditions(node):
            source = expression.source
            results.append((source, evaluate_condition(expression, scope)))
            if results[-1][1] and routing.mode == "exclusive":
                break
    except ExpressionError as error:
        return _unevaluable(node, source, error)
    matched = [
        edge
        for branch, (_, holds) in zip(routing.branches, results, strict=False)
        if holds
        for edge in branch.edges
    ]
    if not any(holds for _, holds in results):
        if routing.default is None and routing.branches and routing.mode == "exclusive":
            return _no_branch_matched(node, scope)
        matched += routing.default or ()
    return Route(frozenset(routing.always).union(matched), computed, tuple(results))


def _conditions(node: Node) -> Iterator[Expression]:
    for branch in node.routing.branches:
        if branch.question is not None or branch.expression is None:
            raise ValueError(f"'{node.id}' asks a question: its answer must be given as the edges chosen")
        yield branch.expression


@dataclass(frozen=True, slots=True)
class GateScope:
    """The scope of a gate, with the names that the gate computed before those of the context."""

    outer: Scope
    computed: Mapping[str, JsonValue]

    @property
    def input(self) -> Any:
        return self.outer.input

    @property
    def execution(self) -> Mapping[str, Any]:
        return self.outer.execution

    def name(self, name: str) -> Any:
        return self.computed[name] if name in self.computed else self.outer.name(name)

    def context(self, key: str) -> Any:
        return self.computed[key] if key in self.computed else self.outer.context(key)

    def output(self, block_id: str) -> Any:
        return self.outer.output(block_id)

    def secret(self, name: str) -> Any:
        return self.outer.secret(name)


def _unevaluable(node: Node, source: str, error: ExpressionError) -> RoutingFailure:
    return RoutingFailure(
        ErrorType.ROUTING_ERROR,
        f"'{node.id}' cannot choose its way on: {error.message}",
        {"condition": source, "reason": error.message},
    )


def _no_branch_matched(node: Node, scope: Scope) -> RoutingFailure:
    expressions = list(_conditions(node))
    values: dict[str, JsonValue] = {}
    for expression in expressions:
        values.update(_values_read(expression, scope))
    sources: list[JsonValue] = [expression.source for expression in expressions]
    shown = ", ".join(f"{name} is {value!r}" for name, value in values.items())
    return RoutingFailure(
        ErrorType.NO_BRANCH_MATCHED,
        f"No branch of '{node.id}' holds and it has no default: {'; '.join(map(str, sources))}"
        + (f", where {shown}" if shown else ""),
        {"conditions": sources, "values": values},
    )


def _values_read(expression: Expression, scope: Scope) -> Iterator[tuple[str, JsonValue]]:
    """Yield every path that ``expression`` reads, with a short form of its value; secrets are left out."""
    if expression.references.secrets:
        return
    for path in _paths(ast.parse(expression.source, mode="eval").body):
        read = compile_expression(ast.unparse(path))
        if read.references == References():  # true, false and null are names, but read nothing
            continue
        try:
            yield read.source, _short(read.evaluate(scope))
        except ExpressionError:
            yield read.source, "missing"


def _paths(node: ast.AST) -> Iterator[ast.expr]:
    if isinstance(node, ast.Name | ast.Attribute | ast.Subscript):
        yield node
        return
    for child in node.args if isinstance(node, ast.Call) else ast.iter_child_nodes(node):
        yield from _paths(child)


def _short(value: JsonValue) -> JsonValue:
    if isinstance(value, str) and len(value) > SHOWN_CHARACTERS:
        return value[:SHOWN_CHARACTERS] + "…"
    if isinstance(value, dict):
        return f"an object of {len(value)} entries"
    if isinstance(value, list):
        return f"a list of {len(value)} items"
    return value
