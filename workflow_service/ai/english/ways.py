"""Where each block of a definition leads, as the explanation wants it: by name, joins as places of their own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from workflow_service.engine.definition import END, START, Branch, Definition


@dataclass(frozen=True, slots=True)
class Way:
    """One way on from ``source``; a branch without condition and question is the default one."""

    source: str
    targets: tuple[str, ...]
    kind: Literal["plain", "branch", "error"] = "plain"
    condition: str | None = None
    question: str | None = None


class Ways:
    """Every way of a definition. A join written as a list is a place of that name (``[a,b]``)."""

    def __init__(self, definition: Definition) -> None:
        self._blocks = {block.block_id: block for block in definition.blocks}
        self._gates = {gate.name: gate for gate in definition.gates}
        self._ways: dict[str, list[Way]] = {name: [] for name in (*self._blocks, *self._gates)}
        self._sources: dict[str, dict[str, None]] = {}
        self._read(definition)
        self.starts = [
            name
            for name, block in self._blocks.items()
            if START in block.dependencies or not self._sources.get(name)
        ]
        self.names = [*self._blocks, *self._gates]
        self._back = self._find_back()

    def of(self, name: str) -> list[Way]:
        """Return the ways on from a block or a join."""
        return self._ways.get(name, [])

    def only(self, name: str) -> str | None:
        """Return the one place that always follows, or None where there is a choice, a split or nothing."""
        ways = self.of(name)
        if len(ways) == 1 and ways[0].kind == "plain" and len(ways[0].targets) == 1:
            return ways[0].targets[0]
        return None

    def sources(self, name: str) -> list[str]:
        """Return what leads to a place."""
        return list(self._sources.get(name, ()))

    def is_gate(self, name: str) -> bool:
        """Say whether the name is that of a join."""
        return name in self._gates

    def is_inclusive(self, name: str) -> bool:
        """Say whether every branch that holds is taken, rather than the first."""
        return name in self._blocks and self._blocks[name].conditions.type == "inclusive"

    def is_back(self, source: str, target: str) -> bool:
        """Say whether that way leads back to where the run has been."""
        return (source, target) in self._back

    def joins(self, name: str) -> bool:
        """Say whether several ways that are all gone meet there, rather than one of several."""
        incoming = [way for ways in self._ways.values() for way in ways if name in way.targets]
        return len(incoming) > 1 and all(way.kind == "plain" for way in incoming)

    def max_rounds(self, name: str) -> int | None:
        """Return the bound of the loop that a way from ``name`` goes round, if one is set."""
        targets = [target for way in self.of(name) for target in way.targets if self.is_back(name, target)]
        bounds = [self._blocks[target].max_rounds for target in targets if target in self._blocks]
        return next((bound for bound in bounds if bound is not None), None)

    def _read(self, definition: Definition) -> None:
        plain: dict[str, list[str]] = {}
        for block in definition.blocks:
            for name in block.dependencies:
                plain.setdefault(name, []).append(block.block_id)
        for name in definition.end_dependencies:
            plain.setdefault(name, []).append(END)
        for gate in definition.gates:
            for source in gate.sources:
                plain.setdefault(source, []).append(gate.name)
        for name, block in self._blocks.items():
            self._add_all(name, block.conditions.branches, plain.get(name, ()))
            if block.on_error:
                self._add(Way(name, block.on_error, "error"))
        for name, gate in self._gates.items():
            self._add_all(name, gate.branches, gate.next_blocks)

    def _add_all(self, name: str, branches: Sequence[Branch], targets: Sequence[str]) -> None:
        for branch in branches:
            self._add(Way(name, branch.next_blocks, "branch", branch.condition, branch.question))
        if targets:
            self._add(Way(name, tuple(targets)))

    def _add(self, way: Way) -> None:
        self._ways[way.source].append(way)
        for target in way.targets:
            if target != END:
                self._sources.setdefault(target, {})[way.source] = None

    def _find_back(self) -> frozenset[tuple[str, str]]:
        """Return the pairs that close a cycle, found depth first from the starts, without recursion."""
        back: set[tuple[str, str]] = set()
        state: dict[str, int] = {}
        for root in (*self.starts, *self.names):
            stack = [(root, iter(self._targets(root)))] if root not in state else []
            state.setdefault(root, 1)
            while stack:
                name, targets = stack[-1]
                target = next(targets, None)
                if target is None:
                    state[name] = 2
                    stack.pop()
                elif state.get(target) == 1:
                    back.add((name, target))
                elif target not in state:
                    state[target] = 1
                    stack.append((target, iter(self._targets(target))))
        return frozenset(back)

    def _targets(self, name: str) -> list[str]:
        return [target for way in self.of(name) for target in way.targets if target != END]
