"""The State Management Service is told every change, in order and at least once, and no run waits for it."""

import os
import signal
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from django.db import connection
from django.utils import timezone
from pydantic import SecretStr

from executions_app import state_mirror, workspace_context
from executions_app.models import ContextValue, Execution, MirrorCursor, MirrorState
from executions_app.state_mirror import (
    CHANNEL,
    adopt_runs,
    collect_changes,
    mirror_states,
    send_messages,
    send_to_service,
)
from tests.driver import run_until_quiet
from tests.factories import make_template, make_workspace, noop, start
from tests.patience import wait_until
from tests.state_server import StateService, state_service
from workflow_service.outbox.delivery import Envelope, Outcome, Sent, deliver
from workflow_service.outbox.http import judge, post
from workflow_service.outbox.models import Channel, Message
from workflow_service.settings.config import get_config

TIMEOUT_MS = 1_000


@pytest.fixture(scope="module")
def server() -> Iterator[StateService]:
    with state_service() as running:
        yield running


@pytest.fixture(autouse=True)
def mirrored(db: None, server: StateService, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    changed = get_config().model_copy(
        update={
            "state_service_url": server.url,
            "state_service_timeout_ms": TIMEOUT_MS,
            "state_service_token": SecretStr("let-me-in"),
        }
    )
    monkeypatch.setattr(state_mirror, "get_config", lambda: changed)
    monkeypatch.setattr(workspace_context, "get_config", lambda: changed)
    workspace_context.forget_workspaces()
    server.forget()
    adopt_runs()
    # What earlier tests left under way is none of this one's affair.
    MirrorCursor.objects.all().delete()
    yield
    Message.objects.all().delete()
    Channel.objects.all().delete()
    MirrorCursor.objects.all().delete()
    MirrorState.objects.all().delete()


def make_run(*blocks: dict[str, Any]) -> Execution:
    return start(make_template([*blocks] or [noop("a", {"n": 1}), noop("b", dependencies=["a"])]))


def tick() -> None:
    """Do what one tick of the sweeper does, the sending included."""
    mirror_states(lambda work: work())


def collect() -> None:
    """Make messages, and send none."""
    adopt_runs()
    collect_changes()


def let_time_pass() -> None:
    """Let every delay and lease be over."""
    past = timezone.now() - timedelta(seconds=1)
    Message.objects.filter(status="PENDING").update(due_at=past)
    Message.objects.filter(leased_until__isnull=False).update(leased_until=past)
    Channel.objects.update(paused_until=past)


def events_of(execution: Execution) -> list[int]:
    execution.refresh_from_db()
    return list(range(1, execution.event_seq + 1))


def sequences(server: StateService, execution: Execution) -> list[int]:
    return [change["sequence"] for change in server.changes(execution.public_id)]


def test_every_change_of_runs_and_blocks_is_told_in_order(server: StateService) -> None:
    execution = make_run(
        noop("a", {"n": 1}), noop("b", "${nowhere}", dependencies=["a"], retryPolicy={"maxRetries": 0})
    )
    tick()
    run_until_quiet(execution)
    tick()
    assert sequences(server, execution) == events_of(execution)
    changes = server.changes(execution.public_id)
    assert [one["status"] for one in changes if "status" in one] == ["STARTING", "FAILED"]
    told = [(one["blocks"], one["blockStatus"]) for one in changes if "blockStatus" in one]
    assert told == [(["a"], "RUNNING"), (["a"], "COMPLETED"), (["b"], "RUNNING"), (["b"], "FAILED")]
    (done,) = (one for one in changes if one["type"] == "block_completed")
    assert done["output"] == {"n": 1}
    last = server.told[-1]
    assert last.path == f"/state/executions/{execution.public_id}/changes"
    assert last.authorization == "Bearer let-me-in"
    assert last.body["execution"]["status"] == "FAILED"
    assert last.body["execution"]["templateVersion"] == "1.0.0"
    assert not Message.objects.exists()


def test_nothing_is_written_where_no_service_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_mirror, "get_config", get_config)
    run_until_quiet(make_run())
    tick()
    assert not Message.objects.exists()


def test_a_large_output_stays_here(server: StateService) -> None:
    execution = run_until_quiet(make_run(noop("a", {"text": "x" * 70_000})))
    tick()
    (done,) = (one for one in server.changes(execution.public_id) if one["type"] == "block_completed")
    assert "output" not in done
    assert done["outputBytes"] > 70_000


def test_a_service_that_is_away_is_told_everything_when_it_is_back(server: StateService) -> None:
    server.go_down()
    try:
        first, second = run_until_quiet(make_run()), run_until_quiet(make_run())
        for _ in range(3):
            tick()
            let_time_pass()
        assert server.told == []
        # It is asked once a tick, not once for each run.
        assert Channel.objects.get(name=CHANNEL).failures == 3
        assert Message.objects.filter(attempts__gt=0).count() == 0
    finally:
        server.come_up()
    tick()
    assert sequences(server, first) == events_of(first)
    assert sequences(server, second) == events_of(second)
    assert Channel.objects.get(name=CHANNEL).failures == 0


@pytest.mark.parametrize("manner", ["500", "503", "429 7", "hang", "half", "drip", "nonsense", "401"])
def test_a_service_that_misbehaves_is_told_again(server: StateService, manner: str) -> None:
    execution = run_until_quiet(make_run())
    server.manners.append(manner)
    began = time.monotonic()
    tick()
    assert time.monotonic() - began < 20
    waiting = Message.objects.get()
    if manner == "429 7":
        paused_until = Channel.objects.get(name=CHANNEL).paused_until
        assert paused_until is not None
        assert 5 < (paused_until - timezone.now()).total_seconds() < 8
    let_time_pass()
    tick()
    assert sequences(server, execution) == events_of(execution)
    assert {one.message_id for one in server.told} == {str(waiting.message_id)}
    assert not Message.objects.exists()


def test_a_message_that_is_refused_is_put_aside_and_the_next_goes_on(server: StateService) -> None:
    execution = make_run()
    server.manners.extend(["422"] * 3)
    for _ in range(3):
        tick()
        let_time_pass()
    dead = Message.objects.get()
    assert (dead.status, dead.last_error, dead.attempts) == ("DEAD", "answered 422", 3)
    run_until_quiet(execution)
    tick()
    told = sequences(server, execution)
    assert told
    assert told[0] == dead.body["lastSequence"] + 1


def test_messages_of_one_run_keep_their_order_while_others_go_on(server: StateService) -> None:
    execution = make_run()
    collect()
    run_until_quiet(execution)
    collect()
    other = run_until_quiet(make_run())
    collect()
    assert Message.objects.filter(subject=execution.public_id).count() == 2
    server.manners.append("500")
    send_messages()
    # The second message about the run waits for the first one, which is tried again later.
    assert sequences(server, execution) == []
    assert sequences(server, other) == events_of(other)
    let_time_pass()
    send_messages()
    assert sequences(server, execution) == events_of(execution)


def test_who_is_killed_after_sending_sends_the_same_message_again(server: StateService) -> None:
    execution = run_until_quiet(make_run())
    collect()
    message_id = str(Message.objects.get().message_id)
    child = os.fork()
    if child == 0:
        _send_and_die()
    os.waitpid(child, 0)
    assert [one.message_id for one in server.told] == [message_id]
    left = Message.objects.get()
    assert left.leased_until is not None
    # Until its lease is over nobody else sends it.
    assert send_messages() == 0
    let_time_pass()
    assert send_messages() == 1
    assert [one.message_id for one in server.told] == [message_id, message_id]
    assert sequences(server, execution) == events_of(execution)


def _send_and_die() -> None:
    """Send what is due on a connection of this process's own, and be killed before that is written down."""
    kept, connection.connection = connection.connection, None

    def send(envelope: Envelope) -> Sent:
        send_to_service(envelope)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError(kept)

    try:
        deliver(CHANNEL, send, timeout_s=5)
    finally:
        os._exit(1)


def test_what_an_expired_lease_brings_changes_nothing(server: StateService) -> None:
    run_until_quiet(make_run())
    collect()

    def slow(envelope: Envelope) -> Sent:
        let_time_pass()
        assert send_messages() == 1
        return judge(422)

    deliver(CHANNEL, slow, timeout_s=1, most=1)
    assert not Message.objects.exists()


@pytest.mark.parametrize(("header", "wait_s"), [("nan", 0), ("-3", 0), ("soon", 0), ("7", 7), ("inf", 3_600)])
def test_a_wait_that_is_no_number_of_seconds_holds_nothing_up(header: str, wait_s: float) -> None:
    def busy(_: httpx.Request) -> httpx.Response:
        return httpx.Response(503, headers={"retry-after": header}, content=iter([b"busy"]))

    client = httpx.Client(transport=httpx.MockTransport(busy))
    envelope = Envelope("exec_1", uuid4(), "{}")
    sent = post("http://state.test/changes", envelope, headers={}, timeout_s=1, client=client)
    assert (sent.outcome, sent.wait_s) == (Outcome.UNREACHABLE, wait_s)


def test_a_restarted_run_is_mirrored_on(server: StateService) -> None:
    execution = run_until_quiet(make_run())
    tick()
    MirrorCursor.objects.filter(execution_id=execution.pk).update(open=False)
    Execution.objects.filter(pk=execution.pk).update(event_seq=execution.event_seq)
    MirrorCursor.objects.filter(execution_id=execution.pk).update(seq=execution.event_seq - 1)
    server.forget()
    tick()
    assert server.told == []
    MirrorState.objects.update(looked_back_at=None)
    tick()
    assert sequences(server, execution) == [execution.event_seq]


# -- inward


def context_of(execution: Execution) -> dict[str, Any]:
    return dict(ContextValue.objects.filter(execution_id=execution.pk).values_list("key", "value"))


def test_a_run_begins_with_what_is_known_of_its_workspace(server: StateService) -> None:
    workspace = make_workspace()
    server.contexts[workspace.public_id] = {"region": "eu", "limits": {"amount": 50}}
    template = make_template([noop("a", {"to": "${workspace.region}"})], workspace=workspace)
    execution = run_until_quiet(start(template))
    assert execution.status == "COMPLETED"
    assert context_of(execution) == {"workspace": {"region": "eu", "limits": {"amount": 50}}, "to": "eu"}
    # A workspace of which nothing is known has none.
    assert "workspace" not in context_of(run_until_quiet(make_run()))


@pytest.mark.parametrize("manner", ["500", "hang", "drip", "half"])
def test_no_run_waits_for_long_or_fails_where_the_service_does(server: StateService, manner: str) -> None:
    workspace = make_workspace()
    server.contexts[workspace.public_id] = {"region": "eu"}
    server.context_manners.append(manner)
    template = make_template([noop("a")], workspace=workspace)
    began = time.monotonic()
    execution = run_until_quiet(start(template))
    assert time.monotonic() - began < 15
    assert execution.status == "COMPLETED"
    assert context_of(execution) == {}
    # And for a while nobody asks again. Who asked may have gone before it was heard.
    assert wait_until(lambda: server.requests == 1, seconds=10)
    run_until_quiet(start(template))
    assert server.requests == 1


@pytest.mark.parametrize("known", [[1], "text", {"text": "x" * 60_000}])
def test_a_context_that_cannot_be_one_is_left_out(server: StateService, known: Any) -> None:
    workspace = make_workspace()
    server.contexts[workspace.public_id] = known
    assert context_of(run_until_quiet(start(make_template([noop("a")], workspace=workspace)))) == {}
