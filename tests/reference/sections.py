"""The row in which the blocks of a random workflow stand, and the sections of it in which edges may lead back."""

from dataclasses import dataclass, field
from random import Random

MAX_DEPTH = 3


@dataclass
class Section:
    """Blocks ``first`` to ``last`` of the row. A ``ring`` may be entered anywhere, other sections at their head."""

    first: int
    last: int
    ring: bool = False
    inner: list["Section"] = field(default_factory=list)

    def holds(self, position: int) -> bool:
        return self.first <= position <= self.last


@dataclass
class Row:
    """All sections of a row."""

    sections: list[Section]

    def around(self, position: int) -> list[Section]:
        """Return the sections around ``position``, the outermost first."""
        found: list[Section] = []
        level = self.sections
        while around := [section for section in level if section.holds(position)]:
            found += around
            level = around[0].inner
        return found

    def landing(self, source: int, target: int) -> int:
        """Return where an edge that should lead to ``target`` may: sections are entered at their head."""
        for section in self.around(target):
            if not section.holds(source) and not section.ring:
                return section.first
        return target


def random_sections(rng: Random, first: int, last: int, depth: int = 1) -> list[Section]:
    """Return random sections of the blocks ``first`` to ``last``, with sections within them."""
    found: list[Section] = []
    while first <= last and depth <= MAX_DEPTH:
        first += rng.randint(0, 1)
        end = first + rng.randint(0, 7)
        if end > last:
            end = last if depth == 1 else first
        ring = end > first and rng.random() < 0.2
        inner = [] if ring or end == first else random_sections(rng, first + 1, end, depth + 1)
        found.append(Section(first, end, ring, inner))
        first = end + 1
    return found
