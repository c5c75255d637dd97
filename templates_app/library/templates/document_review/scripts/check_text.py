"""Find the words of a style guide in a text, line by line; those with a replacement can be corrected."""

import json
import re
import sys


def main() -> None:
    given = json.load(sys.stdin)["input"]
    faults = [
        {"line": number, "find": rule["find"], "correctable": rule["replace"] is not None}
        for number, line in enumerate(given["text"].splitlines(), start=1)
        for rule in given["style"]
        for _ in re.finditer(rf"\b{re.escape(rule['find'])}\b", line, re.IGNORECASE)
    ]
    correctable = sum(fault["correctable"] for fault in faults)
    words = len(re.findall(r"\w+", given["text"]))
    json.dump({"faults": faults, "correctable": correctable, "words": words}, sys.stdout)


main()
