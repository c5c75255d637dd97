"""The rows of ``matrix.yaml``: what goes wrong, and what is right then."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

MATRIX = Path(__file__).with_name("matrix.yaml")


@dataclass(frozen=True)
class Row:
    """One failure. ``matrix.yaml`` says what each field means."""

    id: str
    kind: str
    agent: str
    what: str
    wire: dict[str, Any]
    right: tuple[str, ...]
    ends: str
    automatic: bool
    work: str = "read"
    declared: dict[str, Any] = field(default_factory=dict)
    effects: int | None = None
    not_before: float = 0.0

    @property
    def fault(self) -> str:
        return str(self.wire["do"])

    @property
    def times(self) -> int | None:
        """How many tries meet the fault; None: all of them."""
        times = self.wire.get("times")
        return None if times is None else int(times)

    @property
    def for_s(self) -> float:
        """For how many seconds from the start the fault lasts, where it does not last for a number of tries."""
        return float(self.wire.get("for_s", 0))


def read_rows(path: Path = MATRIX) -> list[Row]:
    """Return the rows in their order."""
    return [Row(**{**row, "right": tuple(row["right"])}) for row in yaml.safe_load(path.read_text())]
