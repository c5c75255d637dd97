"""What runs did, as values: the material of replays and detectors. Seconds, USD, and names of blocks.

A recording says of each block how long each try took, how it ended and which ways it took; so a run can be walked again
on another definition without doing any work.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from statistics import median

from workflow_service.engine.states import BlockStatus

WORKED = frozenset({BlockStatus.COMPLETED, BlockStatus.FAILED, BlockStatus.REJECTED})
FAILED = frozenset({BlockStatus.FAILED, BlockStatus.REJECTED})


@dataclass(frozen=True, slots=True)
class Try:
    """One try of a block: how long it worked, what it failed with (empty: it did not), and the pause after it."""

    seconds: float
    error_type: str = ""
    pause_s: float = 0.0


# Of a prompt, and of its completion.
Tokens = tuple[int, int]


@dataclass(frozen=True, slots=True)
class RecordedBlock:
    """One node of a run, or a round of it. ``taken`` names where its taken edges lead, ``end`` among them.

    ``waits``: for a person, a time or another run, so that it holds no slot. ``items`` are the seconds of a map's
    items, by number. ``tokens`` are those that were paid. ``given`` and ``made`` tell inputs and outputs apart,
    ``made_characters`` is the length of the output as JSON, ``lists`` how long the lists in its input are by name.
    ``chance`` is how probable it is that work which failed would have been done after all: a replay weighs both ends
    with it.
    """

    block_id: str
    status: BlockStatus
    tries: tuple[Try, ...] = ()
    taken: frozenset[str] = frozenset()
    waits: bool = False
    items: tuple[float, ...] = ()
    cost_usd: float = 0.0
    model: str = ""
    tokens: Tokens = (0, 0)
    given: str = ""
    made: str = ""
    made_characters: int = 0
    lists: Mapping[str, int] = field(default_factory=dict)
    chance: float = 0.0

    @property
    def seconds(self) -> float:
        """How long it took from its first try to its end, with the pauses between."""
        return sum(each.seconds + each.pause_s for each in self.tries)

    @property
    def error_type(self) -> str:
        """What its last try failed with; empty where it did not fail."""
        return self.tries[-1].error_type if self.tries else ""

    @property
    def failed(self) -> bool:
        return self.status in FAILED


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """One run that completed or failed. ``blocks`` come in the order they began, ``begun_s`` by any clock.

    ``seconds`` is its active time. ``lag_s`` passes between two blocks of which one goes on in place of the other,
    ``message_s`` before a block that begins by a message: the first, and all but one of those ready at once.
    """

    id: int
    begun_s: float
    seconds: float
    failed: bool
    blocks: tuple[RecordedBlock, ...]
    lag_s: float = 0.0
    message_s: float = 0.0

    @property
    def cost_usd(self) -> float:
        return sum(block.cost_usd for block in self.blocks)


@dataclass(frozen=True)
class Recordings:
    """The runs of one version that an analysis looks at, the oldest first.

    ``workers`` is how many processes there are to work on blocks, 0 where that is not known: no more work side by side.
    """

    runs: tuple[RecordedRun, ...]
    workers: int = 0

    @cached_property
    def by_block(self) -> Mapping[str, tuple[RecordedBlock, ...]]:
        """All that is recorded of each block that worked, or was left out by its guard."""
        found: dict[str, list[RecordedBlock]] = defaultdict(list)
        for run in self.runs:
            for block in run.blocks:
                found[block.block_id].append(block)
        return {name: tuple(blocks) for name, blocks in found.items()}

    @cached_property
    def typical(self) -> Mapping[str, RecordedBlock]:
        """What each block mostly does: for runs in which it did not come to work."""
        return {name: _typical(name, blocks) for name, blocks in self.by_block.items()}

    def worked(self, block_id: str) -> tuple[RecordedBlock, ...]:
        """Return the times that a block was at work."""
        return tuple(block for block in self.by_block.get(block_id, ()) if block.status in WORKED)

    def mean_seconds(self, block_id: str) -> float:
        """Return how long a block took on average, 0 where it never worked."""
        return mean(block.seconds for block in self.worked(block_id))

    def with_block(self, block_id: str, change: Callable[[RecordedBlock], RecordedBlock]) -> "Recordings":
        """Return the recordings with every one of a block changed."""
        changed = tuple(
            replace(run, blocks=tuple(change(one) if one.block_id == block_id else one for one in run.blocks))
            for run in self.runs
        )
        return replace(self, runs=changed)


def mean(values: Iterable[float]) -> float:
    """Return the mean, 0 of nothing."""
    found = list(values)
    return sum(found) / len(found) if found else 0.0


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which ``share`` of the others lie, the nearest one there is; 0 of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def _typical(name: str, blocks: Sequence[RecordedBlock]) -> RecordedBlock:
    done = [block for block in blocks if block.status == BlockStatus.COMPLETED]
    if not done:
        return RecordedBlock(name, BlockStatus.COMPLETED)
    ways = Counter(block.taken for block in done)
    most = max(ways, key=lambda way: (ways[way], sorted(way)))
    return RecordedBlock(
        name,
        BlockStatus.COMPLETED,
        (Try(median(block.seconds for block in done)),),
        most,
        waits=done[-1].waits,
        items=max((block.items for block in done), key=len),
        cost_usd=mean(block.cost_usd for block in done),
    )
