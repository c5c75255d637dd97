"""Conditions and references: Python-like expressions in an interpreter of their own.

A source text is parsed by ``ast.parse`` in eval mode, checked against an allowlist and compiled once to
closures. There is no attribute access and no call but to the fixed table in ``operators``: a path is a chain
of dict and list look-ups, so nothing outside the values of the ``Scope`` can be reached. Source, nodes, depth
and results are bounded. Whatever is wrong, at compile time or on the values at hand, is an
``ExpressionError`` that names the place; nothing is silently False.
"""

import ast
from dataclasses import dataclass, field

from pydantic import JsonValue

from workflow_service.engine import operators, syntax_hints
from workflow_service.engine.errors import ExpressionError, Problem
from workflow_service.engine.expression_compiler import Compiler, Run, never_boolean
from workflow_service.engine.scope import MissingValue, References, Scope, ValuesScope
from workflow_service.engine.syntax_hints import error_at, error_of, one_line, shown

__all__ = [
    "Expression",
    "MissingValue",
    "References",
    "Scope",
    "ValuesScope",
    "compile_condition",
    "compile_expression",
    "evaluate_condition",
]

MAX_SOURCE_BYTES = 2_048
MAX_NODES = 200
MAX_DEPTH = 20


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression. Two are equal when their sources are."""

    source: str
    references: References = field(compare=False)
    run: Run = field(repr=False, compare=False)

    def evaluate(self, scope: Scope) -> JsonValue:
        """Return the value on ``scope``; it may share parts with the scope's values.

        Raises ``MissingValue`` or another ``ExpressionError`` naming the place.
        """
        try:
            value: JsonValue = self.run(scope)
        except RecursionError:
            raise ExpressionError(
                f"the values are nested too deep to evaluate: {shown(self.source)}"
            ) from None
        return value


def evaluate_condition(expression: Expression, scope: Scope) -> bool:
    """Return the value of a condition; raises ``ExpressionError`` unless it is True or False."""
    value = expression.evaluate(scope)
    if value is True or value is False:
        return value
    found = operators.kind_of(value)
    if isinstance(value, int | float) and abs(value) < 10**15 and not expression.references.secrets:
        found = repr(value)
    message = f"the condition is {found}, not true or false: {shown(expression.source)}"
    raise ExpressionError(
        message, [Problem("TYPE_MISMATCH", message, suggestion="compare it with something")]
    )


def compile_expression(source: str) -> Expression:
    """Compile ``source``; raises ``ExpressionError`` with line, column and a hint when it may not run."""
    source = source.strip()
    return _compile(source, _parse(source))


def compile_condition(source: str) -> Expression:
    """Compile ``source``, refusing also what can never be true or false, such as a lone text or a sum."""
    source = source.strip()
    tree = _parse(source)
    if never_boolean(tree.body):
        message = "a condition must be true or false, and this never is"
        raise error_at("TYPE_MISMATCH", message, source, tree.body, "compare it, as in count > 0")
    return _compile(source, tree)


def _compile(source: str, tree: ast.Expression) -> Expression:
    _check_size(tree, source)
    compiler = Compiler(source)
    run = compiler.compile(tree.body)
    return Expression(source, compiler.references(), run)


def _parse(source: str) -> ast.Expression:
    if not source:
        raise error_at("EXPRESSION_SYNTAX", "the expression is empty", source)
    try:
        size = len(source.encode())
    except UnicodeEncodeError:
        raise error_at("EXPRESSION_SYNTAX", "the expression is not valid Unicode", "") from None
    if size > MAX_SOURCE_BYTES:
        raise error_at(
            "EXPRESSION_TOO_LARGE",
            f"the expression has {size} bytes; at most {MAX_SOURCE_BYTES} are allowed",
            source,
        )
    problem = syntax_hints.forbidden_text(source)
    if problem is None:
        try:
            return ast.parse(one_line(source), mode="eval")
        except (MemoryError, RecursionError):
            raise error_at("EXPRESSION_TOO_LARGE", "the expression is nested too deep", source) from None
        except (SyntaxError, ValueError) as error:
            problem = syntax_hints.explain(source, error)
    raise error_of(problem, source)


def _check_size(tree: ast.Expression, source: str) -> None:
    nodes, pending = 0, [(tree.body, 1)]
    while pending:
        node, depth = pending.pop()
        nodes += 1
        if nodes > MAX_NODES:
            raise error_at(
                "EXPRESSION_TOO_LARGE", f"the expression has more than {MAX_NODES} parts", source, node
            )
        if depth > MAX_DEPTH:
            raise error_at(
                "EXPRESSION_TOO_LARGE",
                f"the expression is nested deeper than {MAX_DEPTH} levels",
                source,
                node,
            )
        pending.extend(
            (child, depth + 1) for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)
        )
