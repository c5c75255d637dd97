import socket
import urllib.error

import httpx
import pytest
from pydantic import BaseModel, ValidationError

from workflow_service.agents.errors import MAX_TRACE_CHARACTERS, ToolError, tool_error_from
from workflow_service.engine.states import ErrorType


@pytest.mark.parametrize(
    ("error", "error_type", "retryable"),
    [
        (TimeoutError("late"), ErrorType.TIMEOUT_ERROR, True),
        (httpx.ReadTimeout("late"), ErrorType.TIMEOUT_ERROR, True),
        (ConnectionResetError("gone"), ErrorType.NETWORK_ERROR, True),
        (socket.gaierror(-2, "unknown"), ErrorType.NETWORK_ERROR, True),
        (httpx.ConnectError("no"), ErrorType.NETWORK_ERROR, True),
        (urllib.error.URLError("no"), ErrorType.NETWORK_ERROR, True),
        (OSError(113, "No route to host"), ErrorType.NETWORK_ERROR, True),
        (OSError(28, "No space left on device"), ErrorType.SYSTEM_ERROR, True),
        (FileNotFoundError(2, "no such file", "x.csv"), ErrorType.RESOURCE_NOT_FOUND, False),
        (PermissionError(13, "denied"), ErrorType.AUTHORIZATION_ERROR, False),
        (ValueError("bad"), ErrorType.VALIDATION_ERROR, False),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), ErrorType.VALIDATION_ERROR, False),
        (KeyError("x"), ErrorType.SYSTEM_ERROR, True),
        (SystemExit(3), ErrorType.SYSTEM_ERROR, True),
    ],
)
def test_exceptions_have_types(error: BaseException, error_type: ErrorType, retryable: bool) -> None:
    translated = tool_error_from(error)
    assert translated.error_type == error_type
    assert translated.retryable is retryable
    assert type(error).__name__ in translated.message


def test_a_tool_error_stays_itself() -> None:
    error = ToolError(ErrorType.RATE_LIMIT_ERROR, "slow down", details={"retryAfterS": 3})
    assert tool_error_from(error) is error


def test_the_traceback_is_kept() -> None:
    def fail() -> None:
        raise KeyError("stock")

    with pytest.raises(KeyError) as caught:
        fail()
    assert "in fail" in tool_error_from(caught.value).stack_trace


def test_a_pydantic_error_names_its_fields() -> None:
    class Order(BaseModel):
        lines: list[int]

    with pytest.raises(ValidationError) as caught:
        Order.model_validate({"lines": [1, "two"]})
    error = tool_error_from(caught.value)
    assert error.error_type == ErrorType.VALIDATION_ERROR
    assert error.problems[0].pointer == "/lines/1"
    assert error.details["errors"] == [{"pointer": "/lines/1", "message": error.problems[0].message}]


def test_texts_are_storable_and_bounded() -> None:
    error = ToolError(
        ErrorType.SYSTEM_ERROR, "a\x00\ud800" + "b" * 10_000, stack_trace="x" * 100_000 + "END\x00"
    )
    assert "\x00" not in error.message
    error.message.encode()
    assert len(error.message) <= 2_000
    assert len(error.stack_trace) <= MAX_TRACE_CHARACTERS
    assert error.stack_trace.rstrip("\ufffd").endswith("END")
