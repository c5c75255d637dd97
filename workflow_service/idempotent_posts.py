"""``Idempotency-Key`` on every POST of the API, whoever serves it.

A view is called inside a transaction that also keeps its answer. A view that commits transactions of its own says
so by ``commits_itself`` and records its answer in them (``idempotent_post(request)``); where it does not, the answer
is kept afterwards, which is enough for what may be repeated anyway. ``keeps_answer = False``: the answer holds a
secret, and is not kept. ``idempotent_by_itself``: the view has a mechanism of its own.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.request import UnreadablePostError
from rest_framework.exceptions import APIException
from rest_framework.request import Request

from workflow_service import api_errors
from workflow_service.accounts.idempotency import KEY, IdempotentPost, KeyTaken, fingerprint_of
from workflow_service.accounts.models import IdempotentRequest, User
from workflow_service.api_serializers import HeaderInvalid
from workflow_service.engine.errors import WorkflowError

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
KEPT_HEADERS = ("Location", "ETag")

View = Callable[..., HttpResponse]


class IdempotentPosts:
    """Middleware that gives a repeated POST its first answer."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: View, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> HttpResponse | None:
        """Answer a POST that bears a key; None leaves every other request alone."""
        view_class = getattr(view, "cls", None)
        key = request.headers.get(HEADER)
        if key is None or view_class is None or request.method != "POST":
            return None
        if getattr(view_class, "idempotent_by_itself", False):
            return None
        try:
            post = _identified(request, view_class, key)
            if post is None:
                return None
            standing = post.find_answer()
            if standing is not None:
                return _replay(standing)
            request.idempotent_post = post  # type: ignore[attr-defined]
            if getattr(view_class, "commits_itself", False):
                return _call_then_record(post, view_class, lambda: view(request, *args, **kwargs))
            return _call_and_record(post, view_class, lambda: view(request, *args, **kwargs))
        except WorkflowError as error:
            status = api_errors.status_of(error)
            return JsonResponse(
                api_errors.problem(status, error.code, error.message, request.path, error.problems),
                status=status,
                content_type=api_errors.MEDIA_TYPE,
            )


def idempotent_post(request: Request) -> IdempotentPost | None:
    """Return the key a request bears, if it bears one."""
    return getattr(request._request, "idempotent_post", None)


def _identified(request: HttpRequest, view_class: Any, key: str) -> IdempotentPost | None:
    """Return the request with its user and key; None where the view will refuse it anyway."""
    try:
        user = view_class().initialize_request(request).user
        body = request.body
    except (APIException, RequestDataTooBig, UnreadablePostError):
        return None
    if not isinstance(user, User):
        return None
    if not KEY.fullmatch(key):
        raise HeaderInvalid(f"{HEADER} must be 1 to 255 printable characters without spaces")
    return IdempotentPost(user, key, fingerprint_of(user, "POST", request.get_full_path(), body))


def _call_and_record(post: IdempotentPost, view_class: Any, call: Callable[[], HttpResponse]) -> HttpResponse:
    try:
        with transaction.atomic():
            response = _rendered(call())
            if response.status_code >= 400:
                transaction.set_rollback(True)
            else:
                _record(post, view_class, response)
            return response
    except KeyTaken:
        return _first_answer(post)


def _call_then_record(
    post: IdempotentPost, view_class: Any, call: Callable[[], HttpResponse]
) -> HttpResponse:
    response = _rendered(call())
    if response.status_code < 400 and not post.recorded:
        with suppress(KeyTaken):
            _record(post, view_class, response)
    return _first_answer(post) if post.overtaken else response


def _record(post: IdempotentPost, view_class: Any, response: HttpResponse) -> None:
    kept = getattr(view_class, "keeps_answer", True)
    answer = (json.loads(response.content) if response.content else {}) if kept else None
    headers = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
    post.record(response.status_code, answer, headers)


def _first_answer(post: IdempotentPost) -> HttpResponse:
    standing = post.find_answer()
    if standing is None:
        raise RuntimeError("an answer that was in the way is gone")
    return _replay(standing)


def _replay(standing: IdempotentRequest) -> HttpResponse:
    return JsonResponse(
        standing.answer,
        status=standing.status,
        headers={**standing.headers, REPLAYED: "true"},
        safe=False,
    )


def _rendered(response: HttpResponse) -> HttpResponse:
    render = getattr(response, "render", None)
    return render() if callable(render) else response
