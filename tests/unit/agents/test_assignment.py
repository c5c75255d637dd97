"""What an agent and a block make together, as tables."""

from typing import Any

import pytest

from workflow_service.agents.assignment import (
    Wanted,
    choose_for,
    configuration_of,
    defaults_template,
    merged,
    stand_ins_for,
    tool_of,
    wanted_by,
)
from workflow_service.agents.selection import AgentInfo, AgentStatus, Capability, JsonObject
from workflow_service.engine.definition import Block
from workflow_service.engine.errors import ExpressionError
from workflow_service.engine.states import ToolType

T = ToolType


def block(**fields: Any) -> Block:
    return Block.model_validate({"blockId": "one", **fields})


def agent(agent_id: str, *can: str, tools: tuple[ToolType, ...] = (T.API,), **fields: Any) -> AgentInfo:
    known: dict[str, Any] = {"name": agent_id, "status": AgentStatus.HEALTHY, "tool_type": tools[0]}
    capabilities = tuple(map(Capability, can))
    return AgentInfo(agent_id, capabilities=capabilities, tool_types=frozenset(tools), **{**known, **fields})


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"toolType": "NOOP"}, None),
        ({"agentId": "crm"}, None),
        ({"agentId": "crm", "agentType": "lead.find"}, None),
        ({"agentType": "SCRIPT", "toolType": "SCRIPT"}, None),
        ({"agentType": "manager", "toolType": "HUMAN"}, None),
        ({"agentType": "clock", "toolType": "WAIT"}, None),
        ({"agentType": "Script"}, Wanted(T.SCRIPT, None)),
        ({"agentType": "lead.find"}, Wanted(None, "lead.find")),
        ({"agentType": " lead.find ", "toolType": "API"}, Wanted(T.API, "lead.find")),
    ],
)
def test_what_a_block_wants(fields: dict[str, Any], wanted: Wanted | None) -> None:
    assert wanted_by(block(**fields)) == wanted


@pytest.mark.parametrize(
    ("fields", "tool"),
    [
        ({"agentId": "a"}, T.API),
        ({"agentId": "a", "toolType": "NOOP"}, T.NOOP),
        ({"agentId": "a", "agentType": "SCRIPT"}, T.SCRIPT),
        ({"agentId": "a", "agentType": "LLM"}, T.API),
        ({"agentId": "a", "agentType": "lead.find"}, T.API),
    ],
)
def test_with_which_tool(fields: dict[str, Any], tool: ToolType) -> None:
    assert tool_of(block(**fields), agent("a", tools=(T.API, T.SCRIPT))) is tool


def test_the_block_s_configuration_stands_before_the_agent_s_defaults() -> None:
    defaults: JsonObject = {"baseUrl": "https://a.example", "headers": {"a": 1, "b": {"c": 2}}, "query": [1]}
    known = agent("a", configuration=defaults)
    own: JsonObject = {"headers": {"b": {"d": 3}, "a": None}, "query": [2]}
    assert configuration_of(block(agentId="a"), known, T.API, own) == {
        "baseUrl": "https://a.example",
        "headers": {"a": None, "b": {"c": 2, "d": 3}},
        "query": [2],
    }
    assert configuration_of(block(agentId="a"), known, T.SCRIPT, own) == own, (
        "they are those of its first tool"
    )
    assert merged({"a": {"b": 1}}, {"a": 2}) == {"a": 2}
    assert defaults["query"] == [1]


def test_a_use_case_that_is_named_as_a_type_runs() -> None:
    known = agent("local-use-case", "csv.read", "csv.write", tools=(T.USE_CASE,), built_in=True)
    wants = block(agentType="CSV.read")
    assert choose_for(wants, [known]) is known
    assert configuration_of(wants, known, T.USE_CASE, {"file": "a"}) == {"file": "a", "useCase": "csv.read"}
    assert configuration_of(block(agentId="local-use-case"), known, T.USE_CASE, {}) == {}


@pytest.mark.parametrize(
    ("fields", "failed", "others"),
    [
        ({"agentId": "a"}, "a", ("b", "d")),
        ({"agentId": "a", "toolType": "SCRIPT"}, "a", ("d",)),
        ({"agentId": "plain"}, "plain", ()),
        ({"agentId": "gone"}, "gone", ()),
        ({"agentId": "local"}, "local", ()),
        ({"agentType": "sub"}, "c", ("e",)),
        ({"agentType": "sub"}, "", ("c", "e")),
    ],
)
def test_who_may_take_over(fields: dict[str, Any], failed: str, others: tuple[str, ...]) -> None:
    agents = [
        agent("a", "add", tools=(T.API, T.SCRIPT)),
        agent("b", "ADD"),
        agent("c", "sub"),
        agent("d", "add", tools=(T.SCRIPT, T.API)),
        agent("e", "sub"),
        agent("down", "add", "sub", status=AgentStatus.UNHEALTHY),
        agent("plain"),
        agent("local", "http.request", built_in=True),
    ]
    assert stand_ins_for(block(**fields), failed, agents) == others


def test_defaults_may_name_secrets_and_nothing_else() -> None:
    assert defaults_template({"headers": {"k": "Bearer ${secrets.KEY}"}}).references.secrets == {"KEY"}
    assert not defaults_template({"a": [1, None, "$5"]}).references.secrets
    for text in ("${context.x}", "${workflow.input.x}", "${secrets.A + 'x'}", "${", "${execution.id}"):
        with pytest.raises(ExpressionError):
            defaults_template({"a": text})


@pytest.mark.parametrize(
    ("fields", "has_tool"),
    [
        ({}, False),
        ({"toolType": "HUMAN", "agentId": "a"}, False),
        ({"agentType": "human"}, False),
        ({"agentType": "SCRIPT"}, True),
        ({"agentId": "a"}, True),
        ({"toolType": "NOOP"}, True),
    ],
)
def test_whether_a_block_has_work_for_others_than_people(fields: dict[str, Any], has_tool: bool) -> None:
    assert block(**fields).has_tool is has_tool
