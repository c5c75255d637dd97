"""What would make a sound definition faster or steadier: advice with its reason, never a fault.

Two blocks can run side by side although one waits for the other, where the order of them makes no difference:

- neither reads anything that the other may write, by name or as ``blocks.<id>.output`` (what the earlier one reads the
  later one could have changed by then), and there is no name that anything reads and both may write;
- the wait is a plain one: no branch, guard or error edge of the earlier block decides whether the later one runs, and
  both stand in the same loop, or in none;
- neither asks people, waits, declares an undo, or changes anything outside (``Effect.SOME``). Where what a block does
  outside is not known (``Effect.UNKNOWN``) the advice is given with that doubt in its words.

What it saves is the difference of the critical paths, by estimates of how long blocks take.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from workflow_service.engine.data_flow import Writes, reads_of_node
from workflow_service.engine.definition import Block
from workflow_service.engine.findings import Finding, Severity
from workflow_service.engine.graph import END_NODE, Edge, EdgeKind, Graph, Node, NodeKind
from workflow_service.engine.levels import topological_order
from workflow_service.engine.paths import Root
from workflow_service.engine.plan import Plan
from workflow_service.engine.states import ToolType

MAX_GROUPS = 20
MAX_GROUP = 20
MAX_WORK = 2_000_000
WAITS = frozenset({ToolType.WAIT, ToolType.HUMAN})
REMOTE_TOOLS = frozenset({ToolType.API, ToolType.MCP, ToolType.LLM})
SLOW_MARGIN = 1.5


class Effect(StrEnum):
    """Whether the work of a block changes anything outside its run."""

    NONE = "none"
    UNKNOWN = "unknown"
    SOME = "some"


@dataclass(frozen=True, slots=True)
class Recommendation(Finding):
    """Advice: ``impact`` says what it would bring."""

    impact: str = ""
    severity: Severity = Severity.INFO


def recommend(
    plan: Plan,
    graph: Graph,
    writes: Writes,
    effects: Mapping[str, Effect],
    durations_s: Mapping[str, float] | None = None,
) -> tuple[Recommendation, ...]:
    """Return the advice on ``plan``, what saves most first.

    ``effects`` by block id; a block that is not there is ``UNKNOWN``. ``durations_s`` are how long blocks took; the
    others are taken to last as long as the middle one of those, or as their timeouts say where every block has one, or
    else all the same.
    """
    advice = [*_side_by_side(plan, graph, writes, effects, durations_s or {})]
    advice.sort(key=lambda each: -each[0])
    found = [one for _, one in advice[:MAX_GROUPS]]
    return (*found, *_steadier(plan, durations_s or {}))


# Side by side


def _side_by_side(
    plan: Plan,
    graph: Graph,
    writes: Writes,
    effects: Mapping[str, Effect],
    durations_s: Mapping[str, float],
) -> Iterator[tuple[float, Recommendation]]:
    independence = Independence(plan, graph, writes, effects)
    groups = list(independence.groups())
    if not groups:
        return
    costs = _costs(plan, durations_s)
    base = _Paths(plan)
    before = base.length(costs)
    for group in groups[: max(1, MAX_WORK // (len(plan.edges) + len(plan.nodes) + 1))]:
        saved = before - base.length(costs, group)
        if before and saved / before >= 0.005:
            yield saved, _parallel(plan, group, effects, saved / before)


class Independence:
    """Finds blocks in a row of which none needs what those before it do."""

    def __init__(self, plan: Plan, graph: Graph, writes: Writes, effects: Mapping[str, Effect]) -> None:
        self._plan = plan
        self._graph = graph
        self._writes = writes
        self._effects = effects
        self._entries = {entry for loop in plan.loops for entry in loop.entries}
        self._reads: dict[int, tuple[frozenset[str], frozenset[str]]] = {}

    def groups(self) -> Iterator[tuple[int, ...]]:
        """Yield each longest row of independent blocks, by node."""
        continued: set[int] = set()
        position = {node: at for at, node in enumerate(topological_order(self._plan.nodes, self._plan.edges))}
        for edge in sorted(self._plan.edges, key=lambda edge: position[edge.source]):
            if edge.index in continued or not self.is_idle(edge):
                continue
            group = [edge.source, edge.target]
            while len(group) < MAX_GROUP and (following := self._only_edge_on(group[-1])) is not None:
                if not all(self.are_independent(each, following.target) for each in group):
                    break
                if not self.is_plain(following):
                    break
                continued.add(following.index)
                group.append(following.target)
            yield tuple(group)

    def _only_edge_on(self, node: int) -> Edge | None:
        edges = self._plan.nodes[node].normal_edges
        return self._plan.edges[edges[0]] if len(edges) == 1 else None

    def is_idle(self, edge: Edge) -> bool:
        """Tell whether the target of an edge waits for its source although it could do without."""
        return self.is_plain(edge) and self.are_independent(edge.source, edge.target)

    def is_plain(self, edge: Edge) -> bool:
        """Tell whether an edge says nothing but: not before."""
        if edge.kind is EdgeKind.ERROR or edge.conditional or edge.back or edge.target == END_NODE:
            return False
        source, target = self._plan.nodes[edge.source], self._plan.nodes[edge.target]
        return (
            self._may_move(source)
            and self._may_move(target)
            and source.loop == target.loop
            and not source.error_edges
            and source.guard is None
            and not source.routing.branches
            and source.join == target.join == "all"
            and not target.starts
            and not {source.index, target.index} & self._entries
        )

    def _may_move(self, node: Node) -> bool:
        block = node.block
        if node.kind is not NodeKind.BLOCK or block is None or block.asks_people or node.undo is not None:
            return False
        if block.tool_type in WAITS or block.on_failure is not None:
            return False
        return self._effects.get(node.id, Effect.UNKNOWN) is not Effect.SOME

    def are_independent(self, earlier: int, later: int) -> bool:
        """Tell whether it makes no difference to either node, nor to what comes after, which of them works first."""
        if self._reads_from(later, earlier) or self._reads_from(earlier, later):
            return False
        # Names that both may write would hold now one value and now the other.
        used = self._plan.names_used
        mine, theirs = self._writes.context[earlier], self._writes.context[later]
        return not (used if mine is None else mine & used) & (used if theirs is None else theirs)

    def _reads_from(self, reader: int, writer: int) -> bool:
        names, outputs = self._read_by(reader)
        return self._plan.nodes[writer].id in outputs or any(
            self._writes.may_write(writer, name) for name in names
        )

    def _read_by(self, node: int) -> tuple[frozenset[str], frozenset[str]]:
        """Return the names and the outputs that a node reads."""
        if node not in self._reads:
            reads = [
                read
                for read in reads_of_node(self._graph, self._graph.nodes[node])
                if read.path.name not in read.own
            ]
            self._reads[node] = (
                frozenset(read.path.name for read in reads if read.path.root in (Root.NAME, Root.CONTEXT)),
                frozenset(read.path.name for read in reads if read.path.root is Root.OUTPUT),
            )
        return self._reads[node]


class _Paths:
    """The longest way through a plan, with some blocks moved side by side."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._order = topological_order(plan.nodes, plan.edges)
        self._sources = [tuple(plan.edges[edge].source for edge in node.in_edges) for node in plan.nodes]

    def length(self, costs: Sequence[float], group: Sequence[int] = ()) -> float:
        """Return the cost of the longest way; the blocks of ``group``, now one after another, side by side."""
        total = [0.0] * len(costs)
        members = frozenset(group)
        begins = 0.0
        ends: dict[int, float] = {}
        for node in self._order:
            sources = self._sources[node]
            if node in members:
                sources = tuple(source for source in sources if source not in members)
            arrived = max((total[source] for source in sources), default=0.0)
            if node in members:
                begins = arrived if node == group[0] else max(arrived, begins)
                ends[node] = begins + costs[node]
                # What comes after any of them still waits for all those before it in the row.
                total[node] = max(ends.values())
            else:
                total[node] = arrived + costs[node]
        return max(total, default=0.0)


def _costs(plan: Plan, durations_s: Mapping[str, float]) -> list[float]:
    blocks = [node for node in plan.nodes if node.kind is NodeKind.BLOCK]
    known = sorted(durations_s[node.id] for node in blocks if node.id in durations_s)
    timeouts = [node.block.timeout for node in blocks if node.block and node.block.timeout]
    if not known and len(timeouts) == len(blocks):
        estimates = {node.id: (node.block.timeout or 0) / 1_000 for node in blocks if node.block}
    else:
        middle = known[len(known) // 2] if known else 1.0
        estimates = {node.id: durations_s.get(node.id, middle) for node in blocks}
    return [estimates.get(node.id, 0.0) for node in plan.nodes]


def _parallel(
    plan: Plan, group: Sequence[int], effects: Mapping[str, Effect], share: float
) -> Recommendation:
    names = [plan.nodes[node].id for node in group]
    shown = ", ".join(f"'{name}'" for name in names[:-1]) + f" and '{names[-1]}'"
    doubtful = [name for name in names if effects.get(name, Effect.UNKNOWN) is Effect.UNKNOWN]
    doubt = f", if it does not matter in which order {_listed(doubtful)} work" if len(doubtful) > 1 else ""
    doubt = doubt or (f", if what '{doubtful[0]}' does outside may come earlier" if doubtful else "")
    first = ", ".join(f"'{name}'" for name in names[1:])
    return Recommendation(
        "OPTIMIZATION",
        f"Blocks {shown} can be executed in parallel: none uses what another gives{doubt}",
        pointer=plan.nodes[group[1]].pointer + "/dependencies",
        suggestion=f"Let {first} depend on what '{names[0]}' depends on, and what follows on all of them",
        blocks=tuple(names),
        impact=f"{max(1, round(share * 100))}% performance improvement",
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:-1]) + f" and '{names[-1]}'"


# Steadier


def _steadier(plan: Plan, durations_s: Mapping[str, float]) -> Iterator[Recommendation]:
    run_timeout = plan.definition.global_settings.timeout
    for node in plan.nodes:
        block = node.block
        if block is None:
            continue
        if _never_retried(plan, node, block):
            yield Recommendation(
                "RESILIENCE",
                f"'{node.id}' works over the network and is never tried again",
                pointer=f"{node.pointer}/retryPolicy/maxRetries",
                suggestion="Allow some retries, or lead on from its failure (onError, recovery)",
                blocks=(node.id,),
                impact="A passing fault does not fail the run",
            )
        if block.timeout is None:
            continue
        took = durations_s.get(node.id)
        if took is not None and block.timeout < took * SLOW_MARGIN * 1_000:
            yield Recommendation(
                "TIMEOUT",
                f"'{node.id}' took {took:.1f} s on average and may take {block.timeout / 1_000:g} s",
                pointer=f"{node.pointer}/timeout",
                suggestion=f"Allow at least {round(took * 2 * SLOW_MARGIN * 1_000)} ms",
                blocks=(node.id,),
                impact="Work that is merely slow is not broken off",
            )
        if run_timeout is not None and block.timeout > run_timeout:
            yield Recommendation(
                "TIMEOUT",
                f"'{node.id}' may take {block.timeout / 1_000:g} s, and the whole run {run_timeout / 1_000:g} s",
                pointer=f"{node.pointer}/timeout",
                suggestion="Give the block less time than globalSettings.timeout, or the run more",
                blocks=(node.id,),
                impact="A block that hangs is met as a failure of that block",
            )


def _never_retried(plan: Plan, node: Node, block: Block) -> bool:
    policy = block.retry_policy or plan.definition.global_settings.default_retry_policy
    if policy is None or policy.max_retries or block.tool_type not in REMOTE_TOOLS:
        return False
    return not node.error_edges and block.recovery is None and not block.optional
