"""Repeated orders, suspected ones, and the figures a person decides on."""

from examples.sales_etl.assessment import assess
from examples.sales_etl.cleaning import COLUMNS, Fault
from examples.sales_etl.duplicates import find_duplicates
from examples.sales_etl.json_lines import RawRow
from examples.sales_etl.profiling import profile_rows
from tests.unit.examples.test_cleaning import ROW

FAULT = [Fault("impossible_date", "date", "2025-13-45")]


def row(line: int, problem: str | None = None, **cells: str) -> RawRow:
    return RawRow(line, {**ROW, "order_id": f"S-{line}", **cells}, problem, False)


def test_rows_of_one_order_are_a_group_however_they_are_written() -> None:
    rows = [
        row(2),
        row(3, order_id="s-2 ", amount="$1,299.00"),
        row(4),
        row(5, order_id="S-4", region="South"),
    ]
    groups = {group.order_id: (group.lines, group.conflicting) for group in find_duplicates(rows).groups}
    assert groups == {"S-2": ((2, 3), False), "S-4": ((4, 5), True)}


def test_unreadable_and_nameless_rows_repeat_nothing() -> None:
    rows = [row(2), row(3, problem="cut", order_id="S-2"), row(4, order_id=""), row(5, order_id=" ")]
    found = find_duplicates(rows)
    assert (found.rows, found.groups) == (3, ())


def test_like_rows_under_different_numbers_are_suspected_only() -> None:
    rows = [
        row(2, customer_name="Müller"),
        row(3, customer_name="MULLER"),
        row(4, customer_id="C9", region="South"),
    ]
    found = find_duplicates(rows)
    assert (found.suspected_pairs, found.groups) == (((2, 3),), ())


def test_every_row_is_kept_or_rejected_once() -> None:
    groups = find_duplicates([row(2), row(3, order_id="S-2"), row(4, order_id="S-2"), row(5)]).groups
    found = assess(4, {2: FAULT, 5: FAULT}, groups)
    # The first row of the order is no sale, so the second is the one that is kept.
    assert {line: [fault.code for fault in faults] for line, faults in found.faults.items()} == {
        2: ["impossible_date"],
        5: ["impossible_date"],
        4: ["repeated_order"],
    }
    assert (found.bad_rows, found.bad_percent) == (3, 75.0)
    assert found.reasons() == {"impossible_date": 2, "repeated_order": 1}
    assert found.summary() == "3 of 4 rows (75.00 %) are bad: 2 impossible date, 1 repeated order."


def test_an_order_without_any_valid_row_is_not_counted_twice() -> None:
    groups = find_duplicates([row(2), row(3, order_id="S-2")]).groups
    assert assess(2, {2: FAULT, 3: FAULT}, groups).bad_rows == 2


def test_the_share_is_not_rounded_past_a_limit() -> None:
    exactly = assess(10_000, dict.fromkeys(range(100), FAULT), ())
    above = assess(10_000, dict.fromkeys(range(101), FAULT), ())
    assert (exactly.bad_percent > 1, above.bad_percent > 1) == (False, True)
    assert assess(0, {}, ()).summary() == "0 of 0 rows (0.00 %) are bad."


def test_a_profile_describes_each_column() -> None:
    rows = [
        row(2, quantity="0"),
        row(3, quantity="2"),
        row(4, quantity=" 4", region=""),
        row(5, quantity="x"),
    ]
    profile = profile_rows(rows)
    assert profile["rows"] == 4
    assert set(profile["columns"]) == set(COLUMNS)
    quantity = profile["columns"]["quantity"]
    assert (quantity["least"], quantity["median"], quantity["most"]) == (0.0, 2.0, 4.0)
    assert (quantity["distinct"], quantity["untrimmed"]) == (4, 1)
    assert profile["columns"]["order_id"]["shapes"] == [("a-9", 4)]
    assert (profile["columns"]["region"]["filled"], profile["columns"]["region"]["blank"]) == (3, 1)
