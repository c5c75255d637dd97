"""Part posts by the labels of their words: clean, spam for sure, and doubtful ones for a moderator."""

import json
import sys
from typing import Any


def main() -> None:
    given = json.load(sys.stdin)["input"]
    sorted_posts: dict[str, list[dict[str, Any]]] = {"clean": [], "spam": [], "flagged": []}
    for post, label in zip(given["posts"], given["labels"], strict=True):
        found = label["found"].get(label["label"], [])
        kind = "clean" if label["label"] == "clean" else "flagged"
        if label["label"] == "spam" and len(found) >= 2:
            kind = "spam"
        sorted_posts[kind].append({**post, "words": found} if kind == "flagged" else post)
    json.dump({**sorted_posts, "flaggedCount": len(sorted_posts["flagged"])}, sys.stdout)


main()
