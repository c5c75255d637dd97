"""Waiting for what happens beside a test."""

import threading
import time
from collections.abc import Callable


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> bool:
    """Wait until a condition holds; tell whether it does, at the end of ``seconds`` at the latest."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        threading.Event().wait(0.02)
    return condition()
