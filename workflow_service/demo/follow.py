"""Watching a run from outside, by its events, until it ends."""

import time
from collections.abc import Callable
from typing import Protocol

from workflow_service.demo.client import Json, ServiceClient, ServiceUnreachable

POLL_INTERVAL_S = 0.2
PATIENCE_S = 30.0
"""A web process that is started again is not the end of a run."""
ENDED = frozenset({"COMPLETED", "FAILED", "CANCELLED"})


class View(Protocol):
    """Shows a run as it goes on."""

    def show_event(self, event: Json) -> None:
        """Show one event."""

    def show_execution(self, execution: Json) -> None:
        """Show the run as it stands."""


class NotEndedInTime(Exception):
    """The run is still going on; ``execution`` is how it stands."""

    def __init__(self, execution: Json, timeout_s: float) -> None:
        super().__init__(f"the run has not ended within {timeout_s:g} s: it is {execution['status']}")
        self.execution = execution


def follow_execution(
    client: ServiceClient,
    execution_id: str,
    view: View,
    *,
    timeout_s: float,
    answer_questions: Callable[[], None],
) -> Json:
    """Return the run once it has ended; ``answer_questions`` is called while it waits for a person.

    Raises ``NotEndedInTime``, and ``ServiceUnreachable`` if the service stays away.
    """
    deadline = time.monotonic() + timeout_s
    last_answer = time.monotonic()
    execution: Json = {"status": "STARTING"}
    seq = 0
    while True:
        try:
            events = client.events_after(execution_id, seq)
            if events or seq == 0:
                execution = client.execution(execution_id)
            last_answer = time.monotonic()
        except ServiceUnreachable:
            if time.monotonic() > last_answer + PATIENCE_S:
                raise
            events = []
        for event in events:
            seq = event["seq"]
            view.show_event(event)
        view.show_execution(execution)
        if execution["status"] in ENDED:
            return execution
        if execution["status"] == "WAITING_FOR_APPROVAL":
            answer_questions()
        if time.monotonic() > deadline:
            raise NotEndedInTime(execution, timeout_s)
        time.sleep(POLL_INTERVAL_S)
