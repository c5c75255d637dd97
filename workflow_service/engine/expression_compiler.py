"""From syntax tree to closures: the allowlist of the expression language.

What this module does not name is refused. Names become look-ups in a ``Scope``, noted as references; values
are handled by ``operators`` only.
"""

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import JsonValue

from workflow_service.engine import operators, syntax_hints
from workflow_service.engine.errors import ExpressionError
from workflow_service.engine.operators import FUNCTIONS, Refused, kind_of
from workflow_service.engine.scope import MissingValue, References, Scope
from workflow_service.engine.syntax_hints import error_at, one_line, shown

Run = Callable[[Scope], Any]

LAZY_FUNCTIONS = frozenset({"exists", "default"})
CONSTANTS: Mapping[str, JsonValue] = {"true": True, "false": False, "null": None}

_ROOT_FORMS = {
    "workflow": "workflow.input",
    "blocks": "blocks.<block id>.output",
    "context": "context.<name>",
    "secrets": "secrets.<NAME>",
    "execution": "execution.id",
}


_BINARY: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operators.add,
    ast.Sub: operators.subtract,
    ast.Mult: operators.multiply,
    ast.Div: operators.divide,
    ast.Mod: operators.remainder,
}
_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operators.less,
    ast.LtE: operators.less_or_equal,
    ast.Gt: operators.greater,
    ast.GtE: operators.greater_or_equal,
    ast.In: operators.is_in,
    ast.NotIn: operators.is_not_in,
}


class Compiler:
    """Turns the nodes of one expression into closures, noting what they read."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._context: set[str] = set()
        self._outputs: set[str] = set()
        self._secrets: set[str] = set()
        self._input = False

    def references(self) -> References:
        return References(
            frozenset(self._context), frozenset(self._outputs), self._input, frozenset(self._secrets)
        )

    def compile(self, node: ast.expr) -> Run:
        match node:
            case ast.Constant():
                return self._constant(node)
            case ast.Name():
                return self._name(node)
            case ast.Attribute():
                return self._root(node) or self._look_up(node, _always(node.attr))
            case ast.Subscript():
                return self._root(node) or self._look_up(node, self._index(node))
            case ast.Compare():
                return self._compare(node)
            case ast.BoolOp():
                return self._bool_op(node)
            case ast.UnaryOp():
                return self._unary(node)
            case ast.BinOp():
                return self._binary(node)
            case ast.List() | ast.Tuple():
                return self._list(node)
            case ast.Call():
                return self._call(node)
        raise self._not_allowed(node)

    def _error(self, code: str, message: str, node: ast.expr, suggestion: str = "") -> ExpressionError:
        return error_at(code, message, self.source, node, suggestion)

    def _not_allowed(self, node: ast.expr) -> ExpressionError:
        what, suggestion = syntax_hints.not_allowed(node)
        return self._error("EXPRESSION_NOT_ALLOWED", f"{what} is not part of the language", node, suggestion)

    def _text_of(self, node: ast.expr) -> str:
        return shown(ast.get_source_segment(one_line(self.source), node) or self.source)

    def _refused(self, refusal: Refused, node: ast.expr) -> ExpressionError:
        return self._error("TYPE_MISMATCH", refusal.message, node, refusal.suggestion)

    def _constant(self, node: ast.Constant) -> Run:
        value = node.value
        if not (value is None or isinstance(value, bool | int | float | str)):
            raise self._not_allowed(node)
        try:
            if operators.is_number(value):
                operators.bounded_number(value)
        except Refused as refusal:
            raise self._refused(refusal, node) from None
        return _always(value)

    def _name(self, node: ast.Name) -> Run:
        name = node.id
        if name in CONSTANTS:
            return _always(CONSTANTS[name])
        if name in _ROOT_FORMS:
            raise self._error(
                "EXPRESSION_NOT_ALLOWED",
                f"'{name}' is no value by itself",
                node,
                f"write {_ROOT_FORMS[name]}",
            )
        self._context.add(name)
        missing = f"'{name}' is missing: neither the block's own output nor the context has it"
        if name == "input":
            missing += "; what the run was started with is workflow.input"
        return self._read(node, lambda scope: scope.name(name), missing)

    def _read(self, node: ast.expr, read: Run, missing: str) -> Run:
        def run(scope: Scope) -> Any:
            try:
                return read(scope)
            except KeyError:
                raise error_at("MISSING_VALUE", missing, self.source, node, kind=MissingValue) from None

        return run

    def _root(self, node: ast.Attribute | ast.Subscript) -> Run | None:
        """Compile ``node`` if it is one of the forms of ``_ROOT_FORMS``."""
        key = _constant_key(node)
        match node.value:
            case ast.Name(id="workflow") if key == "input":
                self._input = True
                return lambda scope: scope.input
            case ast.Name(id="context") if key is not None:
                self._context.add(key)
                return self._read(node, lambda scope: scope.context(key), f"the context has no '{key}'")
            case ast.Name(id="secrets") if key is not None:
                self._secrets.add(key)
                return self._read(node, lambda scope: scope.secret(key), f"there is no secret '{key}'")
            case ast.Name(id="execution") if key == "id":
                return self._read(node, lambda scope: scope.execution["id"], "the execution has no id yet")
            case ast.Attribute(value=ast.Name(id="blocks")) | ast.Subscript(value=ast.Name(id="blocks")):
                block_id = _constant_key(node.value)
                if key == "output" and block_id is not None:
                    self._outputs.add(block_id)
                    missing = f"block '{block_id}' has no output"
                    return self._read(node, lambda scope: scope.output(block_id), missing)
        return None

    def _index(self, node: ast.Subscript) -> Run:
        if isinstance(node.slice, ast.Slice):
            raise self._not_allowed(node.slice)
        return self.compile(node.slice)

    def _look_up(self, node: ast.Attribute | ast.Subscript, key_of: Run) -> Run:
        base = node.value
        value_of = self.compile(base)
        look_up = operators.look_up

        def run(scope: Scope) -> Any:
            value, key = value_of(scope), key_of(scope)
            try:
                return look_up(value, key)
            except LookupError:
                name = _constant_key(node)
                lack = f"has no '{shown(name)}'" if name is not None else "has no such entry"
                lack = "is null" if value is None else lack
                message = f"{self._text_of(node)} is missing: {self._text_of(base)} {lack}"
                hint = syntax_hints.nearest(name, value)
                raise error_at("MISSING_VALUE", message, self.source, node, hint, MissingValue) from None
            except Refused as refusal:
                message = f"{self._text_of(node)}: {refusal.message}"
                raise self._error("TYPE_MISMATCH", message, node, refusal.suggestion) from None

        return run

    def _compare(self, node: ast.Compare) -> Run:
        first = self.compile(node.left)
        steps = []
        for kind, right in zip(node.ops, node.comparators, strict=True):
            compare = _COMPARISONS.get(type(kind))
            if compare is None:
                raise self._error(
                    "EXPRESSION_NOT_ALLOWED", "'is' is not part of the language", node, "write == or !="
                )
            steps.append((compare, self.compile(right)))
        if len(steps) == 1:
            return self._apply_two(node, steps[0][0], first, steps[0][1])

        def run(scope: Scope) -> Any:
            left = first(scope)
            for compare, right_of in steps:
                right = right_of(scope)
                try:
                    if not compare(left, right):
                        return False
                except Refused as refusal:
                    raise self._refused(refusal, node) from None
                left = right
            return True

        return run

    def _apply_two(
        self, node: ast.expr, apply: Callable[[Any, Any], Any], left_of: Run, right_of: Run
    ) -> Run:
        def run(scope: Scope) -> Any:
            left, right = left_of(scope), right_of(scope)
            try:
                return apply(left, right)
            except Refused as refusal:
                raise self._refused(refusal, node) from None

        return run

    def _truth(self, node: ast.expr) -> Run:
        """Compile an operand of and, or, not: it must be True or False."""
        if never_boolean(node):
            message = f"{self._text_of(node)} is never true or false"
            raise self._error("TYPE_MISMATCH", message, node, "compare it, as in count > 0")
        value_of = self.compile(node)

        def run(scope: Scope) -> Any:
            value = value_of(scope)
            if value is True or value is False:
                return value
            message = f"{self._text_of(node)} is {kind_of(value)}, not true or false"
            raise self._error(
                "TYPE_MISMATCH", message, node, "compare it with something, or use exists() or len()"
            )

        return run

    def _bool_op(self, node: ast.BoolOp) -> Run:
        operands = tuple(self._truth(value) for value in node.values)
        decisive = isinstance(node.op, ast.Or)

        def run(scope: Scope) -> Any:
            for operand in operands:
                if operand(scope) is decisive:
                    return decisive
            return not decisive

        return run

    def _unary(self, node: ast.UnaryOp) -> Run:
        if isinstance(node.op, ast.Not):
            truth = self._truth(node.operand)
            return lambda scope: not truth(scope)
        if isinstance(node.op, ast.Invert):
            raise self._not_allowed(node)
        operand = self.compile(node.operand)
        apply = operators.negate if isinstance(node.op, ast.USub) else operators.plus

        def run(scope: Scope) -> Any:
            value = operand(scope)
            try:
                return apply(value)
            except Refused as refusal:
                raise self._refused(refusal, node) from None

        return run

    def _binary(self, node: ast.BinOp) -> Run:
        apply = _BINARY.get(type(node.op))
        if apply is None:
            raise self._not_allowed(node)
        return self._apply_two(node, apply, self.compile(node.left), self.compile(node.right))

    def _list(self, node: ast.List | ast.Tuple) -> Run:
        items = tuple(self.compile(item) for item in node.elts)
        return lambda scope: [item(scope) for item in items]

    def _call(self, node: ast.Call) -> Run:
        if not isinstance(node.func, ast.Name):
            raise self._error(
                "EXPRESSION_NOT_ALLOWED",
                "a method cannot be called",
                node,
                "write lower(name) instead of name.lower()",
            )
        name = node.func.id
        if name not in FUNCTIONS and name not in LAZY_FUNCTIONS:
            known = sorted(FUNCTIONS.keys() | LAZY_FUNCTIONS)
            hint = syntax_hints.nearest(name, known) or f"the functions are: {', '.join(known)}"
            raise self._error("EXPRESSION_NOT_ALLOWED", f"there is no function '{shown(name)}'", node, hint)
        if node.keywords:
            raise self._error("EXPRESSION_NOT_ALLOWED", f"{name}() takes no named arguments", node)
        arguments = [self.compile(argument) for argument in node.args]
        if name in LAZY_FUNCTIONS:
            return self._lazy(node, name, arguments)
        function = FUNCTIONS[name]
        if not function.least <= len(arguments) <= function.most:
            wanted = function.least if function.least == function.most else f"at least {function.least}"
            raise self._error("EXPRESSION_NOT_ALLOWED", f"{name}() takes {wanted} argument(s)", node)

        def run(scope: Scope) -> Any:
            values = [argument(scope) for argument in arguments]
            try:
                return function.apply(*values)
            except Refused as refusal:
                raise self._refused(refusal, node) from None

        return run

    def _lazy(self, node: ast.Call, name: str, arguments: list[Run]) -> Run:
        """Compile exists() and default(): to both, null is as good as missing."""
        wanted = 1 if name == "exists" else 2
        if len(arguments) != wanted:
            raise self._error("EXPRESSION_NOT_ALLOWED", f"{name}() takes {wanted} argument(s)", node)

        def value_or_none(scope: Scope) -> Any:
            try:
                return arguments[0](scope)
            except MissingValue:
                return None

        if name == "exists":
            return lambda scope: value_or_none(scope) is not None

        def run(scope: Scope) -> Any:
            value = value_or_none(scope)
            return arguments[1](scope) if value is None else value

        return run


def never_boolean(node: ast.expr) -> bool:
    """Tell whether ``node`` can be seen to have no value that is true or false."""
    match node:
        case ast.Constant(value=bool()) | ast.UnaryOp(op=ast.Not()):
            return False
    return isinstance(node, ast.Constant | ast.UnaryOp | ast.BinOp | ast.List | ast.Tuple)


def _always(value: Any) -> Run:
    return lambda scope: value


def _constant_key(node: ast.Attribute | ast.Subscript) -> str | None:
    if isinstance(node, ast.Attribute):
        return node.attr
    match node.slice:
        case ast.Constant(value=str(key)):
            return key
    return None
