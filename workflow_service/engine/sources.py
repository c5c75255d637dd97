"""The expressions of a definition compiled, each text once; what does not compile becomes a finding at its place."""

import operator
from collections.abc import Callable, Iterable, Mapping
from functools import reduce

from pydantic import JsonValue

from workflow_service.engine.errors import ExpressionError
from workflow_service.engine.expressions import Expression, References, compile_condition, compile_expression
from workflow_service.engine.findings import Finding, findings_from
from workflow_service.engine.interpolation import Template, compile_template
from workflow_service.engine.json_values import json_pointer


def join_references(parts: Iterable[References]) -> References:
    """Return what all of ``parts`` read together."""
    return reduce(operator.or_, parts, References())


class SourceCompiler:
    """Compiles for one definition, adding to ``findings``; ``owner`` is the block or join that a text belongs to."""

    def __init__(self, findings: list[Finding]) -> None:
        self._findings = findings
        self._compiled: dict[tuple[Callable[[str], Expression], str], Expression] = {}

    def condition(self, source: str, pointer: str, owner: str) -> Expression | None:
        """Compile what must be true or false; None, and a finding, if that is impossible."""
        return self._compile(compile_condition, source, pointer, owner)

    def named(
        self, sources: Mapping[str, str], pointer: str, owner: str
    ) -> tuple[tuple[str, Expression], ...]:
        """Compile the values of ``sources``, in order; those that cannot be are findings."""
        found = []
        for name, source in sources.items():
            expression = self._compile(compile_expression, source, pointer + json_pointer(name), owner)
            if expression is not None:
                found.append((name, expression))
        return tuple(found)

    def template(self, value: JsonValue, pointer: str, owner: str) -> Template | None:
        """Compile every ``${...}`` in ``value``; None, and findings, if one is wrong."""
        try:
            return compile_template(value)
        except ExpressionError as error:
            self._findings += findings_from(error, code="BAD_REFERENCE", pointer=pointer, block_id=owner)
            return None

    def items(self, source: str, pointer: str, owner: str) -> Template | None:
        """Compile a ``forEach``: an expression, with or without ``${...}`` around it."""
        return self.template(source if "${" in source else "${" + source + "}", pointer, owner)

    def _compile(
        self, compile_source: Callable[[str], Expression], source: str, pointer: str, owner: str
    ) -> Expression | None:
        known = self._compiled.get((compile_source, source))
        if known is not None:
            return known
        try:
            compiled = compile_source(source)
        except ExpressionError as error:
            self._findings += findings_from(error, code="BAD_CONDITION", pointer=pointer, block_id=owner)
            return None
        self._compiled[compile_source, source] = compiled
        return compiled
