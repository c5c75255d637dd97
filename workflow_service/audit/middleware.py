"""Tells the trail where each request comes from, and records those that were refused.

A refusal is recorded after the answer, in a transaction of its own: that of the view was rolled back. Requests that
bring no credentials at all are not recorded, nor is what one address or user is refused beyond a number an hour: the
trail must not be a way to fill the disk.
"""

import logging
import re
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import Error as DatabaseError
from django.http import HttpRequest, HttpResponse
from redis.exceptions import RedisError

from workflow_service.audit.denials import may_record_denial
from workflow_service.audit.models import Outcome
from workflow_service.audit.origin import Origin, serve
from workflow_service.audit.trail import record
from workflow_service.identifiers import new_id

logger = logging.getLogger(__name__)

_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:/+=-]{1,64}", re.ASCII)
_REFUSED = (401, 403)


class AuditedRequests:
    """Middleware around everything that knows users; ``X-Request-Id`` is taken, or made, and answered."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        origin = origin_of(request)
        serve(origin)
        try:
            response = self.get_response(request)
            if response.status_code in _REFUSED and _brought_credentials(request):
                _record_denial(request, origin, response.status_code)
            response.headers.setdefault("X-Request-Id", origin.request_id)
            return response
        finally:
            serve(None)


def origin_of(request: HttpRequest) -> Origin:
    """Return where a request comes from, as far as the proxies in front are trusted to say."""
    given = request.headers.get("X-Request-Id", "")
    return Origin(
        source="admin"
        if request.path.startswith("/admin/")
        else "api"
        if "/api/" in request.path
        else "page",
        address=_address(request),
        user_agent=request.headers.get("User-Agent", ""),
        request_id=given if _REQUEST_ID.fullmatch(given) else new_id("req"),
    )


def _address(request: HttpRequest) -> str:
    """Return the client's address: of what the trusted proxies appended, the first; without any, the peer's."""
    peer = str(request.META.get("REMOTE_ADDR") or "")
    proxies: Any = settings.REST_FRAMEWORK["NUM_PROXIES"]
    passed = [
        each.strip() for each in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if each.strip()
    ]
    return passed[-min(proxies, len(passed))] if proxies and passed else peer


def _brought_credentials(request: HttpRequest) -> bool:
    return bool(
        request.META.get("HTTP_AUTHORIZATION")
        or request.META.get("HTTP_X_API_KEY")
        or settings.SESSION_COOKIE_NAME in request.COOKIES
    )


def _path_of(request: HttpRequest) -> str:
    """Return the path as it may be kept: a token in it is a permission, of which its first characters name it."""
    match = request.resolver_match
    token = str(match.kwargs.get("token", "")) if match else ""
    return request.path.replace(token, f"{token[:8]}…") if token else request.path


def _record_denial(request: HttpRequest, origin: Origin, status: int) -> None:
    user: Any = getattr(request, "user", None)
    known = user is not None and user.is_authenticated
    asker = f"user {user.pk}" if known else f"address {origin.address}"
    try:
        last = may_record_denial(asker)
        if last is None:
            return
        record(
            "request.denied",
            workspace_id=origin.denied_workspace_id,
            actor_id=user.pk if known else None,
            actor=user.get_username() if known else "unknown",
            target_type="path",
            target_id=_path_of(request),
            outcome=Outcome.DENIED,
            detail={
                "method": str(request.method),
                "status": status,
                **({"permission": origin.denied} if origin.denied else {}),
                **({"further": "not recorded for an hour"} if last else {}),
            },
        )
    except (DatabaseError, RedisError):
        # Refused it is in any case.
        logger.exception("a refused request could not be recorded")
