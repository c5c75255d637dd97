"""Where in a DSL text, or in its states, the parts of a definition are said."""

import re
from collections.abc import Collection, Iterable
from dataclasses import replace

from workflow_service.engine.definition import Definition
from workflow_service.engine.dsl_syntax import Transition, Word
from workflow_service.engine.findings import Finding
from workflow_service.engine.json_values import json_pointer

_PLACE = re.compile(r"/(blocks|gates)/(\d+)(?:/(.*))?\Z", re.DOTALL)
_BRANCH = re.compile(r"(?:conditions/)?branches/(\d+)")
_IN_TEXT = re.compile(r"(?:dependencies|onError|conditions/branches|sources|nextBlocks|branches)(?:/|\Z)")
_DEFAULTS = frozenset({"else", "default"})


class DslPlaces:
    """Places of blocks, joins, edges and conditions in a text; ``states`` are the blocks said beside it."""

    def __init__(self, transitions: Iterable[Transition], states: Collection[str]) -> None:
        self._states = states
        self._first: dict[str, Word] = {}
        self._branches: dict[str, list[Word]] = {}
        self._edges: dict[tuple[str, str], Word] = {}
        for transition in transitions:
            owner = _owner(transition.sources)
            self._first.setdefault(owner, transition.sources[0])
            for word in (*transition.sources, *transition.targets):
                self._first.setdefault(word.text, word)
            if transition.condition is not None:
                self._branches.setdefault(owner, []).append(transition.condition)
            for source in transition.sources:
                for target in transition.targets:
                    self._edges.setdefault((source.text, target.text), target)

    def placed(self, finding: Finding, definition: Definition) -> Finding:
        """Return ``finding`` with its place in the text (pointer ``/dsl``, line and column) or in the states."""
        match = _PLACE.match(finding.pointer)
        if match is None:
            return finding
        kind, index, rest = match.group(1), int(match.group(2)), match.group(3) or ""
        owner = definition.blocks[index].block_id if kind == "blocks" else definition.gates[index].name
        in_text = not rest or _IN_TEXT.match(rest) is not None
        if not in_text and owner in self._states:
            return replace(finding, pointer=json_pointer("states", owner) + f"/{rest}")
        word = self._word(owner, rest, definition, finding)
        if word is None:
            return finding
        line, column = word.line, word.column
        if finding.line is not None and _BRANCH.match(rest):
            # A place within the condition.
            line, column = (
                line + finding.line - 1,
                (finding.column or 1) + (column - 1 if finding.line == 1 else 0),
            )
        return replace(finding, pointer="/dsl", line=line, column=column)

    def _word(self, owner: str, rest: str, definition: Definition, finding: Finding) -> Word | None:
        branch = _BRANCH.match(rest)
        conditions = self._branches.get(owner, [])
        if branch is not None and int(branch.group(1)) < len(conditions):
            return conditions[int(branch.group(1))]
        if rest.startswith("dependencies/"):
            names = definition.block(owner).dependencies
            position = int(rest.split("/")[1])
            if position < len(names):
                return self._edges.get((names[position], owner), self._first.get(owner))
        return self._first.get(owner)


def _owner(sources: tuple[Word, ...]) -> str:
    names = sorted({word.text for word in sources})
    return names[0] if len(names) == 1 else f"[{','.join(names)}]"
