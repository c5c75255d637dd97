"""What a run can be judged by, as values. The run itself is judged like a block, whose id is ``THE_RUN``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

THE_RUN = ""


@dataclass(frozen=True, slots=True)
class BlockFacts:
    """What one block did in one run: all its rounds, or all items of its map, together.

    ``started_ms`` and ``finished_ms`` count from the run's start: of the first row that started, and of the last that
    finished, None where none has; a block that was skipped has finished without having started. ``duration_ms`` is
    the longest of those that completed without having waited for people, times or signals; ``output_bytes`` the
    largest of their outputs, as JSON text. ``failed``: at least one failed, whatever was done about it then.
    """

    started_ms: int | None = None
    finished_ms: int | None = None
    duration_ms: int | None = None
    output_bytes: int | None = None
    failed: bool = False


@dataclass(frozen=True, slots=True)
class RunFacts:
    """One run. ``duration_ms`` is the time that it was active, of a run that completed and was not restarted.

    ``path`` names the edges that a completed run took. ``recoveries_ms`` are the moments of its recovery actions, since
    its start. ``failed`` is None where it has not ended, or was cancelled: it says nothing about failure then.
    """

    blocks: Mapping[str, BlockFacts] = field(default_factory=dict)
    duration_ms: int | None = None
    path: str | None = None
    recoveries_ms: Sequence[int] = ()
    failed: bool | None = None

    @property
    def ran(self) -> Mapping[str, BlockFacts]:
        """The blocks that began."""
        return {block_id: block for block_id, block in self.blocks.items() if block.started_ms is not None}
