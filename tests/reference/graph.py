"""A definition (document A's JSON) read as a graph, naively: who leads to whom, and which parts are loops.

There are three kinds of nodes: blocks, gates (one for each source list, named ``[a,b]``) and questions (the hidden
step behind a block or gate that asks the language model, named ``a?``). Nothing here is fast.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

END = "end"
START = "start"
DEFAULT_BOUND = 100


@dataclass(frozen=True)
class Wire:
    """An edge; ``error`` says that it is followed when the source fails."""

    source: str
    target: str
    error: bool = False


@dataclass(frozen=True)
class Way:
    """One branch: neither condition nor question is the default one."""

    targets: tuple[str, ...]
    condition: str | None = None
    question: str | None = None


@dataclass
class Node:
    """A block, gate or question, and how it chooses where to go once it is done."""

    name: str
    kind: str
    fields: Mapping[str, Any]
    always: list[str] = field(default_factory=list)
    ways: list[Way] = field(default_factory=list)
    default: list[str] | None = None
    inclusive: bool = False

    @property
    def error_targets(self) -> list[str]:
        return list(dict.fromkeys(self.fields.get("onError", []))) if self.kind == "block" else []


@dataclass(frozen=True, eq=False)
class Loop:
    """A part of the graph that leads back into itself. From outside it is one block."""

    body: frozenset[str]
    entries: tuple[str, ...]
    back: tuple[Wire, ...]
    exits: tuple[Wire, ...]
    bound: int
    parent: "Loop | None"


class Graph:
    """All nodes in order of definition, all wires, all loops (outer before inner)."""

    def __init__(self, definition: Mapping[str, Any]) -> None:
        self.nodes: dict[str, Node] = {}
        for block in definition["blocks"]:
            self.nodes[block["blockId"]] = Node(block["blockId"], "block", block)
        gates = [_sorted_sources(gate) for gate in definition.get("gates", [])]
        for gate in sorted(gates, key=lambda gate: gate["sources"]):
            name = f"[{','.join(gate['sources'])}]"
            self.nodes[name] = Node(name, "gate", gate)
        for name in list(self.nodes):
            self._add_ways(self.nodes[name], self._plain_targets(definition, name))
        self.wires = [wire for node in self.nodes.values() for wire in _wires_from(node)]
        self.loops: list[Loop] = []
        self._find_loops(set(self.nodes), None)
        self.back_wires = {wire for loop in self.loops for wire in loop.back}
        self._leaving = {name: [wire for wire in self.wires if wire.source == name] for name in self.nodes}
        self._arriving = {name: [wire for wire in self.wires if wire.target == name] for name in self.nodes}

    def _plain_targets(self, definition: Mapping[str, Any], name: str) -> list[str]:
        """Return where edges without any condition lead from ``name``."""
        found = [b["blockId"] for b in definition["blocks"] if name in b.get("dependencies", [])]
        if name in definition.get("endDependencies", []):
            found.append(END)
        return found + list(self.nodes[name].fields.get("nextBlocks", []))

    def _add_ways(self, node: Node, plain: list[str]) -> None:
        conditions = node.fields.get("conditions", {}) if node.kind == "block" else node.fields
        ways = [
            Way(tuple(branch["nextBlocks"]), branch.get("condition"), branch.get("question"))
            for branch in conditions.get("branches", [])
        ]
        named = {target for way in ways for target in way.targets}
        rest = [target for target in plain if target not in named]
        defaults = [
            target for way in ways if not way.condition and not way.question for target in way.targets
        ]
        chooser = node
        if any(way.question for way in ways):
            chooser = self.nodes[f"{node.name}?"] = Node(f"{node.name}?", "question", {})
            node.always.append(chooser.name)
        chooser.ways = [way for way in ways if way.condition or way.question]
        chooser.inclusive = conditions.get("type") == "inclusive"
        if chooser.ways:
            chooser.default = defaults + rest or None
        else:
            chooser.always += defaults + rest
        node.always += [
            gate.name
            for gate in self.nodes.values()
            if gate.kind == "gate" and node.name in gate.fields["sources"]
        ]

    # Loops

    def _find_loops(self, members: set[str], parent: Loop | None) -> None:
        """Find the parts of ``members`` that lead back into themselves, and in each what is left of it."""
        known_back = {wire for loop in self.loops for wire in loop.back}
        inside = targets_by_source(
            wire
            for wire in self.wires
            if wire.source in members and wire.target in members and wire not in known_back
        )
        below = {name: reachable(inside, name) for name in members}
        bodies = {
            frozenset(other for other in below[name] if name in below[other])
            for name in members
            if name in below[name]
        }
        for body in bodies:
            entries = tuple(name for name in self.nodes if name in body and self._entered(name, body))
            if not entries:
                continue
            out = [wire for wire in self.wires if wire.source in body]
            bounds = [self.nodes[entry].fields.get("maxRounds") for entry in entries]
            loop = Loop(
                body,
                entries,
                back=tuple(wire for wire in out if wire.target in entries),
                exits=tuple(wire for wire in out if wire.target not in body),
                bound=min((bound for bound in bounds if bound is not None), default=DEFAULT_BOUND),
                parent=parent,
            )
            self.loops.append(loop)
            self._find_loops(set(body), loop)

    def _entered(self, name: str, body: frozenset[str]) -> bool:
        outside = any(wire.target == name and wire.source not in body for wire in self.wires)
        return outside or START in self.nodes[name].fields.get("dependencies", [])

    # What is asked about it

    def within(self, loop: Loop | None) -> list[str]:
        """Return the nodes directly in ``loop`` (None: the run), those of inner loops left out."""
        body = set(self.nodes) if loop is None else loop.body
        inner = {name for other in self.inner(loop) for name in other.body}
        return [name for name in self.nodes if name in body and name not in inner]

    def inner(self, loop: Loop | None) -> list[Loop]:
        return [other for other in self.loops if other.parent is loop]

    def wires_from(self, name: str) -> list[Wire]:
        return self._leaving[name]

    def forward_wires_to(self, name: str) -> list[Wire]:
        return [wire for wire in self._arriving[name] if wire not in self.back_wires]

    def begins_with_the_run(self, name: str) -> bool:
        """Return whether the start of the run leads to ``name``, one more edge into it."""
        return START in self.nodes[name].fields.get("dependencies", []) or not self._arriving[name]

    def error_edges_reach(self, origin: str, target: str) -> bool:
        """Return whether a way that begins with an error edge of ``origin`` leads to ``target``."""
        forward = targets_by_source(wire for wire in self.wires if wire not in self.back_wires)
        first = {wire.target for wire in self.wires if wire.source == origin and wire.error}
        return target in first or any(target in reachable(forward, name) for name in first)


def targets_by_source(wires: Iterable[Wire]) -> dict[str, list[str]]:
    """Return where ``wires`` lead, by where they begin."""
    found: dict[str, list[str]] = {}
    for wire in wires:
        found.setdefault(wire.source, []).append(wire.target)
    return found


def reachable(targets: Mapping[str, Iterable[str]], start: str) -> set[str]:
    """Return what is led to from ``start``, itself only if something leads back to it."""
    found: set[str] = set()
    pending = list(targets.get(start, ()))
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending.extend(targets.get(name, ()))
    return found


def _sorted_sources(gate: Mapping[str, Any]) -> dict[str, Any]:
    return {**gate, "sources": sorted(set(gate["sources"]))}


def _wires_from(node: Node) -> list[Wire]:
    chosen = [target for way in node.ways for target in way.targets]
    normal = dict.fromkeys([*chosen, *(node.default or []), *node.always])
    return [Wire(node.name, target) for target in normal] + [
        Wire(node.name, target, error=True) for target in node.error_targets
    ]
