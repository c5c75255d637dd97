"""What is wrong, or worth knowing, about a definition.

``check`` wires and examines a definition once, for the validator and the compiler alike: what validates
without an error compiles, and what does not, does not. No check takes more than a pass over the graph,
however hostile the definition.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from workflow_service.engine.decision_findings import decision_findings
from workflow_service.engine.definition import Definition
from workflow_service.engine.expressions import References
from workflow_service.engine.findings import Finding, Severity
from workflow_service.engine.graph import Graph, Node, NodeKind
from workflow_service.engine.loops import LoopNest, find_cycles, find_loops, strongly_connected
from workflow_service.engine.wiring import build_graph


@dataclass(frozen=True, slots=True)
class CheckedGraph:
    """A definition wired, its loops found, and everything there is to say about it."""

    graph: Graph
    nest: LoopNest
    findings: tuple[Finding, ...]


def validate(definition: Definition) -> tuple[Finding, ...]:
    """Return every finding about ``definition``; it may run if none has severity ERROR."""
    return check(definition).findings


def check(definition: Definition) -> CheckedGraph:
    """Wire ``definition``, find its loops and examine both."""
    graph = build_graph(definition)
    cycles = find_cycles(graph)
    nest = find_loops(graph)
    findings = [*graph.findings, *cycles]
    if not cycles:
        # What a circular dependency makes unreachable or loop-like is mended with it.
        findings += nest.findings
        findings += _unreachable(graph)
    findings += _joins_too_large(graph, nest)
    findings += _blocks_without_work(graph)
    findings += _unavailable_outputs(graph)
    findings += _missing_defaults(graph)
    findings += decision_findings(graph)
    findings += _rounds_without_loop(graph, nest)
    return CheckedGraph(graph, nest, tuple(findings))


def _unreachable(graph: Graph) -> Iterator[Finding]:
    successors = graph.successors()
    pending = [node.index for node in graph.nodes if node.starts or not node.in_edges]
    reached = set(pending)
    while pending:
        for target in successors[pending.pop()]:
            if target not in reached:
                reached.add(target)
                pending.append(target)
    for node in graph.nodes:
        if node.index not in reached and node.kind is NodeKind.BLOCK:
            yield Finding(
                "UNREACHABLE_BLOCK",
                f"No way leads from the start to '{node.id}'",
                pointer=node.pointer,
                suggestion=f"Add an edge to it (start->{node.id} if the run begins there), or take it out",
                blocks=(node.id,),
            )


def _joins_too_large(graph: Graph, nest: LoopNest) -> Iterator[Finding]:
    for node in graph.nodes:
        if isinstance(node.join, int):
            forward = sum(edge not in nest.back_edges for edge in node.in_edges) + node.starts
            if node.join > forward:
                yield Finding(
                    "JOIN_TOO_LARGE",
                    f"'{node.id}' waits for {node.join} edges, and {forward} lead to it",
                    pointer=f"{node.pointer}/join",
                    suggestion=f"Use at most {forward}" if forward else "Leave 'join' out",
                    blocks=(node.id,),
                )


def _blocks_without_work(graph: Graph) -> Iterator[Finding]:
    for node in graph.nodes:
        block = node.block
        if block is None or block.has_tool or block.asks_people:
            continue
        yield Finding(
            "NO_WORK",
            f"'{node.id}' has nothing to do: neither a tool, nor an agent, nor a person",
            pointer=f"{node.pointer}/toolType",
            suggestion="Give it a toolType with its configuration, an agentId, or humanInLoop with required: true",
            blocks=(node.id,),
        )


def _missing_defaults(graph: Graph) -> Iterator[Finding]:
    for node in graph.nodes:
        routing = node.routing
        if routing.branches and routing.default is None and routing.mode == "exclusive":
            owner = node.id.removesuffix("?")
            then = "a person has to decide" if routing.asks else "the run fails"
            yield Finding(
                "NO_DEFAULT_BRANCH",
                f"If none of the conditions of '{owner}' holds, {then} there",
                pointer=node.pointer,
                suggestion=f"Add a default branch ({owner}->...:else)",
                blocks=(owner,),
                severity=Severity.WARNING,
            )


def _rounds_without_loop(graph: Graph, nest: LoopNest) -> Iterator[Finding]:
    entries = {entry for loop in nest.loops for entry in loop.entries}
    for node in graph.nodes:
        if node.block is not None and node.block.max_rounds is not None and node.index not in entries:
            yield Finding(
                "ROUNDS_WITHOUT_LOOP",
                f"'{node.id}' has maxRounds, but no loop is entered there",
                pointer=f"{node.pointer}/maxRounds",
                suggestion="Put it on the block at which the loop is entered",
                blocks=(node.id,),
                severity=Severity.WARNING,
            )


def _unavailable_outputs(graph: Graph) -> Iterator[Finding]:
    """Refuse ``blocks.<id>.output`` of a block that is unknown, or that need not have run before."""
    reads = [(node, *read) for node in graph.nodes for read in _output_reads(node)]
    wanted = {
        graph.node_by_id[name] for _, _, names, _ in reads for name in names if name in graph.node_by_id
    }
    bits = {index: position for position, index in enumerate(sorted(wanted))}
    ancestors = _ancestors_among(graph, bits) if bits else []
    for node, pointer, names, own in reads:
        for name in sorted(names):
            index = graph.node_by_id.get(name)
            if index is None:
                yield _unknown_output(node, pointer, name)
            elif not (own and index == node.index) and not ancestors[node.index] >> bits[index] & 1:
                yield Finding(
                    "OUTPUT_NOT_AVAILABLE",
                    f"'{node.id}' reads the output of '{name}', which does not run before it",
                    pointer=pointer,
                    suggestion=f"Make '{node.id}' depend on '{name}'",
                    blocks=(node.id, name),
                )


def _unknown_output(node: Node, pointer: str, name: str) -> Finding:
    return Finding(
        "UNKNOWN_BLOCK",
        f"'{node.id}' reads the output of '{name}', which is not defined",
        pointer=pointer,
        suggestion="Name a block of this workflow",
        blocks=(node.id,),
    )


def _output_reads(node: Node) -> Iterator[tuple[str, frozenset[str], bool]]:
    """Yield place, block ids read, and whether the node's own output is there already."""
    before = [
        (node.guard, "/conditions/expression"),
        (node.template, "/configuration"),
        (node.for_each, "/forEach"),
        (node.fallback, "/recovery/fallback/configuration"),
    ]
    for part, place in before:
        if part is not None and part.references.outputs:
            yield node.pointer + place, part.references.outputs, False
    if node.undo is not None and node.undo.references.outputs:
        yield f"{node.pointer}/recovery/compensate/configuration", node.undo.references.outputs, True
    mapped = References()
    for _, expression in node.output_mapping:
        mapped |= expression.references
    if mapped.outputs:
        yield f"{node.pointer}/outputMapping", mapped.outputs, True
    if node.routing_references.outputs:
        yield node.pointer, node.routing_references.outputs, True


def _ancestors_among(graph: Graph, bits: dict[int, int]) -> list[int]:
    """Return, by node, a bit mask of those nodes of ``bits`` that can run before it.

    The nodes of a loop run before each other, and before themselves: in an earlier round.
    """
    successors = dict(enumerate(graph.successors()))
    components = strongly_connected(successors)
    component_of = {node: number for number, members in enumerate(components) for node in members}
    before = [0] * len(components)
    ancestors = [0] * len(graph.nodes)
    for number in reversed(range(len(components))):
        members = components[number]
        after = before[number] | _mask(members, bits)
        cyclic = len(members) > 1 or members[0] in successors[members[0]]
        for node in members:
            ancestors[node] = after if cyclic else before[number]
            for target in successors[node]:
                if component_of[target] != number:
                    before[component_of[target]] |= after
    return ancestors


def _mask(nodes: Sequence[int], bits: dict[int, int]) -> int:
    return sum(1 << bits[node] for node in nodes if node in bits)
