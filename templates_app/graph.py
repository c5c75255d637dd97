"""A definition as a picture's nodes and edges: what is drawn, before where it is drawn.

It reads the definition, not the plan, so that a draft with faults can be looked at too: an edge to a block
that does not exist is left out, and a cycle is an edge that runs back.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from workflow_service.engine.definition import END, START, Block, Branch, Definition


class NodeShape(StrEnum):
    BLOCK = "block"
    GATE = "gate"
    TERMINAL = "terminal"


class EdgeStyle(StrEnum):
    NORMAL = "normal"
    CONDITION = "condition"
    DEFAULT = "default"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class GraphNode:
    """One thing in the picture. ``detail`` is its second line."""

    id: str
    label: str
    detail: str = ""
    shape: NodeShape = NodeShape.BLOCK
    asks_people: bool = False


@dataclass(frozen=True, slots=True)
class GraphEdge:
    """One arrow. ``label`` is the condition under which it is taken."""

    source: str
    target: str
    style: EdgeStyle = EdgeStyle.NORMAL
    label: str = ""


@dataclass(frozen=True, slots=True)
class Graph:
    nodes: tuple[GraphNode, ...]
    edges: tuple[GraphEdge, ...]


def graph_of(definition: Definition) -> Graph:
    """Return a definition's picture: blocks, gates, ``start``, and ``end`` if something leads there."""
    nodes = {
        START: GraphNode(START, START, shape=NodeShape.TERMINAL),
        **{block.block_id: _block_node(block) for block in definition.blocks},
        **{gate.name: GraphNode(gate.name, gate.name, shape=NodeShape.GATE) for gate in definition.gates},
        END: GraphNode(END, END, shape=NodeShape.TERMINAL),
    }
    edges = {(e.source, e.target): e for e in _edges(definition) if e.source in nodes and e.target in nodes}
    entered = {target for _, target in edges}
    for block in definition.blocks:
        if block.block_id not in entered:
            edges[START, block.block_id] = GraphEdge(START, block.block_id)
    if END not in entered:
        del nodes[END]
    return Graph(tuple(nodes.values()), tuple(edges.values()))


def _block_node(block: Block) -> GraphNode:
    tool = str(block.tool_type or block.agent_id or block.agent_type) if block.has_tool else ""
    return GraphNode(block.block_id, block.name or block.block_id, tool, asks_people=block.asks_people)


def _edges(definition: Definition) -> Iterator[GraphEdge]:
    """Yield every edge; where a pair comes twice the later one, with its condition, is the one that counts."""
    for block in definition.blocks:
        yield from (GraphEdge(source, block.block_id) for source in block.dependencies)
    yield from (GraphEdge(source, END) for source in definition.end_dependencies)
    for block in definition.blocks:
        yield from _branch_edges(block.block_id, block.conditions.branches)
        yield from (
            GraphEdge(block.block_id, target, EdgeStyle.ERROR, "on failure") for target in block.on_error
        )
    for gate in definition.gates:
        yield from (GraphEdge(source, gate.name) for source in gate.sources)
        yield from (GraphEdge(gate.name, target) for target in gate.next_blocks)
        yield from _branch_edges(gate.name, gate.branches)


def _branch_edges(source: str, branches: Sequence[Branch]) -> Iterator[GraphEdge]:
    for branch in branches:
        style = EdgeStyle.DEFAULT if branch.is_default else EdgeStyle.CONDITION
        label = branch.condition or (f"“{branch.question}”" if branch.question else "else")
        yield from (GraphEdge(source, target, style, label) for target in branch.next_blocks)
