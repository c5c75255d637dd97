"""As much of a faulty document as makes a definition: so that every fault is told in one round.

What cannot be read is taken out, as little as possible, and noted: what is then said about the rest must not be about a
hole. A document that names no blocks, or whose blocks have no ids, is not read at all.
"""

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from workflow_service.engine.definition import Definition
from workflow_service.engine.documents import Document, load_definition
from workflow_service.engine.dsl import MAX_BYTES, check_text, in_states
from workflow_service.engine.dsl_graph import DslGraph
from workflow_service.engine.dsl_syntax import Transition, read_transitions
from workflow_service.engine.errors import DslSyntaxError, InvalidDefinition, Problem
from workflow_service.engine.findings import Finding
from workflow_service.engine.syntax_hints import blank_texts

ROUNDS = 4
MOST_STATEMENTS = 20
READ_AGAIN = 200_000
GRAPH_FIELDS = frozenset({"dependencies", "conditions", "onError", "on_error", "join"})
GRAPH_PARTS = frozenset({"gates", "endDependencies", "end_dependencies"})
# What is said of the whole graph, and would be wrong of a part of it.
SAID_OF_ALL = frozenset(
    {
        "UNREACHABLE_BLOCK", "JOIN_TOO_LARGE", "OUTPUT_NOT_AVAILABLE", "NO_DEFAULT_BRANCH", "ROUNDS_WITHOUT_LOOP",
        "UNSUPPORTED_LOOP", "UNWRITTEN_NAME", "PARALLEL_WRITES", "OPTIMIZATION", "AMBIGUOUS_DEFAULT",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PartialDefinition:
    """What could be read (None: nothing), and what is wrong with the rest.

    ``holes`` are pointers below which something was taken out; ``is_whole``: the graph is as it was written.
    """

    definition: Definition | None
    problems: tuple[Problem, ...] = ()
    holes: tuple[str, ...] = ()
    is_whole: bool = True
    transitions: tuple[Transition, ...] = field(default=(), compare=False)

    def stands(self, finding: Finding) -> bool:
        """Tell whether a finding about what could be read holds for what was written."""
        if not self.is_whole and finding.code in SAID_OF_ALL:
            return False
        return not any(
            finding.pointer == hole or finding.pointer.startswith(hole + "/") for hole in self.holes
        )


def read_document(document: Any) -> PartialDefinition:
    """Read as much of a definition's document as there is; nothing is raised."""
    try:
        return PartialDefinition(load_definition(document))
    except InvalidDefinition as error:
        problems = list(error.problems)
    if not isinstance(document, Mapping):
        return PartialDefinition(None, tuple(problems))
    mended, holes, whole = copy.deepcopy(dict(document)), list[str](), True
    unmended: Sequence[Problem] = problems
    for _ in range(ROUNDS):
        for problem in sorted(unmended, key=lambda one: _steps(one.pointer), reverse=True):
            removed = _take_out(mended, problem)
            if removed is None:
                return PartialDefinition(None, tuple(problems), is_whole=False)
            holes.append(removed[0])
            whole = whole and removed[1]
        try:
            definition = load_definition(mended)
        except InvalidDefinition as error:
            unmended = [
                one for one in error.problems if one.pointer not in {each.pointer for each in problems}
            ]
            problems += unmended
            if not unmended:
                break
        else:
            return PartialDefinition(definition, tuple(problems), tuple(dict.fromkeys(holes)), whole)
    return PartialDefinition(None, tuple(problems), is_whole=False)


def read_dsl(
    text: Any,
    states: Any = None,
    global_settings: Any = None,
    input_schema: Any = None,
    *,
    max_bytes: int = MAX_BYTES,
) -> PartialDefinition:
    """Read as much of a text in the DSL, and of its states, as there is; nothing is raised."""
    problems: list[Problem] = []
    try:
        check_text(text, max_bytes)
    except DslSyntaxError as error:
        return PartialDefinition(None, error.problems)
    transitions = _readable(text, problems)
    graph, kept = DslGraph(), list[Transition]()
    for transition in transitions:
        try:
            graph.add(transition)
            kept.append(transition)
        except InvalidDefinition as error:
            problems += error.problems
    whole = not problems
    try:
        document, wrong = graph.read({} if states is None else states)
    except InvalidDefinition as error:
        return PartialDefinition(None, (*problems, *error.problems), is_whole=False, transitions=tuple(kept))
    # What the statements taken out may have said is not missing.
    problems += [one for one in wrong if whole or one.code not in ("UNREACHABLE_BLOCK", "UNKNOWN_BLOCK")]
    if not document["blocks"]:
        return PartialDefinition(None, tuple(problems), is_whole=False, transitions=tuple(kept))
    whole = whole and not wrong
    for name, value in (("globalSettings", global_settings), ("inputSchema", input_schema)):
        if value is not None:
            document[name] = value
    found = read_document(document)
    placed = [
        in_states(problem, document)
        for problem in found.problems
        if whole or not problem.pointer.startswith("/gates/")
    ]
    return replace(
        found,
        problems=tuple(dict.fromkeys((*problems, *placed))),
        is_whole=whole and found.is_whole,
        transitions=tuple(kept),
    )


# Text


def _readable(text: str, problems: list[Problem]) -> list[Transition]:
    """Return the transitions that can be read; a statement that cannot is blanked out and noted."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    # Each fault has the text read once more, so of a long one fewer are told at once.
    for _ in range(max(2, min(MOST_STATEMENTS, READ_AGAIN // (len(text) + 1)))):
        try:
            return read_transitions(text)
        except DslSyntaxError as error:
            problem = error.problems[0]
            problems.append(problem)
            text = _without_statement(text, problem)
    return []


def _without_statement(text: str, problem: Problem) -> str:
    """Return ``text`` with the statement at a problem's place turned into blanks, its lines kept."""
    lines = text.split("\n")
    line = min((problem.line or 1) - 1, len(lines) - 1)
    offset = sum(len(each) + 1 for each in lines[:line]) + (problem.column or 1) - 1
    offset = min(offset, max(len(text) - 1, 0))
    plain = blank_texts(text)
    start = plain.rfind(";", 0, offset) + 1
    end = plain.find(";", offset)
    end = len(text) if end < 0 else end + 1
    return text[:start] + re.sub(r"[^\n]", " ", text[start:end]) + text[end:]


# Documents


def _steps(pointer: str) -> list[tuple[int, str]]:
    return [
        (int(step), "") if step.isdecimal() and len(step) < 9 else (-1, step) for step in pointer.split("/")
    ]


def _take_out(document: Document, problem: Problem) -> tuple[str, bool] | None:
    """Take what a problem is about out of ``document``: its pointer, and whether the graph stays as it was.

    None where what is left could not be read.
    """
    steps = [step.replace("~1", "/").replace("~0", "~") for step in problem.pointer.split("/")[1:]]
    unknown = problem.code == "UNKNOWN_FIELD"
    match steps:
        case [] | ["blocks"]:
            return None
        case ["blocks", index]:
            return (problem.pointer, False) if _strip_block(document, index) else None
        case ["blocks", _, "blockId" | "block_id", *_]:
            return None
        case _ if "branches" in steps[:-2] and not unknown:
            # A branch without its condition would be another branch.
            steps = steps[: steps.index("branches") + 2]
    whole = unknown or not (
        steps[0] in GRAPH_PARTS or (steps[0] == "blocks" and len(steps) > 2 and steps[2] in GRAPH_FIELDS)
    )
    holder: Any = document
    for step in steps[:-1]:
        holder = _entry(holder, step)
    if isinstance(holder, dict):
        holder.pop(steps[-1], None)
    elif isinstance(holder, list) and steps[-1].isdecimal() and int(steps[-1]) < len(holder):
        del holder[int(steps[-1])]
        # What stands behind it in the list has another place now.
        return "".join(f"/{step}" for step in steps[:-1]), whole
    return "".join(f"/{step}" for step in steps), whole


def _strip_block(document: Document, index: str) -> bool:
    """Leave nothing of a block but its id and where it leads; False if it has none."""
    blocks = document.get("blocks")
    block = _entry(blocks, index)
    if not isinstance(blocks, list) or not isinstance(block, dict):
        return False
    kept = {"blockId", "block_id", *GRAPH_FIELDS}
    blocks[int(index)] = {key: value for key, value in block.items() if key in kept}
    return bool({"blockId", "block_id"} & block.keys())


def _entry(holder: Any, step: str) -> Any:
    if isinstance(holder, dict):
        return holder.get(step)
    if isinstance(holder, list) and step.isdecimal() and int(step) < len(holder):
        return holder[int(step)]
    return None


def problems_as_findings(problems: Iterable[Problem]) -> list[Finding]:
    """Return problems as findings of severity ERROR."""
    fields = Problem.__slots__
    return [
        one if isinstance(one, Finding) else Finding(**{name: getattr(one, name) for name in fields})
        for one in problems
    ]
