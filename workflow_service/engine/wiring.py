"""A definition wired into a graph, every expression compiled.

Here the two spellings meet: ``dependencies`` and ``nextBlocks`` naming one pair are one edge, unconditional
edges beside conditional ones are the default, each distinct source list is one gate, and a block or gate that
puts a question to the LLM hands its whole ordered branch list to a hidden DECIDE node behind it. Wiring never
stops at the first mistake: what cannot be wired is left out and becomes a finding.
"""

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Literal

from pydantic import JsonValue

from workflow_service.engine.definition import END, START, Block, Branch, Definition, Gate
from workflow_service.engine.errors import ExpressionError
from workflow_service.engine.expressions import Expression, References, compile_condition, compile_expression
from workflow_service.engine.findings import Finding, findings_from, nearest_name_hint
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
from workflow_service.engine.interpolation import Template, compile_template

NEAREST_NAMES_SOUGHT = 20


def join_references(parts: Iterable[References]) -> References:
    """Return what all of ``parts`` read together."""
    return reduce(operator.or_, parts, References())


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
        self.expressions: dict[tuple[Callable[[str], Expression], str], Expression] = {}
        self.block_nodes: list[tuple[int, Block]] = []
        self.gate_nodes: list[tuple[int, Gate]] = []
        self.nearest_names_left = NEAREST_NAMES_SOUGHT

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

    def _add_node(self, node_id: str, kind: NodeKind, pointer: str) -> int:
        index = len(self.nodes)
        self.nodes.append(Node(index, node_id, kind, pointer))
        self.wiring.append(_Wiring())
        self.node_by_id[node_id] = index
        return index

    def _add_block(self, block: Block, pointer: str) -> None:
        if block.block_id in self.node_by_id:
            self._find(
                "DUPLICATE_BLOCK", f"Two blocks are called '{block.block_id}'", f"{pointer}/blockId",
                "Give each block its own id", (block.block_id,),
            )  # fmt: skip
            return
        index = self._add_node(block.block_id, NodeKind.BLOCK, pointer)
        self.block_nodes.append((index, block))
        guard = self._condition(
            block.conditions.expression, f"{pointer}/conditions/expression", block.block_id
        )
        template = self._template(block.configuration, f"{pointer}/configuration", block.block_id)
        for_each = self._for_each(block, pointer)
        mapping = self._named_expressions(
            block.output_mapping or {}, f"{pointer}/outputMapping", block.block_id
        )
        reads = [part.references for part in (guard, template, for_each) if part is not None]
        self.nodes[index] = replace(
            self.nodes[index],
            block=block,
            join=block.join,
            starts=START in block.dependencies,
            guard=guard,
            template=template,
            for_each=for_each,
            output_mapping=mapping,
            references=join_references(reads),
        )

    def _add_gate(self, gate: Gate, pointer: str) -> None:
        if gate.name in self.node_by_id:
            self._find(
                "DUPLICATE_JOIN", f"The join {gate.name} is defined twice", f"{pointer}/sources",
                "Put all its branches, in order, into one", gate.sources,
            )  # fmt: skip
            return
        index = self._add_node(gate.name, NodeKind.GATE, pointer)
        self.nodes[index] = replace(self.nodes[index], join="every")
        self.gate_nodes.append((index, gate))

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
        routing = self.wiring[index].routing
        # A gate asks whether its sources completed; which branch they chose is not its business.
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
        computed = self._named_expressions(gate.set, f"{pointer}/set", gate.name)
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
        always: tuple[int, ...] = ()
        if any(branch.question is not None for branch in branches):
            chooser = self._add_node(f"{self.nodes[index].id}?", NodeKind.DECIDE, pointer)
            always = (self._edge(index, chooser),)
        conditional = any(not branch.is_default for branch in branches)
        routed: list[RoutingBranch] = []
        defaults: list[tuple[int, ...]] = []
        for position, branch in enumerate(branches):
            at = f"{pointer}/branches/{position}"
            edges = self._branch_edges(chooser, branch, at, conditional)
            if branch.is_default:
                defaults.append(edges)
            else:
                expression = self._condition(branch.condition, f"{at}/condition", self.nodes[index].id)
                routed.append(RoutingBranch(expression, branch.question, edges))
        named = {self.edges[edge].target for edge in self.wiring[chooser].normal}
        rest = tuple(
            self._edge(chooser, target, conditional=conditional) for target in plain if target not in named
        )
        if not conditional:
            everything = rest + tuple(edge for edges in defaults for edge in edges)
            self.wiring[index].routing = Routing(mode, always=everything)
            return
        if rest:
            defaults.append(rest)
        if len(defaults) > 1:
            self._find_ambiguous_default(index, pointer)
        routing = Routing(mode, (), tuple(routed), defaults[0] if defaults else None)
        references = join_references(
            part.expression.references for part in routed if part.expression is not None
        )
        self.wiring[chooser].routing = routing
        self.wiring[chooser].routing_references = references
        if chooser != index:
            self.wiring[index].routing = Routing(always=always)

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
            if self.nearest_names_left:  # comparing names is slow, and a hostile definition has many
                self.nearest_names_left -= 1
                hint = nearest_name_hint(name, [block.block_id for _, block in self.block_nodes])
            verb = "depends on" if code == "MISSING_DEPENDENCY" else "names"
            message = f"'{owner}' {verb} '{name}', which is not defined"
            self._find(code, message, pointer, hint or "Define it, or take it out", (owner,))
        return index

    # Expressions

    def _condition(self, source: str | None, pointer: str, owner: str) -> Expression | None:
        return None if source is None else self._compiled(compile_condition, source, pointer, owner)

    def _compiled(
        self, compile_source: Callable[[str], Expression], source: str, pointer: str, owner: str
    ) -> Expression | None:
        known = self.expressions.get((compile_source, source))
        if known is not None:
            return known
        try:
            compiled = compile_source(source)
        except ExpressionError as error:
            self.findings += findings_from(error, code="BAD_CONDITION", pointer=pointer, block_id=owner)
            return None
        self.expressions[compile_source, source] = compiled
        return compiled

    def _named_expressions(
        self, sources: Mapping[str, str], pointer: str, owner: str
    ) -> tuple[tuple[str, Expression], ...]:
        found = []
        for name, source in sources.items():
            at = f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"
            expression = self._compiled(compile_expression, source, at, owner)
            if expression is not None:
                found.append((name, expression))
        return tuple(found)

    def _template(self, value: JsonValue, pointer: str, owner: str) -> Template | None:
        try:
            return compile_template(value)
        except ExpressionError as error:
            self.findings += findings_from(error, code="BAD_REFERENCE", pointer=pointer, block_id=owner)
            return None

    def _for_each(self, block: Block, pointer: str) -> Template | None:
        if block.for_each is None:
            return None
        source = block.for_each if "${" in block.for_each else "${" + block.for_each + "}"
        return self._template(source, f"{pointer}/forEach", block.block_id)

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
