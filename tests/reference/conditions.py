"""The few conditions that random workflows use, evaluated apart from the engine: ``path``, ``path op literal``."""

import json
import operator
import re
from collections.abc import Mapping
from typing import Any

CONDITION = re.compile(r"([\w.]+)(?: (==|!=|>|<|>=|<=) (\S+))?")
OUTPUT = re.compile(r"blocks\.(\w+)\.output\.(\w+)")
OPERATORS = {
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}


class Unevaluable(Exception):
    """A condition reads what is not there, or is neither true nor false."""


def holds(
    condition: str,
    own: Mapping[str, Any],
    context: Mapping[str, Any],
    outputs: Mapping[str, Mapping[str, Any]],
) -> bool:
    """Evaluate ``condition``: bare names are the block's ``own``, else the context's; raises ``Unevaluable``."""
    match = CONDITION.fullmatch(condition)
    assert match, condition
    path, comparison, literal = match.groups()
    value = _read(path, own, context, outputs)
    if comparison:
        value = OPERATORS[comparison](value, json.loads(literal))
    if not isinstance(value, bool):
        raise Unevaluable(condition)
    return value


def _read(
    path: str, own: Mapping[str, Any], context: Mapping[str, Any], outputs: Mapping[str, Mapping[str, Any]]
) -> Any:
    if path in ("true", "false"):
        return path == "true"
    try:
        if match := OUTPUT.fullmatch(path):
            block, key = match.groups()
            return outputs[block][key]
        return own[path] if path in own else context[path]
    except KeyError as missing:
        raise Unevaluable(path) from missing
