"""What validation says in the workspace it is asked in: agents, data, and advice, in document A's shape."""

from typing import Any

from tests.caller import Caller
from tests.factories import make_agent, noop
from tests.house import House


def validated(caller: Caller, *blocks: dict[str, Any], **fields: Any) -> dict[str, Any]:
    answer = caller.post("templates/validate", {"name": "T", "blocks": list(blocks), **fields})
    assert answer.status_code == 200, answer.content
    body: dict[str, Any] = answer.json()
    return body


def found(body: dict[str, Any]) -> set[tuple[str, str, str]]:
    return {(one["type"], one["severity"], one["pointer"]) for one in body["issues"]}


def test_agents_that_are_not_there_are_named_with_the_nearest(developer: Caller, house: House) -> None:
    make_agent(house.workspace, "data-transformer-v1")
    make_agent(house.workspace, "off", enabled=False)
    make_agent(house.workspace, "ill", status="UNHEALTHY")
    make_agent(house.workspace, "caller-only", tool_types=["API"])
    make_agent(house.workspace, "shaky")
    body = validated(
        developer,
        noop("transform", agentId="data-transformer-v2", recovery={"agents": ["off"]}),
        noop("late", agentId="ill"),
        noop("other", agentId="caller-only"),
        noop("clever", agentType="reads-minds", toolType=None),
    )
    assert body["valid"] is False
    assert found(body) >= {
        ("AGENT_UNAVAILABLE", "ERROR", "/blocks/0/agentId"),
        ("AGENT_UNAVAILABLE", "ERROR", "/blocks/0/recovery/agents/0"),
        ("AGENT_UNAVAILABLE", "WARNING", "/blocks/1/agentId"),
        ("AGENT_LACKS_TOOL", "ERROR", "/blocks/2/agentId"),
        ("AGENT_UNAVAILABLE", "ERROR", "/blocks/3/agentType"),
    }
    first = next(one for one in body["issues"] if one["pointer"] == "/blocks/0/agentId")
    assert first["message"] == "Agent 'data-transformer-v2' is not available"
    assert first["suggestion"] == "Use 'data-transformer-v1' instead"
    assert first["blockId"] == "transform"


def test_an_unknown_agent_is_saved_as_a_draft(developer: Caller) -> None:
    saved = developer.post("templates", {"name": "T", "blocks": [noop("a", agentId="nobody")]}).json()
    assert saved["status"] == "draft"
    assert saved["findings"][0]["type"] == "AGENT_UNAVAILABLE"
    assert developer.post(f"templates/{saved['templateId']}/publish").status_code == 422


def test_a_name_that_nobody_writes_is_a_warning(developer: Caller) -> None:
    branches = [{"condition": "is_vaild == true", "nextBlocks": ["b"]}, {"nextBlocks": ["end"]}]
    read = {"useCase": "text.count", "text": "${workflow.input.text}"}
    body = validated(
        developer,
        noop("a", {"is_valid": True}, conditions={"branches": branches}),
        {"blockId": "b", "toolType": "USE_CASE", "configuration": read},
        noop("c", "${blocks.b.output.wrods}", dependencies=["b"]),
    )
    assert body["valid"] is True
    assert found(body) == {
        ("UNWRITTEN_NAME", "WARNING", "/blocks/0/conditions/branches/0/condition"),
        ("UNWRITTEN_NAME", "WARNING", "/blocks/2/configuration/output"),
    }
    assert {one["suggestion"] for one in body["issues"]} == {
        "Did you mean 'is_valid'?",
        "Did you mean 'words'?",
    }


def test_a_use_case_that_is_given_the_wrong_input_is_an_error(developer: Caller) -> None:
    wrong = {"useCase": "numbers.round", "value": "much"}
    body = validated(developer, {"blockId": "a", "toolType": "USE_CASE", "configuration": wrong})
    assert ("CONFIGURATION_ERROR", "ERROR") in {(one["type"], one["severity"]) for one in body["issues"]}


def test_independent_blocks_are_advised_to_run_in_parallel(developer: Caller) -> None:
    def fetch(number: int, **fields: Any) -> dict[str, Any]:
        get = {"endpoint": "https://example.test", "method": "GET", "responseMapping": {f"r{number}": "body"}}
        return {"blockId": f"fetch_{number}", "toolType": "API", "configuration": get, **fields}

    body = validated(
        developer,
        fetch(1),
        fetch(2, dependencies=["fetch_1"]),
        noop("join", "${r1} ${r2}", dependencies=["fetch_2"]),
    )
    assert body["valid"] is True
    (advice,) = body["recommendations"]
    assert advice == {
        "type": "OPTIMIZATION",
        "message": "Blocks 'fetch_1' and 'fetch_2' can be executed in parallel: none uses what another gives",
        "impact": "33% performance improvement",
        "suggestion": "Let 'fetch_2' depend on what 'fetch_1' depends on, and what follows on all of them",
        "pointer": "/blocks/1/dependencies",
        "blocks": ["fetch_1", "fetch_2"],
    }


def test_blocks_that_write_one_name_side_by_side_are_warned_of(developer: Caller) -> None:
    body = validated(
        developer,
        noop("a", {"total": 1}),
        noop("b", {"total": 2}),
        noop("c", "${total}", dependencies=["a", "b"]),
    )
    (issue,) = body["issues"]
    assert (issue["type"], issue["severity"], issue["blocks"]) == ("PARALLEL_WRITES", "WARNING", ["a", "b"])


def test_every_fault_is_told_at_once(developer: Caller) -> None:
    body = developer.post(
        "templates/validate",
        {
            "version": "one",
            "blocks": [
                noop("a", toolTyp="NOOP", dependencies=["nowhere"]),
                {"blockId": "b", "toolType": "USE_CASE", "configuration": {"useCase": "text.cuont"}},
            ],
        },
    ).json()
    assert {(one["type"], one["pointer"]) for one in body["issues"]} == {
        ("REQUIRED", "/name"),
        ("UNKNOWN_FIELD", "/blocks/0/toolTyp"),
        ("MISSING_DEPENDENCY", "/blocks/0/dependencies/0"),
        ("CONFIGURATION_ERROR", "/blocks/1/configuration/useCase"),
    }
