"""The one place that knows how an error becomes an HTTP answer: RFC 9457 problem+json.

Every answer has ``type``, ``title``, ``status``, ``detail``, ``instance`` and a stable ``code``; what is
wrong with an input is listed in ``errors`` with its place and its mend. An unexpected exception is logged
under an id, and the id is all the client sees of it.
"""

import logging
import secrets
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from workflow_service.engine.errors import Problem, WorkflowError

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
UNPROCESSABLE = 422
_CHALLENGE = 'Bearer realm="workflow-service"'

# By ``code``; what is not here and does not end in _NOT_FOUND is 422: understood, and refused.
STATUS_OF_CODE: Mapping[str, int] = {
    "MALFORMED_BODY": 400,
    "BODY_NOT_AN_OBJECT": 400,
    "INVALID_QUERY": 400,
    "INVALID_HEADER": 400,
    "INVALID_TIME_RANGE": 400,
    "INVALID_CREDENTIALS": 401,
    "FORBIDDEN": 403,
    "NOT_YOUR_APPROVAL": 403,
    "FOUR_EYES": 403,
    "WORKSPACE_CONFLICT": 400,
    "WORKSPACE_REQUIRED": 400,
    "AGENT_BUILT_IN": 409,
    "AGENT_EXISTS": 409,
    "ALREADY_ANSWERED": 409,
    "ALREADY_VOTED": 409,
    "APPROVAL_CHANGED": 409,
    "APPROVAL_CLOSED": 409,
    "BLOCK_NOT_REACHED": 409,
    "BLOCK_STATE_FORBIDS": 409,
    "EXECUTION_ENDED": 409,
    "EXECUTION_UNDER_WAY": 409,
    "EXPERIMENT_STATE_FORBIDS": 409,
    "TEMPLATE_UNDER_EXPERIMENT": 409,
    "NOTHING_TO_RESTART": 409,
    "RESTART_FROM_PARENT": 409,
    "ILLEGAL_TRANSITION": 409,
    "SECRET_EXISTS": 409,
    "STALE_TRANSITION": 409,
    "TOO_MANY_RECOVERY_POINTS": 409,
    "TOO_MANY_SIGNALS": 409,
    "TOO_MANY_WEBHOOKS": 409,
    "WEBHOOK_DISABLED": 409,
    "IDEMPOTENCY_CONFLICT": 409,
    "IDEMPOTENCY_KEY_TAKEN": 409,
    "ANSWER_NOT_KEPT": 409,
    "CALLBACK_USED": 409,
    "SUGGESTION_DECIDED": 409,
    "SUGGESTION_OUTDATED": 409,
    "TEMPLATE_ARCHIVED": 409,
    "VERSION_CONFLICT": 409,
    "CALLBACK_EXPIRED": 410,
    "STALE_TEMPLATE": 412,
    "BODY_TOO_LARGE": 413,
    "ARTIFACT_PINNED": 409,
    "ARTIFACT_TOO_LARGE": 413,
    "ARTIFACT_STORE_UNAVAILABLE": 503,
    "BUDGET_EXCEEDED": 402,
    "LLM_ANSWER_INVALID": 502,
    "LLM_UNAVAILABLE": 503,
    "NO_ENCRYPTION_KEY": 503,
}

_CODE_OF_STATUS: Mapping[int, str] = {
    400: "BAD_REQUEST",
    401: "NOT_AUTHENTICATED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    406: "NOT_ACCEPTABLE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    429: "RATE_LIMITED",
}


def handle_exception(error: Exception, context: Mapping[str, Any]) -> Response:
    """Turn whatever a view raised into its answer; the exception handler of the REST framework."""
    set_rollback()
    request = context.get("request")
    path = request.path if request is not None else ""
    body, headers = _answer(error, path)
    return Response(body, status=body["status"], headers=headers, content_type=MEDIA_TYPE)


def status_of(error: WorkflowError) -> int:
    """Return the HTTP status of an error the service raises on purpose."""
    if error.code.endswith("_NOT_FOUND"):
        return HTTPStatus.NOT_FOUND
    return STATUS_OF_CODE.get(error.code, UNPROCESSABLE)


def problem(
    status: int, code: str, detail: str, path: str, problems: Sequence[Problem] = ()
) -> dict[str, Any]:
    """Return the body of one problem+json answer."""
    body: dict[str, Any] = {
        "type": f"urn:workflow-service:problem:{code.lower().replace('_', '-')}",
        "title": _title(status),
        "status": status,
        "detail": detail,
        "code": code,
        "instance": path,
    }
    if problems:
        body["errors"] = [describe_problem(one) for one in problems]
    return body


def describe_problem(one: Problem) -> dict[str, Any]:
    """Return one entry of ``errors``; what is not known is left out."""
    entry: dict[str, Any] = {"pointer": one.pointer, "code": one.code, "detail": one.message}
    optional = {
        "suggestion": one.suggestion,
        "line": one.line,
        "column": one.column,
        "blocks": list(one.blocks),
    }
    return entry | {name: value for name, value in optional.items() if value}


def _answer(error: Exception, path: str) -> tuple[dict[str, Any], dict[str, str]]:
    if isinstance(error, WorkflowError):
        status = status_of(error)
        headers = {"WWW-Authenticate": _CHALLENGE} if status == HTTPStatus.UNAUTHORIZED else {}
        return problem(status, error.code, error.message, path, error.problems), headers
    if isinstance(error, Http404):
        return problem(404, "NOT_FOUND", "there is nothing at this address", path), {}
    if isinstance(error, PermissionDenied):
        return problem(403, "FORBIDDEN", str(error) or "you may not do this", path), {}
    if isinstance(error, exceptions.APIException):
        return _framework_answer(error, path)
    return _unexpected(error, path), {}


def _framework_answer(error: exceptions.APIException, path: str) -> tuple[dict[str, Any], dict[str, str]]:
    headers: dict[str, str] = {}
    if getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = str(error.auth_header)  # type: ignore[attr-defined]
    wait = getattr(error, "wait", None)
    if wait is not None:
        headers["Retry-After"] = str(max(1, int(wait)))
    given = getattr(error.detail, "code", "") if isinstance(error.detail, str) else ""
    # Our own codes are upper case; the framework's own are not stable enough to promise.
    code = given if given.isupper() else _CODE_OF_STATUS.get(error.status_code, "REQUEST_REFUSED")
    detail = str(error.detail) if isinstance(error.detail, str) else "the request is not valid"
    return problem(error.status_code, code, detail, path), headers


def _unexpected(error: Exception, path: str) -> dict[str, Any]:
    error_id = f"err_{secrets.token_hex(8)}"
    logger.error("Unexpected error %s at %s", error_id, path, exc_info=error)
    return _internal(error_id, path)


def _internal(error_id: str, path: str) -> dict[str, Any]:
    detail = f"something went wrong on our side; it is logged as {error_id}"
    return problem(500, "INTERNAL_ERROR", detail, path) | {"errorId": error_id}


def _title(status: int) -> str:
    return "Unprocessable Content" if status == UNPROCESSABLE else HTTPStatus(status).phrase


def _is_api(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")


def _json(body: Mapping[str, Any]) -> HttpResponse:
    return JsonResponse(body, status=body["status"], content_type=MEDIA_TYPE)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer an address nobody serves; ``handler404``."""
    if _is_api(request):
        return _json(problem(404, "NOT_FOUND", "there is nothing at this address", request.path))
    return defaults.page_not_found(request, exception)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request Django refused before any view; ``handler400``."""
    if _is_api(request):
        return _json(problem(400, "BAD_REQUEST", "the request is malformed", request.path))
    return defaults.bad_request(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request a page refused; ``handler403``."""
    if _is_api(request):
        return _json(problem(403, "FORBIDDEN", str(exception) or "you may not do this", request.path))
    return defaults.permission_denied(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer a failure outside of every API view; ``handler500``. Django has logged it."""
    if _is_api(request):
        error_id = f"err_{secrets.token_hex(8)}"
        logger.error("Unexpected error %s at %s, outside of the API's views", error_id, request.path)
        return _json(_internal(error_id, request.path))
    return defaults.server_error(request)
