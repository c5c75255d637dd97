"""Work that must not be done twice: what happens where nobody knows whether it was done."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from executions_app import running
from executions_app.models import BlockExecution, Execution, RecoveryAction
from executions_app.parking import take_back
from tests.consistency import assert_consistent
from tests.driver import queued_blocks, run_until_quiet
from tests.factories import make_template, start
from tests.failing_work import dying_at, ledger, new_key, unsteady_block
from tests.misbehaving_server import MisbehavingServer, misbehaving_server
from workflow_service.agents.limits import tool_limits

pytestmark = pytest.mark.usefixtures("db", "empty_queues")

ONCE = {"recovery": {"idempotent": False}}


@pytest.fixture(scope="module")
def server() -> Iterator[MisbehavingServer]:
    with misbehaving_server() as server:
        yield server


@pytest.fixture(autouse=True)
def open_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = replace(tool_limits(), egress_allow=("127.0.0.1",))
    monkeypatch.setattr(running, "tool_limits", lambda: limits)


def pay(endpoint: str, **fields: Any) -> dict[str, Any]:
    configuration = {"endpoint": endpoint, "method": "POST", "body": {"amount": 12}}
    return {"blockId": "pay", "toolType": "API", "configuration": configuration, **ONCE, **fields}


def strategies(execution: Execution) -> list[str]:
    found = RecoveryAction.objects.filter(execution=execution).order_by("id")
    return list(found.values_list("strategy", flat=True))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/hang-up", "escalate"),
        ("/half", "escalate"),
        ("/status/500", "escalate"),
        ("/status/409", "escalate"),
        ("/raw?body={", "escalate"),
        ("/status/429", "retry"),
    ],
    ids=["lost", "broken off", "500", "conflict", "garbled", "refused for now"],
)
def test_what_an_answer_says_about_the_work(server: MisbehavingServer, path: str, expected: str) -> None:
    execution = run_until_quiet(start(make_template([pay(server.url(path))])))
    assert strategies(execution) == [expected]


def test_a_connection_that_nobody_took_is_tried_again() -> None:
    execution = run_until_quiet(start(make_template([pay("http://127.0.0.1:9/")])))
    assert strategies(execution) == ["retry"]


def test_what_a_first_answer_led_to_does_not_say_that_nothing_was_done(server: MisbehavingServer) -> None:
    """The payment is made, and the page that it leads to is not there."""
    for to in (server.url("/status/404"), "http://127.0.0.1:9/"):
        execution = run_until_quiet(start(make_template([pay(server.url(f"/redirect/303?to={to}"))])))
        error = BlockExecution.objects.get(execution=execution).error or {}
        assert "notDone" not in error["details"]


def test_a_read_whose_answer_is_garbled_is_asked_again_and_a_write_is_not(server: MisbehavingServer) -> None:
    url = server.url("/raw?body={")
    read = {"blockId": "read", "toolType": "API", "configuration": {"endpoint": url}}
    assert strategies(run_until_quiet(start(make_template([read])))) == ["retry"]
    write = pay(url, recovery={})
    assert strategies(run_until_quiet(start(make_template([write])))) == ["escalate"]


def test_a_worker_that_dies_at_it_leaves_the_question_to_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    key = new_key()
    execution = start(make_template([unsteady_block("pay", key, fields=ONCE)]))
    (row_id,) = queued_blocks(execution)
    with dying_at(monkeypatch, running, "write_outcome"), monkeypatch.context() as patched:
        patched.setattr(running, "find_orphans", lambda worker: [])
        running.run_blocks(execution.pk, row_id, "default")
    row = BlockExecution.objects.get(pk=row_id)
    for _ in range(2):
        take_back(execution.pk, [(row_id, row.fence)])
    assert running.run_blocks(execution.pk, row_id, "default") == 0
    execution = assert_consistent(execution)
    assert (execution.status, strategies(execution)) == ("WAITING_FOR_APPROVAL", ["escalate"])
    assert len(ledger[key]) == 1
