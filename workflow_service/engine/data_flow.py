"""Who reads which names in a definition, who may have written them before, and who may write them side by side.

What a block puts out is known or not (``Outputs``, by block id: its keys, or None where it may be anything); a block
that may write anything is taken to write whatever is read, so what is said here holds whatever happens. Reads that
allow for a missing name (``exists``, ``default``) are never wrong. Every check is one pass over the graph.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from workflow_service.engine.approval import is_reviewed
from workflow_service.engine.expressions import Expression
from workflow_service.engine.findings import Finding, Severity, nearest_name_hint
from workflow_service.engine.graph import Graph, Node, NodeKind
from workflow_service.engine.json_values import json_pointer
from workflow_service.engine.loops import strongly_connected
from workflow_service.engine.paths import Path, Root, reads_of, template_reads
from workflow_service.engine.places import routing_places

Outputs = Mapping[str, frozenset[str] | None]

# What the service itself puts into a run's context before its first block.
PROVIDED = frozenset({"workspace"})
MAX_FINDINGS = 100
ITEM_NAMES = frozenset({"item", "index"})


@dataclass(frozen=True, slots=True)
class PlacedRead:
    """One path that a node reads, with its place.

    ``own`` are names that are there without anybody's writing them; ``after_work``: the node's own are written.
    """

    node: int
    pointer: str
    path: Path
    may_be_missing: bool = False
    sees_own_output: bool = False
    own: frozenset[str] = frozenset()
    after_work: bool = False


@dataclass(frozen=True, slots=True)
class Writes:
    """What each node of a graph may put into the context, None for anything; and the keys of each block's output."""

    context: tuple[frozenset[str] | None, ...]
    outputs: Outputs

    def may_write(self, node: int, name: str) -> bool:
        """Tell whether a node may put ``name`` into the context."""
        known = self.context[node]
        return known is None or name in known


def writes_of(graph: Graph, outputs: Outputs) -> Writes:
    """Return what the nodes of ``graph`` may write, by what is known of their outputs."""
    found: list[frozenset[str] | None] = []
    for node in graph.nodes:
        if node.kind is not NodeKind.BLOCK:
            found.append(frozenset(name for name, _ in node.routing.set))
        elif node.output_mapping:
            found.append(frozenset(name for name, _ in node.output_mapping))
        else:
            found.append(outputs.get(node.id))
    return Writes(tuple(found), outputs)


def reads_of_node(graph: Graph, node: Node) -> Iterator[PlacedRead]:
    """Yield everything that the expressions of a node read."""
    yield from _routing_reads(graph, node)
    block = node.block
    if block is None:
        return
    at = node.pointer
    if node.guard is not None:
        yield from _expression_reads(node, f"{at}/conditions/expression", node.guard)
    item = ITEM_NAMES if block.for_each is not None else frozenset()
    if node.template is not None:
        yield from _template_reads(node, f"{at}/configuration", block.configuration, item)
    if node.for_each is not None:
        yield from _template_reads(node, f"{at}/forEach", node.for_each.value)
    for name, expression in node.output_mapping:
        place = f"{at}/outputMapping{json_pointer(name)}"
        yield from _expression_reads(node, place, expression, own=frozenset({"output"}), sees_own_output=True)
    recovery = block.recovery
    if recovery is not None and recovery.fallback is not None:
        place = f"{at}/recovery/fallback/configuration"
        yield from _template_reads(node, place, recovery.fallback.configuration, item)
    if recovery is not None and recovery.compensate is not None:
        place = f"{at}/recovery/compensate/configuration"
        own = frozenset({"input", "output"})
        yield from _template_reads(node, place, recovery.compensate.configuration, own)
    if block.human_in_loop.message:
        # Who reviews is told what was made.
        reviewed = is_reviewed(block, graph.definition.global_settings.human_in_loop_defaults)
        own = frozenset({"output"}) if reviewed else frozenset()
        yield from _template_reads(node, f"{at}/humanInLoop/message", block.human_in_loop.message, own)


def data_flow_findings(graph: Graph, outputs: Outputs) -> tuple[Finding, ...]:
    """Return a warning for each name that is read where nobody can have written it."""
    writes = writes_of(graph, outputs)
    reads = [read for node in graph.nodes for read in reads_of_node(graph, node)]
    names = {read.path.name for read in reads if read.path.root in (Root.NAME, Root.CONTEXT)}
    bits = {name: position + 1 for position, name in enumerate(sorted(names))}
    before = _written_before(graph, writes, bits)
    found: dict[tuple[str, str], Finding] = {}
    for read in reads:
        if len(found) >= MAX_FINDINGS:
            break
        finding = None if read.may_be_missing else _wrong_with(graph, read, writes, before, bits)
        if finding is not None:
            found.setdefault((finding.pointer, finding.message), finding)
    return tuple(found.values())


# Reads


def _routing_reads(graph: Graph, node: Node) -> Iterator[PlacedRead]:
    computed = frozenset(name for name, _ in node.routing.set)
    for pointer, expression in routing_places(graph.definition, node):
        yield from _expression_reads(
            node, pointer, expression, own=computed, sees_own_output=True, after_work=True
        )


def _expression_reads(
    node: Node,
    pointer: str,
    expression: Expression,
    *,
    own: frozenset[str] = frozenset(),
    sees_own_output: bool = False,
    after_work: bool = False,
) -> Iterator[PlacedRead]:
    for read in reads_of(expression):
        yield PlacedRead(
            node.index, pointer, read.path, read.may_be_missing, sees_own_output, own, after_work
        )


def _template_reads(
    node: Node, pointer: str, value: object, own: frozenset[str] = frozenset()
) -> Iterator[PlacedRead]:
    # What does not compile is a finding already, and reads nothing.
    for place, read in template_reads(value):  # type: ignore[arg-type]
        yield PlacedRead(node.index, pointer + place, read.path, read.may_be_missing, own=own)


# Who may have written a name


def _written_before(graph: Graph, writes: Writes, bits: Mapping[str, int]) -> list[int]:
    """Return, by node, a mask of the names that may be in the context when it runs; bit 0: any name may.

    The nodes of a loop run before each other, and before themselves.
    """
    masks = [_mask(known, bits) for known in writes.context]
    successors = dict(enumerate(graph.successors()))
    components = strongly_connected(successors)
    component_of = {node: number for number, members in enumerate(components) for node in members}
    arriving = [0] * len(components)
    before = [0] * len(graph.nodes)
    for number in reversed(range(len(components))):
        members = components[number]
        after = arriving[number]
        for node in members:
            after |= masks[node]
        cyclic = len(members) > 1 or members[0] in successors[members[0]]
        for node in members:
            before[node] = after if cyclic else arriving[number]
            for target in successors[node]:
                if component_of[target] != number:
                    arriving[component_of[target]] |= after
    return before


def _mask(known: Iterable[str] | None, bits: Mapping[str, int]) -> int:
    if known is None:
        return 1
    mask = 0
    for name in known:
        if name in bits:
            mask |= 1 << bits[name]
    return mask


def _wrong_with(
    graph: Graph, read: PlacedRead, writes: Writes, before: list[int], bits: Mapping[str, int]
) -> Finding | None:
    path = read.path
    match path.root:
        case Root.NAME | Root.CONTEXT:
            return _unwritten(graph, read, writes, before[read.node], bits)
        case Root.OUTPUT:
            known = writes.outputs.get(path.name)
            if known is None or path.top is None or path.top in known:
                return None
            hint = nearest_name_hint(path.top, known) or f"It has {_listed(known)}"
            message = (
                f"'{_owner(graph, read)}' reads {path}, and the output of '{path.name}' has no '{path.top}'"
            )
            return _finding(graph, read, "UNWRITTEN_NAME", message, hint)
        case Root.INPUT:
            return _undeclared(graph, read)
    return None


def _unwritten(
    graph: Graph, read: PlacedRead, writes: Writes, before: int, bits: Mapping[str, int]
) -> Finding | None:
    name = read.path.name
    if name in read.own or name in PROVIDED:
        return None
    if before & 1 or before >> bits[name] & 1:
        return None
    node = graph.nodes[read.node]
    owner = graph.node_by_id.get(node.id.removesuffix("?"), node.index)
    if read.sees_own_output:
        own = (
            writes.outputs.get(graph.nodes[owner].id)
            if graph.nodes[owner].kind is NodeKind.BLOCK
            else frozenset()
        )
        if own is None or name in own:
            return None
    if read.after_work and writes.may_write(owner, name):
        return None
    properties = (graph.definition.input_schema or {}).get("properties")
    if isinstance(properties, dict) and name in properties:
        hint = f"What the run is started with is read as workflow.input.{name}"
    else:
        # Only names that are read and written can be near: the others have no bit, and are not wanted here.
        written = [known for known in writes.context if known]
        hint = nearest_name_hint(name, sorted(frozenset().union(*written[:1_000]))[:1_000])
    message = f"'{_owner(graph, read)}' reads '{name}', which no block before it writes"
    return _finding(
        graph,
        read,
        "UNWRITTEN_NAME",
        message,
        hint or "Let a block before it give that, or read it with default()",
    )


def _undeclared(graph: Graph, read: PlacedRead) -> Finding | None:
    schema = graph.definition.input_schema or {}
    properties, name = schema.get("properties"), read.path.top
    if not isinstance(properties, dict) or name is None or name in properties:
        return None
    message = f"'{_owner(graph, read)}' reads {read.path}, and inputSchema does not declare '{name}'"
    hint = nearest_name_hint(name, properties) or "Declare it, or take it out"
    return _finding(graph, read, "UNDECLARED_INPUT", message, hint)


def _finding(graph: Graph, read: PlacedRead, code: str, message: str, suggestion: str) -> Finding:
    owner = _owner(graph, read)
    blocks = (owner,) if owner in graph.node_by_id else ()
    return Finding(code, message, read.pointer, suggestion, blocks=blocks, severity=Severity.WARNING)


def _owner(graph: Graph, read: PlacedRead) -> str:
    return graph.nodes[read.node].id.removesuffix("?")


def _listed(names: Iterable[str]) -> str:
    shown = sorted(names)
    return ", ".join(shown[:10]) + (", …" if len(shown) > 10 else "") if shown else "no entries"
