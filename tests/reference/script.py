"""What the blocks of a random workflow do: the n-th time a block runs, its n-th line says how that ends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.reference.graph import Node

COMPLETED, FAILED, REJECTED, SKIPPED, CANCELLED = "COMPLETED", "FAILED", "REJECTED", "SKIPPED", "CANCELLED"


@dataclass(frozen=True)
class Line:
    """How one run of a block ends. ``items`` are those of a map: which of them succeed."""

    status: str = COMPLETED
    output: Mapping[str, Any] = field(default_factory=dict)
    items: tuple[bool, ...] | None = None
    answers: Mapping[str, bool] = field(default_factory=dict)


Script = Mapping[str, Sequence[Line]]


def result_of(node: Node, line: Line) -> tuple[str, Mapping[str, Any]]:
    """Return how a run ended: as its line says; a map fails where more items failed than it tolerates."""
    if line.items is None:
        return line.status, line.output
    failed = line.items.count(False)
    tolerated = node.fields.get("toleratedFailurePercentage", 0)
    if failed * 100 > tolerated * len(line.items):
        return FAILED, {}
    return COMPLETED, {"succeeded": len(line.items) - failed, "failed": failed}
