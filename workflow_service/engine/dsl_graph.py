"""From transitions to the document of a definition: what each line of the DSL means for the graph.

Every wrong name, condition and state is collected as a ``Problem`` with its place; ``document`` raises them
together.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from workflow_service.engine.definition import END, MAX_QUESTION_LENGTH, START, check_block_id
from workflow_service.engine.documents import (
    MAX_PROBLEMS,
    Document,
    canonical_state,
    check_document,
    invalid_definition,
)
from workflow_service.engine.dsl_syntax import Transition, Word, syntax_error
from workflow_service.engine.errors import ExpressionError, Problem
from workflow_service.engine.expressions import compile_condition
from workflow_service.engine.json_values import json_pointer
from workflow_service.engine.operators import kind_of
from workflow_service.engine.syntax_hints import blank_texts, line_and_column, nearest

DEFAULT_WORDS = frozenset({"else", "default"})
QUOTED = re.compile(r"""("(?:[^"\\\n]|\\[^\n])*"|'(?:[^'\\\n]|\\[^\n])*')""")
# A question, and the expression that answers it where no model does: "the customer is angry" fallback score < 3
FALLBACK = "fallback"
_WITH_FALLBACK = re.compile(rf"{QUOTED.pattern}\s+{FALLBACK}\s(?P<expression>.*)", re.DOTALL)

_UNCHECKED = re.compile(r"`[^`\n]*`")
_PROSE = re.compile(r"[A-Za-z][A-Za-z,.-]*(?: +[A-Za-z][A-Za-z,.-]*){2,}\??")
_GRAPH_FIELDS = frozenset({"blockId", "block_id", "dependencies", "onError", "on_error"})
_GATE_GRAPH_FIELDS = frozenset({"sources", "nextBlocks", "next_blocks", "branches"})


@dataclass(slots=True)
class _Exits:
    """Where a state or a join leads, as the text has said so far (dicts keep order and drop repetitions)."""

    plain: dict[str, None] = field(default_factory=dict)
    branches: list[Document] = field(default_factory=list)
    on_error: dict[str, None] = field(default_factory=dict)


class DslGraph:
    """The graph that a text describes, transition by transition."""

    def __init__(self) -> None:
        self._blocks: dict[str, _Exits] = {}
        self._gates: dict[tuple[str, ...], _Exits] = {}
        self._starts: dict[str, None] = {}
        self._first_words: dict[str, Word] = {}
        self._led_to: set[str] = set()
        self._ends: list[str] = []
        self._dependencies: dict[str, list[str]] = {}
        self._problems: list[Problem] = []

    def add(self, transition: Transition) -> None:
        """Take in one transition; raises ``DslSyntaxError`` where a ';' is missing."""
        if len(self._problems) >= MAX_PROBLEMS:
            raise invalid_definition(self._problems)
        targets = self._named(transition.targets, START, "no transition leads to 'start'")
        sources = self._named(transition.sources, END, "no transition leaves 'end'")
        self._led_to.update(targets)
        branch = self._branch(transition.condition, targets) if transition.condition else None
        if not targets or not sources:
            return
        if START in sources:
            self._add_start(transition, sources, targets)
            return
        if transition.on_error:
            self._add_error(transition, sources, targets)
            return
        exits = self._blocks[sources[0]] if len(sources) == 1 else self._gate(sources)
        if transition.condition is None:
            exits.plain.update(dict.fromkeys(targets))
        elif branch is not None:
            exits.branches.append(branch)

    def document(self, states: Any) -> Document:
        """Return the document of the graph with ``states``; raises ``InvalidDefinition`` with all of them."""
        document, problems = self.read(states)
        if problems:
            raise invalid_definition(problems)
        return document

    def read(self, states: Any) -> tuple[Document, list[Problem]]:
        """Return the document of what could be read, and everything that is wrong.

        Raises ``InvalidDefinition`` where there are no states at all, or what is given for them is no object.
        """
        if not isinstance(states, Mapping):
            message = f"must be an object by block id, not {kind_of(states)}"
            raise invalid_definition([*self._problems, Problem("WRONG_TYPE", message, "/states")])
        check_document({"states": states})
        if not self._blocks and not self._problems:
            raise syntax_error("the workflow has no states", "write start->work; work->end;", 1, 1)
        self._find_unreachable()
        block_states, gate_states = self._states_by_owner(states)
        names = [name for name in states if name in self._blocks]
        if len(names) < len(self._blocks):
            names = list(self._blocks)
        self._link()
        blocks = [self._block_document(name, block_states.get(name, {})) for name in names]
        gates: list[Document] = [
            {
                **gate_states.get(key, {}),
                "sources": list(key),
                "nextBlocks": list(exits.plain),
                "branches": exits.branches,
            }
            for key, exits in self._gates.items()
        ]
        return {"blocks": blocks, "gates": gates, "endDependencies": self._ends}, self._problems

    def _find_unreachable(self) -> None:
        """Note the states that nothing leads to, where the text says itself where the workflow starts."""
        for name, word in self._first_words.items() if self._starts else ():
            if name not in self._led_to:
                message = f"nothing leads to '{name}'"
                self._problem("UNREACHABLE_BLOCK", message, word, f"write start->{name}; or lead to it")

    def _problem(self, code: str, message: str, word: Word, suggestion: str = "") -> None:
        self._problems.append(
            Problem(code, message, suggestion=suggestion, line=word.line, column=word.column)
        )

    def _named(self, words: Sequence[Word], forbidden: str, why: str) -> list[str]:
        """Return the names of ``words``, noting new blocks and what is wrong with them."""
        names = []
        for word in words:
            if word.text == forbidden:
                self._problem(
                    "RESERVED_ID", why, word, f"'{forbidden}' is the workflow's own; use another name"
                )
                continue
            if word.text not in self._blocks and word.text not in (START, END):
                try:
                    self._blocks[check_block_id(word.text)] = _Exits()
                    self._first_words[word.text] = word
                except ValueError as error:
                    self._problem("BAD_NAME", f"the name '{word.text[:40]}...' {error}", word)
                    continue
            names.append(word.text)
        return names

    def _add_start(self, transition: Transition, sources: list[str], targets: list[str]) -> None:
        word = transition.sources[0]
        if len(sources) > 1:
            self._problem(
                "RESERVED_ID", "'start' cannot be part of a join", word, "write start->a; on its own"
            )
        elif transition.condition is not None or transition.on_error:
            message = "a transition from 'start' has no condition and no error arrow"
            self._problem("RESERVED_ID", message, word, "let a first state decide")
        elif END in targets:
            self._problem("RESERVED_ID", "'start' cannot lead to 'end' directly", word, "put a state between")
        self._starts.update(dict.fromkeys(targets))

    def _add_error(self, transition: Transition, sources: list[str], targets: list[str]) -> None:
        if len(sources) > 1:
            message = "an error arrow leaves one state, not a list"
            self._problem("BAD_ERROR_EDGE", message, transition.sources[0], "write one line for each state")
        elif transition.condition is not None:
            message = "an error arrow has no condition"
            self._problem("BAD_ERROR_EDGE", message, transition.condition, "let the target decide")
        self._blocks[sources[0]].on_error.update(dict.fromkeys(targets))

    def _gate(self, sources: list[str]) -> _Exits:
        distinct = tuple(sorted(set(sources)))
        return self._blocks[distinct[0]] if len(distinct) == 1 else self._gates.setdefault(distinct, _Exits())

    def _branch(self, condition: Word, targets: list[str]) -> Document | None:
        text = condition.text
        leads_to: Document = {"nextBlocks": list(targets)}
        if text in DEFAULT_WORDS:
            return leads_to
        try:
            if _UNCHECKED.fullmatch(text):
                return {"condition": unescape(text[1:-1]), **leads_to}
            if QUOTED.fullmatch(text):
                return self._question(condition, unescape(text[1:-1]), leads_to)
            if (both := _WITH_FALLBACK.fullmatch(text)) is not None:
                return self._question_with_fallback(condition, both, leads_to)
        except ValueError:
            message = "the quoted text holds an unknown escape"
            self._problem("BAD_CONDITION", message, condition, "write \\\\ for a backslash")
            return None
        return {"condition": text, **leads_to} if self._compiles(condition) else None

    def _compiles(self, condition: Word) -> bool:
        _require_semicolon(condition)
        try:
            compile_condition(condition.text)
        except ExpressionError as error:
            self._bad_condition(condition, error)
            return False
        return True

    def _question_with_fallback(
        self, place: Word, both: re.Match[str], leads_to: Document
    ) -> Document | None:
        question = self._question(place, unescape(both[1][1:-1]), leads_to)
        start = both.start("expression")
        start += len(place.text[start:]) - len(place.text[start:].lstrip())
        line, column = line_and_column(place.text, start)
        expression = Word(
            both["expression"].strip(),
            place.line + line - 1,
            column + (place.column - 1 if line == 1 else 0),
        )
        if _UNCHECKED.fullmatch(expression.text):
            stand_in = unescape(expression.text[1:-1])
        elif self._compiles(expression):
            stand_in = expression.text
        else:
            return None
        return None if question is None else {**question, "expression": stand_in}

    def _question(self, place: Word, question: str, leads_to: Document) -> Document | None:
        if 0 < len(question) <= MAX_QUESTION_LENGTH:
            return {"question": question, **leads_to}
        message = f"a question has 1 to {MAX_QUESTION_LENGTH} characters, not {len(question)}"
        self._problem("BAD_CONDITION", message, place)
        return None

    def _bad_condition(self, condition: Word, error: ExpressionError) -> None:
        problem = error.problems[0]
        line, column = problem.line or 1, problem.column or 1
        suggestion = problem.suggestion
        if not condition.text:
            message = "a condition is missing after ':'"
        else:
            message = f"bad condition: {problem.message}"
            if _PROSE.fullmatch(condition.text):
                suggestion = "to put a question to the LLM, enclose it in double quotes"
        place = Word("", condition.line + line - 1, column + (condition.column - 1 if line == 1 else 0))
        self._problem("BAD_CONDITION", message, place, suggestion)

    def _states_by_owner(
        self, states: Mapping[str, Any]
    ) -> tuple[dict[str, Document], dict[tuple[str, ...], Document]]:
        """Return the states of blocks and of joins, in document A's spelling."""
        of_blocks: dict[str, Document] = {}
        of_gates: dict[tuple[str, ...], Document] = {}
        for name, state in states.items():
            path = ("states", str(name))
            fields, problems = canonical_state(state, path)
            self._problems += problems
            key = _gate_key(name)
            if name in self._blocks:
                of_blocks[name] = self._without_graph(fields, _GRAPH_FIELDS, path)
            elif key in self._gates:
                of_gates[key] = self._without_graph(fields, _GATE_GRAPH_FIELDS, path)
            elif name not in (START, END) or not fields.keys() <= {"name", "description"}:
                hint = nearest(name, self._blocks)
                message = f"the text names no state '{str(name)[:100]}'"
                self._problems.append(Problem("UNKNOWN_BLOCK", message, json_pointer(*path), hint))
        return of_blocks, of_gates

    def _without_graph(self, fields: Document, graph: frozenset[str], path: tuple[str, ...]) -> Document:
        conditions = fields.get("conditions")
        said = [name for name in fields if name in graph and fields[name]]
        if isinstance(conditions, Mapping) and conditions.get("branches"):
            said.append("conditions/branches")
        for name in said:
            message = "this is said by the text, not by a state"
            self._problems.append(Problem("INVALID_FIELD", message, json_pointer(*path, *name.split("/"))))
        if conditions is not None and not isinstance(conditions, Mapping):
            message = f"must be an object, not {kind_of(conditions)}"
            self._problems.append(Problem("WRONG_TYPE", message, json_pointer(*path, "conditions")))
            graph |= {"conditions"}
        return {name: value for name, value in fields.items() if name not in graph}

    def _block_document(self, name: str, state: Document) -> Document:
        exits = self._blocks[name]
        conditions = {**state.get("conditions", {}), "branches": exits.branches}
        return {
            **state,
            "blockId": name,
            "dependencies": self._dependencies.get(name, []),
            "conditions": conditions,
            "onError": list(exits.on_error),
        }

    def _link(self) -> None:
        """Turn what leaves each state into what each state depends on."""
        for name in self._starts:
            self._dependencies.setdefault(name, []).append(START)
        for name, exits in self._blocks.items():
            branched = {target for branch in exits.branches for target in branch["nextBlocks"]}
            if branched & exits.plain.keys():
                # A definition takes a pair that both names for the branch alone: say the default explicitly.
                exits.branches.append({"nextBlocks": list(exits.plain)})
                continue
            for target in exits.plain:
                if target == END:
                    self._ends.append(name)
                else:
                    self._dependencies.setdefault(target, []).append(name)


def unescape(body: str) -> str:
    """Return what quoted text means: JSON's escapes, and the quotes; raises ``ValueError``."""

    def as_json(match: re.Match[str]) -> str:
        token = match.group()
        return {"\\'": "'", "\\`": "`", '"': '\\"'}.get(token, token)

    text: str = json.loads('"' + re.sub(r'\\.|"', as_json, body) + '"', strict=False)
    text.encode()
    return text


def _require_semicolon(condition: Word) -> None:
    """Raise ``DslSyntaxError`` if the condition has swallowed the next transition."""
    text = blank_texts(condition.text)
    arrow = text.find("->")
    if arrow < 0:
        return
    end = len(text[: max(text.rfind("\n", 0, arrow), 0)].rstrip())
    line, column = line_and_column(text, end or arrow)
    column += condition.column - 1 if line == 1 else 0
    if end:
        message, hint = "';' is missing after the condition", "end each transition with ';'"
    else:
        message, hint = (
            "'->' cannot stand in a condition",
            "end the transition before with ';', or quote the text",
        )
    raise syntax_error(message, hint, condition.line + line - 1, column)


def _gate_key(name: Any) -> tuple[str, ...]:
    return tuple(sorted({part.strip() for part in str(name).strip("[] ").split(",")}))
