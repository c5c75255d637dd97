"""From the text of a row to a sale: what is mended, what is refused, and by which name."""

from datetime import date
from decimal import Decimal

import pytest

from examples.sales_etl.cleaning import COLUMNS, RowReader, Rules, Sale, check_columns

ROW = {
    "order_id": "S-000001",
    "date": "2025-03-04",
    "customer_id": "C0001",
    "customer_name": "Ana Müller",
    "region": "North",
    "product": "Laptop",
    "quantity": "1",
    "unit_price": "1299.00",
    "amount": "1299.00",
}


def read(**cells: str) -> Sale | list[str]:
    sale, faults = RowReader(Rules()).read({**ROW, **cells})
    assert (sale is None) == bool(faults)
    return sale or [fault.code for fault in faults]


def test_a_clean_row_is_a_sale() -> None:
    price = Decimal("1299.00")
    assert read() == Sale(
        "S-000001", date(2025, 3, 4), "C0001", "Ana Müller", "North", "Laptop", 1, price, price
    )


@pytest.mark.parametrize(
    "cells",
    [
        {"amount": "$1299.00"},
        {"amount": "$ 1,299.00"},
        {"amount": "USD 1299"},
        {"amount": "1.299,00"},
        {"amount": "1299,00 USD"},
        {"amount": "  1299.0\u00a0"},
        {"unit_price": "1,299.00", "amount": "1,299.00"},
        {"customer_name": "Ana MÃ¼ller"},
        {"customer_name": "  Ana  Mu\u0308ller\t"},
        {"order_id": " s-000001 ", "date": " 2025-03-04 ", "quantity": " 1 "},
    ],
)
def test_what_has_one_certain_meaning_is_mended(cells: dict[str, str]) -> None:
    assert read(**cells) == read()


@pytest.mark.parametrize(
    ("cells", "codes"),
    [
        ({"date": "2025-13-45"}, ["impossible_date"]),
        ({"date": "2025-02-29"}, ["impossible_date"]),
        ({"date": "1025-01-01"}, ["impossible_date"]),
        ({"date": "04/03/2025"}, ["foreign_date_format"]),
        ({"date": "٢٠٢٥-03-04"}, ["foreign_date_format"]),
        ({"date": ""}, ["missing_date"]),
        ({"customer_id": "NULL"}, ["missing_customer_id"]),
        ({"customer_id": "  "}, ["missing_customer_id"]),
        ({"quantity": "-1"}, ["quantity_not_positive"]),
        ({"quantity": "0"}, ["quantity_not_positive"]),
        ({"quantity": "1.5"}, ["unreadable_quantity"]),
        ({"amount": "€1299.00"}, ["foreign_currency"]),
        ({"amount": "1299.00 EUR"}, ["foreign_currency"]),
        ({"amount": "N/A"}, ["missing_amount"]),
        ({"amount": "#REF!"}, ["unreadable_amount"]),
        ({"amount": "1e999"}, ["unreadable_amount"]),
        ({"amount": "Infinity"}, ["unreadable_amount"]),
        ({"amount": "1.299"}, ["unreadable_amount"]),
        ({"amount": "12.3.4"}, ["unreadable_amount"]),
        ({"amount": "-1299.00"}, ["negative_amount"]),
        ({"amount": "1300.00"}, ["wrong_amount"]),
        ({"product": "x" * 201}, ["text_too_long"]),
        (
            {"date": "?", "customer_id": "", "amount": "?"},
            ["foreign_date_format", "missing_customer_id", "unreadable_amount"],
        ),
    ],
)
def test_what_would_need_a_guess_is_refused(cells: dict[str, str], codes: list[str]) -> None:
    assert read(**cells) == codes


def test_rules_choose_the_date_format_and_further_columns() -> None:
    reader = RowReader(Rules(required_columns=("region", "channel"), date_format="DD.MM.YYYY"))
    row = {**ROW, "date": "04.03.2025", "channel": "shop"}
    assert reader.read(row)[0] is not None
    _, faults = reader.read({**row, "date": "2025-03-04", "channel": " ", "region": "-"})
    assert sorted(fault.code for fault in faults) == [
        "foreign_date_format",
        "missing_channel",
        "missing_region",
    ]


@pytest.mark.parametrize("date_format", ["", "YYYY-MM", "YYYY-MM-DD-DD", "%Y"])
def test_a_date_format_without_its_parts_is_refused(date_format: str) -> None:
    with pytest.raises(ValueError, match="must hold"):
        RowReader(Rules(date_format=date_format))


def test_missing_columns_are_named() -> None:
    with pytest.raises(ValueError, match="the file lacks amount, channel; it has"):
        check_columns(COLUMNS[:-1], Rules(required_columns=("channel",)))
