"""The one error that leaves a tool, and how anything else that a tool raises becomes it.

Every ``ToolError`` has one of the engine's error types; recovery is chosen by that type alone, so a tool's
own exceptions are translated here and nowhere else.
"""

import errno
import socket
import ssl
import traceback
import urllib.error
from collections.abc import Mapping
from typing import ClassVar

import httpx
from pydantic import JsonValue, ValidationError

from workflow_service.engine.errors import Problem, WorkflowError
from workflow_service.engine.json_values import JsonUnfit, json_pointer, storable_json, storable_text
from workflow_service.engine.states import ErrorType

MAX_MESSAGE_CHARACTERS = 2_000
MAX_TRACE_CHARACTERS = 16_000
MAX_PROBLEMS = 50

# The same call may well succeed a moment later.
RETRYABLE = frozenset(
    {
        ErrorType.TIMEOUT_ERROR,
        ErrorType.NETWORK_ERROR,
        ErrorType.RATE_LIMIT_ERROR,
        ErrorType.WORKER_LOST,
        ErrorType.AGENT_UNAVAILABLE,
        ErrorType.SYSTEM_ERROR,
    }
)

# Of the details of an error: nothing was done, so that the work may be tried again whatever it is.
NOT_DONE = "notDone"

# The first class that fits, in this order: most of these are OSErrors, and some of those ValueErrors too.
_TYPE_OF_EXCEPTION: tuple[tuple[tuple[type[BaseException], ...], ErrorType], ...] = (
    ((TimeoutError, httpx.TimeoutException), ErrorType.TIMEOUT_ERROR),
    ((FileNotFoundError,), ErrorType.RESOURCE_NOT_FOUND),
    ((PermissionError,), ErrorType.AUTHORIZATION_ERROR),
    (
        (ConnectionError, socket.gaierror, ssl.SSLError, urllib.error.URLError, httpx.TransportError),
        ErrorType.NETWORK_ERROR,
    ),
    ((ValueError,), ErrorType.VALIDATION_ERROR),
)
# Errors of the service itself that a tool may meet, by their codes.
_TYPE_OF_CODE = {
    "ARTIFACT_NOT_FOUND": ErrorType.RESOURCE_NOT_FOUND,
    "ARTIFACT_NAME_INVALID": ErrorType.VALIDATION_ERROR,
    "ARTIFACT_TOO_LARGE": ErrorType.VALIDATION_ERROR,
    "ARTIFACT_STORE_UNAVAILABLE": ErrorType.NETWORK_ERROR,
}
_NETWORK_ERRNOS = frozenset({errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH})


class ToolError(WorkflowError):
    """The work of a block failed: ``error_type`` says how, ``details`` what a person or recovery may need.

    Where it is certain that nothing was done the details have ``NOT_DONE``.
    """

    code: ClassVar[str] = "TOOL_ERROR"

    def __init__(
        self,
        error_type: ErrorType,
        message: str,
        *,
        details: Mapping[str, JsonValue] | None = None,
        problems: tuple[Problem, ...] = (),
        retryable: bool | None = None,
        stack_trace: str = "",
    ) -> None:
        super().__init__(storable_text(message, MAX_MESSAGE_CHARACTERS), problems)
        self.error_type = error_type
        self.details: dict[str, JsonValue] = {
            name: storable_json(value, MAX_TRACE_CHARACTERS) for name, value in (details or {}).items()
        }
        if problems and "errors" not in self.details:
            self.details["errors"] = [
                {"pointer": problem.pointer, "message": problem.message} for problem in problems
            ]
        self.retryable = error_type in RETRYABLE if retryable is None else retryable
        self.stack_trace = storable_text(stack_trace[-MAX_TRACE_CHARACTERS:], MAX_TRACE_CHARACTERS)


def tool_error_from(error: BaseException) -> ToolError:
    """Return ``error`` as a ``ToolError``, its traceback kept as text."""
    if isinstance(error, ToolError):
        return error
    stack_trace = "".join(traceback.format_exception(error))
    if isinstance(error, ValidationError):
        return invalid("the values do not fit", error, stack_trace=stack_trace)
    if isinstance(error, JsonUnfit):
        return ToolError(ErrorType.VALIDATION_ERROR, error.message, problems=error.problems)
    if isinstance(error, WorkflowError) and error.code in _TYPE_OF_CODE:
        return ToolError(_TYPE_OF_CODE[error.code], error.message, problems=error.problems)
    message = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return ToolError(_error_type_of(error), message, stack_trace=stack_trace)


def invalid(what: str, error: ValidationError, *, stack_trace: str = "") -> ToolError:
    """Return a VALIDATION_ERROR that says ``what`` is wrong and names every field of a pydantic error."""
    problems = problems_of(error)
    shown = "; ".join(f"{found.pointer or 'the whole value'}: {found.message}" for found in problems[:5])
    message = f"{what}: {shown}"
    return ToolError(ErrorType.VALIDATION_ERROR, message, problems=problems, stack_trace=stack_trace)


def problems_of(error: ValidationError) -> tuple[Problem, ...]:
    """Return the places that a pydantic error names, at most ``MAX_PROBLEMS``."""
    details = error.errors(include_url=False, include_context=False, include_input=False)
    return tuple(
        Problem(code=ErrorType.VALIDATION_ERROR, message=found["msg"], pointer=json_pointer(*found["loc"]))
        for found in details[:MAX_PROBLEMS]
    )


def _error_type_of(error: BaseException) -> ErrorType:
    for kinds, error_type in _TYPE_OF_EXCEPTION:
        if isinstance(error, kinds):
            return error_type
    if isinstance(error, OSError) and error.errno in _NETWORK_ERRNOS:
        return ErrorType.NETWORK_ERROR
    return ErrorType.SYSTEM_ERROR
