"""Random workflows with everything the rule has to deal with, and scripts of what their blocks do.

Blocks stand in a row; edges lead forward, and to the head of a *section* (a stretch of the row, sections within
sections) from outside and from further down in it: so loops have one entry. In a *ring* every block takes one way
at a time, and edges may lead anywhere: those loops have several entries. Nearly everything drawn is valid.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from hypothesis import strategies as st

from tests.reference.graph import END, START, Graph, reachable, targets_by_source
from tests.reference.script import COMPLETED, FAILED, REJECTED, Line
from tests.reference.sections import Row, random_sections

QUESTIONS = ("is it urgent", "is it angry")


@dataclass(frozen=True)
class Workflow:
    """A definition (document A's JSON) and what its blocks do, run by run."""

    definition: dict[str, Any]
    script: Mapping[str, tuple[Line, ...]]


@dataclass(frozen=True)
class Features:
    """What may occur.

    ``questions`` to a language model and ``rejections`` by people need more than an engine. What conditions
    read of other blocks (``reads_others``), and what a failure stops (``fails_fast``), depends on who was faster.
    """

    questions: bool = True
    rejections: bool = True
    reads_others: bool = True
    fails_fast: bool = True


def random_workflow(rng: Random, *, most_blocks: int = 10, features: Features | None = None) -> Workflow:
    """Return a random workflow of at most ``most_blocks`` blocks."""
    return _Author(
        rng, max(rng.randint(2, most_blocks), rng.randint(2, most_blocks)), features or Features()
    ).write()


def workflows(*, most_blocks: int = 10, features: Features | None = None) -> st.SearchStrategy[Workflow]:
    """Return random workflows as a hypothesis strategy that shrinks them."""
    return st.randoms(use_true_random=False).map(
        lambda rng: random_workflow(rng, most_blocks=most_blocks, features=features)
    )


class _Author:
    """Writes one workflow: first what leads where, then joins and conditions, then the script."""

    def __init__(self, rng: Random, size: int, features: Features) -> None:
        self.rng = rng
        self.features = features
        self.names = [f"b{number}" for number in range(size)]
        self.blocks: dict[str, dict[str, Any]] = {
            name: {"blockId": name, "toolType": "NOOP", "dependencies": []} for name in self.names
        }
        self.gates: list[dict[str, Any]] = []
        self.ends: set[str] = set()
        self.row = Row(random_sections(rng, 0, size - 1) if self._chance(0.85) else [])

    def write(self) -> Workflow:
        for position in range(len(self.names)):
            self._lead_on(position)
        for position in range(1, len(self.names)):
            self._lead_in(position)
        for _ in range(self.rng.choice((0, 1, 1, 2))):
            self._add_gate()
        self._choose_starts()
        self._choose_joins()
        self._choose_work()
        definition = {
            "blocks": list(self.blocks.values()),
            "gates": self.gates,
            "endDependencies": sorted(self.ends),
            "globalSettings": {
                "onFailure": "fail" if self.features.fails_fast and self._chance(0.35) else "continue"
            },
        }
        self._write_conditions(definition)
        names = [*self.names, *(name for name in Graph(definition).nodes if name.endswith("?"))]
        return Workflow(definition, {name: self._lines(name) for name in names})

    def _chance(self, share: float) -> bool:
        return self.rng.random() < share

    # What leads where

    def _some_target(self, source: int) -> str:
        """Return where a way from ``source`` leads: forward, or to the end."""
        last = len(self.names) - 1
        if source == last or self._chance(0.1):
            return END
        near = min(last, source + 3)
        target = self.rng.randint(source + 1, near if self._chance(0.7) else last)
        return self.names[self.row.landing(source, target)]

    def _some_targets(self, source: int, most: int) -> list[str]:
        return sorted({self._some_target(source) for _ in range(self.rng.randint(1, most))})

    def _back_target(self, position: int) -> str | None:
        """Return the head of a section around ``position``: leading there makes a loop."""
        around = [section for section in self.row.around(position) if not section.ring]
        return self.names[self.rng.choice(around).first] if around else None

    def _lead_on(self, position: int) -> None:
        if any(section.ring for section in self.row.around(position)):
            self._lead_on_in_ring(position)
            return
        block = self.blocks[self.names[position]]
        back = self._back_target(position)
        kinds = ["plain", "plain", "exclusive", "exclusive", "inclusive", "none"]
        kind = self.rng.choice(("exclusive", "inclusive") if back and self._chance(0.6) else kinds)
        if kind in ("exclusive", "inclusive"):
            branches = [self._branch(self._some_targets(position, 2)) for _ in range(self.rng.randint(1, 2))]
            if back and self._chance(0.9):
                branches.insert(0 if self._chance(0.6) else len(branches), self._branch([back]))
            if self._chance(0.8):
                branches.append({"nextBlocks": self._some_targets(position, 2)})
            block["conditions"] = {"type": kind, "branches": branches}
        elif kind == "plain":
            for target in self._some_targets(position, 3):
                self._connect(position, target)
        if self._chance(0.3):
            targets = self._some_targets(position, 2)
            if back and self._chance(0.4):
                targets = [back] if self._chance(0.7) else sorted({*targets, back})
            block["onError"] = targets

    def _lead_on_in_ring(self, position: int) -> None:
        """In a ring one way at a time is taken, so that it may be entered anywhere."""
        ring = self.row.around(position)[-1]
        inside = [self.names[self.rng.randint(ring.first, ring.last)] for _ in range(self.rng.randint(1, 2))]
        leaving = self.rng.randint(ring.last, len(self.names) - 1)
        outside = END if leaving == ring.last else self.names[self.row.landing(position, leaving)]
        branches = [self._branch([target]) for target in dict.fromkeys(inside)]
        branches.insert(self.rng.randint(0, len(branches)), self._branch([outside]))
        if self._chance(0.8):
            branches.append({"nextBlocks": [self.rng.choice((outside, *inside))]})
        block = self.blocks[self.names[position]]
        block["conditions"] = {"type": "exclusive", "branches": branches}
        if self._chance(0.3):
            block["onError"] = [self.rng.choice((outside, *inside))]

    def _branch(self, targets: list[str]) -> dict[str, Any]:
        """Return a branch; what it asks is written once it is known what runs before it."""
        if self.features.questions and self._chance(0.06):
            return {"question": self.rng.choice(QUESTIONS), "nextBlocks": targets}
        return {"condition": "", "nextBlocks": targets}

    def _connect(self, position: int, target: str) -> None:
        if target == END:
            self.ends.add(self.names[position])
        else:
            self.blocks[target]["dependencies"].append(self.names[position])

    def _lead_in(self, position: int) -> None:
        """See to it that a block within a section is reached from its head: else the loop had a second entry."""
        name = self.names[position]
        sections = [
            section for section in self.row.around(position) if not section.ring and section.first < position
        ]
        if not sections or name in reachable(self._targets(), self.names[sections[-1].first]):
            return
        head, sources = sections[-1].first, range(sections[-1].first, position)
        source = self.rng.choice(
            [at for at in sources if self._may_lead(at, position)] if self._chance(0.7) else [head]
        )
        branches = self.blocks[self.names[source]].get("conditions", {}).get("branches")
        if branches:
            branch = self.rng.choice(branches)
            branch["nextBlocks"] = sorted({*branch["nextBlocks"], name})
        else:
            self._connect(source, name)

    def _may_lead(self, source: int, target: int) -> bool:
        in_ring = any(section.ring for section in self.row.around(source))
        return not in_ring and self.row.landing(source, target) == target

    def _targets(self) -> dict[str, set[str]]:
        """Return where each block leads so far, through gates left out."""
        found = {name: set(self._named_by(block)) for name, block in self.blocks.items()}
        for name, block in self.blocks.items():
            for source in block["dependencies"]:
                found[source].add(name)
        return found

    @staticmethod
    def _named_by(block: Mapping[str, Any]) -> list[str]:
        branches = block.get("conditions", {}).get("branches", [])
        return [
            *(target for branch in branches for target in branch["nextBlocks"]),
            *block.get("onError", []),
        ]

    def _add_gate(self) -> None:
        """Add a join of blocks of one section, leading on to a later place in it."""
        position = self.rng.randrange(len(self.names))
        around = self.row.around(position)
        if any(section.ring for section in around):
            return
        alike = [at for at in range(len(self.names)) if self.row.around(at) == around]
        if len(alike) < 2:
            return
        sources = sorted(self.rng.sample(alike, min(len(alike), self.rng.randint(2, 3))))
        names = sorted(self.names[at] for at in sources)
        if any(gate["sources"] == names for gate in self.gates):
            return
        gate: dict[str, Any] = {"sources": names, "nextBlocks": [], "branches": []}
        targets = self._some_targets(max(sources), 2)
        if self._chance(0.5):
            gate["branches"] = [self._branch(targets)]
            back = self._back_target(max(sources))
            if back and self._chance(0.5):
                gate["branches"].append(self._branch([back]))
            if self._chance(0.5):
                gate["branches"].append({"nextBlocks": self._some_targets(max(sources), 2)})
        else:
            gate["nextBlocks"] = targets
        self.gates.append(gate)

    # Joins, work, conditions

    def _choose_starts(self) -> None:
        """Let the run begin at what nothing else leads to but itself."""
        while True:
            graph = Graph({"blocks": list(self.blocks.values()), "gates": self.gates})
            targets = targets_by_source(graph.wires)
            begun = [name for name in graph.nodes if graph.begins_with_the_run(name)]
            reached = {*begun, *(name for first in begun for name in reachable(targets, first))}
            left = [name for name in self.names if name not in reached]
            if not left:
                return
            self.blocks[left[0]]["dependencies"].append(START)

    def _choose_joins(self) -> None:
        graph = Graph({"blocks": list(self.blocks.values()), "gates": self.gates})
        for name, block in self.blocks.items():
            wires = graph.forward_wires_to(name)
            within = [loop for loop in graph.loops if name in loop.body]
            if any(name in loop.entries for loop in within):
                block["maxRounds"] = self.rng.choice((1, 2, 3, 3, 4, 5))
            # Inside a loop a block that the run begins at would be a second entry.
            if wires and self._chance(0.07) and (not within or name in within[0].entries):
                block["dependencies"].append(START)
            if len(wires) > 1 and self._chance(0.5):
                block["join"] = self.rng.choice(("any", self.rng.randint(1, len(wires))))

    def _choose_work(self) -> None:
        for block in self.blocks.values():
            if self._chance(0.12):
                items = list(range(self.rng.randint(0, 4)))
                block["forEach"] = str(items)
                if self._chance(0.5):
                    block["toleratedFailurePercentage"] = self.rng.choice((25, 50, 100))
            if self.features.fails_fast and self._chance(0.12):
                block["onFailure"] = self.rng.choice(("fail", "continue"))

    def _write_conditions(self, definition: dict[str, Any]) -> None:
        targets = targets_by_source(Graph(definition).wires)
        below = {name: reachable(targets, name) for name in self.names}
        for name, block in self.blocks.items():
            before = [other for other in self.names if name in below[other]]
            for branch in block.get("conditions", {}).get("branches", []):
                if "condition" in branch:
                    branch["condition"] = self._condition(before, name)
            if before and self._chance(0.08):
                block.setdefault("conditions", {})["expression"] = self._condition(before)
        for gate in self.gates:
            before = [other for other in self.names if other in gate["sources"]]
            for branch in gate["branches"]:
                if "condition" in branch:
                    branch["condition"] = self._condition(before)

    def _condition(self, before: list[str], own: str | None = None) -> str:
        """Return a condition on the block's own output, or on that of blocks that ran before it."""
        if own is not None and (self._chance(0.9) or not self.features.reads_others):
            if "forEach" in self.blocks[own]:
                return self.rng.choice(("failed == 0", "succeeded >= 2", "failed > 0"))
            return self.rng.choice((f"go_{own} == true", f"go_{own}", f"n_{own} == 1", f"n_{own} > 0"))
        plain = [name for name in before if "forEach" not in self.blocks[name]]
        if not plain or self._chance(0.03) or not self.features.reads_others:
            return self.rng.choice(("true", "false", "missing == 1"))
        name = self.rng.choice(plain)
        test = self.rng.choice((f"go_{name} == true", f"go_{name} != true", f"n_{name} <= 1"))
        return self.rng.choice((test, f"blocks.{name}.output.{test}"))

    # The script

    def _lines(self, name: str) -> tuple[Line, ...]:
        return tuple(self._line(name) for _ in range(self.rng.randint(2, 5)))

    def _line(self, name: str) -> Line:
        if name.endswith("?"):
            return Line(answers={question: self._chance(0.5) for question in QUESTIONS})
        items = self.blocks[name].get("forEach")
        if items is not None:
            return Line(items=tuple(self._chance(0.8) for _ in range(items.count(",") + (items != "[]"))))
        if self._chance(0.25 if self.blocks[name].get("onError") else 0.03):
            return Line(REJECTED if self.features.rejections and self._chance(0.3) else FAILED)
        return Line(COMPLETED, {f"go_{name}": self._chance(0.45), f"n_{name}": self.rng.choice((0, 0, 1, 2))})
