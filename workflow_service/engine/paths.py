"""What an expression reads, to the last key: which root, and which entries below it.

``References`` say which names an expression needs; a path says also what it looks up in them, and whether it may be
missing. Paths are read from the syntax tree of a source that compiles, so nothing here can fail on a value.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from pydantic import JsonValue

from workflow_service.engine.expression_compiler import CONSTANTS, LAZY_FUNCTIONS
from workflow_service.engine.expressions import Expression
from workflow_service.engine.interpolation import expressions_in
from workflow_service.engine.syntax_hints import one_line

Key = str | int


class Root(StrEnum):
    """Where a path begins. ``QUESTION`` is no name of the language: it stands for an answer to a question."""

    NAME = "name"
    CONTEXT = "context"
    OUTPUT = "output"
    INPUT = "input"
    SECRET = "secret"  # noqa: S105 - the word, not one
    EXECUTION = "execution"
    QUESTION = "question"


@dataclass(frozen=True, slots=True, order=True)
class Path:
    """``name`` is the bare name, context key, block id or secret; ``keys`` are the look-ups below it."""

    root: Root
    name: str
    keys: tuple[Key, ...] = ()

    @property
    def top(self) -> str | None:
        """The top-level key it reads: of the context, of a block's output or of the run's input."""
        if self.root in (Root.NAME, Root.CONTEXT):
            return self.name
        return self.keys[0] if self.keys and isinstance(self.keys[0], str) else None

    def __str__(self) -> str:
        return source_of(self)


@dataclass(frozen=True, slots=True)
class Read:
    """One path read; ``may_be_missing`` inside exists() and default(). ``node`` is its place in the syntax tree."""

    path: Path
    may_be_missing: bool
    node: ast.expr


def source_of(path: Path) -> str:
    """Return ``path`` as it is written in an expression."""
    start = {
        Root.CONTEXT: f"context.{path.name}",
        Root.OUTPUT: f"blocks.{path.name}.output",
        Root.INPUT: "workflow.input",
        Root.SECRET: f"secrets.{path.name}",
        Root.EXECUTION: "execution.id",
    }.get(path.root, path.name)
    return start + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path.keys)


def tree_of(expression: Expression) -> ast.expr:
    """Return the syntax tree of a compiled expression."""
    return ast.parse(one_line(expression.source), mode="eval").body


def reads_of(expression: Expression) -> tuple[Read, ...]:
    """Return every path that ``expression`` reads, in the order written."""
    return tuple(reads_in(tree_of(expression)))


def reads_in(node: ast.AST, *, may_be_missing: bool = False) -> Iterator[Read]:
    """Yield the paths read in a syntax tree of the language."""
    if isinstance(node, ast.Name | ast.Attribute | ast.Subscript):
        yield from _chain(node, may_be_missing)
    elif isinstance(node, ast.Call):
        lazy = isinstance(node.func, ast.Name) and node.func.id in LAZY_FUNCTIONS
        for position, argument in enumerate(node.args):
            yield from reads_in(argument, may_be_missing=may_be_missing or (lazy and position == 0))
    else:
        for child in ast.iter_child_nodes(node):
            yield from reads_in(child, may_be_missing=may_be_missing)


def template_reads(value: JsonValue) -> Iterator[tuple[str, Read]]:
    """Yield every path read by a ``${...}`` in ``value``, with the JSON pointer of its text."""
    for pointer, expression in expressions_in(value):
        for read in reads_of(expression):
            yield pointer, read


def _chain(node: ast.expr, may_be_missing: bool) -> Iterator[Read]:
    """Yield the path that a chain of look-ups reads, as far as its keys are written out."""
    keys: list[Key] = []
    base = node
    while isinstance(base, ast.Attribute | ast.Subscript):
        key = _written_key(base)
        if key is None:
            # A key that is computed ends what is known, and reads paths of its own.
            keys.clear()
            if isinstance(base, ast.Subscript):
                yield from reads_in(base.slice, may_be_missing=may_be_missing)
        else:
            keys.append(key)
        base = base.value
    if not isinstance(base, ast.Name):
        yield from reads_in(base, may_be_missing=may_be_missing)
        return
    path = _path(base.id, tuple(reversed(keys)))
    if path is not None:
        yield Read(path, may_be_missing, node)


def _written_key(node: ast.Attribute | ast.Subscript) -> Key | None:
    if isinstance(node, ast.Attribute):
        return node.attr
    match node.slice:
        case ast.Constant(value=str() | int() as key) if not isinstance(key, bool):
            return key
    return None


def _path(name: str, keys: tuple[Key, ...]) -> Path | None:
    match name, keys:
        case _ if name in CONSTANTS:
            return None
        case "workflow", ("input", *rest):
            return Path(Root.INPUT, "", tuple(rest))
        case "context", (str() as key, *rest):
            return Path(Root.CONTEXT, key, tuple(rest))
        case "blocks", (str() as block, "output", *rest):
            return Path(Root.OUTPUT, block, tuple(rest))
        case "secrets", (str() as key, *_):
            return Path(Root.SECRET, key)
        case "execution", _:
            return Path(Root.EXECUTION, "id")
    return Path(Root.NAME, name, keys)
