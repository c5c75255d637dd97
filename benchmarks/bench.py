"""What a scenario is handed: the stack, how much to measure, and a place to say how far it is."""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from benchmarks.figures import Figure
from benchmarks.stack import CONCURRENCY, Stack

Scenario = Callable[["Bench"], Iterator[Figure]]


@dataclass(slots=True)
class Bench:
    """One benchmark. ``runs`` is how many pairs the short scenarios measure; ``quick`` wants smaller numbers."""

    stack: Stack
    runs: int
    quick: bool
    begun_at: float = field(default_factory=time.monotonic)
    overheads_ms: dict[str, float] = field(default_factory=dict)

    def scale(self, full: int, quick: int) -> int:
        """Return how many of something this benchmark takes."""
        return quick if self.quick else full

    def say(self, text: str) -> None:
        """Tell whoever watches how far the benchmark is."""
        print(f"[{time.monotonic() - self.begun_at:6.1f} s] {text}", file=sys.stderr, flush=True)

    def overhead(self, scenario: str, seconds: float, blocks: int, *, workers: int = CONCURRENCY) -> float:
        """Note what the engine took for a block that does nothing: worker time, in milliseconds."""
        self.overheads_ms[scenario] = ms = seconds * 1_000 * workers / blocks
        return ms
