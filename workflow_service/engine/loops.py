"""Cycles of a graph: which are mistakes, which are loops, and how loops nest.

A cycle of unconditional edges can never end and is refused. Every other strongly connected part is a loop:
its entries are the nodes it is entered by from outside, its back edges are the edges from inside into an
entry. What is still strongly connected without them is a loop inside it, and so on; so the graph without back
edges has no cycle. Everything here is iterative, and the nesting is bounded: definitions are hostile input.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from workflow_service.engine.findings import Finding, Severity
from workflow_service.engine.graph import END_NODE, Edge, Graph, Node, NodeKind

DEFAULT_MAX_ROUNDS = 100
MAX_LOOP_DEPTH = 20
SHOWN_BLOCKS = 20

Successors = Mapping[int, Sequence[int]]


@dataclass(frozen=True, slots=True)
class Loop:
    """Seen from outside, one block. ``body`` holds the bodies of the loops within, whose ``parent`` it is.

    ``exits`` lead out of the body, some of them perhaps out of the parent's body too.
    """

    index: int
    parent: int | None
    entries: tuple[int, ...]
    body: tuple[int, ...]
    back_edges: tuple[int, ...]
    exits: tuple[int, ...]
    max_rounds: int


@dataclass(frozen=True, slots=True)
class LoopNest:
    """All loops of a graph, outer before inner. ``loop_of`` is the innermost loop of each node."""

    loops: tuple[Loop, ...]
    loop_of: tuple[int | None, ...]
    back_edges: frozenset[int]
    findings: tuple[Finding, ...]

    def around(self, loop: int | None) -> Iterator[int]:
        """Yield ``loop`` and the loops around it, inner before outer."""
        while loop is not None:
            yield loop
            loop = self.loops[loop].parent

    def placed(self, edge: Edge) -> Edge:
        """Return ``edge`` with the borders of loops that it crosses."""
        back = edge.index in self.back_edges
        target = None if edge.target == END_NODE else self.loop_of[edge.target]
        inside = frozenset(self.around(target))
        # A back edge leads into its own loop, at whose entry no inner loop is entered.
        leaves = tuple(takewhile(lambda loop: loop not in inside, self.around(self.loop_of[edge.source])))
        home = next((loop for loop in self.around(self.loop_of[edge.source]) if loop in inside), None)
        return replace(edge, back=back, leaves=leaves, enters=None if home == target else target)


def strongly_connected(successors: Successors) -> list[list[int]]:
    """Return the strongly connected components, each before those that lead to it (Tarjan 1972)."""
    order: dict[int, int] = {}
    low: dict[int, int] = {}
    path: list[int] = []
    on_path: set[int] = set()
    found: list[list[int]] = []
    for root in successors:
        calls: list[tuple[int, Iterator[int]]] = [] if root in order else [(root, iter(successors[root]))]
        while calls:
            node, targets = calls[-1]
            if node not in order:
                order[node] = low[node] = len(order)
                path.append(node)
                on_path.add(node)
            for target in targets:
                if target not in order:
                    calls.append((target, iter(successors[target])))
                    break
                if target in on_path:
                    low[node] = min(low[node], order[target])
            else:
                calls.pop()
                if calls:
                    caller = calls[-1][0]
                    low[caller] = min(low[caller], low[node])
                if low[node] == order[node]:
                    found.append(_cut_path(path, on_path, node))
    return found


def _cut_path(path: list[int], on_path: set[int], node: int) -> list[int]:
    component: list[int] = []
    while not component or component[-1] != node:
        component.append(path.pop())
        on_path.discard(component[-1])
    return component


def find_cycles(graph: Graph) -> tuple[Finding, ...]:
    """Return one CIRCULAR_DEPENDENCY for each knot of unconditional edges, naming a shortest cycle in it."""
    successors: dict[int, list[int]] = {node.index: [] for node in graph.nodes}
    for edge in graph.edges:
        if not edge.conditional and edge.target != END_NODE:
            successors[edge.source].append(edge.target)
    cycles = [
        _shortest_cycle(component, successors)
        for component in strongly_connected(successors)
        if _is_cyclic(component, successors)
    ]
    return tuple(_cycle_finding(graph, cycle) for cycle in sorted(cycles))


def find_loops(graph: Graph) -> LoopNest:
    """Return the loops of ``graph``, outermost first, with what forbids or should be known about them.

    Parts that cannot be entered have no loops: they are unreachable, which is another finding.
    """
    return _LoopFinder(graph).find()


def _is_cyclic(component: Sequence[int], successors: Successors) -> bool:
    return len(component) > 1 or component[0] in successors[component[0]]


def _shortest_cycle(component: Sequence[int], successors: Successors) -> list[int]:
    """Return the nodes of a shortest cycle through the first-defined node of ``component``."""
    members, start = set(component), min(component)
    came_from: dict[int, int] = {}
    pending = deque([start])
    while pending:
        node = pending.popleft()
        for target in successors[node]:
            if target == start:
                cycle = [node]
                while cycle[-1] != start:
                    cycle.append(came_from[cycle[-1]])
                return cycle[::-1]
            if target in members and target not in came_from:
                came_from[target] = node
                pending.append(target)
    raise AssertionError("a strongly connected component has a cycle through each of its nodes")


def _cycle_finding(graph: Graph, cycle: Sequence[int]) -> Finding:
    names = [graph.nodes[node].id for node in cycle]
    shown = names if len(names) <= SHOWN_BLOCKS else [*names[: SHOWN_BLOCKS - 1], "…", names[-1]]
    return Finding(
        "CIRCULAR_DEPENDENCY",
        f"These blocks wait for each other: {' -> '.join([*shown, names[0]])}",
        pointer=graph.nodes[cycle[0]].pointer,
        suggestion="Take out one of the edges, or give one a condition: a conditional edge back makes a loop",
        blocks=_block_ids(graph, cycle),
    )


def _block_ids(graph: Graph, nodes: Iterable[int]) -> tuple[str, ...]:
    return tuple(graph.nodes[node].id for node in nodes if graph.nodes[node].kind is NodeKind.BLOCK)


class _LoopFinder:
    """Peels loops off a graph, from the outside in; used once."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.loops: list[Loop] = []
        self.loop_of: list[int | None] = [None] * len(graph.nodes)
        self.back_edges: set[int] = set()
        self.findings: list[Finding] = []

    def find(self) -> LoopNest:
        everything = [node.index for node in self.graph.nodes]
        pending: deque[tuple[list[int], int | None, int]] = deque([(everything, None, 1)])
        while pending:
            members, parent, depth = pending.popleft()
            for body in self._cyclic_parts(members):
                if depth > MAX_LOOP_DEPTH:
                    reason = f"loops are nested deeper than {MAX_LOOP_DEPTH}"
                    self._refuse(reason, "Use fewer loops within loops", body)
                elif self._add_loop(body, parent):
                    pending.append((body, len(self.loops) - 1, depth + 1))
        return LoopNest(
            tuple(self.loops), tuple(self.loop_of), frozenset(self.back_edges), tuple(self.findings)
        )

    def _out_edges(self, node: int) -> Iterator[Edge]:
        for index in (*self.graph.nodes[node].normal_edges, *self.graph.nodes[node].error_edges):
            yield self.graph.edges[index]

    def _cyclic_parts(self, members: Sequence[int]) -> list[list[int]]:
        inside = set(members)
        successors = {
            node: [
                edge.target
                for edge in self._out_edges(node)
                if edge.target in inside and edge.index not in self.back_edges
            ]
            for node in members
        }
        parts = [sorted(part) for part in strongly_connected(successors) if _is_cyclic(part, successors)]
        return sorted(parts)

    def _add_loop(self, body: list[int], parent: int | None) -> bool:
        inside = set(body)
        entries = tuple(node for node in body if self._is_entered(self.graph.nodes[node], inside))
        if not entries:
            return False
        starts = set(entries)
        out = [edge for node in body for edge in self._out_edges(node)]
        back = tuple(edge.index for edge in out if edge.target in starts)
        exits = tuple(edge.index for edge in out if edge.target not in inside)
        index = len(self.loops)
        rounds = [block.max_rounds for node in entries if (block := self.graph.nodes[node].block) is not None]
        bound = min((each for each in rounds if each is not None), default=DEFAULT_MAX_ROUNDS)
        self.loops.append(Loop(index, parent, entries, tuple(body), back, exits, bound))
        self.back_edges.update(back)
        for node in body:
            self.loop_of[node] = index
        self._check(self.loops[-1], inside)
        return True

    def _is_entered(self, node: Node, inside: set[int]) -> bool:
        return node.starts or any(self.graph.edges[edge].source not in inside for edge in node.in_edges)

    def _check(self, loop: Loop, inside: set[int]) -> None:
        entries = [self.graph.nodes[entry] for entry in loop.entries]
        gates = [entry.id for entry in entries if entry.kind is NodeKind.GATE]
        parallel = self._parallel_part(loop, inside) if len(entries) > 1 else None
        if gates:
            self._refuse(
                f"the join {gates[0]} waits for blocks outside and inside of a loop",
                "Join blocks that are all inside the loop, or all outside",
                loop.body,
            )
        elif parallel is not None:
            entered = ", ".join(entry.id for entry in entries[:SHOWN_BLOCKS])
            self._refuse(
                f"the loop is entered at several blocks ({entered}) and has parallel parts "
                f"(at '{self.graph.nodes[parallel].id}')",
                "Enter it at one block, or take its parallel parts out of it",
                loop.body,
            )
        if not loop.exits:
            self._note(
                "LOOP_WITHOUT_EXIT",
                "no edge leads out of the loop: it always ends",
                "Add a way out",
                loop.body,
            )
        self._check_side_branches(loop, inside)

    def _parallel_part(self, loop: Loop, inside: set[int]) -> int | None:
        """Return a node that may send more than one token on inside the loop, or waits for several there."""
        for index in loop.body:
            node = self.graph.nodes[index]
            tokens = (
                sum(self.graph.edges[edge].target in inside for edge in taken)
                for taken in self._taken_together(node)
            )
            if node.kind is NodeKind.GATE or max(tokens) > 1:
                return index
        return None

    @staticmethod
    def _taken_together(node: Node) -> list[set[int]]:
        """Return the largest sets of edges that one finish of ``node`` may take."""
        routing = node.routing
        choices: list[set[int]] = [set(branch.edges) for branch in routing.branches]
        if routing.mode == "inclusive":
            choices = [set().union(*choices)]
        choices.append(set(routing.default or ()))
        return [choice.union(routing.always) for choice in choices] + [set(node.error_edges)]

    def _check_side_branches(self, loop: Loop, inside: set[int]) -> None:
        for index in loop.body:
            node = self.graph.nodes[index]
            for taken in self._taken_together(node):
                leaving = {edge for edge in taken if self.graph.edges[edge].target not in inside}
                if leaving and len(leaving) < len(taken):
                    self._note(
                        "SIDE_BRANCH_AFTER_LOOP",
                        f"'{node.id}' leads both on and out of the loop: what is outside runs once, after",
                        "Put it inside the loop if it is to run in every round",
                        (index,),
                    )
                    break

    def _refuse(self, reason: str, suggestion: str, nodes: Sequence[int]) -> None:
        self._find("UNSUPPORTED_LOOP", reason, suggestion, nodes, Severity.ERROR)

    def _note(self, code: str, message: str, suggestion: str, nodes: Sequence[int]) -> None:
        self._find(code, message, suggestion, nodes, Severity.WARNING)

    def _find(
        self, code: str, message: str, suggestion: str, nodes: Sequence[int], severity: Severity
    ) -> None:
        self.findings.append(
            Finding(
                code,
                message[0].upper() + message[1:],
                pointer=self.graph.nodes[nodes[0]].pointer,
                suggestion=suggestion,
                blocks=_block_ids(self.graph, nodes),
                severity=severity,
            )
        )
