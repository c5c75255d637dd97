"""Which blocks may be at work at the same time, and what that means for the names they write.

Two blocks may overlap where neither leads to the other and no choice keeps them apart: of two ways that exclude each
other, whatever lies only on one never meets what lies only on the other.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, islice

from workflow_service.engine.data_flow import Writes
from workflow_service.engine.findings import Finding, Severity
from workflow_service.engine.graph import END_NODE, Node, NodeKind
from workflow_service.engine.levels import topological_order
from workflow_service.engine.plan import Plan

MAX_CHOICES = 40
MAX_WRITERS = 40
MAX_PAIRS = 2_000
MAX_FINDINGS = 50
FAILURE = -2
DEFAULT = -1

# By node that chooses: which of its outcomes lead here.
Choices = Mapping[int, frozenset[int]]


class Overlaps:
    """Answers whether two nodes of a plan may be at work at the same time."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._order = topological_order(plan.nodes, plan.edges)
        self._choices = _choices_of(plan, self._order)
        self._reached: dict[int, frozenset[int]] = {}

    def may_overlap(self, one: int, other: int) -> bool:
        """Tell whether nothing keeps the two apart."""
        if one == other or other in self._beyond(one) or one in self._beyond(other):
            return False
        mine, theirs = self._choices[one], self._choices[other]
        return not any(
            chooser in theirs and not outcomes & theirs[chooser] for chooser, outcomes in mine.items()
        )

    def _beyond(self, node: int) -> frozenset[int]:
        found = self._reached.get(node)
        if found is None:
            seen: set[int] = set()
            pending = [node]
            while pending:
                each = self._plan.nodes[pending.pop()]
                for edge in (*each.normal_edges, *each.error_edges):
                    target = self._plan.edges[edge].target
                    if target != END_NODE and not self._plan.edges[edge].back and target not in seen:
                        seen.add(target)
                        pending.append(target)
            found = self._reached[node] = frozenset(seen)
        return found


def parallel_writers(plan: Plan, writes: Writes) -> Iterator[Finding]:
    """Yield a warning for two blocks that are known to write one name of the context, and may at the same time.

    Names that nothing reads do no harm.
    """
    writers: dict[str, list[int]] = {}
    for node in plan.nodes:
        if node.kind is NodeKind.BLOCK:
            for name in (writes.context[node.index] or frozenset()) & plan.names_used:
                writers.setdefault(name, []).append(node.index)
    overlaps = Overlaps(plan)
    pairs = (
        (name, one, other)
        for name, nodes in sorted(writers.items())
        for one, other in combinations(nodes[:MAX_WRITERS], 2)
    )
    told: set[tuple[int, int]] = set()
    for name, one, other in islice(pairs, MAX_PAIRS):
        if len(told) < MAX_FINDINGS and (one, other) not in told and overlaps.may_overlap(one, other):
            told.add((one, other))
            yield _both_write(plan.nodes[one], plan.nodes[other], name)


def _both_write(one: Node, other: Node, name: str) -> Finding:
    return Finding(
        "PARALLEL_WRITES",
        f"'{one.id}' and '{other.id}' may run at the same time and both write '{name}': the later one wins",
        pointer=other.pointer,
        suggestion=f"Read blocks.{one.id}.output.{name} and blocks.{other.id}.output.{name} instead, or give one of "
        "them an outputMapping",
        blocks=(one.id, other.id),
        severity=Severity.WARNING,
    )


def _choices_of(plan: Plan, order: Sequence[int]) -> list[dict[int, frozenset[int]]]:
    """Return, by node, the choices without which it is never reached."""
    found: list[dict[int, frozenset[int]]] = [{} for _ in plan.nodes]
    labels = {edge: outcomes for node in plan.nodes for edge, outcomes in _outcomes(node).items()}
    for index in order:
        node = plan.nodes[index]
        if node.starts or not node.in_edges:
            continue
        arriving = []
        for edge in node.in_edges:
            source = plan.edges[edge].source
            choices = dict(found[source])
            if edge in labels:
                choices[source] = labels[edge]
            arriving.append(choices)
        together = _all_of(arriving) if node.kind is NodeKind.GATE else _any_of(arriving)
        # The nearest choices tell most; a node far behind many keeps those.
        found[index] = dict(sorted(together.items(), reverse=True)[:MAX_CHOICES])
    return found


def _any_of(ways: Sequence[Choices]) -> dict[int, frozenset[int]]:
    """Return what holds whichever of ``ways`` is taken."""
    common = set.intersection(*(set(choices) for choices in ways))
    return {chooser: frozenset().union(*(choices[chooser] for choices in ways)) for chooser in common}


def _all_of(ways: Sequence[Choices]) -> dict[int, frozenset[int]]:
    """Return what holds where all of ``ways`` are taken."""
    found: dict[int, frozenset[int]] = {}
    for choices in ways:
        for chooser, outcomes in choices.items():
            found[chooser] = found.get(chooser, outcomes) & outcomes
    return found


def _outcomes(node: Node) -> dict[int, frozenset[int]]:
    """Return, by out-edge, on which outcomes of ``node`` it is taken; edges that say nothing are left out."""
    routing, found = node.routing, dict[int, set[int]]()
    if routing.branches and routing.mode == "exclusive":
        for position, branch in enumerate(routing.branches):
            for edge in branch.edges:
                found.setdefault(edge, set()).add(position)
        for edge in routing.default or ():
            found.setdefault(edge, set()).add(DEFAULT)
    success = {*range(len(routing.branches)), DEFAULT}
    if node.error_edges:
        for edge in node.normal_edges:
            found.setdefault(edge, set(success))
        for edge in node.error_edges:
            found[edge] = {FAILURE}
    for edge in routing.always:
        if edge in found:
            found[edge] |= success
    return {edge: frozenset(outcomes) for edge, outcomes in found.items()}
