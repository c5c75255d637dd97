"""Whether one condition follows from another: for comparisons of a path with a constant, and those joined by ``and``.

Of anything else nothing is said: the answers are True, or not known. Numbers and texts are never compared with each
other, for the language refuses that.
"""

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import eq, ge, gt, le, lt, ne

from workflow_service.engine.syntax_hints import one_line

_OPERATORS: Mapping[type[ast.cmpop], str] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
_HOLDS: Mapping[str, Callable[[object, object], bool]] = {
    "<": lt,  # type: ignore[dict-item]
    "<=": le,  # type: ignore[dict-item]
    ">": gt,  # type: ignore[dict-item]
    ">=": ge,  # type: ignore[dict-item]
    "==": eq,
    "!=": ne,
}

Constant = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Comparison:
    """``path operator constant``."""

    path: str
    operator: str
    constant: Constant


def implies(condition: str, other: str) -> bool:
    """Tell whether ``other`` is known to hold wherever ``condition`` does."""
    mine, theirs = _comparisons(condition), _comparisons(other)
    if mine is None or theirs is None:
        return False
    return all(any(_follows(one, wanted) for one in mine) for wanted in theirs)


def contradicts(condition: str) -> bool:
    """Tell whether a condition is known to hold nowhere."""
    found = _comparisons(condition)
    if found is None:
        return False
    return any(_excludes(one, other) for one in found for other in found)


def _comparisons(condition: str) -> list[Comparison] | None:
    try:
        tree = ast.parse(one_line(condition.strip()), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None
    found: list[Comparison] = []
    parts = tree.values if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And) else [tree]
    for part in parts:
        one = _comparison(part)
        if one is None:
            return None
        found.append(one)
    return found


def _comparison(node: ast.expr) -> Comparison | None:
    if not isinstance(node, ast.Compare) or len(node.ops) != 1:
        return None
    operator = _OPERATORS.get(type(node.ops[0]))
    left, right = node.left, node.comparators[0]
    if operator is None:
        return None
    value = _constant(right)
    if value is not None and _is_path(left):
        return Comparison(ast.unparse(left), operator, value)
    value = _constant(left)
    if value is not None and _is_path(right):
        return Comparison(ast.unparse(right), _MIRRORED[operator], value)
    return None


def _constant(node: ast.expr) -> Constant | None:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _constant(node.operand)
        return -value if isinstance(value, int | float) and not isinstance(value, bool) else None
    if isinstance(node, ast.Name) and node.id in ("true", "false"):
        return node.id == "true"
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float | str):
        return node.value
    return None


def _is_path(node: ast.expr) -> bool:
    while isinstance(node, ast.Attribute | ast.Subscript):
        if isinstance(node, ast.Subscript) and not isinstance(node.slice, ast.Constant):
            return False
        node = node.value
    return isinstance(node, ast.Name)


def _alike(one: Comparison, other: Comparison) -> bool:
    kinds = [
        "b" if isinstance(each.constant, bool) else "s" if isinstance(each.constant, str) else "n"
        for each in (one, other)
    ]
    return one.path == other.path and kinds[0] == kinds[1]


def _follows(one: Comparison, wanted: Comparison) -> bool:
    if not _alike(one, wanted):
        return False
    if one == wanted:
        return True
    if one.operator == "==":
        return _HOLDS[wanted.operator](one.constant, wanted.constant)
    mine, theirs = one.constant, wanted.constant
    match one.operator, wanted.operator:
        case (">", ">" | ">=") | (">=", ">="):
            return _HOLDS[">="](mine, theirs)
        case ("<", "<" | "<=") | ("<=", "<="):
            return _HOLDS["<="](mine, theirs)
        case (">=", ">") | (">=", "!="):
            return _HOLDS[">"](mine, theirs)
        case ("<=", "<") | ("<=", "!="):
            return _HOLDS["<"](mine, theirs)
        case (">", "!="):
            return _HOLDS[">="](mine, theirs)
        case ("<", "!="):
            return _HOLDS["<="](mine, theirs)
    return False


def _excludes(one: Comparison, other: Comparison) -> bool:
    if not _alike(one, other):
        return False
    if one.operator == "==":
        return not _HOLDS[other.operator](one.constant, other.constant)
    match one.operator, other.operator:
        case (">", "<" | "<=") | (">=", "<"):
            return _HOLDS[">="](one.constant, other.constant)
        case (">=", "<="):
            return _HOLDS[">"](one.constant, other.constant)
    return False
