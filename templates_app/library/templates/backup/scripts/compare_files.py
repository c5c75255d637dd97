"""Compare files with the manifest of the last backup: what changed, came and went."""

import json
import sys


def main() -> None:
    given = json.load(sys.stdin)["input"]
    now = {name: one["digest"] for name, one in zip(given["names"], given["digests"], strict=True)}
    before = {row["name"]: row["digest"] for row in given["manifest"]}
    changed = sorted(name for name in now.keys() & before.keys() if now[name] != before[name])
    added, gone = sorted(now.keys() - before.keys()), sorted(before.keys() - now.keys())
    answer = {
        "changed": changed,
        "added": added,
        "gone": gone,
        "unexpected": len(changed) + len(added) + len(gone),
        "manifest": [{"name": name, "digest": digest} for name, digest in sorted(now.items())],
    }
    json.dump(answer, sys.stdout)


main()
