"""Small runs in which every named point is reached, and how each must end."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.workload import CHILD, SIGNAL, Block, await_signal, chain, mapping, nap, work

AGENT = "crm"
FAILING_CHILD = "tpl_failing_child"
ASKING_CHILD = "tpl_asking_child"
# Assigned to whom nobody is, a question waits for its time.
NOBODY = "user:nobody"


@dataclass(frozen=True)
class Scenario:
    """Blocks and the status their run ends in.

    ``poked``: settle hints are sent while it goes on. ``commands`` are given to it in
    turn, and ``signal`` is sent. ``limit`` lets one run of the template,
    or one block on the agent, be at work at once; ``together`` runs are started.
    """

    blocks: list[Block]
    ends: str = "COMPLETED"
    poked: bool = False
    commands: tuple[str, ...] = ()
    signal: str = ""
    limit: str = ""
    together: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)


PARTS = [work(f"part{n}", "split", ms=20) for n in range(4)]
ON_AGENT = [work(f"call{n}", ms=300, agentId=AGENT) for n in range(3)]
# Accepts the work and calls back when the runner does it for it.
ACCEPTS: Block = {
    "blockId": "accepts",
    "toolType": "API",
    "configuration": {"endpoint": "", "method": "POST", "body": {}, "callback": True},
}

CALLS: Block = {
    "blockId": "calls",
    "toolType": "SUBWORKFLOW",
    "configuration": {"template": CHILD, "input": {}},
}


def asking(**step: Any) -> list[Block]:
    """Return blocks of which one asks people before its work."""
    return [work("before", ms=20), work("asks", "before", humanInLoop={"required": True, **step})]


SCENARIOS = {
    "chain": Scenario([work("one", ms=20), work("two", "one", ms=20), work("three", "two", ms=20)]),
    "fan-out": Scenario([work("split", ms=20), *PARTS, work("join", *(part["blockId"] for part in PARTS))]),
    "scattered": Scenario([work("split", ms=20), *PARTS]),
    "poked": Scenario(chain(8), poked=True),
    "poisoned": Scenario([work("poison", ms=20), work("never", "poison")], ends="FAILED"),
    "approval": Scenario(asking()),
    "reviewed": Scenario([*asking(type="REVIEW"), work("after", "asks", ms=20)]),
    "voted": Scenario(asking(quorum=2)),
    "overdue": Scenario(
        asking(
            dueIn=1_000, escalationChain=[{"assignees": [NOBODY]}], onTimeout="approve", assignees=[NOBODY]
        )
    ),
    "retries": Scenario([work("shaky", ms=20, fails=3), work("then", "shaky", ms=20)]),
    "map": Scenario(mapping(3)),
    "dying": Scenario([work("dies", ms=20, dies=1), work("then", "dies", ms=20)]),
    "naps": Scenario([nap("short", ms=200), nap("shorter", "short", ms=100), work("then", "shorter")]),
    "signalled": Scenario([await_signal("ready"), work("then", "ready", ms=20)], signal=SIGNAL),
    "late": Scenario([nap("long", ms=600_000), work("never", "long")], "FAILED", settings={"timeout": 1_000}),
    "late-call": Scenario([CALLS, work("never", "calls")], "FAILED", settings={"timeout": 2_000}),
    "failing-call": Scenario(
        [{**CALLS, "configuration": {"template": FAILING_CHILD, "input": {}}}], "FAILED"
    ),
    "asking-call": Scenario([{**CALLS, "configuration": {"template": ASKING_CHILD, "input": {}}}]),
    "paused": Scenario([nap("rest", ms=1_500), work("then", "rest")], commands=("pause", "resume")),
    "cancelled": Scenario([nap("long", ms=600_000)], "CANCELLED", commands=("cancel",)),
    "noted": Scenario([nap("rest", ms=1_500), work("then", "rest")], commands=("note",)),
    "restarted": Scenario([work("breaks", ms=20, fails=-1)], "FAILED", commands=("restart",)),
    "skipped": Scenario([nap("long", ms=600_000), work("then", "long")], commands=("skip",)),
    "one-run": Scenario([work("alone", ms=300)], limit="template", together=3),
    "one-call": Scenario([*ON_AGENT, work("then", "call0", "call1", "call2")], limit="agent"),
    "callback": Scenario([ACCEPTS, work("then", "accepts", ms=20)]),
}
