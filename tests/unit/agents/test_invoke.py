from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from tests.invocations import make_invocation, make_limits
from workflow_service.agents import use_cases
from workflow_service.agents.errors import ToolError
from workflow_service.agents.runtimes import invoke
from workflow_service.agents.use_cases import UseCaseRegistry
from workflow_service.engine.states import ErrorType, ToolType

LIMITS = make_limits(Path("nowhere"), max_output_bytes=1_000)


class Measured(BaseModel):
    value: float


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Iterator[UseCaseRegistry]:
    # run_use_case's default registry, with what the test registers taken out again.
    before = dict(use_cases.REGISTRY._use_cases)
    yield use_cases.REGISTRY
    use_cases.REGISTRY._use_cases = before


def failure(tool_type: ToolType, configuration: dict[str, Any]) -> ToolError:
    with pytest.raises(ToolError) as caught:
        invoke(make_invocation(tool_type, configuration), LIMITS)
    return caught.value


def test_noop_answers_what_it_is_told() -> None:
    assert invoke(make_invocation(), LIMITS) == {}
    assert invoke(make_invocation(ToolType.NOOP, {"output": [1, {"a": None}]}), LIMITS) == [1, {"a": None}]


def test_a_bad_configuration_is_a_configuration_error() -> None:
    for tool_type, configuration in [(ToolType.SCRIPT, {}), (ToolType.API, {}), (ToolType.NOOP, {"x": 1})]:
        assert failure(tool_type, configuration).error_type == ErrorType.CONFIGURATION_ERROR


@pytest.mark.parametrize("tool_type", [ToolType.MAP, ToolType.SUBWORKFLOW, ToolType.WAIT])
def test_tools_of_later_are_said_to_be_missing(tool_type: ToolType) -> None:
    error = failure(tool_type, {})
    assert error.error_type == ErrorType.CONFIGURATION_ERROR
    assert error.message == f"the tool type {tool_type} is not available on this server"


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ({"a": float("nan")}, "/a: nan"),
        ({"a": "\x00"}, "/a: holds the character U+0000"),
        ("x" * 1_001, "at most 1000 are kept"),
        ([[[]]] * 400, "1000"),
    ],
)
def test_an_output_that_cannot_be_kept_is_a_validation_error(output: Any, said: str) -> None:
    error = failure(ToolType.NOOP, {"output": output})
    assert error.error_type == ErrorType.VALIDATION_ERROR
    assert said in error.message
    assert not error.retryable


def test_a_deep_output_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]
    error = failure(ToolType.NOOP, {"output": deep})
    assert error.error_type in (ErrorType.VALIDATION_ERROR, ErrorType.CONFIGURATION_ERROR)


def test_nan_from_a_typed_use_case_is_refused(register: UseCaseRegistry) -> None:
    @register.register("invoke.nan")
    def nan(params: dict[str, Any]) -> Measured:
        return Measured(value=float("inf"))

    error = failure(ToolType.USE_CASE, {"useCase": "invoke.nan"})
    assert error.error_type == ErrorType.VALIDATION_ERROR
    assert "/value" in error.message


def test_what_a_use_case_raises_is_translated(register: UseCaseRegistry) -> None:
    @register.register("invoke.exit")
    def leave(params: dict[str, Any]) -> None:
        raise SystemExit(3)

    @register.register("invoke.missing")
    def missing(params: dict[str, Any]) -> None:
        Path("no-such-file").read_text()

    assert failure(ToolType.USE_CASE, {"useCase": "invoke.exit"}).error_type == ErrorType.SYSTEM_ERROR
    error = failure(ToolType.USE_CASE, {"useCase": "invoke.missing"})
    assert error.error_type == ErrorType.RESOURCE_NOT_FOUND
    assert "in missing" in error.stack_trace


def test_what_stops_the_worker_passes(register: UseCaseRegistry) -> None:
    @register.register("invoke.interrupted")
    def interrupted(params: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        invoke(make_invocation(ToolType.USE_CASE, {"useCase": "invoke.interrupted"}), LIMITS)
