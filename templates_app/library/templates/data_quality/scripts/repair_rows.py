"""Mend what has one meaning only: blanks, small letters in codes, decimal commas, dates as day.month.year, repeats."""

import json
import re
import sys
from collections.abc import Callable


def amount_of(text: str) -> str:
    """Return an amount with a decimal point and two digits, where there is one way to read it."""
    text = text.replace(",", ".") if text.count(",") == 1 and "." not in text else text
    return f"{float(text):.2f}" if re.fullmatch(r"-?\d+(\.\d{1,2})?", text) else text


def date_of(text: str) -> str:
    """Return day.month.year as year-month-day."""
    found = re.fullmatch(r"(\d{1,2})\.(\d{1,2})\.(\d{4})", text)
    return f"{found[3]}-{int(found[2]):02}-{int(found[1]):02}" if found else text


MEND: dict[str, Callable[[str], str]] = {
    "email": str.lower,
    "country": str.upper,
    "amount": amount_of,
    "bookedOn": date_of,
}


def main() -> None:
    rows, seen, repairs = [], set(), []
    for row in json.load(sys.stdin)["input"]["rows"]:
        if row["recordId"] in seen:
            repairs.append({"recordId": row["recordId"], "field": "dropped, it is there twice"})
            continue
        seen.add(row["recordId"])
        mended = {name: MEND.get(name, str)(value.strip()) for name, value in row.items()}
        repairs += [{"recordId": row["recordId"], "field": name} for name in row if row[name] != mended[name]]
        rows.append(mended)
    json.dump({"rows": rows, "changed": len(repairs), "repairs": repairs}, sys.stdout)


main()
