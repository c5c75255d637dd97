"""From the text of a row to a sale, or to every reason why it is none.

Whatever has one certain meaning is mended (blanks, currency signs, thousands separators, text encoded twice);
whatever would need a guess is a fault. Nothing here reads or writes a file.
"""

import re
import unicodedata
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, ClassVar

from pydantic import ConfigDict

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
ESSENTIAL = ("order_id", "date", "customer_id", "quantity", "unit_price", "amount")
BLANKS = frozenset({"", "-", "null", "none", "nan", "na", "n/a"})
MAX_TEXT = 200
YEARS = range(1990, 2101)

PLAIN = re.compile(r"-?\d{1,12}(\.\d{1,2})?", re.ASCII)
GROUPED = re.compile(r"-?\d{1,3}(,\d{3})+(\.\d{1,2})?", re.ASCII)
CONTINENTAL = re.compile(r"-?(\d{1,3}(\.\d{3})+|\d{1,12}),\d{1,2}", re.ASCII)
DOLLARS = re.compile(r"^(\$|USD)\s*|\s*USD$")
FOREIGN = re.compile(r"[€£¥]|\b(EUR|GBP|JPY|CHF)\b")
DATE_PARTS = {"YYYY": r"(?P<year>\d{4})", "MM": r"(?P<month>\d{2})", "DD": r"(?P<day>\d{2})"}


class Unreadable(ValueError):
    """A text that has no value of its kind; the message is the stable code of the fault."""


@dataclass(frozen=True)
class Fault:
    """Why a row is no sale: a stable code, the column, and the value as it stood."""

    code: str
    column: str
    value: str


@dataclass(frozen=True)
class Rules:
    """What a file must keep to: columns that may not be blank, and the one date format."""

    # Read from a run's input by pydantic: a misspelt rule must not pass for no rule.
    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")

    required_columns: tuple[str, ...] = ("date", "amount", "customer_id")
    date_format: str = "YYYY-MM-DD"

    def date_pattern(self) -> re.Pattern[str]:
        """Return the format as a pattern; raises ``ValueError`` unless it has year, month and day once."""
        pattern = re.escape(self.date_format)
        for token, part in DATE_PARTS.items():
            if self.date_format.count(token) != 1:
                raise ValueError(f"date_format {self.date_format!r} must hold {token} once, as in YYYY-MM-DD")
            pattern = pattern.replace(token, part)
        return re.compile(pattern, re.ASCII)


@dataclass(frozen=True)
class Sale:
    """One valid sale; amounts in US dollars."""

    order_id: str
    date: date
    customer_id: str
    customer_name: str
    region: str
    product: str
    quantity: int
    unit_price: Decimal
    amount: Decimal


def check_columns(columns: Collection[str], rules: Rules) -> None:
    """Raise ``ValueError`` naming the columns that the file lacks."""
    missing = [name for name in (*COLUMNS, *rules.required_columns) if name not in columns]
    if missing:
        raise ValueError(f"the file lacks {', '.join(sorted(set(missing)))}; it has {', '.join(columns)}")


class RowReader:
    """Reads rows under fixed rules; holds only what is compiled from them."""

    def __init__(self, rules: Rules) -> None:
        pattern = rules.date_pattern()
        self.required = frozenset((*ESSENTIAL, *rules.required_columns))
        self.others = sorted(self.required.difference(COLUMNS))
        self.parsers: dict[str, Callable[[str], object]] = {
            "order_id": parse_order_id,
            "date": lambda text: parse_date(text, pattern),
            "customer_id": parse_text,
            "customer_name": parse_text,
            "region": parse_text,
            "product": parse_text,
            "quantity": parse_quantity,
            "unit_price": parse_money,
            "amount": parse_money,
        }

    def read(self, values: Mapping[str, str]) -> tuple[Sale | None, list[Fault]]:
        """Return the sale and no fault, or None and every fault of the row."""
        faults = [
            Fault(f"missing_{name}", name, values[name]) for name in self.others if is_blank(values[name])
        ]
        cells: dict[str, Any] = {}
        for column, parse in self.parsers.items():
            if column in self.required and is_blank(values[column]):
                faults.append(Fault(f"missing_{column}", column, values[column]))
                continue
            try:
                cells[column] = parse(values[column])
            except Unreadable as error:
                faults.append(Fault(str(error), column, values[column]))
        if faults:
            return None, faults
        sale = Sale(**cells)
        if sale.quantity * sale.unit_price != sale.amount:
            return None, [Fault("wrong_amount", "amount", values["amount"])]
        return sale, []


def is_blank(text: str) -> bool:
    return text.strip().casefold() in BLANKS


def parse_text(text: str) -> str:
    """Return the text with single blanks, composed, and decoded once more where it was encoded twice."""
    tidy = " ".join(unicodedata.normalize("NFC", decode_again(text)).split())
    if len(tidy) > MAX_TEXT:
        raise Unreadable("text_too_long")
    return "" if is_blank(tidy) else tidy


def decode_again(text: str) -> str:
    """Undo UTF-8 that was read as Windows-1252: such text always holds one of these two letters."""
    if "Ã" not in text and "Â" not in text:
        return text
    try:
        return text.encode("cp1252").decode("utf-8")
    except UnicodeError:
        return text


def parse_order_id(text: str) -> str:
    return parse_text(text).upper()


def parse_date(text: str, pattern: re.Pattern[str]) -> date:
    match = pattern.fullmatch(text.strip())
    if match is None:
        raise Unreadable("foreign_date_format")
    year, month, day = (int(match[part]) for part in ("year", "month", "day"))
    try:
        found = date(year, month, day)
    except ValueError:
        raise Unreadable("impossible_date") from None
    if year not in YEARS:
        raise Unreadable("impossible_date")
    return found


def parse_quantity(text: str) -> int:
    tidy = text.strip()
    if not re.fullmatch(r"-?\d{1,9}", tidy, re.ASCII):
        raise Unreadable("unreadable_quantity")
    if int(tidy) <= 0:
        raise Unreadable("quantity_not_positive")
    return int(tidy)


def parse_money(text: str) -> Decimal:
    """Return US dollars; ``1.299`` alone is refused, for it is one amount here and another there."""
    tidy = text.strip()
    if FOREIGN.search(tidy):
        raise Unreadable("foreign_currency")
    number = DOLLARS.sub("", tidy)
    if PLAIN.fullmatch(number):
        value = Decimal(number)
    elif GROUPED.fullmatch(number):
        value = Decimal(number.replace(",", ""))
    elif CONTINENTAL.fullmatch(number):
        value = Decimal(number.replace(".", "").replace(",", "."))
    else:
        raise Unreadable("unreadable_amount")
    if value < 0:
        raise Unreadable("negative_amount")
    return value.quantize(Decimal("0.01"))
