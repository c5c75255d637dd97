"""Redirects: followed one by one, each checked like a request of its own, and credentials left at home."""

import httpx

from workflow_service.agents.egress_rules import SCHEMES, EgressRefused, check_url
from workflow_service.agents.errors import ToolError
from workflow_service.engine.states import ErrorType

REDIRECTS = frozenset({301, 302, 303, 307, 308})
KEEP_METHOD = frozenset({307, 308})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

# What may follow a redirect to another origin; anything else could be a credential.
_FOLLOWING_HEADERS = frozenset({"accept", "accept-encoding", "accept-language", "content-type", "user-agent"})


def redirected(client: httpx.Client, request: httpx.Request, status: int, location: str) -> httpx.Request:
    """Return the request that a redirect leads to; raises ``EgressRefused``, and ``ToolError`` for what is no URL.

    To another origin no credential goes: no header that could be one, and no body, which the author addressed to
    somebody else.
    """
    try:
        url = request.url.join(location)
    except httpx.InvalidURL as error:
        raise ToolError(ErrorType.VALIDATION_ERROR, f"redirected to what is not a URL: {error}") from None
    check_url(url)
    if request.url.scheme == "https" and url.scheme == "http":
        raise EgressRefused("redirected from https to http")
    headers = request.headers.copy()
    del headers["host"]
    keeps_body = status in KEEP_METHOD or request.method in SAFE_METHODS
    if not same_origin(url, request.url):
        for name in set(headers) - _FOLLOWING_HEADERS:
            del headers[name]
        upgraded = url.host == request.url.host and request.url.scheme == "http" and url.scheme == "https"
        if keeps_body and request.content and not upgraded:
            raise EgressRefused("redirected to another origin, which the body of the request is not for")
    if keeps_body:
        return client.build_request(request.method, url, headers=headers, content=request.content or None)
    for name in ("content-length", "content-type", "idempotency-key"):
        headers.pop(name, None)
    return client.build_request("GET", url, headers=headers)


def same_origin(one: httpx.URL, other: httpx.URL) -> bool:
    """Tell whether two URLs have scheme, host and port in common."""
    return _origin(one) == _origin(other)


def _origin(url: httpx.URL) -> tuple[str, str, int]:
    return url.scheme, url.host, url.port or SCHEMES[url.scheme]
