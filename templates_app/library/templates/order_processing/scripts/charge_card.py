"""Decide on a charge: the number's check digit (Luhn) and a limit. No money moves; replace it by your provider."""

import hashlib
import json
import os
import sys

LIMIT_CENTS = 500_000


def luhn_holds(digits: str) -> bool:
    """Say whether the last digit is the check digit of the others."""
    doubled = [int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(reversed(digits))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def main() -> None:
    given = json.load(sys.stdin)["input"]
    digits = str(given["card"]).replace(" ", "")
    if not (digits.isascii() and digits.isdigit() and 12 <= len(digits) <= 19):
        sys.stderr.write("ERROR: that is no card number\n")
        raise SystemExit(os.EX_DATAERR)
    reason = ""
    if not luhn_holds(digits):
        reason = "the number's check digit is wrong"
    elif given["amountCents"] > LIMIT_CENTS:
        reason = "the amount is above the card's limit"
    seal = hashlib.sha256(f"{digits}:{given['orderId']}:{given['amountCents']}".encode()).hexdigest()
    answer = {"charged": not reason, "reason": reason, "authorisation": "" if reason else f"auth-{seal[:10]}"}
    json.dump(answer, sys.stdout)


main()
