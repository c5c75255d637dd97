"""What a wait's and a sub-workflow's configuration may say, and what is said of one that is wrong."""

import pytest

from workflow_service.agents.configuration import configuration_errors, read_configuration
from workflow_service.agents.errors import ToolError
from workflow_service.agents.waits import SubworkflowConfiguration, WaitConfiguration
from workflow_service.engine.definition import JsonObject
from workflow_service.engine.states import ToolType

RIGHT: list[JsonObject] = [
    {"duration": 0},
    {"duration": 2.0},
    {"duration": "300000"},
    {"duration": "${minutes * 60000}"},
    {"until": "2030-01-31T09:00:00Z"},
    {"until": "2030-01-31T09:00:00+02:00"},
    {"until": "${deadline}"},
    {"signal": "order.paid"},
    {"signal": "paid-${order}", "timeout": 5_000, "onTimeout": "continue"},
]
WRONG: list[tuple[JsonObject, str, str]] = [
    ({}, "", "exactly one"),
    ({"duration": 1, "signal": "paid"}, "", "exactly one"),
    ({"duration": "${x}", "until": "${y}"}, "", "exactly one"),
    ({"duration": -1}, "/duration", "milliseconds from 0"),
    ({"duration": 1.5}, "/duration", "whole number"),
    ({"duration": True}, "/duration", "whole number"),
    ({"duration": "5 minutes"}, "/duration", "five minutes are 300000"),
    ({"duration": 10**15}, "/duration", "to 315360000000"),
    ({"until": "tomorrow"}, "/until", "ISO 8601"),
    ({"until": "2030-01-31T09:00:00"}, "/until", "offset"),
    ({"until": 1_900_000_000}, "/until", "ISO 8601"),
    ({"signal": "not a name"}, "/signal", "match"),
    ({"signal": "paid\n"}, "/signal", "match"),
    ({"signal": "paid", "onTimeout": "ignore"}, "/onTimeout", "continue"),
    ({"duration": 1, "timeout": 5}, "", "signal"),
    ({"duration": 1, "minutes": 5}, "/minutes", "not a known field"),
]


@pytest.mark.parametrize("configuration", RIGHT, ids=str)
def test_a_wait_that_is_right(configuration: JsonObject) -> None:
    assert configuration_errors(ToolType.WAIT, configuration) == []


@pytest.mark.parametrize(("configuration", "pointer", "said"), WRONG, ids=str)
def test_a_wait_that_is_wrong(configuration: JsonObject, pointer: str, said: str) -> None:
    [problem] = configuration_errors(ToolType.WAIT, configuration)
    assert problem.pointer == pointer
    assert said in problem.message


def test_a_moment_at_the_edge_of_the_calendar_is_refused_not_a_crash() -> None:
    with pytest.raises(ToolError):
        read_configuration(WaitConfiguration, {"until": "0001-01-01T00:00:00+14:00"})


def test_a_version_may_be_its_number() -> None:
    read = read_configuration(SubworkflowConfiguration, {"template": "tpl_1", "version": 3})
    assert read.version == "3"


@pytest.mark.parametrize(
    ("configuration", "pointer"),
    [
        ({}, "/template"),
        ({"template": 3}, "/template"),
        ({"template": "tpl_1", "input": [1]}, "/input"),
        ({"template": "tpl_1", "version": True}, "/version"),
        ({"template": "tpl_1", "inputs": {}}, "/inputs"),
    ],
    ids=str,
)
def test_a_sub_workflow_that_is_wrong(configuration: JsonObject, pointer: str) -> None:
    [problem] = configuration_errors(ToolType.SUBWORKFLOW, configuration)
    assert problem.pointer in (pointer, "")
