"""A definition wired into a graph, every expression compiled.

Here the two spellings meet: ``dependencies`` and ``nextBlocks`` naming one pair are one edge, unconditional
edges beside conditional ones are the default, each distinct source list is one gate, and a block or gate that
puts a question to the LLM hands its whole ordered branch list to a hidden DECIDE node behind it. Wiring never
stops at the first mistake: what cannot be wired is left out and becomes a finding.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, Literal

from workflow_service.engine.definition import END, START, Block, Branch, Definition, Gate, Recovery
from workflow_service.engine.expressions import Expression, References
from workflow_service.engine.findings import Finding, nearest_name_hint
from workflow_service.engine.graph import (
    END_NODE,
    Edge,
    EdgeKind,
    Graph,
    Node,
    NodeKind,
    Routing,
    RoutingBranch,
)
from workflow_service.engine.sources import SourceCompiler, join_references

NAMES_COMPARED = 10_000


def build_graph(definition: Definition) -> Graph:
    """Build the graph of ``definition``; mistakes are in ``findings``, nothing is raised."""
    return _Builder(definition).build()


@dataclass(slots=True)
class _Wiring:
    """What a node's way out is made of while the graph is built."""

    normal: list[int] = field(default_factory=list)
    error: list[int] = field(default_factory=list)
    routing: Routing = field(default_factory=Routing)
    routing_references: References = field(default_factory=References)


class _Builder:
    """Collects nodes, edges and findings of one definition; used once."""

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.nodes: list[Node] = []
        self.wiring: list[_Wiring] = []
        self.edges: list[Edge] = []
        self.edge_by_ends: dict[tuple[int, int, EdgeKind], int] = {}
        self.node_by_id: dict[str, int] = {}
        self.findings: list[Finding] = []
        self.sources = SourceCompiler(self.findings)
        self.block_nodes: list[tuple[int, Block]] = []
        self.gate_nodes: list[tuple[int, Gate]] = []
        self.comparisons_left = NAMES_COMPARED

    def build(self) -> Graph:
        for position, block in enumerate(self.definition.blocks):
            self._add_block(block, f"/blocks/{position}")
        for position, gate in enumerate(self.definition.gates):
            self._add_gate(gate, f"/gates/{position}")
        plain_targets = self._plain_targets()
        gates_of = self._gates_by_source()
        for index, block in self.block_nodes:
            self._wire_block(index, block, plain_targets.get(index, []), gates_of.get(index, []))
        for index, gate in self.gate_nodes:
            self._wire_gate(index, gate)
        return self._finished()

    # Nodes

    def _add_node(self, node_id: str, kind: NodeKind, pointer: str, **fields: Any) -> int:
        index = len(self.nodes)
        self.nodes.append(Node(index, node_id, kind, pointer, **fields))
        self.wiring.append(_Wiring())
        self.node_by_id[node_id] = index
        return index

    def _add_block(self, block: Block, pointer: str) -> None:
        guard, for_each = block.conditions.expression, block.for_each
        at = f"{pointer}/conditions/expression"
        guarded = None if guard is None else self.sources.condition(guard, at, block.block_id)
        template = self.sources.template(block.configuration, f"{pointer}/configuration", block.block_id)
        items = (
            None if for_each is None else self.sources.items(for_each, f"{pointer}/forEach", block.block_id)
        )
        mapping = self.sources.named(block.output_mapping or {}, f"{pointer}/outputMapping", block.block_id)
        reads = [part.references for part in (guarded, template, items) if part is not None]
        recovery = block.recovery or Recovery()
        fallback, undo = (
            self.sources.template(
                work.configuration, f"{pointer}/recovery/{name}/configuration", block.block_id
            )
            if work is not None
            else None
            for name, work in (
                ("fallback", recovery.fallback),
                ("compensate", recovery.compensate),
            )
        )
        index = self._add_node(
            block.block_id,
            NodeKind.BLOCK,
            pointer,
            block=block,
            join=block.join,
            starts=START in block.dependencies,
            guard=guarded,
            template=template,
            for_each=items,
            fallback=fallback,
            undo=undo,
            output_mapping=mapping,
            references=join_references(reads),
        )
        self.block_nodes.append((index, block))

    def _add_gate(self, gate: Gate, pointer: str) -> None:
        self.gate_nodes.append((self._add_node(gate.name, NodeKind.GATE, pointer, join="every"), gate))

    # Edges

    def _plain_targets(self) -> dict[int, list[int]]:
        """Return, by source, the targets its unconditional edges lead to."""
        found: dict[int, list[int]] = {}
        for target, block in self.block_nodes:
            for position, name in enumerate(block.dependencies):
                if name == START:
                    continue
                pointer = f"{self.nodes[target].pointer}/dependencies/{position}"
                source = self._resolve(name, pointer, block.block_id, "MISSING_DEPENDENCY")
                if source is not None:
                    found.setdefault(source, []).append(target)
        for position, name in enumerate(self.definition.end_dependencies):
            source = self._resolve(name, f"/endDependencies/{position}", END, "MISSING_DEPENDENCY")
            if source is not None:
                found.setdefault(source, []).append(END_NODE)
        return found

    def _gates_by_source(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for index, gate in self.gate_nodes:
            for position, name in enumerate(gate.sources):
                source = self._resolve(name, f"{self.nodes[index].pointer}/sources/{position}", gate.name)
                if source is not None:
                    found.setdefault(source, []).append(index)
        return found

    def _wire_block(self, index: int, block: Block, plain: Sequence[int], gates: Sequence[int]) -> None:
        pointer = self.nodes[index].pointer
        branches = block.conditions.branches
        self._wire_branches(index, branches, plain, f"{pointer}/conditions", block.conditions.type)
        if gates:
            # A gate asks whether its sources completed; which branch they chose is not its business.
            routing = self.wiring[index].routing
            to_gates = tuple(self._edge(index, gate) for gate in gates)
            self.wiring[index].routing = replace(routing, always=routing.always + to_gates)
        for position, name in enumerate(block.on_error):
            target = self._resolve(name, f"{pointer}/onError/{position}", block.block_id)
            if target is not None:
                self._edge(index, target, EdgeKind.ERROR, conditional=True)

    def _wire_gate(self, index: int, gate: Gate) -> None:
        pointer = self.nodes[index].pointer
        plain = []
        for position, name in enumerate(gate.next_blocks):
            target = self._resolve(name, f"{pointer}/nextBlocks/{position}", gate.name)
            if target is not None:
                plain.append(target)
        self._wire_branches(index, gate.branches, plain, pointer, "exclusive")
        computed = self.sources.named(gate.set, f"{pointer}/set", gate.name)
        wiring = self.wiring[index]
        wiring.routing = replace(wiring.routing, set=computed)
        wiring.routing_references = join_references(
            [wiring.routing_references, *(expression.references for _, expression in computed)]
        )

    def _wire_branches(
        self,
        index: int,
        branches: Sequence[Branch],
        plain: Sequence[int],
        pointer: str,
        mode: Literal["exclusive", "inclusive"],
    ) -> None:
        """Give node ``index`` its ways out, through a DECIDE node where a branch is a question."""
        chooser = index
        if any(branch.question is not None for branch in branches):
            chooser = self._add_node(f"{self.nodes[index].id}?", NodeKind.DECIDE, pointer)
            self.wiring[index].routing = Routing(always=(self._edge(index, chooser),))
        conditional = any(not branch.is_default for branch in branches)
        placed = [(branch, f"{pointer}/branches/{position}") for position, branch in enumerate(branches)]
        edges = [self._branch_edges(chooser, branch, at, conditional) for branch, at in placed]
        named = {self.edges[edge].target for taken in edges for edge in taken}
        rest = [target for target in plain if target not in named]
        defaults = [taken for (branch, _), taken in zip(placed, edges, strict=True) if branch.is_default]
        if rest:
            defaults.append(tuple(self._edge(chooser, target, conditional=conditional) for target in rest))
        if not conditional:
            self.wiring[index].routing = Routing(mode, always=tuple(dict.fromkeys(chain(*defaults))))
            return
        if len(defaults) > 1:
            self._find_ambiguous_default(index, pointer)
        routed = tuple(
            RoutingBranch(self._branch_condition(branch, at, index), branch.question, taken)
            for (branch, at), taken in zip(placed, edges, strict=True)
            if not branch.is_default
        )
        wiring = self.wiring[chooser]
        wiring.routing = Routing(mode, (), routed, defaults[0] if defaults else None)
        wiring.routing_references = join_references(
            branch.expression.references for branch in routed if branch.expression is not None
        )

    def _branch_condition(self, branch: Branch, pointer: str, index: int) -> Expression | None:
        source, field = branch.condition, "condition"
        if branch.question is not None:
            source, field = branch.expression, "expression"
        if source is None:
            return None
        return self.sources.condition(source, f"{pointer}/{field}", self.nodes[index].id)

    def _branch_edges(self, source: int, branch: Branch, pointer: str, conditional: bool) -> tuple[int, ...]:
        found: list[int] = []
        for position, name in enumerate(branch.next_blocks):
            target = self._resolve(name, f"{pointer}/nextBlocks/{position}", self.nodes[source].id)
            if target is not None:
                found.append(self._edge(source, target, conditional=conditional))
        return tuple(dict.fromkeys(found))

    def _edge(
        self, source: int, target: int, kind: EdgeKind = EdgeKind.NORMAL, *, conditional: bool = False
    ) -> int:
        known = self.edge_by_ends.get((source, target, kind))
        if known is not None:
            return known
        index = len(self.edges)
        self.edges.append(Edge(index, source, target, kind, conditional))
        self.edge_by_ends[source, target, kind] = index
        wiring = self.wiring[source]
        (wiring.normal if kind is EdgeKind.NORMAL else wiring.error).append(index)
        return index

    def _resolve(self, name: str, pointer: str, owner: str, code: str = "UNKNOWN_BLOCK") -> int | None:
        if name == END:
            return END_NODE
        index = self.node_by_id.get(name)
        if index is None:
            hint = ""
            self.comparisons_left -= len(self.block_nodes)
            if self.comparisons_left >= 0:  # comparing names is slow, and a hostile definition has many
                hint = nearest_name_hint(name, [block.block_id for _, block in self.block_nodes])
            verb = "depends on" if code == "MISSING_DEPENDENCY" else "names"
            message = f"'{owner}' {verb} '{name}', which is not defined"
            self._find(code, message, pointer, hint or "Define it, or take it out", (owner,))
        return index

    # Findings and the end

    def _find(self, code: str, message: str, pointer: str, suggestion: str, blocks: tuple[str, ...]) -> None:
        self.findings.append(Finding(code, message, pointer=pointer, suggestion=suggestion, blocks=blocks))

    def _find_ambiguous_default(self, index: int, pointer: str) -> None:
        owner = self.nodes[index].id
        self._find(
            "AMBIGUOUS_DEFAULT",
            f"'{owner}' has more than one default branch",
            pointer,
            "Unconditional edges beside conditional ones are the default: "
            "give one 'else' branch that lists all its targets, or none",
            (owner,),
        )

    def _finished(self) -> Graph:
        incoming: list[list[int]] = [[] for _ in self.nodes]
        for edge in self.edges:
            if edge.target != END_NODE:
                incoming[edge.target].append(edge.index)
        nodes = tuple(
            replace(
                node,
                in_edges=tuple(incoming[node.index]),
                normal_edges=tuple(wiring.normal),
                error_edges=tuple(wiring.error),
                routing=wiring.routing,
                routing_references=wiring.routing_references,
            )
            for node, wiring in zip(self.nodes, self.wiring, strict=True)
        )
        return Graph(self.definition, nodes, tuple(self.edges), self.node_by_id, tuple(self.findings))
