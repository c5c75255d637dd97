"""Hints go to those runs only that somebody listens to, on real Redis."""

from typing import Any

import pytest

from executions_app import dispatch
from workflow_service.embedded.readiness import wait_for
from workflow_service.listeners import listened_to, note_listener


def test_only_what_is_listened_to_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, int]] = []

    class Layer:
        async def group_send(self, group: str, message: dict[str, Any]) -> None:
            told.append((group, message["seq"]))

    monkeypatch.setattr(dispatch, "get_channel_layer", Layer)
    note_listener(["execution.exec_listened"])
    dispatch.tell_execution("exec_ignored", 7)
    dispatch.tell_execution("exec_listened", 8)
    assert wait_for(lambda: bool(told), 5)
    note_listener(["execution.exec_ignored"])
    dispatch.tell_execution("exec_ignored", 9)
    assert wait_for(lambda: len(told) > 1, 5)
    assert told == [("execution.exec_listened", 8), ("execution.exec_ignored", 9)]


def test_nobody_listens_where_nobody_said_so() -> None:
    assert listened_to(["execution.exec_unheard_of"]) == set()
    assert listened_to([]) == set()
