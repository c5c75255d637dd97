"""``${...}`` in a block's configuration: compiled once, rendered on a scope.

A text that is exactly one ``${...}`` becomes the value, of whatever type; in a longer text values are written
out (a text as it is, everything else as JSON). ``$${`` is a literal ``${``. Keys are never templates.

Rendered without secrets, every ``${secrets.NAME}`` stays a reference: that form is stored and shown. Values
are data: what they hold is never read as a template. So stored input is completed by
``Template.fill_secrets``, which looks only at the texts where the configuration itself names a secret, and
never by compiling stored input again.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import JsonValue

from workflow_service.engine.errors import ExpressionError, Problem
from workflow_service.engine.expressions import Expression, References, Scope, compile_expression
from workflow_service.engine.json_values import json_pointer

MAX_DEPTH = 100
MAX_RENDERED_SIZE = 16 * 1024 * 1024

_SEGMENT = re.compile(
    r"""\$\$\{ | \$\{ ( (?: [^'"}] | '(?:[^'\\]|\\.)*+' | "(?:[^"\\]|\\.)*+" )*+ ) \}""",
    re.DOTALL | re.VERBOSE,
)
_Path = tuple[str | int, ...]
_Part = str | Expression
_Render = Callable[[Scope, "_Budget", bool], JsonValue]


class _Budget:
    """How much may still be rendered, in characters and entries: a small template makes no huge value."""

    def __init__(self) -> None:
        self.left = MAX_RENDERED_SIZE

    def spend(self, value: Any) -> Any:
        """Return ``value``; raises ``ExpressionError`` once too much was rendered."""
        pending = [value]
        while pending:
            item = pending.pop()
            if isinstance(item, str):
                self.left -= len(item)
            elif isinstance(item, dict):
                self.left -= sum(map(len, item))
                pending.extend(item.values())
            elif isinstance(item, list):
                pending.extend(item)
            self.left -= 1
            if self.left < 0:
                raise _error(
                    "EXPRESSION_TOO_LARGE", f"the result is larger than {MAX_RENDERED_SIZE:,} characters"
                )
        return value


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled JSON value with ``${...}`` in its texts."""

    value: JsonValue
    references: References = field(compare=False)
    _render: _Render | None = field(repr=False, compare=False)
    _secret_texts: tuple[tuple[_Path, References], ...] = field(repr=False, compare=False)

    def render(self, scope: Scope, *, secrets: bool = False) -> JsonValue:
        """Return the value with every ``${...}`` replaced; those of secrets only if ``secrets``.

        Raises ``ExpressionError``, whose problem points to the place in the configuration.
        """
        return self.value if self._render is None else self._render(scope, _Budget(), secrets)

    @property
    def secret_places(self) -> Iterator[tuple[str, frozenset[str]]]:
        """Yield the place of each text that names secrets, as a JSON pointer, with their names."""
        for path, references in self._secret_texts:
            yield json_pointer(*path), references.secrets

    def fill_secrets(
        self, rendered: JsonValue, scope: Scope, note: Callable[[JsonValue], None] = lambda value: None
    ) -> JsonValue:
        """Return ``rendered`` (an earlier ``render`` without secrets) with its secrets in place.

        Only texts that hold a secret in the template are read, and only for the secrets named there. ``note`` is told
        each value that was made of secrets. Raises ``ExpressionError``.
        """
        root: list[Any] = [rendered]
        copied = {id(root)}
        for path, references in self._secret_texts:
            _fill_at(root, (0, *path), copied, _Filler(references.secrets, scope, note))
        filled: JsonValue = root[0]
        return filled


def compile_template(value: JsonValue) -> Template:
    """Compile every ``${...}`` in ``value``; raises ``ExpressionError`` with a problem for each wrong one."""
    compiler = _TemplateCompiler()
    render = compiler.compile(value, ())
    if compiler.problems:
        raise ExpressionError(
            "; ".join(problem.message for problem in compiler.problems[:3]), compiler.problems
        )
    return Template(value, compiler.references, render, tuple(compiler.secret_texts))


def expressions_in(value: JsonValue) -> Iterator[tuple[str, Expression]]:
    """Yield every ``${...}`` in ``value`` with the JSON pointer of its text; texts that do not compile are left out."""
    pending: list[tuple[_Path, JsonValue]] = [((), value)]
    while pending:
        path, item = pending.pop()
        if isinstance(item, str) and "${" in item:
            try:
                parts = tuple(_parts(item))
            except ExpressionError:
                continue
            for part in parts:
                if isinstance(part, Expression):
                    yield json_pointer(*path), part
        elif isinstance(item, dict):
            pending += [((*path, key), child) for key, child in reversed(item.items())]
        elif isinstance(item, list):
            pending += [((*path, index), child) for index, child in reversed(list(enumerate(item)))]


def _error(code: str, message: str, path: _Path = (), column: int | None = None) -> ExpressionError:
    problem = Problem(code, message, pointer=json_pointer(*path), line=1 if column else None, column=column)
    return ExpressionError(message, [problem])


def _parts(text: str) -> Iterator[_Part]:
    """Split ``text`` into literals and expressions; raises ``ExpressionError``."""
    position = 0
    while (start := text.find("${", position)) >= 0:
        escaped = start > position and text[start - 1] == "$"
        match = _SEGMENT.match(text, start - 1 if escaped else start)
        if match is None:
            message = f"'${{' at column {start + 1} is never closed by '}}'; write '$${{' for a literal '${{'"
            raise _error("EXPRESSION_SYNTAX", message, column=start + 1)
        if match.start() > position:
            yield text[position : match.start()]
        yield "${" if escaped else compile_expression(match.group(1))
        position = match.end()
    if position < len(text):
        yield text[position:]


def _written(value: Any, budget: _Budget) -> str:
    """Return ``value`` as it stands inside a longer text."""
    budget.spend(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(", ", ": "))


def _escaped(text: str) -> str:
    """Return literal text so that it reads back as itself when it stands before ``${``."""
    body = text.rstrip("$")
    dollars = text[len(body) :]
    return body.replace("${", "$${") + (f"${{'{dollars}'}}" if dollars else "")


def _render_text(parts: tuple[_Part, ...], scope: Scope, budget: _Budget, secrets: bool) -> JsonValue:
    keep = not secrets and any(isinstance(part, Expression) and part.references.secrets for part in parts)
    if len(parts) == 1 and isinstance(parts[0], Expression) and not keep:
        value: JsonValue = budget.spend(parts[0].evaluate(scope))
        return value
    written: list[str] = []
    literal = ""
    for part in parts:
        if isinstance(part, Expression) and part.references.secrets and keep:
            written += (_escaped(literal), f"${{{part.source}}}")
            literal = ""
        else:
            literal += _written(part if isinstance(part, str) else part.evaluate(scope), budget)
    written.append(_escaped(literal) if keep else literal)
    return "".join(written)


@dataclass(frozen=True, slots=True)
class _Filler:
    """What is filled into one text: the secrets it may name, and who is told what came of them."""

    allowed: frozenset[str]
    scope: Scope
    note: Callable[[JsonValue], None]

    def fill(self, text: str, path: _Path) -> JsonValue:
        try:
            parts = tuple(_parts(text))
            references = _checked_references(parts)
        except ExpressionError as error:
            raise _located_error(error, path) from None
        others = references.context or references.outputs or references.input
        if others or not references.secrets <= self.allowed:
            raise _error(
                "EXPRESSION_NOT_ALLOWED", "the stored text refers to more than its own secrets", path
            )
        for part in parts:
            if isinstance(part, Expression):
                self.note(part.evaluate(self.scope))
        return _render_text(parts, self.scope, _Budget(), secrets=True)


def _fill_at(root: Any, path: _Path, copied: set[int], filler: _Filler) -> None:
    """Fill the text at ``path`` below ``root``, copying each container on the way once.

    A path that is not there any more (somebody has edited the input) is left alone.
    """
    container = root
    for step in path[:-1]:
        if not _holds(container, step):
            return
        child = container[step]
        if isinstance(child, dict | list) and id(child) not in copied:
            child = container[step] = child.copy()
            copied.add(id(child))
        container = child
    if _holds(container, path[-1]) and isinstance(container[path[-1]], str):
        container[path[-1]] = filler.fill(container[path[-1]], path[1:])


def _holds(container: Any, step: str | int) -> bool:
    if isinstance(container, dict):
        return step in container
    return isinstance(container, list) and isinstance(step, int) and step < len(container)


def _checked_references(parts: tuple[_Part, ...]) -> References:
    """Return what ``parts`` read; raises ``ExpressionError`` where a secret is mixed with other values.

    An expression that reads secrets only can be kept as a reference and evaluated later, without a context.
    """
    total = References()
    for part in parts:
        if isinstance(part, Expression):
            references = part.references
            if references.secrets and (references.context or references.outputs or references.input):
                message = f"'${{{part.source}}}' mixes a secret with other values; use one ${{...}} for each"
                raise _error("EXPRESSION_NOT_ALLOWED", message)
            total |= references
    return total


def _located_error(error: ExpressionError, path: _Path) -> ExpressionError:
    """Return ``error`` with the place in the configuration added to its message and problems."""
    place = json_pointer(*path) or "the configuration"
    problems = [replace(problem, pointer=json_pointer(*path)) for problem in error.problems]
    return type(error)(f"in {place}: {error.message}", problems)


class _TemplateCompiler:
    """Walks a JSON value, compiling its texts; parts without ``${`` are kept as they are."""

    def __init__(self) -> None:
        self.references = References()
        self.problems: list[Problem] = []
        self.secret_texts: list[tuple[_Path, References]] = []

    def compile(self, value: JsonValue, path: _Path) -> _Render | None:
        """Return how ``value`` is rendered, or None if it holds no ``${``."""
        if len(path) > MAX_DEPTH:
            message = f"the configuration is nested deeper than {MAX_DEPTH} levels"
            raise _error("EXPRESSION_TOO_LARGE", message, path)
        if isinstance(value, str):
            return self._text(value, path) if "${" in value else None
        if isinstance(value, dict):
            return self._object(value, path)
        if isinstance(value, list):
            return self._list(value, path)
        return None

    def _text(self, text: str, path: _Path) -> _Render | None:
        try:
            parts = tuple(_parts(text))
            references = _checked_references(parts)
        except ExpressionError as error:
            self.problems += _located_error(error, path).problems
            return None
        self.references |= references
        if references.secrets:
            self.secret_texts.append((path, references))

        def render(scope: Scope, budget: _Budget, secrets: bool) -> JsonValue:
            try:
                return _render_text(parts, scope, budget, secrets)
            except (RecursionError, ValueError):
                message = "the value cannot be written out: too deep, or a number too large"
                raise _error("EXPRESSION_TOO_LARGE", message, path) from None
            except ExpressionError as error:
                raise _located_error(error, path) from None

        return render

    def _object(self, value: dict[str, JsonValue], path: _Path) -> _Render | None:
        renders = {
            key: render
            for key, item in value.items()
            if (render := self.compile(item, (*path, key))) is not None
        }
        if not renders:
            return None
        return lambda scope, budget, secrets: (
            value | {key: render(scope, budget, secrets) for key, render in renders.items()}
        )

    def _list(self, value: list[JsonValue], path: _Path) -> _Render | None:
        renders = [self.compile(item, (*path, index)) for index, item in enumerate(value)]
        if not any(renders):
            return None
        return lambda scope, budget, secrets: [
            item if render is None else render(scope, budget, secrets)
            for item, render in zip(value, renders, strict=True)
        ]
