"""Values that make conditions true or false, found by trying the few that the conditions themselves suggest.

``x == 'high'`` suggests 'high' and something else, ``n > 5`` suggests 4, 5 and 6, ``len(l) > 2`` lists of 1 to 3.
Whether a choice is right is judged by whoever asks, with the real evaluation: here nothing is ever inferred. The search
is deterministic and bounded, so it may miss a solution, and never gives a wrong one.
"""

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, combinations, product
from typing import Final

from pydantic import JsonValue

from workflow_service.engine.errors import ExpressionError
from workflow_service.engine.expressions import Expression, References, ValuesScope, compile_expression
from workflow_service.engine.paths import Path, reads_in, tree_of

MAX_TRIES = 600
MAX_PATHS = 12
MAX_CANDIDATES = 12


class Absent:
    """The candidate that leaves a path without a value; there is one, ``ABSENT``."""


ABSENT: Final = Absent()
Candidate = JsonValue | Absent
Choice = Mapping[Path, Candidate]


def candidates_of(
    expressions: Iterable[Expression], *, conditions: bool = True
) -> dict[Path, list[Candidate]]:
    """Return, for every path that ``expressions`` read, the values worth trying, the likeliest first.

    ``conditions``: each is to be true or false.
    """
    found: dict[Path, list[Candidate]] = {}
    needed: set[Path] = set()
    for expression in expressions:
        tree = tree_of(expression)
        for read in reads_in(tree):
            found.setdefault(read.path, [])
            if not read.may_be_missing:
                needed.add(read.path)
        for path, value in chain(_of_truth(tree) if conditions else (), _suggestions(tree)):
            if value not in found[path] or type(value) not in map(type, found[path]):
                found[path].append(value)
    for path, values in found.items():
        if not values:
            values += [_placeholder(path), 1, True]
        if path not in needed:
            values.append(ABSENT)
        del values[MAX_CANDIDATES:]
    return found


def solve(
    candidates: Mapping[Path, Sequence[Candidate]], misses: Callable[[Choice], int], *, tries: int = MAX_TRIES
) -> Choice | None:
    """Return a choice for which ``misses`` is 0, None where none was found.

    Starting from the first candidates it changes one path at a time, then two, as long as that misses less.
    """
    paths = [path for path in candidates if candidates[path]][:MAX_PATHS]
    choice: dict[Path, Candidate] = {path: candidates[path][0] for path in paths}
    best = misses(choice)
    while best and tries > 0:
        changes = _changes(paths, candidates)
        for change in changes:
            tries -= 1
            if tries <= 0:
                return None
            tried = {**choice, **change}
            if (missed := misses(tried)) < best:
                choice, best = tried, missed
                break
        else:
            return None
    return choice if not best else None


def _changes(
    paths: Sequence[Path], candidates: Mapping[Path, Sequence[Candidate]]
) -> Iterator[dict[Path, Candidate]]:
    for path in paths:
        for value in candidates[path]:
            yield {path: value}
    for pair in combinations(paths, 2):
        for values in product(*(candidates[path] for path in pair)):
            yield dict(zip(pair, values, strict=True))


def _placeholder(path: Path) -> str:
    return str(path.keys[-1]) if path.keys else path.name or "value"


def _suggestions(tree: ast.expr) -> Iterator[tuple[Path, JsonValue]]:
    """Yield values for the paths in a tree, by where they stand in it."""
    for node in ast.walk(tree):
        match node:
            case ast.Compare():
                yield from _of_comparison(node)
            case ast.BoolOp():
                for value in node.values:
                    yield from _of_truth(value)
            case ast.UnaryOp(op=ast.Not()):
                yield from _of_truth(node.operand)
            case ast.Call(func=ast.Name(id="startswith" | "endswith"), args=[text, part]):
                yield from _of_operand(text, [*_constants(part), "other"])
            case ast.Call(func=ast.Name(id="contains"), args=[container, item]):
                yield from _of_membership(item, container)
            case ast.Call(func=ast.Name(id="sum" | "min" | "max" | "any" | "all")):
                yield from _of_operand(node, [1])


def _of_truth(node: ast.expr) -> Iterator[tuple[Path, JsonValue]]:
    match node:
        case ast.Call(func=ast.Name(id="any" | "all"), args=[argument]):
            yield from _of_operand(argument, [[True], [False]])
        case ast.Call(func=ast.Name(id="default"), args=[argument, _]):
            yield from _of_operand(argument, [True, False])
        case ast.Name() | ast.Attribute() | ast.Subscript():
            yield from _of_operand(node, [True, False])


def _of_comparison(node: ast.Compare) -> Iterator[tuple[Path, JsonValue]]:
    operands = [node.left, *node.comparators]
    for operator, left, right in zip(node.ops, operands, operands[1:], strict=False):
        if isinstance(operator, ast.In | ast.NotIn):
            yield from _of_membership(left, right)
        else:
            around = [near for value in (*_constants(left), *_constants(right)) for near in _near(value)]
            for operand in (left, right):
                yield from _of_operand(operand, around or [0, 1, 2])


def _of_membership(item: ast.expr, container: ast.expr) -> Iterator[tuple[Path, JsonValue]]:
    items = list(_constants(item))
    for value in _constants(container):
        members = value if isinstance(value, list) else [value]
        yield from _of_operand(item, [*members, "other", -1])
    yield from _of_operand(container, [[value] for value in items] or [["value"]])
    # A text may be looked for in a text as well.
    yield from _of_operand(container, [value for value in items if isinstance(value, str)])
    yield from _of_operand(container, [[]])


def _of_operand(node: ast.expr, values: Sequence[JsonValue]) -> Iterator[tuple[Path, JsonValue]]:
    """Yield ``values`` for the paths in an operand, undoing the function around them."""
    match node:
        case ast.Name() | ast.Attribute() | ast.Subscript():
            yield from ((read.path, value) for read in reads_in(node) for value in values)
        case ast.Call(func=ast.Name(id="len"), args=[argument]):
            lengths = [value for value in values if isinstance(value, int) and 0 <= value <= 100]
            yield from _of_operand(argument, [["value"] * length for length in lengths])
        case ast.Call(func=ast.Name(id="sum" | "min" | "max"), args=[argument]):
            yield from _of_operand(argument, [[value] for value in values])
        case ast.Call(func=ast.Name(id="any" | "all"), args=[argument]):
            yield from _of_operand(argument, [[True], [False]])
        case ast.Call(args=arguments):
            for argument in arguments:
                yield from _of_operand(argument, values)
        case ast.BinOp():
            numbers: list[JsonValue] = [value for value in values if isinstance(value, int | float)]
            spread: list[JsonValue] = [1, 0, 100, *numbers] if numbers else list(values)
            for operand in (node.left, node.right):
                yield from _of_operand(operand, spread)
        case ast.UnaryOp(operand=operand):
            yield from _of_operand(operand, values)


def _constants(node: ast.expr) -> Iterator[JsonValue]:
    """Yield the value of an operand that reads nothing, or of the parts of it that do not."""
    try:
        compiled = compile_expression(ast.unparse(node))
        if compiled.references == References():
            yield compiled.evaluate(ValuesScope())
            return
    except ExpressionError:
        return
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            yield from _constants(child)


def _near(value: JsonValue) -> Iterator[JsonValue]:
    """Yield ``value`` and what is just beside it."""
    yield value
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield value + 1
        yield value - 1
    elif isinstance(value, str):
        yield from (value + "x", "") if value else ("value",)
    elif isinstance(value, list):
        yield []
    elif value is None:
        yield "value"
