from typing import Any

import pytest
from pydantic import BaseModel, model_validator

from workflow_service.agents.configuration import (
    ApiConfiguration,
    configuration_errors,
    is_available,
    read_configuration,
    tool_input,
)
from workflow_service.agents.errors import ToolError
from workflow_service.agents.use_cases import UseCaseRegistry
from workflow_service.engine.states import ErrorType, ToolType


class Span(BaseModel):
    start: int
    end: int
    label: str = ""

    @model_validator(mode="after")
    def in_order(self) -> "Span":
        if self.end < self.start:
            raise ValueError("end lies before start")
        return self


class Labels(BaseModel):
    labels: list[str]

    @model_validator(mode="after")
    def not_the_same(self) -> "Labels":
        if len(set(self.labels)) < len(self.labels):
            raise ValueError("labels repeat")
        return self


@pytest.fixture
def registry() -> UseCaseRegistry:
    registry = UseCaseRegistry()

    @registry.register("span.measure")
    def measure(params: Span) -> int:
        return params.end - params.start

    @registry.register("either.way")
    def either_way(params: dict[str, int | list[int]]) -> None:
        pass

    @registry.register("labels.count")
    def count(params: Labels) -> int:
        return len(params.labels)

    return registry


USE_CASE, SCRIPT, API, NOOP = ToolType.USE_CASE, ToolType.SCRIPT, ToolType.API, ToolType.NOOP


@pytest.mark.parametrize(
    ("tool_type", "configuration"),
    [
        (SCRIPT, {"script": "extract_csv.py", "inputPath": "${workflow.input.csvPath}"}),
        (SCRIPT, {"script": "extract.py", "sources": ["database", "api", "files"]}),
        (SCRIPT, {"code": "print(1)"}),
        (SCRIPT, {"script": "${context.script}"}),
        (API, {"endpoint": "/validate", "schema": "data_schema.json"}),
        (API, {"endpoint": "/load"}),
        (API, {"endpoint": "https://a.example/x", "method": "${context.method}", "timeout": "${context.t}"}),
        (API, {"endpoint": "https://a.example/x", "expectedStatus": [200, "${context.other}"]}),
        (API, {"endpoint": "https://a.example/x", "headers": {"X-A": "${secrets.A}", "X-N": 1}}),
        (USE_CASE, {"useCase": "span.measure", "start": 1, "end": 2}),
        (USE_CASE, {"useCase": "span.measure", "input": {"start": 1, "end": "${context.end}"}}),
        (USE_CASE, {"useCase": "span.measure", "input": "${blocks.a.output}"}),
        (USE_CASE, {"useCase": "${context.name}"}),
        (USE_CASE, {"useCase": "labels.count", "labels": ["${a}", "${a}"]}),
        (USE_CASE, {"useCase": "labels.count", "labels": "${blocks.a.output.labels}"}),
        (USE_CASE, {"useCase": "either.way", "value": ["${a}", 2]}),
        (NOOP, {}),
        (NOOP, {"output": [1]}),
        (ToolType.HUMAN, {"anything": 1}),
    ],
)
def test_good_configurations_have_no_errors(
    registry: UseCaseRegistry, tool_type: ToolType, configuration: dict[str, Any]
) -> None:
    assert configuration_errors(tool_type, configuration, registry) == []


@pytest.mark.parametrize(
    ("tool_type", "configuration", "pointer", "said"),
    [
        (USE_CASE, {}, "", "'useCase' is missing; write 'useCase'"),
        (
            USE_CASE,
            {"usecase": "span.measure"},
            "",
            "'useCase' is missing; write 'useCase' in place of 'usecase'",
        ),
        (USE_CASE, {"useCase": 3}, "/useCase", "valid string"),
        (USE_CASE, {"useCase": "span.mesure"}, "/useCase", "did you mean 'span.measure'?"),
        (USE_CASE, {"useCase": "span.measure", "start": 1}, "", "'end' is missing"),
        (USE_CASE, {"useCase": "span.measure", "input": {"start": 1, "end": "x"}}, "/input/end", "integer"),
        (
            USE_CASE,
            {"useCase": "span.measure", "input": {"start": 3, "end": 1}},
            "/input",
            "end lies before start",
        ),
        (USE_CASE, {"useCase": "labels.count", "input": ["${a}"]}, "/input", "does not fit"),
        (SCRIPT, {}, "", "either 'script'"),
        (SCRIPT, {"input": "${context}"}, "", "either 'script'"),
        (SCRIPT, {"script": "a.py", "code": "1"}, "", "either 'script'"),
        (SCRIPT, {"script": ["a.py"]}, "/script", "valid string"),
        (API, {}, "", "'endpoint' is missing"),
        (API, {"endpoint": "https://a.example", "method": "FETCH"}, "/method", "'GET'"),
        (API, {"endpoint": "https://a.example", "timeout": 0}, "/timeout", "greater than or equal to 1"),
        (API, {"endpoint": "https://a.example", "headers": {"X": [1]}}, "/headers/X", "valid"),
        (API, {"endpoint": "https://a.example", "expectedStatus": [200, 999]}, "/expectedStatus/1", "599"),
        (
            API,
            {"endpoint": "https://a.example", "expected_status": 200},
            "/expected_status",
            "write 'expectedStatus'",
        ),
        (
            API,
            {"endpoint": "https://a.example", "method": "GET", "x": 1},
            "",
            "a GET request has no body to send 'x' in",
        ),
        (NOOP, {"result": 1}, "/result", "not a known field"),
        (ToolType.LLM, {"input": "x"}, "", "give either 'prompt' (the text) or 'promptName'"),
        (ToolType.LLM, {"prompt": "x", "maxTokens": 0}, "/maxTokens", "greater than or equal to 1"),
        (ToolType.LLM, {"promptName": "x", "system": "y"}, "", "a named prompt has its own"),
        (ToolType.MAP, {}, "", "not available on this server"),
    ],
)
def test_errors_name_place_and_mend(
    registry: UseCaseRegistry, tool_type: ToolType, configuration: dict[str, Any], pointer: str, said: str
) -> None:
    problems = configuration_errors(tool_type, configuration, registry)
    assert pointer in [problem.pointer for problem in problems]
    assert any(said in f"{problem.message}; {problem.suggestion}" for problem in problems)
    assert {problem.code for problem in problems} == {"CONFIGURATION_ERROR"}


def test_resolved_values_are_not_spared() -> None:
    with pytest.raises(ToolError, match="/timeout") as caught:
        read_configuration(ApiConfiguration, {"endpoint": "https://a.example", "timeout": "${context.t}"})
    assert caught.value.error_type == ErrorType.CONFIGURATION_ERROR
    assert caught.value.problems[0].pointer == "/timeout"


@pytest.mark.parametrize(
    ("tool_type", "configuration", "expected"),
    [
        (USE_CASE, {"useCase": "a", "input": [1]}, [1]),
        (USE_CASE, {"useCase": "a", "input": None}, None),
        (USE_CASE, {"useCase": "a", "x": 1, "script": 2}, {"x": 1, "script": 2}),
        (SCRIPT, {"script": "a.py", "x": 1}, {"x": 1}),
        (SCRIPT, {"code": "1"}, {}),
        (NOOP, {"output": 1}, {}),
        (
            API,
            {
                "endpoint": "/x",
                "method": "POST",
                "headers": {"Authorization": "secret"},
                "timeout": 3,
                "schema": "s",
            },
            {"endpoint": "/x", "method": "POST", "schema": "s"},
        ),
    ],
)
def test_input_is_input_or_what_is_left_over(
    tool_type: ToolType, configuration: dict[str, Any], expected: Any
) -> None:
    assert tool_input(tool_type, configuration) == expected


def test_what_is_available() -> None:
    assert [is_available(tool) for tool in (API, SCRIPT, USE_CASE, NOOP)] == [True] * 4
    assert is_available(ToolType.LLM)
