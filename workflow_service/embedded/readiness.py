"""Say whether the parts of a stack do their work: the web process answers, the workers take messages."""

import contextlib
import http.client
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from celery import Celery
from celery.exceptions import TimeoutError as CeleryTimeoutError
from celery.result import AsyncResult

PROBED_QUEUES = ("high", "control")
"""One queue of each kind of worker, and of those the one least likely to be long."""


def answers_http(url: str, timeout_s: float = 2.0) -> int | None:
    """Return the status a GET is answered with; None if it is not answered."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        connection.request("GET", parts.path or "/")
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


class ConsumptionProbe:
    """A message to each kind of worker. Answering pings proves nothing about consuming; answering this does.

    It runs a task of Celery's own that does nothing, so the probe knows no task of the platform.
    """

    def __init__(self, redis_url: str, expires_s: float) -> None:
        self._app = Celery(broker=redis_url, backend=redis_url, set_as_current=False)
        self._pending: dict[str, AsyncResult[object]] = {
            queue: self._app.send_task(
                "celery.accumulate", args=(1,), queue=queue, expires=expires_s, ignore_result=False
            )
            for queue in PROBED_QUEUES
        }

    def unanswered(self, timeout_s: float) -> list[str]:
        """Return the queues from which nobody has taken the message yet, waiting a little for answers."""
        deadline = time.monotonic() + timeout_s
        for queue, result in list(self._pending.items()):
            with contextlib.suppress(CeleryTimeoutError):
                result.get(timeout=max(0.01, deadline - time.monotonic()))
                result.forget()
                del self._pending[queue]
        return sorted(self._pending)

    def close(self) -> None:
        self._app.close()


def wait_for(condition: Callable[[], bool], timeout_s: float, interval_s: float = 0.1) -> bool:
    """Wait until a condition holds; say whether it did in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(interval_s)
    return True
