"""Which rows repeat an order, and which pairs look as if they might.

Rows that share an order number form a group. Rows with different numbers are only ever *suspected*: they are
found by the sorted-neighbourhood method (Hernández and Stolfo, 1995) and reported, never dropped.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from examples.sales_etl.cleaning import COLUMNS, DOLLARS, decode_again
from examples.sales_etl.json_lines import RawRow

WINDOW = 8
SORTED_BY = ("date", "customer_id", "product")
COMPARED = tuple(name for name in COLUMNS if name != "order_id")
MIN_AGREEMENT = len(COMPARED) - 1


@dataclass(frozen=True)
class Group:
    """The lines that bear one order number, in file order, and whether they all say the same."""

    order_id: str
    lines: tuple[int, ...]
    conflicting: bool


@dataclass(frozen=True)
class DuplicateSearch:
    """What was found among ``rows`` readable rows."""

    rows: int
    groups: tuple[Group, ...]
    suspected_pairs: tuple[tuple[int, int], ...]


def find_duplicates(rows: Iterable[RawRow]) -> DuplicateSearch:
    """Group readable rows by order number, and look for near repeats among the rest."""
    normal = {row.line: normalise(row.values) for row in rows if row.problem is None}
    lines_of: defaultdict[str, list[int]] = defaultdict(list)
    for line, values in normal.items():
        if values["order_id"]:
            lines_of[values["order_id"]].append(line)
    groups = tuple(
        Group(order_id.upper(), tuple(lines), len({fingerprint(normal[line]) for line in lines}) > 1)
        for order_id, lines in lines_of.items()
        if len(lines) > 1
    )
    return DuplicateSearch(len(normal), groups, tuple(suspect_pairs(normal)))


def normalise(values: Mapping[str, str]) -> dict[str, str]:
    """Return the cells as they compare: no accents, case, blanks, currency signs or separators."""
    return {name: normalise_cell(values.get(name, "")) for name in COLUMNS}


def normalise_cell(text: str) -> str:
    plain = " ".join(decode_again(DOLLARS.sub("", text.strip())).casefold().split())
    if plain[:1].isdigit() and plain[-1:].isdigit() and plain.count("-") == 0:
        whole, _, cents = plain.replace(",", ".").rpartition(".")
        return f"{whole.replace('.', '')}.{cents}" if whole and len(cents) == 2 else plain
    decomposed = unicodedata.normalize("NFKD", plain)
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


def fingerprint(values: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(values[name] for name in COMPARED)


def suspect_pairs(normal: Mapping[int, Mapping[str, str]]) -> Iterable[tuple[int, int]]:
    """Yield pairs of lines, different orders, that agree in all compared columns but at most one.

    Sorted by date, customer and product, such rows lie close together: each is compared with the next few.
    """
    ordered = sorted(
        normal, key=lambda line: [normal[line][name] for name in ("date", "customer_id", "product")]
    )
    for position, line in enumerate(ordered):
        for other in ordered[position + 1 : position + WINDOW]:
            one, two = normal[line], normal[other]
            if one["order_id"] == two["order_id"]:
                continue
            if sum(one[name] == two[name] for name in COMPARED) >= MIN_AGREEMENT:
                yield (min(line, other), max(line, other))
