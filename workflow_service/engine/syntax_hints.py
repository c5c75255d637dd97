"""Words for expressions that are wrong: what it is, where, and what to write instead.

It decides nothing but the text of the error. The exception is ``forbidden_text``, which refuses what Python's
parser would accept and conditions must not hold.
"""

import ast
import difflib
import keyword
import re
from collections.abc import Iterable
from itertools import islice
from typing import Any

from workflow_service.engine.errors import ExpressionError, Problem

TEXT_LITERAL = re.compile(r"""'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*\"""")
_BAD_ESCAPE = re.compile(
    r"""\\(?![\\'"nrtbf]|x(?!00)[0-9a-fA-F]{2}|u(?!0000|[dD][89a-fA-F])[0-9a-fA-F]{4})"""
)
_ANY_ESCAPE = re.compile(r"\\(?:x..|u....|.)", re.DOTALL)
# Python reads ``1or x`` with a warning on standard error, and may one day not read it.
_STUCK_NUMBER = re.compile(
    r"(?<![\w.])(?:0[xX][\da-fA-F_]++|0[oObB][\d_]++|(?:\d[\d_]*+(?:\.[\d_]*+)?+|\.\d[\d_]*+)(?:[eE][+-]?\d[\d_]*+)?+)"
    r"[jJ]?(?=(?:and|else|for|if|in|is|not|or)(?!\w))"
)
_KEYWORD_KEY = re.compile(rf"\.\s*({'|'.join(keyword.kwlist)})\b")

# What people write who think in another language, and what it is here; tried in this order outside quotes.
_FOREIGN: tuple[tuple[re.Pattern[str], str, str], ...] = (
    (re.compile(r"&&"), "'&&' is not part of the language", "write and"),
    (re.compile(r"\|\|"), "'||' is not part of the language", "write or"),
    (re.compile(r"===|!=="), "'===' is not part of the language", "write == or !="),
    (re.compile(r"<>"), "'<>' is not part of the language", "write !="),
    (re.compile(r"->"), "'->' cannot stand in a condition", "a ';' is missing before the next transition"),
    (re.compile(r"[\u2018\u2019\u201c\u201d]"), "a typographic quote cannot enclose a text", "write ' or \""),
    (re.compile(r":="), "':=' is not part of the language", "write == to compare"),
    (re.compile(r"(?<![=!<>])=(?!=)"), "a single '=' does not compare", "write == to compare"),
    (re.compile(r"!(?!=)"), "'!' is not part of the language", "write not"),
    (re.compile(r"\bAND\b"), "'AND' is not part of the language", "write and"),
    (re.compile(r"\bOR\b"), "'OR' is not part of the language", "write or"),
    (re.compile(r"\bNOT\b"), "'NOT' is not part of the language", "write not"),
    (re.compile(r"\?"), "'?' is not part of the language", "write one transition for each case"),
    (re.compile(r":"), "':' cannot stand in a condition", "join two conditions with and"),
    (re.compile(r"[{}]"), "braces are not part of the language", "write a list as [1, 2]"),
    (
        re.compile(r";"),
        "';' ends a transition and cannot stand in a condition",
        "put it in quotes if it is text",
    ),
)

_NOT_ALLOWED: dict[type[ast.AST], tuple[str, str]] = {
    ast.Dict: ("an object in braces", ""),
    ast.Set: ("a set in braces", "write a list as [1, 2]"),
    ast.Lambda: ("lambda", ""),
    ast.IfExp: ("if ... else", "write one transition for each case"),
    ast.ListComp: ("a comprehension", ""),
    ast.SetComp: ("a comprehension", ""),
    ast.DictComp: ("a comprehension", ""),
    ast.GeneratorExp: ("a comprehension", ""),
    ast.JoinedStr: ("an f-string", "join texts with +"),
    ast.NamedExpr: ("':='", "write == to compare"),
    ast.Starred: ("'*' before a value", ""),
    ast.Slice: ("a slice", "write one index, as in [0]"),
    ast.Await: ("await", ""),
    ast.Yield: ("yield", ""),
    ast.YieldFrom: ("yield", ""),
    ast.Constant: ("this kind of constant", "use a number, a text, True, False or None"),
    ast.Pow: ("'**'", "use + - * / %"),
    ast.FloorDiv: ("'//'", "use + - * / %"),
    ast.MatMult: ("'@'", "use + - * / %"),
    ast.BitAnd: ("'&'", "write and"),
    ast.BitOr: ("'|'", "write or"),
    ast.BitXor: ("'^'", "write !="),
    ast.LShift: ("'<<'", "use + - * / %"),
    ast.RShift: ("'>>'", "use + - * / %"),
    ast.Invert: ("'~'", "write not"),
}


def not_allowed(node: ast.expr) -> tuple[str, str]:
    """Return what a refused node is, and what to write instead."""
    kind = type(node.op) if isinstance(node, ast.BinOp | ast.UnaryOp) else type(node)
    return _NOT_ALLOWED.get(kind, ("this", ""))


def nearest(wrong: Any, known: Any) -> str:
    """Return "did you mean ...?" if ``known`` holds something like ``wrong``, else an empty text."""
    if not isinstance(wrong, str) or not isinstance(known, Iterable):
        return ""
    names = [name for name in islice(known, 1_000) if isinstance(name, str) and len(name) <= 100]
    close = difflib.get_close_matches(wrong[:100], names, n=1)
    return f"did you mean '{close[0]}'?" if close else ""


def blank_texts(source: str) -> str:
    """Return ``source`` with its quoted texts blanked out, every other character in its place."""
    return TEXT_LITERAL.sub(lambda match: "_" * len(match.group()), source)


def _problem(
    source: str, offset: int, message: str, suggestion: str = "", code: str = "EXPRESSION_SYNTAX"
) -> Problem:
    line, column = line_and_column(source, offset)
    return Problem(code, message, suggestion=suggestion, line=line, column=column)


def line_and_column(source: str, offset: int) -> tuple[int, int]:
    """Return the place of the character at ``offset``, counted from 1."""
    return source.count("\n", 0, offset) + 1, offset - source.rfind("\n", 0, offset)


def forbidden_text(source: str) -> Problem | None:
    """Return what is wrong with text that Python would read: comments, control characters, odd escapes, ``1or x``."""
    outside = blank_texts(source)
    comment = outside.find("#")
    if comment >= 0:
        return _problem(
            source, comment, "a comment cannot stand in an expression", "put it in quotes if it is text"
        )
    for match in _ANY_ESCAPE.finditer(source):
        if _BAD_ESCAPE.match(match.group()):
            return _problem(
                source,
                match.start(),
                f"'{match.group()}' is not an escape sequence",
                "write \\\\ for a backslash",
            )
    for match in TEXT_LITERAL.finditer(source):
        if len(match.group()) == 2 and source[match.end() : match.end() + 1] == match.group()[0]:
            return _problem(
                source, match.start(), "a text is not enclosed in three quotes", "write one quote"
            )
    stuck = _STUCK_NUMBER.search(outside)
    if stuck is not None:
        return _problem(source, stuck.end(), "a number runs into a word", "write a blank between them")
    for offset, character in enumerate(source):
        if (character < " " and character not in "\t\n") or "\ud800" <= character <= "\udfff":
            return _problem(
                source, offset, f"the character U+{ord(character):04X} cannot stand in an expression"
            )
    return None


def explain(source: str, error: Exception) -> Problem:
    """Return where and why Python could not parse ``source``, with a hint for common slips."""
    outside = blank_texts(source)
    keyword_key = _KEYWORD_KEY.search(outside)
    if keyword_key:
        word = keyword_key.group(1)
        return _problem(
            source,
            keyword_key.start(1),
            f"'{word}' is a reserved word",
            f"write ['{word}'] instead of .{word}",
        )
    quote = re.search("['\"]", outside)
    if quote:
        return _problem(
            source, quote.start(), f"the quote {quote.group()} is never closed", "close it on its line"
        )
    for pattern, message, suggestion in _FOREIGN:
        match = pattern.search(outside)
        if match:
            return _problem(source, match.start(), message, suggestion)
    for opening, closing in ("()", "[]"):
        missing = outside.count(opening) - outside.count(closing)
        if missing:
            odd = opening if missing > 0 else closing
            return _problem(source, outside.rfind(odd), f"'{odd}' has no counterpart", "balance the brackets")
    offset = max(error.offset or 1, 1) - 1 if isinstance(error, SyntaxError) else 0
    return _problem(source, offset, "this cannot be read as an expression")


def one_line(source: str) -> str:
    """Return ``source`` with its line breaks as blanks, every character in its place."""
    return source.replace("\n", " ")


def shown(source: str) -> str:
    """Return ``source`` cut to what fits into a message."""
    source = one_line(source)
    return source if len(source) <= 200 else source[:197] + "..."


def place_of(source: str, node: ast.expr) -> tuple[int, int]:
    """Return line and column of ``node``, counted from 1 in characters.

    The parser saw ``source`` as one line and counted in bytes.
    """
    return line_and_column(source, len(source.encode()[: node.col_offset].decode()))


def error_at(
    code: str,
    message: str,
    source: str,
    node: ast.expr | None = None,
    suggestion: str = "",
    kind: type[ExpressionError] = ExpressionError,
) -> ExpressionError:
    """Return an error that names the place of ``node`` (the whole source without one)."""
    line, column = place_of(source, node) if node is not None else (1, 1)
    return error_of(Problem(code, message, suggestion=suggestion, line=line, column=column), source, kind)


def error_of(problem: Problem, source: str, kind: type[ExpressionError] = ExpressionError) -> ExpressionError:
    """Return the error of one problem, its message naming place and mend."""
    where = (
        f"column {problem.column}" if problem.line == 1 else f"line {problem.line}, column {problem.column}"
    )
    hint = f" ({problem.suggestion})" if problem.suggestion else ""
    return kind(f"{problem.message}{hint}, at {where} of: {shown(source)}", [problem])
