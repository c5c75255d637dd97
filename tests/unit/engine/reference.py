"""The rule of the engine, written down to be obviously right: a whole run on a definition, in sweeps.

It knows no plan, no counters, no order and no hidden nodes but gates: it reads the definition itself, keeps
what became of every edge, and sweeps over all blocks and gates until nothing changes, deciding what has all
its in-edges. Who can reach whom is asked anew each time. It is slow, and shares nothing with ``decide``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.unit.engine.memory_run import Finish
from workflow_service.engine.decide import Verdict
from workflow_service.engine.definition import Block, Branch, Definition, Gate
from workflow_service.engine.errors import ExpressionError
from workflow_service.engine.expressions import ValuesScope, compile_expression

Wire = tuple[str, str, str]  # source, "normal" or "error", target


@dataclass(frozen=True)
class Token:
    """What came along an edge: "taken", "dead" or "lost", and whose loss it is."""

    kind: str
    losers: frozenset[str] = frozenset()


class Reference:
    """A run of ``definition`` with the blocks ending as ``finishes`` says."""

    def __init__(self, definition: Definition, finishes: Mapping[str, Finish]) -> None:
        self.finishes = finishes
        self.blocks = {block.block_id: block for block in definition.blocks}
        self.gates = {gate.name: gate for gate in definition.gates}
        self.plain: dict[str, list[str]] = {name: [] for name in (*self.blocks, *self.gates)}
        for block in definition.blocks:
            for source in block.dependencies:
                if source != "start":
                    self.plain[source].append(block.block_id)
        for source in definition.end_dependencies:
            self.plain[source].append("end")
        for gate in definition.gates:
            self.plain[gate.name] += gate.next_blocks
        self.wires = list(dict.fromkeys(wire for name in self.plain for wire in self._wires_from(name)))
        self.tokens: dict[Wire, Token] = {}
        self.verdicts: dict[str, Verdict] = {}
        self.unhandled: set[str] = set()

    def run(self) -> "Reference":
        changed = True
        while changed:
            changed = False
            for name in self.plain:
                tokens = [self.tokens.get(wire) for wire in self.wires if wire[2] == name]
                if name not in self.verdicts and None not in tokens:
                    self._decide(name, [token for token in tokens if token is not None])
                    changed = True
        assert self.verdicts.keys() == self.plain.keys()
        return self

    @property
    def reached_end(self) -> bool:
        return any(token.kind == "taken" for wire, token in self.tokens.items() if wire[2] == "end")

    # The graph

    def _branches(self, name: str) -> list[Branch]:
        owner = self.blocks.get(name)
        return list(owner.conditions.branches if owner else self.gates[name].branches)

    def _wires_from(self, name: str) -> list[Wire]:
        targets = [target for branch in self._branches(name) for target in branch.next_blocks]
        targets += self.plain[name]
        targets += [gate.name for gate in self.gates.values() if name in gate.sources]
        failing = self.blocks[name].on_error if name in self.blocks else ()
        return [(name, "normal", target) for target in targets] + [
            (name, "error", target) for target in failing
        ]

    def _error_branch_reaches(self, loser: str, target: str) -> bool:
        reached: set[str] = set()
        front = {wire[2] for wire in self.wires if wire[0] == loser and wire[1] == "error"}
        while front - reached:
            reached |= front
            front = {wire[2] for wire in self.wires if wire[0] in reached}
        return target in reached

    # Deciding

    def _decide(self, name: str, tokens: list[Token]) -> None:
        taken = sum(token.kind == "taken" for token in tokens)
        dead = sum(token.kind == "dead" for token in tokens)
        losers = frozenset().union(*(token.losers for token in tokens))
        owner = self.blocks.get(name) or self.gates[name]
        if isinstance(owner, Block) and (not tokens or "start" in owner.dependencies):
            taken += 1
            tokens = [*tokens, Token("taken")]
        if isinstance(owner, Block) and owner.join == "all":
            runs, lost = taken > 0 and not losers, bool(losers)
        else:
            wanted = self._wanted(owner, len(tokens))
            runs, lost = taken >= wanted, dead <= len(tokens) - wanted
        if runs:
            self._finish(name)
        else:
            self.verdicts[name] = Verdict.SKIPPED
            self._send(name, set(), losers if lost else frozenset())

    @staticmethod
    def _wanted(owner: Block | Gate, edges: int) -> int:
        if isinstance(owner, Gate):
            return edges
        return 1 if owner.join == "any" else int(owner.join)

    def _finish(self, name: str) -> None:
        verdict = self.finishes.get(name, Finish()).verdict if name in self.blocks else Verdict.COMPLETED
        chosen: set[str] | None = set()
        if verdict is Verdict.COMPLETED:
            chosen = self._choose(name)
            asks = any(branch.question is not None for branch in self._branches(name))
            if chosen is None and asks:
                # The hidden DECIDE node fails; its block is done, and leads to its gates all the same.
                self.verdicts[name] = Verdict.COMPLETED
                self.unhandled.add(name + "?")
                gates = {gate.name for gate in self.gates.values() if name in gate.sources}
                self._send(name, gates, frozenset({name + "?"}))
                return
        if chosen is None:
            verdict, chosen = Verdict.FAILED, set()
        self.verdicts[name] = verdict
        failed = verdict in (Verdict.FAILED, Verdict.REJECTED)
        if failed and not (name in self.blocks and self.blocks[name].on_error):
            self.unhandled.add(name)
        self._send(name, chosen, frozenset({name}) if failed else frozenset(), failed=failed)

    def _choose(self, name: str) -> set[str] | None:
        """Return the targets chosen, or None if that is impossible."""
        gates = {gate.name for gate in self.gates.values() if name in gate.sources}
        branches = self._branches(name)
        conditional = [branch for branch in branches if not branch.is_default]
        named = {target for branch in branches for target in branch.next_blocks}
        rest = {target for branch in branches if branch.is_default for target in branch.next_blocks}
        rest |= set(self.plain[name]) - named
        if not conditional:
            return rest | gates
        inclusive = name in self.blocks and self.blocks[name].conditions.type == "inclusive"
        chosen: set[str] = set()
        matched = False
        for branch in conditional:
            holds = self._holds(name, branch)
            if holds is None:
                return None
            if holds and (inclusive or not matched):
                matched = True
                chosen |= set(branch.next_blocks)
                if not inclusive:
                    break
        if not matched and not rest and not inclusive:
            return None
        return (chosen if matched else rest) | gates

    def _holds(self, name: str, branch: Branch) -> bool | None:
        finish = self.finishes.get(name, Finish())
        if branch.question is not None:
            return finish.answers.get(branch.question, False)
        assert branch.condition is not None
        try:
            value: Any = compile_expression(branch.condition).evaluate(ValuesScope(own=finish.output))
        except ExpressionError:
            return None
        return value if isinstance(value, bool) else None

    def _send(self, name: str, chosen: set[str], losers: frozenset[str], *, failed: bool = False) -> None:
        for wire in self._wires_from(name):
            _, kind, target = wire
            if kind == "error":
                self.tokens[wire] = Token("taken" if failed else "dead")
            elif target in chosen:
                self.tokens[wire] = Token("taken")
            else:
                left = frozenset(loser for loser in losers if not self._error_branch_reaches(loser, target))
                self.tokens[wire] = Token("lost", left) if left else Token("dead")
