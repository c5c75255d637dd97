"""Conditions in words: ``is_valid == True`` reads "it is valid", ``amount > 1000`` "amount is more than 1000".

What has no plain reading is quoted as it is written, so that nothing is told wrongly.
"""

import ast
import re

from workflow_service.ai.english.verbs import is_participle, third_person
from workflow_service.ai.english.word_lists import words

_ORDER: dict[type[ast.cmpop], str] = {
    ast.Gt: "is more than",
    ast.GtE: "is at least",
    ast.Lt: "is less than",
    ast.LtE: "is at most",
}
_ADJECTIVES = words(
    """
    able acceptable active available bad big clean clear complete compliant correct critical customer different
    due eligible empty equal exact expensive faulty fine first free fresh full good healthy high important
    incomplete international invalid large late live low minor missing new normal ok old online open overdue
    possible present private public ready relevant safe same sensitive severe short small successful sufficient
    unavailable unique unsafe unsuccessful urgent valid vip
    """
)
_HAPPENINGS = {"success": "succeed", "succeeds": "succeed", "succeeded": "succeed", "pass": "pass", "passes": "pass",
               "passed": "pass", "fail": "fail", "fails": "fail", "failed": "fail", "failure": "fail"}  # fmt: skip
_QUANTITIES = frozenset({"all", "any", "some", "none", "no", "both"})


def describe_condition(source: str) -> str:
    """Return a condition as words that can follow "if"."""
    try:
        tree = ast.parse(source.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return f"“{source.strip()}” holds"
    return _describe(tree) or f"“{source.strip()}” holds"


def _describe(node: ast.expr) -> str | None:
    match node:
        case ast.BoolOp(op=op, values=values):
            parts = [_describe(value) for value in values]
            known = [part for part in parts if part is not None]
            word = " and " if isinstance(op, ast.And) else " or "
            return word.join(known) if len(known) == len(parts) else None
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return _fact(operand, holds=False)
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return _comparison(left, op, right)
        case ast.Name() | ast.Attribute():
            return _fact(node, holds=True)
    return None


def _comparison(left: ast.expr, op: ast.cmpop, right: ast.expr) -> str | None:
    if (
        isinstance(right, ast.Constant)
        and isinstance(right.value, bool)
        and isinstance(op, ast.Eq | ast.NotEq)
    ):
        return _fact(left, holds=right.value is isinstance(op, ast.Eq))
    name, value = _name(left), _value(right)
    if name is None or value is None:
        return None
    subject = _the(name.split())
    match op:
        case ast.Eq():
            return f"{subject} is {value}"
        case ast.NotEq():
            return f"{subject} is not {value}"
        case ast.In():
            return f"{subject} is one of {value}"
        case ast.NotIn():
            return f"{subject} is none of {value}"
    return f"{subject} {_ORDER[type(op)]} {value}" if type(op) in _ORDER else None


def _fact(node: ast.expr, *, holds: bool) -> str | None:
    """Return what a name stands for that is true or false: ``order_valid`` is "order is valid"."""
    name = _name(node)
    if name is None:
        return None
    words = name.split()
    if words[0] in ("is", "has", "can", "was") and len(words) > 1:
        return _asserted(words, holds=holds)
    *subject, last = words
    if last in _HAPPENINGS and subject:
        verb = _HAPPENINGS[last]
        plural = subject[0] in _QUANTITIES - {"any"} or subject[-1].endswith("s")
        does = verb if plural else third_person(verb)
        named = _the(subject)
        return f"{named} {does}" if holds else f"{named} {_did_not(plural)} {verb}"
    if last in _ADJECTIVES or is_participle(last):
        return f"{_subject(subject)}{'' if holds else ' not'} {last}"
    return f"{_the(words)} is {'true' if holds else 'false'}"


def _asserted(words: list[str], *, holds: bool) -> str:
    first, rest = words[0], " ".join(words[1:])
    if first == "has":
        return f"it has {rest}" if holds else f"it has no {rest}"
    verb = {"is": "is", "was": "was", "can": "can"}[first]
    return f"it {verb} {rest}" if holds else f"it {verb} not {rest}"


def _did_not(plural: bool) -> str:
    return "do not" if plural else "does not"


def _subject(words: list[str]) -> str:
    if not words:
        return "it is"
    plural = words[0] in _QUANTITIES or (re.search(r"[^suia]s$", words[-1]))
    return f"{_the(words)} {'are' if plural else 'is'}"


def _the(words: list[str]) -> str:
    return " ".join(words if words[0] in (*_QUANTITIES, "it", "the") else ["the", *words])


def _name(node: ast.expr) -> str | None:
    match node:
        case ast.Name(id=name):
            return _words(name)
        case ast.Attribute(attr=name, value=inner):
            # blocks.check.output.valid and workflow.input.amount are known by their last part.
            return _words(name) if _name(inner) is not None else None
        case ast.Call(func=ast.Name(id="len"), args=[inner]):
            counted = _name(inner)
            return f"the number of {counted}" if counted else None
    return None


def _words(name: str) -> str:
    return name.replace("_", " ").strip() or name


def _value(node: ast.expr) -> str | None:
    match node:
        case ast.Constant(value=str() as text):
            return f"'{text}'" if " " in text or not text else text
        case ast.Constant(value=None):
            return "nothing"
        case ast.Constant(value=value):
            return repr(value)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=value)):
            return f"-{value!r}"
        case ast.List(elts=members) | ast.Tuple(elts=members):
            shown = [_value(member) for member in members]
            return ", ".join(one for one in shown if one is not None) if None not in shown else None
        case ast.Name() | ast.Attribute():
            return _name(node)
    return None
