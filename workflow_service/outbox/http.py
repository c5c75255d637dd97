"""Sending a message by HTTP POST, and what the answer means. The operator gave the address: it need not be public."""

import time
from collections.abc import Mapping

import httpx

from workflow_service.outbox.delivery import Envelope, Outcome, Sent

# The receiver is there, and wants to be left alone: all of it, not this message.
WANTS_REST = frozenset({408, 425, 429, 502, 503, 504})
NOT_LET_IN = frozenset({401, 403, 407})
MAX_RETRY_AFTER_S = 3_600.0
MAX_ANSWER_BYTES = 64 * 1024


def post(
    url: str,
    envelope: Envelope,
    *,
    headers: Mapping[str, str],
    timeout_s: float,
    client: httpx.Client | None = None,
) -> Sent:
    """POST the envelope's body; nothing is raised, whatever the receiver does. ``timeout_s`` bounds all of it."""
    given = {"content-type": "application/json", "idempotency-key": str(envelope.message_id), **headers}
    try:
        with client or new_client(timeout_s) as http:
            status, wait_s = _status_of(http, url, envelope.body.encode(), given, timeout_s)
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, ValueError) as error:
        return Sent(Outcome.UNREACHABLE, f"{type(error).__name__}: {error}"[:500])
    return judge(status, wait_s)


def judge(status: int, wait_s: float = 0.0) -> Sent:
    """Return what an answer's status means for the message."""
    if 200 <= status < 300 or status == 409:
        # 409: it has the message already.
        return Sent(Outcome.DELIVERED)
    reason = f"answered {status}"
    if status in WANTS_REST or status in NOT_LET_IN or 300 <= status < 400:
        return Sent(Outcome.UNREACHABLE, reason, wait_s)
    return Sent(Outcome.FAILED if status >= 500 else Outcome.REFUSED, reason, wait_s)


def new_client(timeout_s: float) -> httpx.Client:
    """Return a client that follows no redirects and asks the environment for nothing."""
    return httpx.Client(timeout=timeout_s, trust_env=False, follow_redirects=False)


def _status_of(
    http: httpx.Client, url: str, body: bytes, headers: Mapping[str, str], timeout_s: float
) -> tuple[int, float]:
    """Return the answer's status and how long it asks to wait; an answer that does not end is no answer."""
    deadline = time.monotonic() + timeout_s
    with http.stream("POST", url, content=body, headers=dict(headers)) as answer:
        size = 0
        for chunk in answer.iter_raw(4_096):
            size += len(chunk)
            if time.monotonic() > deadline:
                raise httpx.ReadTimeout("the answer does not end")
            if size > MAX_ANSWER_BYTES:
                break
        return answer.status_code, _retry_after_s(answer.headers.get("retry-after"))


def _retry_after_s(value: str | None) -> float:
    try:
        # In this order what is no number of seconds ("nan") counts for none.
        return min(max(0.0, float(value or 0)), MAX_RETRY_AFTER_S)
    except ValueError:
        return 0.0
