#!/usr/bin/env python3
"""Make a CSV of sales with realistic dirt, the same for the same seed, and the truth about it.

Exactly ``round(rows * dirt)`` rows are *bad*: no valid sale can be read from them, or they repeat one.
A further ``round(rows * untidy)`` are *untidy*: odd to look at, but with one certain meaning, so a pipeline
keeps them. The truth (``--truth``) counts both, so that whoever cleans the file can be checked against it.
"""

import argparse
import csv
import io
import json
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

COLUMNS = (
    "order_id",
    "date",
    "customer_id",
    "customer_name",
    "region",
    "product",
    "quantity",
    "unit_price",
    "amount",
)
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
FIRST_DAY = date(2025, 1, 1)
DAYS = 181
REGIONS = ("North", "South", "East", "West")
CATALOGUE = {
    "Desk lamp": ("34.90", 30),
    "Office chair": ("249.00", 14),
    "Standing desk": ("689.00", 6),
    "Monitor 27 inch": ("319.00", 12),
    "Laptop 14 inch": ("1299.00", 5),
    "Keyboard": ("79.90", 18),
    "Headset": ("129.50", 11),
    "Docking station": ("189.00", 8),
    "Notebook, ruled": ("4.20", 40),
}
FIRST_NAMES = (
    "Ana",
    "Björn",
    "Chloé",
    "David",
    "Elif",
    "François",
    "Grace",
    "Jürgen",
    "Léa",
    "María",
    "Noah",
    "Zoë",
)
LAST_NAMES = (
    "Müller",
    "García",
    "Smith",
    "Nuñez",
    "Dupré",
    "Okafor",
    "Søndergård",
    "Rossi",
    "Weiß",
    "Kowalski",
)


@dataclass
class Row:
    """One line of the file: its cells, what was done to it, and how its text is made bytes."""

    cells: dict[str, str]
    kind: str = "clean"
    encoding: str = "utf-8"
    broken: Callable[[bytes], bytes] = field(default=lambda line: line)

    def line(self) -> bytes:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(self.cells.values())
        return self.broken(text.getvalue().encode(self.encoding))

    @property
    def amount(self) -> Decimal:
        return Decimal(self.cells["quantity"]) * Decimal(self.cells["unit_price"])


@dataclass(frozen=True)
class Truth:
    """What is in the file: rows, the valid ones, their revenue, and how many of each kind of dirt."""

    rows: int
    valid_rows: int
    bad_rows: int
    revenue: str
    bad: dict[str, int]
    untidy: dict[str, int]


def make_orders(count: int, rng: random.Random) -> list[Row]:
    """Return ``count`` clean sales over half a year, with weekly seasons and slow growth, in date order."""
    days = [FIRST_DAY + timedelta(days=number) for number in range(DAYS)]
    weights = [(0.45 if day.weekday() >= 5 else 1.0) * (1 + number / DAYS) for number, day in enumerate(days)]
    dates = sorted(rng.choices(days, weights, k=count))
    return [make_order(number, day, rng) for number, day in enumerate(dates, start=1)]


def make_order(number: int, day: date, rng: random.Random) -> Row:
    product = rng.choices(list(CATALOGUE), [weight for _, weight in CATALOGUE.values()])[0]
    price = Decimal(CATALOGUE[product][0])
    customer = rng.randrange(1, 900)
    quantity = rng.choices((1, 2, 3, 5, 10), (60, 20, 10, 7, 3))[0]
    cells = (
        f"S-{number:06d}",
        day.isoformat(),
        f"C{customer:04d}",
        f"{FIRST_NAMES[customer % len(FIRST_NAMES)]} {LAST_NAMES[customer // 7 % len(LAST_NAMES)]}",
        REGIONS[customer % len(REGIONS)],
        product,
        str(quantity),
        str(price),
        str(price * quantity),
    )
    return Row(dict(zip(COLUMNS, cells, strict=True)))


def set_cell(column: str, *choices: str) -> Callable[[Row, random.Random], None]:
    def dirty(row: Row, rng: random.Random) -> None:
        row.cells[column] = rng.choice(choices)

    return dirty


def turn_negative(row: Row, rng: random.Random) -> None:
    row.cells["quantity"] = f"-{row.cells['quantity']}"
    row.cells["amount"] = f"-{row.cells['amount']}"


def price_in_euro(row: Row, rng: random.Random) -> None:
    row.cells["amount"] = f"€{row.cells['amount']}"


def miscalculate(row: Row, rng: random.Random) -> None:
    row.cells["amount"] = str(row.amount + rng.randrange(5, 500))


def truncate(row: Row, rng: random.Random) -> None:
    kept = rng.randrange(3, len(COLUMNS) - 1)
    row.broken = lambda line: b",".join(line.rstrip(b"\n").split(b",")[:kept]) + b"\n"


def corrupt_bytes(row: Row, rng: random.Random) -> None:
    # 0x81 followed by 0x8d is neither UTF-8 nor any Windows-1252 text.
    row.cells["customer_name"] = "@"
    row.broken = lambda line: line.replace(b"@", b"Le\x81\x8d\xffn", 1)


def encode_as_latin_1(row: Row, rng: random.Random) -> None:
    row.cells["customer_name"] = rng.choice(("Jürgen Weiß", "María Nuñez", "Zoë Dupré"))
    row.encoding = "latin-1"


def encode_twice(row: Row, rng: random.Random) -> None:
    name = rng.choice(("Jürgen Müller", "François García"))
    row.cells["customer_name"] = name.encode().decode("cp1252")


def add_currency_sign(row: Row, rng: random.Random) -> None:
    row.cells["amount"] = rng.choice(("${}", "$ {}", "USD {}")).format(row.cells["amount"])


def group_thousands(row: Row, rng: random.Random) -> None:
    for column in ("unit_price", "amount"):
        row.cells[column] = f"{Decimal(row.cells[column]):,.2f}"


def write_continental(row: Row, rng: random.Random) -> None:
    row.cells["amount"] = f"{row.amount:,.2f}".translate(str.maketrans(",.", ".,"))


def pad_with_blanks(row: Row, rng: random.Random) -> None:
    for column in rng.sample(COLUMNS, 3):
        row.cells[column] = rng.choice(("  {}", "{}   ", "\t{} ", "\u00a0{}")).format(row.cells[column])


def end_like_windows(row: Row, rng: random.Random) -> None:
    row.broken = lambda line: line.rstrip(b"\n") + b"\r\n"


BAD: dict[str, Callable[[Row, random.Random], None]] = {
    "impossible_date": set_cell("date", "2025-13-45", "2025-02-30", "2025-00-10", "0000-00-00"),
    "missing_customer": set_cell("customer_id", "", "NULL", "n/a", "   "),
    "foreign_date_format": set_cell("date", "03/04/2025", "04.05.25", "April 5, 2025"),
    "negative_quantity": turn_negative,
    "unreadable_amount": set_cell("amount", "N/A", "#REF!", "12.3.4", "", "NaN", "1e999"),
    "foreign_currency": price_in_euro,
    "wrong_amount": miscalculate,
    "truncated_line": truncate,
    "corrupt_bytes": corrupt_bytes,
}
DUPLICATES = ("duplicate_row", "resent_order")
UNTIDY: dict[str, Callable[[Row, random.Random], None]] = {
    "currency_sign": add_currency_sign,
    "thousands_separator": group_thousands,
    "decimal_comma": write_continental,
    "stray_blanks": pad_with_blanks,
    "latin_1_bytes": encode_as_latin_1,
    "encoded_twice": encode_twice,
    "windows_line_end": end_like_windows,
}


def share_out(count: int, kinds: Sequence[str]) -> list[str]:
    """Return ``count`` kinds, in turn, so that even a little dirt is of many kinds."""
    return [kinds[number % len(kinds)] for number in range(count)]


def repeat_order(original: Row, kind: str) -> Row:
    """Return the same sale again: byte for byte, or as another system would send it."""
    copy = Row(dict(original.cells), kind, original.encoding, original.broken)
    if kind == "resent_order":
        copy.cells["amount"] = f"${original.amount:,.2f}"
        copy.cells["order_id"] = copy.cells["order_id"].lower()
    return copy


def make_sales(rows: int, dirt: float, untidy: float, seed: int) -> tuple[list[Row], Truth]:
    """Return the rows of a file and the truth about them; the same arguments give the same rows."""
    rng = random.Random(seed)
    bad_kinds = share_out(round(rows * dirt), (*BAD, *DUPLICATES))
    repeats = [kind for kind in bad_kinds if kind in DUPLICATES]
    sales = make_orders(rows - len(repeats), rng)
    untidy_kinds = share_out(round(rows * untidy), tuple(UNTIDY))
    changes = [kind for kind in bad_kinds if kind in BAD] + untidy_kinds
    chosen = rng.sample(range(len(sales)), len(changes) + len(repeats))
    revenue = sum((row.amount for row in sales), Decimal(0))
    for position, kind in zip(chosen, changes, strict=False):
        row = sales[position]
        revenue -= row.amount if kind in BAD else 0
        row.kind = kind
        {**BAD, **UNTIDY}[kind](row, rng)
    lines = insert_repeats(sales, chosen[len(changes) :], repeats, rng)
    truth = Truth(
        rows=rows,
        valid_rows=rows - len(bad_kinds),
        bad_rows=len(bad_kinds),
        revenue=str(revenue),
        bad={kind: bad_kinds.count(kind) for kind in (*BAD, *DUPLICATES)},
        untidy={kind: untidy_kinds.count(kind) for kind in UNTIDY},
    )
    return lines, truth


def insert_repeats(sales: list[Row], positions: list[int], kinds: list[str], rng: random.Random) -> list[Row]:
    """Return ``sales`` with the ones at ``positions`` repeated somewhere in the 300 lines after them."""
    placed = [(float(position), row) for position, row in enumerate(sales)]
    for position, kind in zip(positions, kinds, strict=True):
        placed.append((position + rng.randrange(1, 300) - 0.5, repeat_order(sales[position], kind)))
    return [row for _, row in sorted(placed, key=lambda entry: entry[0])]


def write_sales(path: Path, rows: Sequence[Row]) -> None:
    """Write the file whole or not at all, with the byte order mark that spreadsheets put first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(
        b"\xef\xbb\xbf" + ",".join(COLUMNS).encode() + b"\n" + b"".join(row.line() for row in rows)
    )
    partial.replace(path)


def share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 0.4:
        raise argparse.ArgumentTypeError("must lie between 0 and 0.4")
    return value


def row_count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 5_000_000:
        raise argparse.ArgumentTypeError("must lie between 1 and 5,000,000")
    return value


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the file that the command line asks for."""
    parser = argparse.ArgumentParser(description="Make a CSV of sales with realistic dirt.")
    parser.add_argument("--rows", type=row_count, default=10_000, help="lines after the header (10000)")
    parser.add_argument("--seed", type=int, default=2025, help="same seed, same file (2025)")
    parser.add_argument("--dirt", type=share, default=0.03, help="share that is bad (0.03)")
    parser.add_argument("--untidy", type=share, default=0.05, help="share that is odd but readable (0.05)")
    parser.add_argument("--output", type=Path, required=True, help="the CSV to write")
    parser.add_argument("--truth", type=Path, help="also write what is in it, as JSON")
    options = parser.parse_args(arguments)
    rows, truth = make_sales(options.rows, options.dirt, options.untidy, options.seed)
    write_sales(options.output, rows)
    if options.truth:
        options.truth.write_text(json.dumps(vars(truth), indent=2) + "\n")
    sys.stderr.write(f"{options.output}: {truth.rows} rows, {truth.bad_rows} of them bad\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
