"""Give each ticket a team and the time until when it is to be answered; outages of paying customers are urgent."""

import json
import sys
from collections import Counter
from datetime import datetime, timedelta

TEAMS = {"outage": "operations", "billing": "accounting", "feature": "product", "general": "support"}
HOURS = {"enterprise": 1, "business": 4, "free": 48}


def main() -> None:
    given = json.load(sys.stdin)["input"]
    tickets = []
    for ticket, topic in zip(given["tickets"], given["topics"], strict=True):
        opened = datetime.fromisoformat(ticket["openedAt"])
        hours = HOURS.get(ticket["plan"], 48) * (1 if topic["label"] == "outage" else 4)
        tickets.append(
            {
                **{name: ticket[name] for name in ("ticketId", "customer", "plan", "subject")},
                "topic": topic["label"],
                "team": TEAMS[topic["label"]],
                "dueAt": (opened + timedelta(hours=hours)).isoformat(),
                "urgent": topic["label"] == "outage" and ticket["plan"] != "free",
            }
        )
    tickets.sort(key=lambda ticket: (ticket["dueAt"], ticket["ticketId"]))
    urgent = [ticket for ticket in tickets if ticket["urgent"]]
    teams = Counter(ticket["team"] for ticket in tickets)
    answer = {
        "tickets": tickets,
        "urgent": urgent,
        "urgentCount": len(urgent),
        "teams": dict(sorted(teams.items())),
    }
    json.dump(answer, sys.stdout)


main()
