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

MAX_CHOICES = 20
MAX_WAYS = 8
MAX_WRITERS = 40
MAX_PAIRS = 2_000
MAX_FINDINGS = 50
FAILURE = -2
DEFAULT = -1

# One kind of way to a node: by node that chooses, which of its outcomes it needs. There may be several.
Choices = Mapping[int, frozenset[int]]
Ways = tuple[Choices, ...]


class Overlaps:
    """Answers whether two nodes of a plan may be at work at the same time."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._order = topological_order(plan.nodes, plan.edges)
        self._ways = _ways_of(plan, self._order)
        self._reached: dict[int, frozenset[int]] = {}

    def may_overlap(self, one: int, other: int) -> bool:
        """Tell whether nothing keeps the two apart."""
        if one == other or other in self._beyond(one) or one in self._beyond(other):
            return False
        return any(_are_compatible(mine, theirs) for mine in self._ways[one] for theirs in self._ways[other])

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


def _ways_of(plan: Plan, order: Sequence[int]) -> list[Ways]:
    """Return, by node, the kinds of ways to it; of ways that nothing is needed for there is one, without choices."""
    found: list[Ways] = [({},) for _ in plan.nodes]
    labels = {edge: outcomes for node in plan.nodes for edge, outcomes in _outcomes(node).items()}
    whole = [_all_outcomes(node) for node in plan.nodes]
    for index in order:
        node = plan.nodes[index]
        if node.starts or not node.in_edges:
            continue
        arriving = [_along(plan.edges[edge].source, labels.get(edge), found) for edge in node.in_edges]
        if node.kind is NodeKind.GATE:
            ways = arriving[0]
            for others in arriving[1:]:
                met = [_both(one, other) for one in ways for other in others if _are_compatible(one, other)]
                ways = _simplified(met, whole)
        else:
            ways = _simplified([way for each in arriving for way in each], whole)
        found[index] = ways or ({},)
    return found


def _along(source: int, outcomes: frozenset[int] | None, found: Sequence[Ways]) -> Ways:
    """Return the ways over an edge that is taken on ``outcomes`` of its source; None: whenever that has run."""
    if outcomes is None:
        return found[source]
    return tuple({**way, source: outcomes} for way in found[source])


def _are_compatible(one: Choices, other: Choices) -> bool:
    return all(chooser not in other or outcomes & other[chooser] for chooser, outcomes in one.items())


def _both(one: Choices, other: Choices) -> Choices:
    """Return what is needed where both ways are taken."""
    return {**one, **{key: outcomes & one.get(key, outcomes) for key, outcomes in other.items()}}


def _simplified(ways: Sequence[Choices], whole: Sequence[frozenset[int]]) -> Ways:
    """Return as few ways as say the same: those that differ in one choice alone are one, needing either.

    Where there are still too many the rest are taken together, which needs less than each of them did.
    """
    kept: list[Choices] = []
    for way in ways:
        joined = way
        for other in list(kept):
            merged = _merged(joined, other, whole)
            if merged is not None:
                kept.remove(other)
                joined = merged
        kept.append(joined)
    if len(kept) > MAX_WAYS:
        common = set.intersection(*(set(way) for way in kept[MAX_WAYS - 1 :]))
        together = {key: frozenset().union(*(way[key] for way in kept[MAX_WAYS - 1 :])) for key in common}
        kept[MAX_WAYS - 1 :] = [together]
    # The nearest choices tell most; a way behind many keeps those.
    return tuple(
        way if len(way) <= MAX_CHOICES else dict(sorted(way.items(), reverse=True)[:MAX_CHOICES])
        for way in kept
    )


def _merged(one: Choices, other: Choices, whole: Sequence[frozenset[int]]) -> Choices | None:
    """Return one way for two that differ in a single choice, or of which one needs no more than the other."""
    if all(key in other and other[key] <= outcomes for key, outcomes in one.items()):
        return one
    if all(key in one and one[key] <= outcomes for key, outcomes in other.items()):
        return other
    if one.keys() != other.keys():
        return None
    differing = [key for key in one if one[key] != other[key]]
    if len(differing) != 1:
        return None
    (key,) = differing
    either = one[key] | other[key]
    if either >= whole[key]:
        return {chooser: outcomes for chooser, outcomes in one.items() if chooser != key}
    return {**one, key: either}


def _all_outcomes(node: Node) -> frozenset[int]:
    """Return every outcome that ``node`` can have."""
    found = set(range(len(node.routing.branches)))
    if node.routing.default is not None or not found:
        found.add(DEFAULT)
    return frozenset(found | {FAILURE}) if node.error_edges else frozenset(found)


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
