"""Small runs in which every named point is reached, and how each must end."""

from dataclasses import dataclass

from tests.chaos.workload import Block, chain, mapping, work


@dataclass(frozen=True)
class Scenario:
    """Blocks, the status their run ends in, and whether settle hints are sent while it goes on."""

    blocks: list[Block]
    ends: str = "COMPLETED"
    poked: bool = False


PARTS = [work(f"part{n}", "split", ms=20) for n in range(4)]

SCENARIOS = {
    "chain": Scenario([work("one", ms=20), work("two", "one", ms=20), work("three", "two", ms=20)]),
    "fan-out": Scenario([work("split", ms=20), *PARTS, work("join", *(part["blockId"] for part in PARTS))]),
    "scattered": Scenario([work("split", ms=20), *PARTS]),
    "poked": Scenario(chain(8), poked=True),
    "poisoned": Scenario([work("poison", ms=20), work("never", "poison")], ends="FAILED"),
    "approval": Scenario(
        [work("before", ms=20), work("asks", "before", ms=20, humanInLoop={"required": True})]
    ),
    "retries": Scenario([work("shaky", ms=20, fails=3), work("then", "shaky", ms=20)]),
    "map": Scenario(mapping(3)),
    "dying": Scenario([work("dies", ms=20, dies=1), work("then", "dies", ms=20)]),
}
