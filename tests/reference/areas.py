"""Where the tokens of a run lie: the run is an area, and so is each round of a loop."""

from dataclasses import dataclass, field

from tests.reference.graph import Loop, Wire

Path = tuple[int, ...]
Place = tuple[str, Path]  # a node, and the rounds (from 0) of the loops around it, the outermost first


@dataclass(frozen=True)
class Token:
    """What lies on a wire: "taken", "dead" or "lost", and whose loss it is."""

    kind: str
    losers: frozenset[str] = frozenset()


@dataclass(eq=False)
class Area:
    """The run, or one round of a loop: what lies on its wires, and how far its nodes and inner loops are."""

    loop: Loop | None
    parent: "Area | None" = None
    path: Path = ()
    tokens: dict[Wire, Token] = field(default_factory=dict)
    leaving: dict[Wire, Token] = field(default_factory=dict)
    statuses: dict[str, str] = field(default_factory=dict)
    rounds: dict[Loop, "Area"] = field(default_factory=dict)
    ended: set[Loop] = field(default_factory=set)
    broken: bool = False

    def around(self) -> list["Area"]:
        """Return this area and all around it, from the inside out."""
        return [self] if self.parent is None else [self, *self.parent.around()]
