"""The text of the workflow DSL: its grammar, and words for what does not fit it.

``read_transitions`` turns a text into ``Transition`` values with their places; what they mean is decided in
``dsl``. A syntax error carries line, column, what was expected there and how to mend it.
"""

import re
from dataclasses import dataclass
from typing import Any

from lark import Lark, Token, Transformer
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from workflow_service.engine.errors import DslSyntaxError, Problem
from workflow_service.engine.syntax_hints import line_and_column

# A condition reaches to the first ';' or comment outside quotes. Quoted text stays on one line.
_GRAMMAR = r"""
start: _transitions transition?
_transitions: | _transitions transition ";" | _transitions ";"

transition: source ARROW target CONDITION?

?source: NAME | names
?target: NAME | names
names: "[" NAME ("," NAME)* "]"

ARROW: "->" | "!->"
NAME: /[A-Za-z_][A-Za-z_0-9]*/
CONDITION: /:(?:[^;#"'`]|"(?:[^"\\\n]|\\[^\n])*"|'(?:[^'\\\n]|\\[^\n])*'|`[^`\n]*`)*/

%ignore /[ \t\n]+/
%ignore /#[^\n]*/
"""


@dataclass(frozen=True, slots=True)
class Word:
    """A piece of the text with the place where it starts, counted from 1."""

    text: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Transition:
    """One line of the DSL. ``condition`` is the text behind the colon, blanks around it stripped."""

    sources: tuple[Word, ...]
    targets: tuple[Word, ...]
    on_error: bool
    condition: Word | None


class _Reader(Transformer[Token, list[Transition]]):
    def start(self, transitions: list[Transition]) -> list[Transition]:
        return transitions

    def names(self, names: list[Token]) -> tuple[Word, ...]:
        return tuple(_word(name) for name in names)

    def transition(self, parts: list[Any]) -> Transition:
        source, arrow, target, *rest = parts
        condition = _condition(rest[0]) if rest else None
        return Transition(_words(source), _words(target), arrow == "!->", condition)


def _word(token: Token) -> Word:
    return Word(str(token), token.line or 1, token.column or 1)


def _words(names: Token | tuple[Word, ...]) -> tuple[Word, ...]:
    return (_word(names),) if isinstance(names, Token) else names


def _condition(token: Token) -> Word:
    text = str(token)[1:]
    start = len(text) - len(text.lstrip())
    line, column = line_and_column(text, start)
    shift = (token.column or 1) if line == 1 else 0
    return Word(text.strip(), (token.line or 1) + line - 1, column + shift)


_PARSER = Lark(_GRAMMAR, parser="lalr", lexer="contextual", transformer=_Reader(), maybe_placeholders=False)


def read_transitions(text: str) -> list[Transition]:
    """Return the transitions of ``text``, in order; raises ``DslSyntaxError``.

    A byte order mark is dropped; CRLF and CR end lines as LF does.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    try:
        transitions: Any = _PARSER.parse(text)
    except UnexpectedInput as error:
        raise _Explanation(text, error).error() from None
    found: list[Transition] = transitions
    return found


def syntax_error(message: str, suggestion: str, line: int, column: int) -> DslSyntaxError:
    """Return the error of one place in the text."""
    hint = f"; {suggestion}" if suggestion else ""
    problem = Problem("DSL_SYNTAX_ERROR", message, suggestion=suggestion, line=line, column=column)
    return DslSyntaxError(f"line {line}, column {column}: {message}{hint}", [problem])


LAST_WORD = 200
_INVISIBLE = re.compile("[\u00a0\u00ad\u200b-\u200f\u2028-\u202f\u2060\ufeff]")
_DASHES = "-=>\u2010\u2011\u2012\u2013\u2014\u2192\u21d2"
_COMMENT = re.compile(r"""("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')|#[^\n]*""")
_WORDS = {
    "NAME": "a state's name",
    "ARROW": "'->'",
    "CONDITION": "':' and a condition",
    "SEMICOLON": "';'",
    "LSQB": "'['",
    "RSQB": "']'",
    "COMMA": "','",
    "$END": "the end of the text",
}


class _Explanation:
    """Why the parser stopped, in words: looks at what it found, what it expected, and what stands before."""

    def __init__(self, text: str, error: UnexpectedInput) -> None:
        self.text = text
        if isinstance(error, UnexpectedCharacters):
            self.kind, self.expected = "", set(error.allowed or ())
            position: Any = error.pos_in_stream
            self.offset = int(position)
            self.found = text[self.offset]
        elif isinstance(error, UnexpectedToken):
            self.kind, self.expected = error.token.type, set(error.accepts)
            self.offset = len(text) if self.kind == "$END" else (error.token.start_pos or 0)
            self.found = str(error.token)
        self.rest = text[self.offset :][:40]
        before = _COMMENT.sub(lambda match: match.group(1) or " " * len(match.group()), text[: self.offset])
        self.before = before.rstrip()

    def error(self) -> DslSyntaxError:
        offset, message, suggestion = self._explain_character() if self.kind == "" else self._explain_token()
        return syntax_error(message, suggestion, *line_and_column(self.text, offset))

    def _explain_character(self) -> tuple[int, str, str]:
        at, character = self.offset, self.found
        if character in "\"'`":
            if "CONDITION" in self.expected or self.before.endswith(":") or self._in_condition():
                return at, f"the quote {character} is never closed", "close it on the same line"
            return at, "a quote cannot stand here", "write a state's name without quotes"
        if _INVISIBLE.match(character):
            return at, f"the invisible character U+{ord(character):04X} cannot stand here", "delete it"
        if character == "/" and self.rest.startswith(("//", "/*")):
            return at, "this is not a comment", "begin a comment with #"
        if character == "-" and re.match(r"-\w", self.rest) and self.before[-1:].isalnum():
            return at, "'-' cannot be part of a state's name", "write _ instead"
        if character in _DASHES and "ARROW" in self.expected:
            return at, "an arrow is written '->'", "write a->b"
        if character == "!" and "ARROW" in self.expected:
            return at, "an error arrow is written '!->'", "write charge!->refund"
        if character.isdigit():
            return at, "a state's name cannot begin with a digit", "begin it with a letter or _"
        if character.isalpha():
            return (
                at,
                f"'{character}' cannot be part of a state's name",
                "use the letters A to Z, digits and _",
            )
        return at, f"'{character}' is not expected here; expected {self._expected()}", ""

    def _explain_token(self) -> tuple[int, str, str]:
        at, previous = self.offset, len(self.before)
        found = "the text ends here" if self.kind == "$END" else f"'{self.found[:40]}' is not expected here"
        if "SEMICOLON" in self.expected and "CONDITION" in self.expected:
            if self.kind == "ARROW":
                return at, "a transition has one arrow", "write a->b; b->c;"
            if "\n" in self.text[previous:at] or self.kind == "LSQB":
                return previous, f"';' is missing after {self._last_word()}", "end each transition with ';'"
            return at, f"{found}; expected ';' or a condition", "a state's name has no blanks"
        if "SEMICOLON" in self.expected and "NAME" in self.expected:
            missing = "a state's name is missing before '->'"
            return (
                (at, missing, "write a->b") if self.kind == "ARROW" else (at, f"{found}; expected a->b", "")
            )
        if "SEMICOLON" in self.expected:
            return previous, "';' is missing after the condition", "end each transition with ';'"
        if self.expected == {"ARROW"}:
            if self.kind == "CONDITION":
                return at, "a condition stands behind the target", "write a->b:condition"
            if self.kind == "NAME" and "\n" not in self.text[previous:at]:
                return at, f"'->' is missing before '{self.found[:40]}'", "a state's name has no blanks"
            return previous, f"'->' and a target are missing after {self._last_word()}", "write a->b;"
        if "RSQB" in self.expected:
            return at, f"{found}; expected ',' or ']'", "write [a,b,c]"
        if "NAME" in self.expected and self.before.endswith("->"):
            return previous, "a target is missing after '->'", "name a state, a list as [a,b], or end"
        return at, f"{found}; expected {self._expected()}", ""

    def _in_condition(self) -> bool:
        return ":" in self.before.rsplit(";", 1)[-1]

    def _last_word(self) -> str:
        # From the end of a long text: the pattern is tried at every place in it.
        match = re.search(r"(\w+|\[[^\[\]]*\]|.)\Z", self.before[-LAST_WORD:], re.DOTALL)
        return f"'{match.group()[:40]}'" if match else "the beginning"

    def _expected(self) -> str:
        words = sorted({_WORDS.get(name, name) for name in self.expected if name in _WORDS})
        return " or ".join(words) or "nothing more"
