"""Say how bad it is: critical from eight errors or three services on, major from three errors on, else minor."""

import json
import sys
from collections import Counter
from datetime import datetime


def main() -> None:
    given = json.load(sys.stdin)["input"]
    errors = [match["groups"] for match in given["errors"]]
    timeline = [dict(zip(("at", "host", "service", "message"), groups, strict=True)) for groups in errors]
    services = Counter(entry["service"] for entry in timeline)
    hosts = Counter(entry["host"] for entry in timeline)
    severity = (
        "critical" if len(errors) >= 8 or len(services) >= 3 else "major" if len(errors) >= 3 else "minor"
    )
    first, last = (timeline[0]["at"], timeline[-1]["at"]) if timeline else ("", "")
    minutes = (
        (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds() / 60 if timeline else 0
    )
    answer = {
        "severity": severity,
        "errors": len(errors),
        "hosts": len({match["groups"][0] for match in given["lines"]}),
        "byService": [{"service": name, "count": count} for name, count in services.most_common()],
        "worstHost": hosts.most_common(1)[0][0] if hosts else "",
        "firstAt": first,
        "lastAt": last,
        "minutes": round(minutes),
        "timeline": timeline,
    }
    json.dump(answer, sys.stdout)


main()
