"""WebSockets on real Redis: who may open one, what is replayed, what follows live, what a slow client gets."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from channels.layers import get_channel_layer
from django.db import OperationalError, connection, transaction
from django.test import Client
from redis.exceptions import ConnectionError as RedisGone

from approvals_app.services.approvals import respond_to_approval
from executions_app.consumers import ExecutionConsumer
from executions_app.dispatch import tell_execution
from executions_app.models import BlockExecution, Execution, ExecutionEvent, ExecutionLog
from tests.factories import event_types
from tests.people import People, question_of, run_asking
from tests.sockets import HOST, ORIGIN, SocketClient, in_database, refusal_of, session_of, sign_in
from workflow_service import live
from workflow_service.accounts.models import Membership, User
from workflow_service.accounts.tickets import issue_ticket
from workflow_service.live import FollowingConsumer
from workflow_service.live_feed import SharedFeed
from workflow_service.routing import websocket_application


@pytest.fixture
def execution(people: People) -> Execution:
    sign_in(people.alice, people.developer, people.stranger)
    return run_asking(people)


async def test_a_run_is_replayed_and_then_followed(
    people: People, execution: Execution, sockets: Callable[..., SocketClient]
) -> None:
    socket = sockets(f"/ws/executions/{execution.public_id}", people.developer)
    assert await socket.connect() is not None
    replayed = await socket.messages(execution.event_seq)
    assert [message["type"] for message in replayed] == await in_database(event_types, execution)
    assert [message["seq"] for message in replayed] == list(range(1, execution.event_seq + 1))
    assert replayed[1]["blockId"] == "load"
    assert replayed[1]["executionId"] == execution.public_id

    approval = await in_database(question_of, execution)
    await in_database(
        respond_to_approval,
        approval_id=approval.public_id,
        actor=people.alice,
        approved=False,
        source="test",
    )
    live = await socket.messages(4)
    assert [message["type"] for message in live] == [
        "approval_responded",
        "execution_active",
        "block_rejected",
        "execution_failed",
    ]
    assert await socket.hears_nothing(seconds=0.1)


async def test_a_client_that_comes_back_gets_what_it_missed(
    people: People, execution: Execution, sockets: Callable[..., SocketClient]
) -> None:
    socket = sockets(
        f"/ws/executions/{execution.public_id}?after={execution.event_seq - 1}", people.developer
    )
    await socket.connect()
    (only,) = await socket.messages(1)
    assert only["seq"] == execution.event_seq


async def test_log_lines_and_progress_come_to_who_asks_for_them(
    people: People, execution: Execution, sockets: Callable[..., SocketClient]
) -> None:
    path = f"/ws/executions/{execution.public_id}?after={execution.event_seq}"
    everything = sockets(f"{path}&after_log=0", people.developer)
    await everything.connect()
    written = await in_database(ExecutionLog.objects.filter(execution_id=execution.pk).count)
    told = await everything.messages(written)
    assert [line["cursor"] for line in told] == sorted(line["cursor"] for line in told)
    asked = next(line for line in told if line["log"]["level"] == "WARNING")
    assert asked["log"]["message"].startswith("Human approval required for block load")
    assert asked["log"]["id"] == f"log_{asked['cursor']:03d}"

    def report(percent: float) -> None:
        said = {"percent": percent, "message": "reading", "at": "2026-11-22T12:00:00Z"}
        BlockExecution.objects.filter(execution=execution).update(status="RUNNING", progress=said)
        tell_execution(execution.public_id, 0)

    for percent in (10.0, 20.0):
        await in_database(report, percent)
        (said,) = await everything.messages(1)
        assert (said["type"], said["blockId"], said["progress"]["percent"]) == ("progress", "load", percent)

    line = await in_database(
        ExecutionLog.objects.create,
        execution_id=execution.pk,
        level=20,
        message="later",
        created_at=execution.started_at,
    )
    await in_database(tell_execution, execution.public_id, 0)
    (newest,) = await everything.messages(1)
    assert (newest["cursor"], newest["log"]["message"]) == (line.pk, "later")
    again = sockets(f"{path}&after_log={told[-1]['cursor']}", people.developer)
    await again.connect()
    assert [message["type"] for message in await again.messages(2)] == ["log", "progress"]
    others = sockets(path, people.developer)
    await others.connect()
    assert await others.hears_nothing(seconds=0.1)
    assert await refusal_of(sockets(f"{path}&after_log=x", people.developer)) == 4400


async def test_a_line_that_commits_late_is_not_lost_behind_one_with_a_higher_id(
    people: People, execution: Execution, sockets: Callable[..., SocketClient]
) -> None:
    first, second = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def write(message: str) -> None:
        ExecutionLog.objects.create(
            execution_id=execution.pk, level=20, message=message, created_at=execution.started_at
        )

    def write_slowly() -> None:
        try:
            with transaction.atomic():
                write("slow")
                loop.call_soon_threadsafe(first.set)
                asyncio.run_coroutine_threadsafe(second.wait(), loop).result(5)
        finally:
            connection.close()

    (newest,) = await in_database(lambda: [ExecutionLog.objects.latest("id").pk])
    socket = sockets(
        f"/ws/executions/{execution.public_id}?after={execution.event_seq}&after_log={newest}",
        people.developer,
    )
    await socket.connect()
    slow = asyncio.create_task(asyncio.to_thread(write_slowly))
    await asyncio.wait_for(first.wait(), timeout=30)
    await in_database(write, "fast")
    await in_database(tell_execution, execution.public_id, 0)
    assert await socket.hears_nothing(seconds=0.1)
    second.set()
    await slow
    assert [message["log"]["message"] for message in await socket.messages(2)] == ["slow", "fast"]


async def test_more_events_than_a_page_all_come_in_order(
    people: People,
    sockets: Callable[..., SocketClient],
    monkeypatch: pytest.MonkeyPatch,
    execution: Execution,
) -> None:
    monkeypatch.setattr(FollowingConsumer, "page_size", 2)
    socket = sockets(f"/ws/executions/{execution.public_id}", people.developer)
    await socket.connect()
    assert [message["seq"] for message in await socket.messages(5)] == [1, 2, 3, 4, 5]


async def test_a_lost_hint_costs_time_and_no_event(
    people: People,
    execution: Execution,
    sockets: Callable[..., SocketClient],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FollowingConsumer, "poll_s", 0.05)
    socket = sockets(f"/ws/executions/{execution.public_id}?after={execution.event_seq}", people.developer)
    await socket.connect()
    assert await socket.hears_nothing(seconds=0.2)
    # An event without any hint.
    await in_database(
        ExecutionEvent.objects.create,
        execution_id=execution.pk,
        seq=execution.event_seq + 1,
        type="block_lost",
        created_at=execution.started_at,
    )
    (event,) = await socket.messages(1)
    assert (event["seq"], event["type"]) == (execution.event_seq + 1, "block_lost")


async def test_who_may_not_follow_a_run_is_told_by_the_close_code(
    people: People, execution: Execution, sockets: Callable[..., SocketClient]
) -> None:
    path = f"/ws/executions/{execution.public_id}"
    assert await refusal_of(sockets(path)) == 4401
    assert await refusal_of(sockets(path, people.stranger)) == 4404
    assert await refusal_of(sockets("/ws/executions/exec_unknown", people.developer)) == 4404
    for after in ("-1", "x", "1e3", "9" * 30, "\u00b2"):
        assert await refusal_of(sockets(f"{path}?after={after}", people.developer)) == 4400


@pytest.mark.parametrize(
    "headers",
    [
        [HOST, (b"origin", b"http://evil.example")],
        [HOST, (b"origin", b"http://localhost:3000")],
        [HOST, (b"origin", b"http://localhost.evil.example")],
        [HOST, (b"origin", b"null")],
        [(b"host", b"evil.example"), (b"origin", b"http://evil.example")],
        [HOST],
        [ORIGIN],
    ],
    ids=["foreign", "other port", "look-alike", "null", "rebound host", "no origin", "no host"],
)
async def test_a_session_counts_only_from_our_own_pages(
    people: People,
    execution: Execution,
    sockets: Callable[..., SocketClient],
    headers: list[tuple[bytes, bytes]],
) -> None:
    socket = sockets(f"/ws/executions/{execution.public_id}", people.developer, headers=headers)
    assert await socket.connect() is None


async def test_a_ticket_opens_one_socket_once_and_needs_no_origin(
    people: People, execution: Execution, sockets: Callable[..., SocketClient]
) -> None:
    path = f"/ws/executions/{execution.public_id}"
    ticket = await in_database(issue_ticket, people.developer)
    offered = ["events.v1", f"ticket.{ticket}"]
    first = sockets(path, headers=[HOST], subprotocols=offered)
    accepted = await first.connect()
    assert accepted is not None
    assert accepted["subprotocol"] == "events.v1"
    assert len(await first.messages(5)) == 5
    assert await refusal_of(sockets(path, headers=[HOST], subprotocols=offered)) == 4401
    assert await refusal_of(sockets(path, headers=[HOST], subprotocols=["ticket.made-up"])) == 4401
    # A ticket that does not hold is not made good by a session.
    assert await refusal_of(sockets(path, people.developer, subprotocols=["ticket.made-up"])) == 4401


async def test_a_ticket_by_api_has_the_limits_of_who_asked(
    people: People, execution: Execution, sockets: Callable[..., SocketClient]
) -> None:
    def ask_for_ticket(user: User) -> str:
        client = Client()
        client.force_login(user)
        response = client.post("/api/v1/ws-tickets")
        assert response.status_code == 201
        assert response["Cache-Control"] == "no-store"
        ticket: str = response.json()["ticket"]
        return ticket

    ticket = await in_database(ask_for_ticket, people.stranger)
    path = f"/ws/executions/{execution.public_id}"
    assert await refusal_of(sockets(path, headers=[HOST], subprotocols=[f"ticket.{ticket}"])) == 4404
    assert (await in_database(Client().post, "/api/v1/ws-tickets")).status_code == 401


async def test_who_loses_the_right_loses_the_socket(
    people: People,
    execution: Execution,
    sockets: Callable[..., SocketClient],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FollowingConsumer, "poll_s", 0.05)
    monkeypatch.setattr(FollowingConsumer, "admit_every_s", 0.0)
    socket = sockets(f"/ws/executions/{execution.public_id}", people.developer)
    await socket.connect()
    await socket.messages(execution.event_seq)
    await in_database(Membership.objects.filter(user=people.developer).delete)
    assert await socket.close_code() == 4404


@pytest.mark.parametrize("ends", ["sign-out", "password"])
@pytest.mark.parametrize("path", ["/ws/executions/{}", "/ws/approvals"])
async def test_a_session_that_ends_takes_its_sockets_with_it(
    people: People,
    execution: Execution,
    sockets: Callable[..., SocketClient],
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    ends: str,
) -> None:
    monkeypatch.setattr(FollowingConsumer, "poll_s", 0.05)
    monkeypatch.setattr(FollowingConsumer, "admit_every_s", 0.0)
    monkeypatch.setattr(SharedFeed, "poll_s", 0.05)
    address = f"{path.format(execution.public_id)}?after=1000000"
    socket, others = sockets(address, people.alice), sockets(address, people.developer)
    assert await socket.connect() is not None
    assert await others.connect() is not None
    assert await socket.hears_nothing(seconds=0.1)

    def end() -> None:
        if ends == "sign-out":
            client = Client()
            client.cookies["sessionid"] = session_of(people.alice)
            client.post("/admin/logout/")
        else:
            people.alice.set_password("another")
            people.alice.save()

    await in_database(end)
    assert await socket.close_code() == 4401
    assert await others.hears_nothing(seconds=0.1)


async def test_a_socket_that_cannot_be_followed_is_closed_and_not_left_silent(
    people: People,
    execution: Execution,
    sockets: Callable[..., SocketClient],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise OperationalError("the database is away")

    monkeypatch.setattr(ExecutionConsumer, "admit", fail)
    assert await refusal_of(sockets(f"/ws/executions/{execution.public_id}", people.developer)) == 1011


async def test_while_redis_is_away_a_run_is_followed_and_afterwards_hints_are_heard_again(
    people: People,
    execution: Execution,
    sockets: Callable[..., SocketClient],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FollowingConsumer, "poll_s", 0.05)
    monkeypatch.setattr(live, "LISTEN_AGAIN_S", 0.05)
    layer, away, joined = get_channel_layer(), asyncio.Event(), asyncio.Event()
    receive, group_add = layer.receive, layer.group_add

    async def fail_or_receive(channel: str) -> Any:
        if away.is_set():
            raise RedisGone("away")
        return await receive(channel)

    async def fail_or_join(group: str, channel: str) -> None:
        if away.is_set():
            raise RedisGone("away")
        await group_add(group, channel)
        joined.set()

    monkeypatch.setattr(layer, "receive", fail_or_receive)
    monkeypatch.setattr(layer, "group_add", fail_or_join)
    away.set()

    def write(seq: int) -> None:
        ExecutionEvent.objects.create(
            execution_id=execution.pk, seq=seq, type="block_lost", created_at=execution.started_at
        )

    seq = execution.event_seq
    socket = sockets(f"/ws/executions/{execution.public_id}?after={seq}", people.developer)
    assert await socket.connect() is not None
    await in_database(write, seq + 1)
    assert [event["seq"] for event in await socket.messages(1)] == [seq + 1]
    monkeypatch.setattr(FollowingConsumer, "poll_s", 60.0)
    away.clear()
    await asyncio.wait_for(joined.wait(), timeout=30)
    await in_database(write, seq + 2)
    await in_database(tell_execution, execution.public_id, seq + 2)
    assert [event["seq"] for event in await socket.messages(1)] == [seq + 2]


@pytest.mark.parametrize("path", ["/ws/executions/{}", "/ws/approvals"])
async def test_a_client_that_takes_nothing_is_told_to_come_back(
    people: People, execution: Execution, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(FollowingConsumer, "send_timeout_s", 0.05)
    monkeypatch.setattr(SharedFeed, "send_timeout_s", 0.05)
    sent: list[dict[str, Any]] = []
    received: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    closed = asyncio.Event()

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "websocket.send" and len(sent) == 1:
            sent.append({"stuck": True})
            await asyncio.Event().wait()
        sent.append(message)
        if message["type"] == "websocket.close":
            closed.set()

    scope = {
        "type": "websocket",
        "path": path.format(execution.public_id),
        "query_string": b"",
        "headers": [HOST, ORIGIN, (b"cookie", f"sessionid={session_of(people.alice)}".encode())],
        "subprotocols": [],
    }
    received.put_nowait({"type": "websocket.connect"})
    running = asyncio.create_task(websocket_application(scope, received.get, send))
    await asyncio.wait_for(closed.wait(), timeout=30)
    assert sent[0]["type"] == "websocket.accept"
    assert len(sent) == 4
    assert json.loads(sent[-2]["text"]) == {"type": "resync"}
    assert sent[-1]["code"] == 4408
    received.put_nowait({"type": "websocket.disconnect", "code": 4408})
    await asyncio.wait_for(running, timeout=30)
