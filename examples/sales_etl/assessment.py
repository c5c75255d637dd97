"""How good a file is: every row is either kept, or rejected with its reasons; none is both or neither."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from examples.sales_etl.cleaning import Fault
from examples.sales_etl.duplicates import Group

MAX_NAMED = 4


@dataclass(frozen=True)
class Assessment:
    """The figures a person decides on. ``faults`` holds the rejected lines only."""

    rows: int
    faults: Mapping[int, Sequence[Fault]]

    @property
    def bad_rows(self) -> int:
        return len(self.faults)

    @property
    def bad_percent(self) -> float:
        """Share of bad rows, 0-100, not rounded: a limit must not be passed by rounding."""
        return 100 * self.bad_rows / self.rows if self.rows else 0.0

    def reasons(self) -> dict[str, int]:
        """Return how many rows have each fault, commonest first; a row with two faults counts in both."""
        counts = Counter(code for faults in self.faults.values() for code in {fault.code for fault in faults})
        return dict(sorted(counts.items(), key=lambda entry: (-entry[1], entry[0])))

    def summary(self) -> str:
        """Say the figures in one sentence, for the person who decides."""
        reasons = list(self.reasons().items())
        named = ", ".join(f"{count} {code.replace('_', ' ')}" for code, count in reasons[:MAX_NAMED])
        more = f" and {len(reasons) - MAX_NAMED} more kinds" if len(reasons) > MAX_NAMED else ""
        figures = f"{self.bad_rows:,} of {self.rows:,} rows ({self.bad_percent:.2f} %) are bad"
        return f"{figures}: {named}{more}." if named else f"{figures}."


def assess(rows: int, invalid: Mapping[int, Sequence[Fault]], groups: Iterable[Group]) -> Assessment:
    """Put invalid rows and repeated orders together. Of a repeated order the first valid row is kept."""
    faults = dict(invalid)
    for group in groups:
        kept, *repeats = [line for line in group.lines if line not in invalid] or [0]
        code = "conflicting_order" if group.conflicting else "repeated_order"
        faults |= {
            line: [Fault(code, "order_id", f"{group.order_id}, first on line {kept}")] for line in repeats
        }
    return Assessment(rows, faults)
