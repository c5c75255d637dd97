"""Which agent gets a piece of work, as a table."""

from typing import Any

import pytest

from workflow_service.agents.selection import (
    AgentInfo,
    AgentStatus,
    Capability,
    choose_agent,
    nearest_agent,
    rank_agents,
)
from workflow_service.engine.states import ToolType


def agent(agent_id: str, **fields: Any) -> AgentInfo:
    known = {"name": agent_id, "status": AgentStatus.HEALTHY, "tool_types": frozenset({ToolType.API})}
    names = fields.pop("can", ())
    return AgentInfo(agent_id, **{**known, "capabilities": tuple(map(Capability, names)), **fields})


@pytest.mark.parametrize(
    ("agents", "wanted", "chosen"),
    [
        pytest.param([], {}, None, id="nobody"),
        pytest.param([agent("a")], {"tool_type": ToolType.SCRIPT}, None, id="other tool"),
        pytest.param([agent("a", can=["x"])], {"capability": "y"}, None, id="cannot"),
        pytest.param(
            [agent("a", can=["Invoice.Read"])], {"capability": "invoice.read"}, "a", id="in any case"
        ),
        pytest.param([agent("b"), agent("a")], {}, "a", id="the id settles it"),
        pytest.param([agent("a"), agent("b")], {"exclude": ["a"]}, "b", id="excluded"),
        pytest.param([agent("a"), agent("b")], {"preferred": ["b"]}, "b", id="preferred"),
        pytest.param(
            [agent("a"), agent("b", status=AgentStatus.DEGRADED)],
            {"preferred": ["b"]},
            "b",
            id="preferred, though ill",
        ),
        pytest.param(
            [agent("a", status=AgentStatus.UNHEALTHY)],
            {"preferred": ["a"]},
            None,
            id="never one that is down",
        ),
        pytest.param([agent("a", status=AgentStatus.DISABLED)], {}, None, id="nor one that is disabled"),
        pytest.param([agent("a", status=AgentStatus.DEGRADED), agent("b")], {}, "b", id="health"),
        pytest.param([agent("a", status=AgentStatus.UNKNOWN), agent("b")], {}, "b", id="known health"),
        pytest.param(
            [agent("a", status=AgentStatus.DEGRADED), agent("b", status=AgentStatus.UNKNOWN)],
            {},
            "b",
            id="hope",
        ),
        pytest.param([agent("a", load=0.9), agent("b", load=0.2)], {}, "b", id="load"),
        pytest.param(
            [agent("a", load=0.2, success_rate=60.0), agent("b", load=0.1, success_rate=50.0)],
            {},
            "a",
            id="loads alike: reliability",
        ),
        pytest.param(
            [agent("a", success_rate=60.0), agent("b", load=0.6, success_rate=99.0)], {}, "a", id="load first"
        ),
        pytest.param([agent("a", success_rate=80.0), agent("b")], {}, "b", id="unproven before flaky"),
        pytest.param([agent("a"), agent("b", success_rate=99.0)], {}, "b", id="proven before unproven"),
        pytest.param([agent("a", load=1.0), agent("b", load=0.9)], {}, "b", id="full"),
        pytest.param(
            [agent("a", built_in=True, can=["x"]), agent("b", load=0.3, can=["x"])],
            {"capability": "x"},
            "b",
            id="made for it",
        ),
        pytest.param(
            [agent("a", load=1.0, can=["x"]), agent("b", built_in=True, can=["x"])],
            {"capability": "x"},
            "b",
            id="unless it is full",
        ),
        pytest.param([agent("a"), agent("b", built_in=True, load=0.3)], {}, "b", id="made for anything"),
        pytest.param(
            [agent("a", description="reads mail"), agent("b", description="reads an invoice")],
            {"text": "Read the invoice"},
            "b",
            id="by words",
        ),
        pytest.param(
            [agent("a", description="reads mail")], {"text": "paint a house"}, None, id="no word met"
        ),
        pytest.param(
            [
                agent("a", description="invoice"),
                agent("b", description="check an invoice", status=AgentStatus.DEGRADED),
            ],
            {"text": "check invoice"},
            "b",
            id="more words before health",
        ),
    ],
)
def test_choice(agents: list[AgentInfo], wanted: dict[str, Any], chosen: str | None) -> None:
    for order in (agents, agents[::-1]):
        found = choose_agent(order, **wanted)
        assert (found and found.agent_id) == chosen


def test_preferred_agents_come_in_their_order() -> None:
    agents = [agent(name) for name in "abcd"]
    ranked = rank_agents(agents, preferred=["d", "b"])
    assert [one.agent_id for one in ranked] == ["d", "b", "a", "c"]


@pytest.mark.parametrize(
    ("wanted", "nearest"),
    [
        ("data-transformer-v2", "data-transformer-v1"),
        ("Data-Loader", "data-loader"),
        ("zzz", None),
        ("gone-for-goo", None),
    ],
)
def test_nearest_agent(wanted: str, nearest: str | None) -> None:
    disabled = agent("gone-for-good", status=AgentStatus.DISABLED)
    agents = [agent("data-transformer-v1"), agent("data-loader"), disabled]
    assert nearest_agent(wanted, agents) == nearest


@pytest.mark.parametrize(("rate", "flaky"), [(None, False), (90.0, False), (89.9, True)])
def test_flaky_below_nine_in_ten(rate: float | None, flaky: bool) -> None:
    assert agent("a", success_rate=rate).flaky is flaky
