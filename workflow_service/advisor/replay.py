"""Recorded runs walked once more on any definition, by a clock of their own and without doing any work.

What follows from a finished block ``engine.decide`` says, as it does for real runs; how long a block takes, how it ends
and which way it goes the recording says, and where a run has nothing recorded for a block, what the block mostly did.
As many blocks work side by side as the definition allows and there are workers for. Replayed on its own definition a
run takes as long as it took; what a change would have saved is the difference.
"""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import heappop, heappush

from workflow_service.advisor.recordings import RecordedBlock, RecordedRun, Recordings, mean
from workflow_service.advisor.vocabulary import Measure
from workflow_service.engine import decide
from workflow_service.engine.decide import Arrivals, Settlement, Verdict
from workflow_service.engine.definition import Block
from workflow_service.engine.graph import END_NODE, Edge, Node, NodeKind, Routing
from workflow_service.engine.plan import Plan
from workflow_service.engine.rehearsal.live_loops import LiveLoops
from workflow_service.engine.rounds import Place
from workflow_service.engine.scope import ValuesScope
from workflow_service.engine.states import BlockStatus, ExecutionStatus

# As ``maxParallelBlocks`` where neither the definition nor anybody else says it (document A's configuration).
PARALLEL_BLOCKS = 10
MAX_STEPS = 20_000

_VERDICT = {
    BlockStatus.COMPLETED: Verdict.COMPLETED,
    BlockStatus.FAILED: Verdict.FAILED,
    BlockStatus.REJECTED: Verdict.REJECTED,
    BlockStatus.SKIPPED: Verdict.SKIPPED,
}


class Unending(Exception):
    """A replay has taken more steps than a recording can have."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """How a run would have gone: its seconds, how probably it had failed (0 to 1), its cost in USD."""

    seconds: float
    failed: float
    cost_usd: float


@dataclass(frozen=True, slots=True)
class Outlook:
    """How runs go on average, by what is measured. ``size`` is the definition's, whatever the runs do."""

    duration: float
    failures: float
    cost: float
    size: int

    def of(self, measure: Measure) -> float:
        """Return the figure of a measure."""
        return float(getattr(self, measure.value))


def replay(plan: Plan, recordings: Recordings) -> Outlook:
    """Return how the recorded runs would have gone by ``plan``, on average; raises ``Unending``."""
    typical, workers = recordings.typical, recordings.workers
    ended = [replay_run(plan, run, typical, workers) for run in recordings.runs]
    return Outlook(
        mean(each.seconds for each in ended),
        mean(each.failed for each in ended),
        mean(each.cost_usd for each in ended),
        size_of(plan),
    )


def improvement(measure: Measure, before: Outlook, after: Outlook) -> float:
    """Return by how much of itself a figure falls, 0 to 1; below 0 where it rises."""
    was = before.of(measure)
    return (was - after.of(measure)) / was if was > 0 else 0.0


def size_of(plan: Plan) -> int:
    """Return how much there is to read: blocks, and the ways out of them."""
    return sum(node.kind is NodeKind.BLOCK for node in plan.nodes) + len(plan.edges)


def fidelity(plan: Plan, recordings: Recordings) -> float:
    """Return by how much of itself the replay of a run on its own definition misses its duration, in the middle."""
    typical, workers = recordings.typical, recordings.workers
    missed = sorted(
        abs(replay_run(plan, run, typical, workers).seconds - run.seconds) / run.seconds
        for run in recordings.runs
        if run.seconds > 0
    )
    return missed[len(missed) // 2] if missed else 0.0


def replay_run(
    plan: Plan, run: RecordedRun, typical: Mapping[str, RecordedBlock], workers: int = 0
) -> Replayed:
    """Return how one run would have gone; of work that may be saved both ends are weighed."""
    chance = 1.0
    for block in run.blocks:
        if block.chance:
            chance *= block.chance
    saved = replace(run, blocks=tuple(_saved(block) for block in run.blocks))
    best = _Walk(plan, saved, typical, workers).walk()
    if chance == 1.0:
        return best
    worst = _Walk(plan, run, typical, workers).walk()
    return Replayed(
        chance * best.seconds + (1 - chance) * worst.seconds,
        chance * best.failed + (1 - chance) * worst.failed,
        chance * best.cost_usd + (1 - chance) * worst.cost_usd,
    )


def _saved(block: RecordedBlock) -> RecordedBlock:
    return replace(block, status=BlockStatus.COMPLETED, chance=0.0) if block.chance else block


class _Walk:
    """One run on one plan; used once."""

    def __init__(
        self, plan: Plan, run: RecordedRun, typical: Mapping[str, RecordedBlock], workers: int
    ) -> None:
        self._recorded: dict[str, deque[RecordedBlock]] = {}
        for block in run.blocks:
            self._recorded.setdefault(block.block_id, deque()).append(block)
        self._typical = typical
        self._plan = _with_known_gates(plan, {name: blocks[0] for name, blocks in self._recorded.items()})
        self._lag_s, self._message_s = run.lag_s, run.message_s
        # Whoever ended a block goes on with one of those that it made ready; the others are sent for.
        self._goes_on = False
        settings = plan.definition.global_settings
        allowed = settings.max_parallel_blocks or PARALLEL_BLOCKS
        self._free = min(allowed, workers) if workers else allowed
        self._now = 0.0
        self._ready: deque[tuple[int, RecordedBlock, float]] = deque()
        # When, in which order begun, which node; with its recording, and whether it gives back a slot.
        self._ends: list[tuple[float, int, int, RecordedBlock, bool]] = []
        self._begun = 0
        self._maps: dict[int, _Map] = {}
        self._loops = LiveLoops()
        self._arrivals: dict[int, tuple[Place, Arrivals]] = {}
        self._unhandled = 0
        self._failing = False
        self._reached_end = False
        self._cost_usd = 0.0

    def walk(self) -> Replayed:
        """Walk to the end."""
        self._apply(decide.begin(self._plan))
        self._start_ready()
        steps = 0
        while self._ends:
            steps += 1
            if steps > MAX_STEPS:
                raise Unending
            self._now, _, index, block, holds_slot = heappop(self._ends)
            self._free += holds_slot
            self._goes_on = holds_slot
            if index not in self._maps or self._maps[index].one_ended():
                self._maps.pop(index, None)
                self._finish(index, block)
            self._start_ready()
        status, _ = decide.outcome(
            self._plan, unhandled_failures=self._unhandled > 0, reached_end=self._reached_end
        )
        return Replayed(self._now, float(status is not ExecutionStatus.COMPLETED), self._cost_usd)

    # Beginning

    def _start_ready(self) -> None:
        while self._ready and not self._failing:
            index, block, seconds = self._ready[0]
            if self._free < 1 and not block.waits:
                break
            self._ready.popleft()
            self._begin(index, block, seconds)
        if self._failing:
            self._ready.clear()
        for index, running in self._maps.items():
            while self._free >= 1 and not self._failing and (taken := running.take()) is not None:
                # Items begin by messages of their own.
                self._goes_on = False
                self._push(index, running.block, taken, holds_slot=True)

    def _begin(self, index: int, block: RecordedBlock, seconds: float) -> None:
        self._cost_usd += block.cost_usd
        if block.items:
            limit = self._block_of(index).max_concurrency
            self._maps[index] = _Map(block, deque(block.items), limit or len(block.items), len(block.items))
        else:
            self._push(index, block, seconds, holds_slot=not block.waits)

    def _push(self, index: int, block: RecordedBlock, seconds: float, *, holds_slot: bool) -> None:
        self._begun += 1
        self._free -= holds_slot
        pause_s = self._lag_s if self._goes_on else self._message_s
        self._goes_on = False
        heappush(self._ends, (self._now + pause_s + seconds, self._begun, index, block, holds_slot))

    def _block_of(self, index: int) -> Block:
        block = self._plan.nodes[index].block
        assert block is not None  # noqa: S101 - only blocks are maps
        return block

    def _make_ready(self, index: int) -> None:
        node = self._plan.nodes[index]
        block = self._recorded_of(node)
        if node.kind is not NodeKind.BLOCK or block.status == BlockStatus.SKIPPED:
            self._finish(index, block)
        else:
            self._ready.append((index, block, block.seconds))

    def _recorded_of(self, node: Node) -> RecordedBlock:
        """Return what a run says of a node; where it did not come to work, what it mostly does."""
        recorded = self._recorded.get(node.id)
        block = recorded.popleft() if recorded else None
        if block is not None and (block.status != BlockStatus.SKIPPED or node.guard is not None):
            return block
        return self._typical.get(node.id) or RecordedBlock(node.id, BlockStatus.COMPLETED)

    # Settling

    def _finish(self, index: int, block: RecordedBlock) -> None:
        node = self._plan.nodes[index]
        verdict = _VERDICT[block.status]
        settlement = decide.settle(
            self._plan,
            index,
            verdict,
            scope_of=lambda _: ValuesScope(),
            arrivals_of=self._arrivals_of,
            loops=self._loops.states,
            chosen=_chosen(self._plan, node, block) if verdict is Verdict.COMPLETED else None,
        )
        if verdict in decide.FAILING and not settlement.handled:
            self._unhandled += 1
            policy = node.block.on_failure if node.block else None
            self._failing |= (policy or self._plan.definition.global_settings.on_failure) == "fail"
        self._apply(settlement)

    def _apply(self, settlement: Settlement) -> None:
        self._loops.take_over(settlement)
        for index, arrivals in settlement.arrivals.items():
            place = self._loops.place(self._plan.nodes[index].loop)
            if place is not None:
                self._arrivals[index] = place, arrivals
        self._reached_end |= settlement.reached_end
        self._unhandled += len(settlement.limits)
        for index in settlement.ready:
            self._make_ready(index)

    def _arrivals_of(self, nodes: frozenset[int]) -> Mapping[int, Arrivals]:
        found = {}
        for index in nodes & self._arrivals.keys():
            place, arrivals = self._arrivals[index]
            if place == self._loops.place(self._plan.nodes[index].loop):
                found[index] = arrivals
        return found


@dataclass(slots=True)
class _Map:
    """A map at work: the seconds of items that have not begun, how many may yet, and how many have not ended."""

    block: RecordedBlock
    items: deque[float]
    free: int
    open: int

    def take(self) -> float | None:
        """Return the seconds of the next item that may begin."""
        if not self.items or not self.free:
            return None
        self.free -= 1
        return self.items.popleft()

    def one_ended(self) -> bool:
        """Note that an item has ended; returns whether it was the last."""
        self.free += 1
        self.open -= 1
        return not self.open


def _with_known_gates(plan: Plan, recorded: Mapping[str, RecordedBlock]) -> Plan:
    """Return the plan with each gate going where it went: what its conditions read is not recorded."""
    choosing = [
        node
        for node in plan.nodes
        if node.kind is NodeKind.GATE and (node.routing.branches or node.routing.set)
    ]
    nodes = list(plan.nodes)
    for node in choosing:
        block = recorded.get(node.id) or RecordedBlock(node.id, BlockStatus.COMPLETED)
        taken = (*node.routing.always, *_chosen(plan, node, block))
        nodes[node.index] = replace(node, routing=Routing(always=tuple(sorted(set(taken)))))
    return replace(plan, nodes=tuple(nodes)) if choosing else plan


def _chosen(plan: Plan, node: Node, block: RecordedBlock) -> Sequence[int]:
    """Return the edges that a node takes beside those it always takes: to where it went, or else its default."""
    edges = [plan.edges[index] for index in node.normal_edges]
    taken = [edge.index for edge in edges if _target(plan, edge) in block.taken]
    always = set(node.routing.always)
    if set(taken) - always or not node.routing.branches:
        return taken
    return (*taken, *(node.routing.default or ()))


def _target(plan: Plan, edge: Edge) -> str:
    return "end" if edge.target == END_NODE else plan.nodes[edge.target].id


def ways_taken(recordings: Recordings) -> Counter[tuple[str, str]]:
    """Return how often each way was taken, by the names of its ends."""
    return Counter(
        (block.block_id, target) for run in recordings.runs for block in run.blocks for target in block.taken
    )
