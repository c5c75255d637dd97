"""Replace whole words in a text, whatever their case; a change without replacement is left alone."""

import json
import re
import sys


def main() -> None:
    given = json.load(sys.stdin)["input"]
    text, count = given["text"], 0
    for change in given["changes"]:
        if change["replace"] is not None:
            pattern = rf"(?<!\w){re.escape(change['find'])}(?!\w)"
            replacement = change["replace"].replace("\\", r"\\")
            text, found = re.subn(pattern, replacement, text, flags=re.IGNORECASE)
            count += found
    json.dump({"text": text, "count": count}, sys.stdout)


main()
